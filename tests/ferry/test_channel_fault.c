/* SPDX-License-Identifier: MIT */
/*
 * Every call into the kernel or the allocator that can fail fails once, one
 * after the other, in a whole life of a link: open both sides, connect, send,
 * close. Either opening fails with a sentence, or the link comes up in the end
 * and carries all that is sent on it. Nothing leaks (checked by support.h).
 */
#include "ferry/links.h"
#include "support/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#define FRAMES 40
#define LEN    5000

FAULT(ENOMEM, NULL, void *, malloc, (size_t n), (n));
FAULT(ENOMEM, NULL, void *, calloc, (size_t n, size_t size), (n, size));
FAULT(EMFILE, -1, int, socket, (int domain, int type, int protocol),
	(domain, type, protocol));
FAULT(EADDRINUSE, -1, int, bind,
	(int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len));
FAULT(ENETUNREACH, -1, int, connect,
	(int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len));
FAULT(ECONNABORTED, -1, int, accept4,
	(int fd, struct sockaddr *sa, socklen_t *len, int flags),
	(fd, sa, len, flags));
FAULT(ETIMEDOUT, -1, ssize_t, recv, (int fd, void *data, size_t len, int flags),
	(fd, data, len, flags));
FAULT(ECONNRESET, -1, ssize_t, send,
	(int fd, const void *data, size_t len, int flags),
	(fd, data, len, flags));
FAULT(ENOSYS, -1, ssize_t, getrandom, (void *data, size_t len, unsigned flags),
	(data, len, flags));
FAULT(ENOTCONN, -1, int, getpeername,
	(int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len));

int __real_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);

int
__wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	if (op != EPOLL_CTL_DEL && fails(ENOSPC))
		return -1;
	return __real_epoll_ctl(epfd, op, fd, event);
}

static bool
open_one(struct side *s)
{
	struct handoff__error error = {""};

	s->opts.tls = s->tls;
	if (handoff__channel_open(&s->channel, &s->opts, &error) == 0)
		return true;
	assert_null(s->channel);
	assert_string_not_equal(error.text, "");
	return false;
}

/* Sends from the first frame on whenever the link is new. */
static void
send_all(int *ups)
{
	if (!handoff__channel_peer(a.channel))
		return;
	if (*ups != a.ups) {
		*ups = a.ups;
		a.next = 0;
	}
	while (a.next < FRAMES && links_send(&a, LEN) == 0)
		;
}

static void
live(void)
{
	int64_t end = handoff__now_us() + support_patience_us();
	int ups = 0;

	a.ups = b.ups = 0;
	a.frames = b.frames = 0;
	if (!open_one(&b))
		return;
	a.opts.to = handoff__channel_bound(b.channel);
	if (!open_one(&a))
		return;
	while (b.frames < FRAMES && handoff__now_us() < end) {
		handoff__loop_dispatch(&loop, 20);
		send_all(&ups);
	}
	assert_int_equal(b.frames, FRAMES);
}

static void
die(void)
{
	handoff__channel_free(a.channel);
	handoff__channel_free(b.channel);
	a.channel = b.channel = NULL;
}

static void
test_every_call_of_a_link_may_fail(void **state)
{
	int last;

	(void)state;
	a.opts.beat_ms = b.opts.beat_ms = 1000;
	a.opts.silent_ms = b.opts.silent_ms = 2000;
	a.opts.handshake_ms = b.opts.handshake_ms = 3000;
	b.opts.listen = "127.0.0.1:0";
	for (fail_at = 1;; fail_at++) {
		calls = 0;
		inside = true;
		live();
		inside = false;
		last = calls;
		die();
		if (last < fail_at)
			break;
	}
	print_message("%d calls failed\n", fail_at - 1);
	assert_true(fail_at > 30);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		links_test(test_every_call_of_a_link_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
