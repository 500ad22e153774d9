/* SPDX-License-Identifier: MIT */
/*
 * Every call into the kernel or the allocator that can fail fails once, one
 * after the other, in a whole life of a client: open, connect, talk, move home,
 * end. Either opening fails with a sentence, or the life goes on to its end and
 * every byte comes back once. Nothing leaks (checked by support.h).
 */
#include "client/fixture.h"
#include "support/fault.h"

#include "notice/publisher.h"

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

FAULT(ENOMEM, NULL, void *, malloc, (size_t n), (n));
FAULT(ENOMEM, NULL, void *, calloc, (size_t n, size_t size), (n, size));
FAULT(EMFILE, -1, int, epoll_create1, (int flags), (flags));
FAULT(EMFILE, -1, int, timerfd_create, (int clock, int flags), (clock, flags));
FAULT(EMFILE, -1, int, eventfd, (unsigned value, int flags), (value, flags));
FAULT(EMFILE, -1, int, socket, (int domain, int type, int protocol),
	(domain, type, protocol));
FAULT(EADDRNOTAVAIL, -1, int, connect,
	(int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len));
FAULT(ENOBUFS, -1, ssize_t, sendmsg,
	(int fd, const struct msghdr *msg, int flags), (fd, msg, flags));
FAULT(ENOSYS, -1, ssize_t, getrandom, (void *data, size_t len, unsigned flags),
	(data, len, flags));
FAULT(EIO, -1, int, flock, (int fd, int operation), (fd, operation));
FAULT(ENOSPC, -1, int, mkdirat, (int fd, const char *path, mode_t mode),
	(fd, path, mode));
FAULT(EIO, -1, int, renameat,
	(int olddir, const char *old, int newdir, const char *new),
	(olddir, old, newdir, new));

int __real_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);

/* Only adding needs memory (epoll_ctl(2)). */
int
__wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && fails(ENOSPC))
		return -1;
	return __real_epoll_ctl(epfd, op, fd, event);
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);

int
__wrap_openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if (fails(EMFILE))
		return -1;
	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return __real_openat(dir, path, flags, mode);
}

mqd_t __real_mq_open(const char *name, int flags, ...);
mqd_t __wrap_mq_open(const char *name, int flags, ...);

mqd_t
__wrap_mq_open(const char *name, int flags, ...)
{
	struct mq_attr *attr = NULL;
	mode_t mode = 0;
	va_list ap;

	if (fails(ENOMEM))
		return (mqd_t)-1;
	va_start(ap, flags);
	if (flags & O_CREAT) {
		mode = va_arg(ap, mode_t);
		attr = va_arg(ap, struct mq_attr *);
	}
	va_end(ap);
	return __real_mq_open(name, flags, mode, attr);
}

#define INSIDE(call) (inside = true, rc = (call), inside = false, rc)

static struct site home;
static struct handoff__dir dir;
static struct handoff__publisher pub;
static uint64_t generation;

/* A server of up to 16 connections that echoes, and ends those that end. */
struct echo {
	int conns[16];
	size_t count;
};

static void
serve(struct echo *echo)
{
	int fd = accept4(home.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		assert_in_range(echo->count, 0, 15);
		echo->conns[echo->count++] = fd;
	}
	for (size_t i = 0; i < echo->count; i++) {
		char data[64];
		ssize_t n =
			recv(echo->conns[i], data, sizeof(data), MSG_DONTWAIT);

		if (n > 0) {
			assert_int_equal(send(echo->conns[i], data, (size_t)n,
						 MSG_NOSIGNAL),
				n);
		} else if (n == 0 || errno != EAGAIN) {
			close(echo->conns[i]);
			echo->conns[i--] = echo->conns[--echo->count];
		}
	}
}

static void
ready(void)
{
	struct handoff_notice n = {
		.kind = HANDOFF_NOTICE_READY,
		.generation = ++generation,
	};

	assert_int_equal(handoff__publisher_begin(&pub, &n), 0);
	while (handoff__publisher_step(&pub, 100) > 0)
		;
}

