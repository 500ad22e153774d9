/* SPDX-License-Identifier: MIT */
/*
 * Every call into the kernel or the allocator that can fail fails once, one
 * after the other, in a whole life of a client with a session: open, connect,
 * talk, lose the connection, move home, end. Either opening fails, or the
 * session goes on to its end and every byte comes back once.
 */
#include "client/echo.h"
#include "support/fault.h"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

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

#define INSIDE(call) (inside = true, rc = (call), inside = false, rc)

static struct echo echo;

struct life {
	struct handoff_client *client;
	char data[16];
	size_t len;
	bool again, closed; /* on another connection */
};

static void
pull(struct life *life)
{
	const struct handoff_client_event *event;
	int rc;

	while (INSIDE(handoff_client_next(life->client, &event)) > 0) {
		assert_int_not_equal(event->type, HANDOFF_CLIENT_NEW);
		life->again |= event->type == HANDOFF_CLIENT_MOVED ||
			       event->type == HANDOFF_CLIENT_RESUMED;
		life->closed |= event->type == HANDOFF_CLIENT_CLOSED;
		if (event->type != HANDOFF_CLIENT_DATA)
			continue;
		assert_in_range(event->len, 1, sizeof(life->data) - life->len);
		memcpy(life->data + life->len, event->data, event->len);
		life->len += event->len;
	}
	assert_int_equal(rc, 0);
}

static void
turn(struct life *life)
{
	struct pollfd p[2 + ECHO_CONNS];
	size_t n = echo_poll(&echo, p);
	int rc;

	p[n] = (struct pollfd){handoff_client_fd(life->client), POLLIN, 0};
	assert_true(poll(p, n + 1, 5000) > 0);
	assert_int_equal(INSIDE(handoff_client_dispatch(life->client)), 0);
	pull(life);
	echo_serve(&echo);
}

static void
say(struct life *life, const char *text)
{
	size_t len = strlen(text), want = life->len + len;
	int rc = INSIDE(handoff_client_send(life->client, text, len));

	if (rc == -ENOMEM)
		rc = INSIDE(handoff_client_send(life->client, text, len));
	assert_int_equal(rc, 0);
	while (life->len < want)
		turn(life);
}

static void
live(struct handoff_client *client)
{
	struct handoff_notice notice = {.kind = HANDOFF_NOTICE_READY};
	struct life life = {.client = client};
	int rc;

	say(&life, "hello");
	life.again = false;
	echo_break(&echo);
	while (!life.again)
		turn(&life);
	say(&life, "again");
	life.again = false;
	inside = true;
	handoff__client_notice(client, &notice);
	inside = false;
	while (!life.again)
		turn(&life);
	assert_int_equal(INSIDE(handoff_client_shutdown(client)), 0);
	while (!life.closed)
		turn(&life);
	assert_int_equal(life.len, 10);
	assert_memory_equal(life.data, "helloagain", 10);
}

static void
through_layer(struct handoff_client_opts *opts)
{
	memset(&toy_script, 0, sizeof(toy_script));
	opts->layer = &toy_layer;
	echo.toy = toy_server();
}

static void
fail_each(bool layered)
{
	struct handoff_client_opts opts;
	const char *endpoints[2];
	int refused = 0, lived = 0, rc;

	for (fail_at = 1;; fail_at++) {
		struct handoff_client *client = NULL;

		echo_begin(&echo, (uint32_t)fail_at);
		opts = fixture_opts(endpoints, &echo.site, NULL);
		opts.session = true;
		if (layered)
			through_layer(&opts);
		calls = 0;
		rc = INSIDE(handoff_client_open(&client, &opts));
		if (rc < 0) {
			refused++;
		} else {
			live(client);
			handoff_client_free(client);
			lived++;
		}
		assert_int_equal(toy_script.open, 0);
		echo_end(&echo);
		if (calls < fail_at)
			break;
	}
	assert_in_range(refused, 4, 20);
	assert_in_range(lived, 12, 60);
}

static void
test_each_call_fails_once(void **state)
{
	(void)state;
	fail_each(false);
}

/* What is sealed waits for memory. */
static void
test_each_call_fails_once_with_a_layer(void **state)
{
	(void)state;
	fail_each(true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_each_call_fails_once),
		handoff_test(test_each_call_fails_once_with_a_layer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
