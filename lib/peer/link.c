/* SPDX-License-Identifier: MIT */
/*
 * Exchanges messages with the other peer without ever blocking on it.
 */
#include "peer/link.h"

#include "base/fdpass.h"
#include "base/high.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define QUEUE_MAX 4096
#define READ_MAX  64 /* messages per iteration: connections need time */
#define RETRY_US  10000
/* recvmsg(2) ran out of memory: the message is still there, so retry, but not
 * forever. */
#define FAILURES_MAX 1000

struct handoff__letter {
	TAILQ_ENTRY(handoff__letter) node;
	int fd;
	size_t len;
	unsigned char data[];
};

static void on_link_event(struct handoff__watch *watch, uint32_t events);
static void on_link_retry(struct handoff__timer *timer);

void
handoff__link_init(struct handoff__link *link, struct handoff__loop *loop,
	const struct handoff__link_ops *ops, void *arg)
{
	memset(link, 0, sizeof(*link));
	link->fd = -1;
	link->loop = loop;
	link->ops = ops;
	link->arg = arg;
	link->watch = (struct handoff__watch){
		.fd = -1, .fn = on_link_event, .arg = link};
	link->retry = (struct handoff__timer){.fn = on_link_retry, .arg = link};
	TAILQ_INIT(&link->queue);
}

int
handoff__link_open(struct handoff__link *link, int fd)
{
	int err;

	fd = handoff__high_raise(fd);
	err = handoff__watch_add(link->loop, &link->watch, fd, EPOLLIN);
	if (err < 0) {
		close(fd);
		return err;
	}
	link->fd = fd;
	link->broken = 0;
	link->failures = 0;
	link->blocked = link->woken = false;
	return 0;
}

void
handoff__link_close(struct handoff__link *link)
{
	struct handoff__letter *letter;

	if (link->fd < 0)
		return;
	handoff__timer_disarm(link->loop, &link->retry);
	handoff__watch_del(link->loop, &link->watch);
	close(link->fd);
	link->fd = -1;
	while ((letter = TAILQ_FIRST(&link->queue))) {
		TAILQ_REMOVE(&link->queue, letter, node);
		free(letter);
	}
	link->queued = 0;
}

void
handoff__link_fail(struct handoff__link *link, int err)
{
	if (link->broken == 0)
		link->broken = err;
}

/* Waits until the socket is writable. It may be writable and still refuse
 * descriptors, when too many are in flight (ETOOMANYREFS): then a timer
 * retries. */
static void
block(struct handoff__link *link)
{
	link->blocked = true;
	if (link->woken) {
		handoff__watch_set(link->loop, &link->watch, EPOLLIN);
		handoff__timer_arm(link->loop, &link->retry, RETRY_US);
	} else {
		handoff__watch_set(
			link->loop, &link->watch, EPOLLIN | EPOLLOUT);
	}
}

int
handoff__link_try(struct handoff__link *link, const struct handoff__msg *msg,
	const int *fds, size_t nfds)
{
	unsigned char data[HANDOFF_FDPASS_PAYLOAD_MAX];
	size_t len;
	int rc;

	if (!handoff__link_up(link))
		return -ENOTCONN;
	if (link->blocked || !TAILQ_EMPTY(&link->queue))
		return 0;
	len = handoff__msg_encode(msg, data, sizeof(data));
	rc = handoff_fdpass_send(link->fd, fds, nfds, data, len);
	if (rc == 0)
		block(link);
	else if (rc > 0)
		link->woken = false;
	else if (rc != -EMSGSIZE || nfds <= 1)
		handoff__link_fail(link, rc);
	return rc;
}

static int
enqueue(struct handoff__link *link, const struct handoff__msg *msg, int fd)
{
	unsigned char data[HANDOFF_FDPASS_PAYLOAD_MAX];
	size_t len = handoff__msg_encode(msg, data, sizeof(data));
	struct handoff__letter *letter;

	if (link->queued == QUEUE_MAX)
		return -ENOBUFS;
	letter = malloc(sizeof(*letter) + len);
	if (!letter)
		return -ENOMEM;
	letter->fd = fd;
	letter->len = len;
	memcpy(letter->data, data, len);
	TAILQ_INSERT_TAIL(&link->queue, letter, node);
	link->queued++;
	return 0;
}

void
handoff__link_send(
	struct handoff__link *link, const struct handoff__msg *msg, int fd)
{
	int err;

