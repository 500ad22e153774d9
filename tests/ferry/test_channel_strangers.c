/* SPDX-License-Identifier: MIT */
/* What a ferry does not let in: other certificates, strangers, garbage. */
#include "ferry/links.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void
test_a_wrong_certificate_is_told_to_both(void **state)
{
	struct credentials c = certs_make("c", 60);

	(void)state;
	handoff__tls_free(a.tls);
	a.tls = certs_open(&c, b.files.cert);
	links_open();
	links_until(a.troubles > 0 && b.troubles > 0);
	assert_contains(b.trouble, handoff__tls_fingerprint(a.tls));
	assert_contains(b.trouble, "none of those in");
	assert_contains(a.trouble, handoff__tls_fingerprint(a.tls));
	assert_contains(a.trouble, "refuses the certificate");
	assert_int_equal(a.ups + b.ups, 0);
	handoff__channel_free(a.channel);
	handoff__tls_free(a.tls);
	a.tls = certs_open(
		&a.files, c.cert); /* that of the listener is wrong */
	a.trouble[0] = '\0';
	links_open_dialler(handoff__channel_bound(b.channel));
	links_until(a.trouble[0]);
	assert_contains(a.trouble, handoff__tls_fingerprint(b.tls));
	assert_int_equal(a.ups + b.ups, 0);
}

/* It is told why, and its connection is closed. */
static void
test_garbage_is_refused_and_does_not_touch_the_link(void **state)
{
	char got[1024];
	int fd;

	(void)state;
	links_open();
	links_wait_up();
	fd = links_stranger();
	assert_int_equal(send(fd, "GET / HTTP/1.0\r\n\r\n", 18, 0), 18);
	links_until(b.troubles == 1);
	assert_contains(b.trouble, "not TLS");
	links_run(10);
	while (recv(fd, got, sizeof(got), 0) > 0)
		;
	close(fd);
	links_run(10);
	assert_int_equal(a.downs + b.downs, 0);
}

