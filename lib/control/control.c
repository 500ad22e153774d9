/* SPDX-License-Identifier: MIT */
/*
 * Serves the control socket without ever blocking on a client: a client that
 * sends nothing or too much, or does not read, is closed after a timeout, or
 * when another one needs its slot.
 */
#include "control/control.h"

#include "base/fdpass.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_TIMEOUT_US    5000000
#define WRITE_TIMEOUT_US   5000000
#define DISCARD_TIMEOUT_US 1000000
#define STALLED_US         1000000 /* a reply stays unread */

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
	/* closing with unread input would reset the connection and lose the
	 * reply */
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
refuse_request(struct handoff__request *r, const char *why)
{
	r->step = HANDOFF__REQUEST_WORK;
	handoff__control_reply(r, strdup(why));
}

/* Receives the next piece of the line, which may carry the request's only
 * descriptor. False if there is none yet, or there will be none. */
static bool
receive_line(struct handoff__request *r)
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
		refuse_request(r, "error the request carries more than one "
				  "descriptor\n");
	else if (n == -EMFILE)
		refuse_request(r,
			"error the descriptor that came with the request "
			"found no room in the descriptor table\n");
	else if (n <= 0)
		request_close(r);
	else
		r->len += (size_t)n;
	return n > 0;
}

static void
refuse_long(struct handoff__request *r)
{
	char why[64];

	snprintf(why, sizeof(why),
		"error the request is longer than %d bytes\n",
		HANDOFF__REQUEST_MAX - 1);
	refuse_request(r, why);
}

/* Whether the client has closed its end, and not only the direction of the
 * request: POLLHUP of a Unix socket is the end of both (unix(7)). */
static bool
given_up(const struct handoff__request *r)
{
	struct pollfd p = {.fd = r->fd};

	return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

/* A client that gave up waiting has reported a failure: nothing may happen
 * afterwards, when this process continues. */
static void
begin(struct handoff__request *r)
{
	if (given_up(r)) {
		handoff__log(r->control->log, HANDOFF_LOG_WARNING,
			"control: dropped the request '%.40s': its client has "
			"gone before it was begun",
			r->line);
		request_close(r);
		return;
	}
	step_to(r, HANDOFF__REQUEST_WORK, EPOLLRDHUP, 0);
	r->control->fn(r->control->arg, r, r->line);
	drop_passed(r);
}

static void
step_read(struct handoff__request *r)
{
	char *newline;

	if (!receive_line(r))
		return;
	newline = memchr(r->line, '\n', r->len);
	if (newline && memchr(r->line, '\0', (size_t)(newline - r->line))) {
		refuse_request(r, "error the request is not a line of text\n");
	} else if (newline) {
		*newline = '\0';
		begin(r);
	} else if (r->len == sizeof(r->line)) {
		refuse_long(r);
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
		/* The client has gone, or only half-closed: the work continues,
		 * and sending the reply will show. */
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

/* Whether the client's slot may be reused. Not while it waits for a reply or is
 * reading one. */
static bool
holds_up(const struct handoff__request *r)
{
	int64_t left_us = r->timer.deadline_us - handoff__now_us();

	switch (r->step) {
	case HANDOFF__REQUEST_READ:
	case HANDOFF__REQUEST_DISCARD:
		return true;
	case HANDOFF__REQUEST_WRITE:
		return left_us < WRITE_TIMEOUT_US - STALLED_US;
	default:
		return false;
	}
}

/* Of the clients that neither send nor read, the one with the least time
 * left. */
static struct handoff__request *
least_deserving(struct handoff__control *control)
{
	struct handoff__request *found = NULL;

	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		struct handoff__request *r = &control->requests[i];

		if (holds_up(r) && (!found || r->timer.deadline_us <
						      found->timer.deadline_us))
			found = r;
	}
	return found;
}

/* Finds a slot for a new client. If all are in use one is freed: clients that
 * merely connect cannot lock an operator out. */
static struct handoff__request *
slot_for_client(struct handoff__control *control)
{
	struct handoff__request *r = free_request(control);

	/* its request may have arrived by now */
	for (int i = 0; !r && i < HANDOFF__REQUESTS_MAX; i++) {
		r = least_deserving(control);
		if (!r)
			return NULL;
		if (r->step == HANDOFF__REQUEST_READ)
			step_read(r);
		if (holds_up(r)) {
			handoff__log(control->log, HANDOFF_LOG_INFO,
				"control: closed a client that sends nothing "
				"or "
				"reads nothing: another one needs its slot");
			request_close(r);
		}
		r = free_request(control);
	}
	return r;
}

static void
turn_client_away(struct handoff__control *control, int fd, const char *why)
{
	static const char busy[] = "error too many control clients at once\n";

	handoff__log(control->log, HANDOFF_LOG_WARNING,
		"control: refused a client: %s",
		why ? why : "too many wait for a reply");
	if (!why)
		send(fd, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void
on_control_client(void *arg, int fd)
{
	struct handoff__control *control = arg;
	struct handoff__request *r;

	if (handoff__dir_allows(fd, 0) < 0) {
		turn_client_away(control, fd, "it runs as another user");
		return;
	}
	r = slot_for_client(control);
	if (!r) {
		turn_client_away(control, fd, NULL);
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

static int
listen_on_name(struct handoff__control *control, struct handoff__error *error)
{
	int err, fd;

	fd = handoff__dir_listen(
		control->dir, control->name, SOCK_STREAM, error);
	if (fd < 0)
		return fd;
	handoff__door_close(&control->door);
	if (control->fd >= 0)
		close(control->fd);
	control->fd = fd;
	err = handoff__dir_note(control->dir, control->name, &control->inode);
	if (err >= 0)
		err = handoff__door_open(&control->door, control->loop, fd,
			on_control_client, control);
	if (err < 0)
		handoff__fail(error, err, "socket %s/%s: cannot watch it: %s",
			control->dir->path, control->name, strerror(-err));
	return err;
}

void
handoff__control_keep(struct handoff__control *control)
{
	struct handoff__error error;
	bool lost = false;

	if (control->fd < 0)
		return;
	if (handoff__dir_is(control->dir, control->name, &control->inode) < 1)
		lost = listen_on_name(control, &error) < 0;
	if (lost && !control->lost)
		handoff__log(control->log, HANDOFF_LOG_ERROR, "%s", error.text);
	control->lost = lost;
}

int
handoff__control_open(struct handoff__control *control,
	struct handoff__loop *loop, const struct handoff__dir *dir, int place,
	const struct handoff__log *log, handoff__request_fn *fn, void *arg,
	struct handoff__error *error)
{
	memset(control, 0, sizeof(*control));
	control->loop = loop;
	control->dir = dir;
	control->log = log;
	control->fn = fn;
	control->arg = arg;
	snprintf(control->name, sizeof(control->name), "control.%d", place);
	control->fd = -1;
	return listen_on_name(control, error);
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
	/* leave another peer's socket alone */
	if (handoff__dir_is(control->dir, control->name, &control->inode) > 0)
		unlinkat(control->dir->fd, control->name, 0);
	close(control->fd);
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