	if (handoff__link_try(link, msg, &fd, fd >= 0 ? 1 : 0) != 0)
		return;
	err = enqueue(link, msg, fd);
	if (err < 0)
		handoff__link_fail(link, err);
}

/* Sends the queue. False while the socket accepts no more. */
static bool
flush_queue(struct handoff__link *link)
{
	struct handoff__letter *letter;

	while ((letter = TAILQ_FIRST(&link->queue))) {
		int rc = handoff_fdpass_send(link->fd, &letter->fd,
			letter->fd >= 0 ? 1 : 0, letter->data, letter->len);

		if (rc == 0)
			return false;
		if (rc < 0) {
			handoff__link_fail(link, rc);
			return true;
		}
		link->woken = false;
		TAILQ_REMOVE(&link->queue, letter, node);
		link->queued--;
		free(letter);
	}
	return true;
}

static void
unblock(struct handoff__link *link)
{
	link->blocked = false;
	link->woken = true;
	if (!flush_queue(link)) {
		block(link);
		return;
	}
	if (handoff__link_up(link))
		link->ops->writable(link);
	link->woken = false;
	if (!link->blocked)
		handoff__watch_set(link->loop, &link->watch, EPOLLIN);
}

static void
on_link_retry(struct handoff__timer *timer)
{
	unblock(timer->arg);
}

static bool
may_pass(struct handoff__link *link, int err)
{
	return (err == -ENOMEM || err == -ENOBUFS) &&
	       link->failures++ < FAILURES_MAX;
}

/* Reads one message. False if there is none. */
static bool
read_one(struct handoff__link *link)
{
	unsigned char data[HANDOFF_FDPASS_PAYLOAD_MAX];
	int fds[HANDOFF_FDPASS_MAX];
	size_t nfds = HANDOFF_FDPASS_MAX, len = sizeof(data);
	struct handoff__msg msg;
	bool lost = false;
	int rc = handoff__fdpass_recv_frame(
		link->fd, fds, &nfds, data, &len, &lost);

	if (rc == 0 || (rc < 0 && may_pass(link, rc)))
		return false;
	link->failures = 0;
	if (rc > 0 && handoff__msg_decode(&msg, data, len) < 0) {
		for (size_t i = 0; i < nfds; i++)
			close(fds[i]);
		rc = -EBADMSG;
	}
	if (rc < 0) {
		handoff__link_fail(link, rc);
		/* level-triggered: it would be reported in every iteration */
		handoff__watch_set(link->loop, &link->watch, 0);
		return false;
	}
	if (lost)
		link->ops->lost(link, &msg);
	else
		link->ops->message(link, &msg, fds, nfds);
	return link->fd >= 0;
}

bool
handoff__link_read(struct handoff__link *link)
{
	for (int i = 0; i < READ_MAX && link->fd >= 0; i++) {
		if (!read_one(link))
			return false;
	}
	return link->fd >= 0;
}

static void
on_link_event(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__link *link = watch->arg;

	if (events & EPOLLOUT)
		unblock(link);
	if (link->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		handoff__link_read(link);
}

int
handoff__link_send_sync(int sock, const struct handoff__msg *msg, int fd)
{
	unsigned char data[HANDOFF_FDPASS_PAYLOAD_MAX];
	size_t len = handoff__msg_encode(msg, data, sizeof(data));
	int rc = handoff_fdpass_send(sock, &fd, fd >= 0 ? 1 : 0, data, len);

	return rc == 0 ? -EAGAIN : rc < 0 ? rc : 0;
}

int
handoff__link_recv_sync(
	int sock, struct handoff__msg *msg, int *fd, int64_t deadline_us)
{
	for (;;) {
		unsigned char data[HANDOFF_FDPASS_PAYLOAD_MAX];
		size_t nfds = 1, len = sizeof(data);
		struct pollfd p = {.fd = sock, .events = POLLIN};
		int64_t left = deadline_us - handoff__now_us();
		bool lost;
		int rc = handoff__fdpass_recv_frame(
			sock, fd, &nfds, data, &len, &lost);

		if (rc <= 0 || nfds == 0)
			*fd = -1;
		if (rc > 0) {
			rc = handoff__msg_decode(msg, data, len);
			if (rc < 0 && *fd >= 0)
				close(*fd);
			return rc;
		}
		if (rc < 0)
			return rc;
		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)(left / 1000) + 1) < 0 && errno != EINTR)
			return -errno;
	}
}