static bool
is_closed(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void
test_strangers_cost_a_few_sockets_for_a_while(void **state)
{
	uint32_t limit_ms = 1000 * (uint32_t)support_slowness();
	int fds[6], closed = 0;
	char why[64];

	(void)state;
	b.opts.handshakes = 4;
	b.opts.handshake_ms = limit_ms;
	links_open_listener();
	for (int i = 0; i < 6; i++)
		fds[i] = links_stranger();
	links_until(is_closed(fds[0]) && is_closed(fds[1]));
	for (int i = 2; i < 6; i++)
		assert_false(is_closed(fds[i]));
	/* a ferry comes in all the same, in the place of the oldest */
	links_open_dialler(handoff__channel_bound(b.channel));
	links_wait_up();
	assert_true(is_closed(fds[2]));
	links_until(
		is_closed(fds[3]) && is_closed(fds[4]) && is_closed(fds[5]));
	snprintf(why, sizeof(why), "no session within %u ms", limit_ms);
	assert_contains(b.trouble, why);
	for (int i = 0; i < 6; i++)
		closed += close(fds[i]) == 0;
	assert_int_equal(closed, 6);
	assert_int_equal(b.downs, 0);
}

static void
test_accepting_goes_on_when_there_are_descriptors_again(void **state)
{
	int fd;

	(void)state;
	support_not_in_valgrind();
	links_open_listener();
	fd = links_stranger();
	support_limit_descriptors(0);
	links_until(b.troubles == 1);
	support_unlimit_descriptors();
	assert_contains(b.trouble, "cannot accept");
	links_open_dialler(handoff__channel_bound(b.channel));
	links_wait_up();
	close(fd);
}

/* A ferry's key in the hands of a program that does as it likes. */
struct rogue {
	struct handoff__tls_session *session;
	int fd;
};

static void
rogue_move(struct rogue *r)
{
	char *at;
	size_t len;
	ssize_t n;

	while ((len = handoff__tls_output(r->session, &at)) > 0) {
		assert_int_equal(send(r->fd, at, len, MSG_NOSIGNAL), len);
		handoff__tls_sent(r->session, len);
	}
	handoff__loop_dispatch(&loop, 1);
	len = handoff__tls_space(r->session, &at);
	n = recv(r->fd, at, len, MSG_DONTWAIT);
	if (n > 0)
		handoff__tls_came(r->session, (size_t)n);
}

static void
rogue_open(struct rogue *r)
{
	struct handoff__error error;

	r->fd = links_stranger();
	assert_int_equal(
		handoff__tls_session_open(&r->session, a.tls, true, &error), 0);
	while (handoff__tls_handshake(r->session, &error) == 0)
		rogue_move(r);
}

static void
rogue_send(struct rogue *r, uint32_t len, uint32_t type, const char *body,
	size_t body_len)
{
	unsigned char frame[8 + 64];
	struct handoff__error error;

	for (int i = 0; i < 4; i++) {
		frame[i] = (unsigned char)(len >> 8 * i);
		frame[4 + i] = (unsigned char)(type >> 8 * i);
	}
	if (body_len > 0)
		memcpy(frame + 8, body, body_len);
	assert_int_equal(
		handoff__tls_write(r->session, frame, 8 + body_len, &error),
		8 + body_len);
	rogue_move(r);
}

static void
rogue_close(struct rogue *r)
{
	handoff__tls_session_free(r->session);
	close(r->fd);
}

static const char greeting[] = "HFRR\1\0\0\0\7\0\0\0\0\0\0\0";

static void
test_a_session_that_begins_otherwise_is_refused(void **state)
{
	struct handoff__error error;
	char got[256] = "";
	struct rogue r;
	ssize_t n = 0;

	(void)state;
	links_open_listener();
	rogue_open(&r);
	rogue_send(&r, 4, 1, "abcd", 4);
	links_until(b.troubles == 1);
	assert_contains(b.trouble, "no greeting");
	while ((n = handoff__tls_read(
			r.session, got, sizeof(got) - 1, &error)) == -EAGAIN)
		rogue_move(&r);
	assert_true(n > 8);
	assert_contains(got + 8, "no greeting");
	rogue_close(&r);
	links_run(1100); /* its next sentence may come */
	rogue_open(&r);
	rogue_send(
		&r, 16, HANDOFF__CHANNEL_OWN, "HFRX\1\0\0\0\7\0\0\0\0\0\0", 16);
	links_until(b.troubles == 2);
	assert_contains(b.trouble, "not that of a ferry");
	rogue_close(&r);
	rogue_open(&r);
	rogue_send(&r, 3, HANDOFF__CHANNEL_OWN, "HFR", 3);
	rogue_close(&r);
	rogue_open(&r);
	rogue_send(&r, 0xffffffff, HANDOFF__CHANNEL_OWN, "HFR", 3);
	rogue_close(&r);
	links_run(20);
	assert_int_equal(b.ups, 0);
}

/* The length of a frame is announced by the other side; what it costs here is
 * what has come of it. */
static void
test_an_announced_length_takes_no_memory(void **state)
{
	struct mallinfo2 before, after;
	struct rogue r;

	(void)state;
	support_not_in_valgrind();
	links_open_listener();
	rogue_open(&r);
	rogue_send(&r, 16, HANDOFF__CHANNEL_OWN, greeting, 16);
	links_until(b.ups == 1);
	before = mallinfo2();
	rogue_send(&r, HANDOFF__FRAME_MAX, 0, "abcd", 4);
	links_run(20);
	after = mallinfo2();
	assert_int_equal(b.downs, 0);
	assert_true(after.uordblks + after.hblkhd <
		    before.uordblks + before.hblkhd + 200000);
	/* types of the channel that it does not know are left out */
	rogue_close(&r);
	links_until(b.downs == 1);
	assert_int_equal(b.frames, 0);
	rogue_open(&r);
	rogue_send(&r, 16, HANDOFF__CHANNEL_OWN, greeting, 16);
	rogue_send(&r, 2, 0xffffffff, "ab", 2);
	rogue_send(&r, 2, HANDOFF__CHANNEL_OWN, "ab", 2);
	rogue_send(&r, 0, 0, NULL, 0);
	links_until(b.frames == 1);
	rogue_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		links_test(test_a_wrong_certificate_is_told_to_both),
		links_test(test_garbage_is_refused_and_does_not_touch_the_link),
		links_test(test_strangers_cost_a_few_sockets_for_a_while),
		links_test(
			test_accepting_goes_on_when_there_are_descriptors_again),
		links_test(test_a_session_that_begins_otherwise_is_refused),
		links_test(test_an_announced_length_takes_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
