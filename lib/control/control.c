/* SPDX-License-Identifier: MIT */
/*
 * Serves the control socket without ever waiting for a client: whoever says
 * nothing, too much or does not read is closed after a while.
 */
#include "control/control.h"

#include "base/fdpass.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_TIMEOUT_US    5000000
#define WRITE_TIMEOUT_US   5000000
#define DISCARD_TIMEOUT_US 1000000

static void
drop_passed(struct handoff__request *r)
{
	if (r->passed >= 0)
		close(r->passed);
	r->passed = -1;
}

static void
request_close(struct handoff__request *r)
{
	if (r->step == HANDOFF__REQUEST_FREE)
		return;
	drop_passed(r);
	handoff__timer_disarm(r->control->loop, &r->timer);
	handoff__watch_del(r->control->loop, &r->watch);
	close(r->fd);
	free(r->reply);
	r->reply = NULL;
	r->step = HANDOFF__REQUEST_FREE;
}

static void
on_timeout(struct handoff__timer *timer)
{
	request_close(timer->arg);
}

static void
step_to(struct handoff__request *r, enum handoff__request_step step,
	uint32_t events, int64_t timeout_us)
{
	r->step = step;
	handoff__watch_set(r->control->loop, &r->watch, events);
	if (timeout_us > 0)
		handoff__timer_arm(r->control->loop, &r->timer, timeout_us);
	else
		handoff__timer_disarm(r->control->loop, &r->timer);
}

static void
step_write(struct handoff__request *r)
{
	while (r->reply_pos < r->reply_len) {
		ssize_t n = send(r->fd, r->reply + r->reply_pos,
			r->reply_len - r->reply_pos,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			step_to(r, HANDOFF__REQUEST_WRITE, EPOLLOUT,
				WRITE_TIMEOUT_US);
			return;
		}
		if (n < 0) {
			request_close(r);
			return;
		}
		r->reply_pos += (size_t)n;
	}
	/* Closing with input unread would take the reply from the client. */
	shutdown(r->fd, SHUT_WR);
	step_to(r, HANDOFF__REQUEST_DISCARD, EPOLLIN, DISCARD_TIMEOUT_US);
}

void
handoff__control_reply(struct handoff__request *r, char *text)
{
	if (r->step != HANDOFF__REQUEST_WORK) {
		free(text);
		return;
	}
	if (!text) {
		request_close(r);
		return;
	}
	drop_passed(r);
	r->reply = text;
	r->reply_len = strlen(text);
	r->reply_pos = 0;
	step_write(r);
}

int
handoff__control_take(struct handoff__request *r)
{
	int fd = r->passed;

	r->passed = -1;
	return fd;
}

void
handoff__control_on_gone(
	struct handoff__request *r, void (*fn)(void *arg), void *arg)
{
	r->gone = fn;
	r->gone_arg = arg;
}

static void
refuse(struct handoff__request *r, const char *why)
{
	r->step = HANDOFF__REQUEST_WORK;
	handoff__control_reply(r, strdup(why));
}

/* The next piece of the line, which may carry the one descriptor that a
 * request may have. False if there is none now, or never will be. */
static bool
receive(struct handoff__request *r)
{
	int fd;
	ssize_t n = handoff__fdpass_recv_text(
		r->fd, r->line + r->len, sizeof(r->line) - r->len, &fd);

	if (n == -EAGAIN)
		return false;
	if (fd >= 0 && r->passed >= 0) {
		close(fd);
		n = -EBADMSG;
	} else if (fd >= 0) {
		r->passed = fd;
	}
	if (n == -EBADMSG)
		refuse(r, "error the request brings more than one "
			  "descriptor\n");
	else if (n == -EMFILE)
		refuse(r, "error the descriptor that came with the request "
			  "found no room in the descriptor table\n");
	else if (n <= 0)
		request_close(r);
	else
		r->len += (size_t)n;
	return n > 0;
}