struct life {
	struct handoff_client *client;
	char data[16];
	size_t len;
	bool moved, closed;
};

static void
pull(struct life *life)
{
	const struct handoff_client_event *event;
	int rc;

	while (INSIDE(handoff_client_next(life->client, &event)) > 0) {
		if (event->type == HANDOFF_CLIENT_DATA) {
			assert_in_range(
				event->len, 1, sizeof(life->data) - life->len);
			memcpy(life->data + life->len, event->data, event->len);
			life->len += event->len;
		}
		life->moved |= event->type == HANDOFF_CLIENT_MOVED;
		life->closed |= event->type == HANDOFF_CLIENT_CLOSED;
	}
	assert_int_equal(rc, 0);
}

static void
turn(struct life *life, struct echo *echo)
{
	struct pollfd p[18] = {
		{.fd = handoff_client_fd(life->client), .events = POLLIN},
		{.fd = home.fd, .events = POLLIN},
	};
	int rc;

	for (size_t i = 0; i < echo->count; i++)
		p[2 + i] = (struct pollfd){echo->conns[i], POLLIN, 0};
	assert_true(poll(p, 2 + echo->count, 5000) > 0);
	assert_int_equal(INSIDE(handoff_client_dispatch(life->client)), 0);
	pull(life);
	serve(echo);
}

static void
send_text(struct life *life, const char *text)
{
	int rc = INSIDE(handoff_client_send(life->client, text, strlen(text)));

	if (rc == -ENOMEM)
		rc = INSIDE(
			handoff_client_send(life->client, text, strlen(text)));
	assert_int_equal(rc, 0);
}

static void
live(struct handoff_client *client)
{
	struct life life = {.client = client};
	struct echo echo = {.count = 0};
	int rc;

	send_text(&life, "hello");
	while (life.len < 5)
		turn(&life, &echo);
	ready();
	while (!life.moved)
		turn(&life, &echo);
	send_text(&life, "again");
	assert_int_equal(INSIDE(handoff_client_shutdown(client)), 0);
	while (!life.closed)
		turn(&life, &echo);
	assert_int_equal(life.len, 10);
	assert_memory_equal(life.data, "helloagain", 10);
	while (echo.count > 0)
		close(echo.conns[--echo.count]);
}

static void
test_each_call_fails_once(void **state)
{
	const char *path = support_dir(), *endpoints[2];
	char notices[140], sentence[HANDOFF_TEXT_MAX];
	struct handoff_client_opts opts;
	int refused = 0, lived = 0, rc;

	(void)state;
	home = site_open();
	assert_int_equal(fcntl(home.fd, F_SETFL, O_NONBLOCK | O_RDWR), 0);
	opts = fixture_opts(endpoints, &home, NULL);
	snprintf(notices, sizeof(notices), "mq:%s", path);
	opts.notices = notices;
	opts.errbuf = sentence;
	opts.errbuf_size = sizeof(sentence);
	assert_int_equal(handoff__dir_open(&dir, path, false, 0, NULL), 0);
	assert_int_equal(
		handoff__publisher_open(&pub, &dir, NULL, 0, 0, NULL), 0);
	for (fail_at = 1;; fail_at++) {
		struct handoff_client *client = NULL;

		calls = 0;
		sentence[0] = '\0';
		rc = INSIDE(handoff_client_open(&client, &opts));
		if (rc < 0) {
			assert_null(client);
			assert_true(sentence[0] != '\0');
			refused++;
			continue;
		}
		live(client);
		handoff_client_free(client);
		lived++;
		if (calls < fail_at)
			break;
	}
	/* Of a dozen and more calls in either half. */
	assert_in_range(refused, 10, 40);
	assert_in_range(lived, 10, 60);
	handoff__publisher_close(&pub);
	handoff__dir_close(&dir);
	site_close(&home);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_each_call_fails_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