static void
step_read(struct handoff__request *r)
{
	char *newline;

	if (!receive(r))
		return;
	newline = memchr(r->line, '\n', r->len);
	if (newline && memchr(r->line, '\0', (size_t)(newline - r->line))) {
		refuse(r, "error the request is not a line of text\n");
	} else if (newline) {
		*newline = '\0';
		step_to(r, HANDOFF__REQUEST_WORK, EPOLLRDHUP, 0);
		r->control->fn(r->control->arg, r, r->line);
		drop_passed(r);
	} else if (r->len == sizeof(r->line)) {
		refuse(r, "error the request is longer than 511 bytes\n");
	}
}

static void
step_discard(struct handoff__request *r)
{
	char scrap[16384];
	ssize_t n = recv(r->fd, scrap, sizeof(scrap), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		request_close(r);
}

static void
on_request(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__request *r = watch->arg;

	switch (r->step) {
	case HANDOFF__REQUEST_READ:
		step_read(r);
		return;
	case HANDOFF__REQUEST_WORK:
		/* The client has gone, or only closed its side: the work
		 * goes on, and the reply finds out. */
		handoff__watch_set(r->control->loop, &r->watch, EPOLLET);
		if ((events & EPOLLHUP) && r->gone)
			r->gone(r->gone_arg);
		return;
	case HANDOFF__REQUEST_WRITE:
		step_write(r);
		return;
	case HANDOFF__REQUEST_DISCARD:
		step_discard(r);
		return;
	case HANDOFF__REQUEST_FREE:
		return;
	}
}

static struct handoff__request *
free_request(struct handoff__control *control)
{
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		if (control->requests[i].step == HANDOFF__REQUEST_FREE)
			return &control->requests[i];
	}
	return NULL;
}

static void
on_connect(void *arg, int fd)
{
	static const char busy[] = "error too many control clients at once\n";
	struct handoff__control *control = arg;
	struct handoff__request *r = free_request(control);

	if (!r || handoff__peer_pid(fd, true) < 0) {
		if (!r)
			send(fd, busy, sizeof(busy) - 1,
				MSG_DONTWAIT | MSG_NOSIGNAL);
		handoff__log(control->log, HANDOFF_LOG_WARNING,
			"control: refused a client: %s",
			r ? "it runs as another user" : "too many at once");
		close(fd);
		return;
	}
	r->control = control;
	r->fd = fd;
	r->len = 0;
	r->passed = -1;
	r->gone = NULL;
	r->watch.fn = on_request;
	r->timer.fn = on_timeout;
	r->watch.arg = r->timer.arg = r;
	if (handoff__watch_add(control->loop, &r->watch, fd, EPOLLIN) < 0) {
		close(fd);
		return;
	}
	r->step = HANDOFF__REQUEST_READ;
	handoff__timer_arm(control->loop, &r->timer, READ_TIMEOUT_US);
}

int
handoff__control_open(struct handoff__control *control,
	struct handoff__loop *loop, const struct handoff__dir *dir, int slot,
	const struct handoff__log *log, handoff__request_fn *fn, void *arg,
	struct handoff__error *error)
{
	memset(control, 0, sizeof(*control));
	control->loop = loop;
	control->dir = dir;
	control->log = log;
	control->fn = fn;
	control->arg = arg;
	snprintf(control->name, sizeof(control->name), "control.%d", slot);
	control->fd =
		handoff__dir_listen(dir, control->name, SOCK_STREAM, error);
	if (control->fd < 0)
		return control->fd;
	return handoff__door_open(
		&control->door, loop, control->fd, on_connect, control);
}

void
handoff__control_flush(struct handoff__control *control)
{
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		if (control->requests[i].step == HANDOFF__REQUEST_WRITE)
			step_write(&control->requests[i]);
	}
}

void
handoff__control_close(struct handoff__control *control)
{
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++)
		request_close(&control->requests[i]);
	if (!control->loop || control->fd < 0)
		return;
	handoff__door_close(&control->door);
	close(control->fd);
	unlinkat(control->dir->fd, control->name, 0);
	control->fd = -1;
}

void
handoff__control_forked(struct handoff__control *control)
{
	if (control->fd >= 0)
		close(control->fd);
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		if (control->requests[i].step != HANDOFF__REQUEST_FREE)
			close(control->requests[i].fd);
	}
}
