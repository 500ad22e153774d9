/* SPDX-License-Identifier: MIT */
/*
 * Messages before and instead of HELLO, from peers and from other processes:
 * each is judged, answered or refused, and descriptors that came with it are
 * closed.
 */
#include "peer/fixture.h"

#include "peer/hello.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The client's end of the link, before any HELLO. */
static int
connect_raw(const struct side *side)
{
	int fd =
		handoff__dir_connect(&side->pair.dir, "link.1", SOCK_SEQPACKET);

	assert_true(fd >= 0);
	return fd;
}

static struct handoff__msg
good_hello(const struct side *side)
{
	struct handoff__msg msg = {.type = HANDOFF__HELLO};

	handoff__hello_make(&side->pair, &msg.hello);
	msg.hello.place = 2;
	msg.hello.serving = 0;
	strcpy(msg.hello.name, "raw");
	return msg;
}

/* What the peer answers to that HELLO; the socket is closed after. */
static struct handoff__msg
greet(struct side *side, const struct handoff__msg *hello)
{
	struct handoff__msg reply = {.type = 0};
	int fd = connect_raw(side), passed;

	assert_int_equal(handoff__link_send_sync(fd, hello, -1), 0);
	pair_run(side, NULL);
	assert_int_equal(handoff__link_recv_sync(fd, &reply, &passed, 0), 0);
	assert_int_equal(reply.type, HANDOFF__HELLO);
	assert_true(passed >= 0); /* a pidfd */
	close(passed);
	close(fd);
	pair_run(side, NULL);
	return reply;
}

static void
hello_is_judged(void **state)
{
	struct handoff__msg hello;

	(void)state;
	pair_own(&one);
	hello = good_hello(&one);
	hello.hello.version_min = HANDOFF__PROTOCOL_MAX + 1;
	hello.hello.version_max = HANDOFF__PROTOCOL_MAX + 1;
	assert_int_equal(
		greet(&one, &hello).hello.refusal, HANDOFF__BAD_VERSION);
	assert_non_null(
		strstr(one.refused, "link protocol 4 to 4 there, 2 to 3 here"));
	/* One that knows more versions, ours among them, is welcome. */
	hello = good_hello(&one);
	hello.hello.version_max = HANDOFF__PROTOCOL_MAX + 5;
	hello.hello.layout = hello.hello.makes = HANDOFF__LAYOUT + 2;
	assert_int_equal(
		greet(&one, &hello).hello.refusal, HANDOFF__BAD_LAYOUT);
	hello = good_hello(&one);
	hello.hello.place = 1;
	assert_int_equal(greet(&one, &hello).hello.refusal, HANDOFF__GARBAGE);
	hello.hello.place = 77;
	assert_int_equal(greet(&one, &hello).hello.refusal, HANDOFF__GARBAGE);
	hello = good_hello(&one);
	strcpy(hello.hello.name, "../evil\n");
	assert_int_equal(greet(&one, &hello).hello.refusal, HANDOFF__GARBAGE);
	assert_null(strchr(one.refused, '\n'));
	/* The same cause twice in a row is told once. */
	assert_int_equal(one.pair.tally.refused, 5);
	assert_int_equal(one.refusals, 4);
	hello = good_hello(&one);
	assert_int_equal(greet(&one, &hello).hello.refusal, HANDOFF__OK);
	assert_int_equal(one.refusals, 4);
}

/* What a peer says of its layout, which of the two serves, and what this one
 * thinks of it. `reads`, `makes`: of the other; `why`: part of the sentence. */
struct layouts {
	uint32_t reads, makes;
	bool other_serves, again;
	bool fits;
	const char *why;
};

#define OWN HANDOFF__LAYOUT

static const struct layouts layouts[] = {
	{OWN, 0, false, false, true, NULL},
	{OWN, 0, true, false, true, NULL},
	{OWN - 1, OWN, false, false, true, NULL},
	/* One older: only it may serve, unless the two were linked before. */
	{OWN - 1, 0, true, false, true, NULL},
	{OWN - 2, OWN - 1, true, false, true, NULL},
	{OWN - 1, 0, false, false, false, "takes nothing over from a newer"},
	{OWN - 1, 0, false, true, true, NULL},
	/* One newer: only this one may. */
	{OWN, OWN + 1, false, false, true, NULL},
	{OWN, OWN + 1, true, false, false, "takes nothing over from a newer"},
	{OWN, OWN + 1, true, true, true, NULL},
	/* Two: neither. */
	{OWN - 2, 0, true, false, false, "by a version between them"},
	{OWN - 3, OWN - 2, true, false, false, "by a version between them"},
	{OWN - 2, 0, true, true, false, "by a version between them"},
	{OWN + 1, OWN + 2, false, false, false, "by a version between them"},
	{OWN + 2, 0, false, false, false, "by a version between them"},
};

static void
layouts_are_judged(void **state)
{
	char why[128];

	(void)state;
	pair_own(&one);
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		const struct layouts *l = &layouts[i];
		struct handoff__msg hello = good_hello(&one);
		enum handoff__reason reason;

		hello.hello.layout = l->reads;
		hello.hello.makes = l->makes;
		hello.hello.serving = l->other_serves;
		hello.hello.again = l->again;
		one.pair.serving = !l->other_serves;
		reason = handoff__hello_judge(&one.pair, &hello.hello);
		assert_int_equal(
			reason, l->fits ? HANDOFF__OK : HANDOFF__BAD_LAYOUT);
		handoff__hello_explain(
			&one.pair, &hello.hello, reason, why, sizeof(why));
		assert_true(strlen(why) < sizeof(why) - 1);
		if (!l->fits)
			assert_non_null(strstr(why, l->why));
	}
	one.pair.serving = true;
}

/* A region is shared with one of the same size and version, and with a peer
 * that has none. */
static void
regions_are_judged(void **state)
{
	struct handoff__msg hello;
	char why[128];

	(void)state;
	one.service.shared_size = 4096;
	one.service.shared_version = 3;
	pair_own(&one);
	hello = good_hello(&one);
	assert_int_equal(hello.hello.shared_size, 4096);
	assert_int_equal(hello.hello.shared_version, 3);
	assert_int_equal(
		handoff__hello_judge(&one.pair, &hello.hello), HANDOFF__OK);
	hello.hello.shared_version = 4;
	assert_int_equal(handoff__hello_judge(&one.pair, &hello.hello),
		HANDOFF__BAD_SHARED);
	hello.hello.shared_version = 3;
	hello.hello.shared_size = 1;
	assert_int_equal(
		greet(&one, &hello).hello.refusal, HANDOFF__BAD_SHARED);
	handoff__hello_explain(
		&one.pair, &hello.hello, HANDOFF__BAD_SHARED, why, sizeof(why));
	assert_string_equal(why,
		"shared region of 1 byte and version 3 there, of 4096 and 3 "
		"here");
	hello.hello.shared_size = hello.hello.shared_version = 0;
	assert_int_equal(
		handoff__hello_judge(&one.pair, &hello.hello), HANDOFF__OK);
	/* What counts is the region that the arena has. */
	one.service.shared_size = 0;
	hello.hello.shared_size = 8;
	assert_int_equal(handoff__hello_judge(&one.pair, &hello.hello),
		HANDOFF__BAD_SHARED);
}

/* It finds its own layout in a HELLO of this library; and in a refusal the one
 * that it does not know. */
static void
older_library_is_told_what_it_understands(void **state)
{
	struct handoff__msg hello, answer;

	(void)state;
	pair_own(&one);
	hello = good_hello(&one);
	assert_int_equal(hello.hello.layout, HANDOFF__LAYOUT_OLDEST);
	hello.hello.makes = 0;
	answer = greet(&one, &hello);
	assert_int_equal(answer.hello.refusal, HANDOFF__BAD_LAYOUT);
	assert_int_equal(answer.hello.layout, HANDOFF__LAYOUT);
	assert_non_null(strstr(one.refused, "record layout 5 there, 6 here"));
}

/* Whoever it is that says HELLO while two are there. */
static void
taken_names_the_two(void **state)
{
	struct handoff__msg hello, reply;

	(void)state;
	hello = good_hello(&one);
	reply = greet(&one, &hello);
	assert_int_equal(reply.hello.refusal, HANDOFF__TAKEN);
	assert_string_equal(reply.hello.name, "one");
	assert_string_equal(reply.hello.partner, "two");
	assert_int_equal(reply.hello.partner_pid, getpid());
	pair_run(&one, &two);
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_READY);
}

static void
garbage_before_hello_is_refused(void **state)
{
	static const char *const garbage[] = {"x", "GET / HTTP/1.0\r\n\r\n"};
	struct handoff__msg beat = {.type = HANDOFF__BEAT};
	char byte;
	int fd;

	(void)state;
	pair_own(&one);
	for (unsigned i = 0; i < 3; i++) {
		fd = connect_raw(&one);
		if (i < 2)
			assert_true(send(fd, garbage[i], strlen(garbage[i]),
					    MSG_NOSIGNAL) > 0);
		else
			assert_int_equal(
				handoff__link_send_sync(fd, &beat, -1), 0);
		pair_run(&one, NULL);
		assert_int_equal(one.pair.tally.refused, i + 1);
		assert_int_equal(one.refusals, 1);
		assert_string_equal(
			one.refused, "a process that sent what is not a HELLO");
		assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
		close(fd);
	}
}

static void
descriptors_before_hello_are_closed(void **state)
{
	struct handoff__msg hello;
	unsigned char data[1024];
	size_t len;
	int fd, fds[3];

	(void)state;
	pair_own(&one);
	hello = good_hello(&one);
	len = handoff__msg_encode(&hello, data, sizeof(data));
	fd = connect_raw(&one);
	fds[0] = fds[1] = fds[2] = fd;
	assert_int_equal(handoff_fdpass_send(fd, fds, 3, data, len), 1);
	pair_run(&one, NULL);
	assert_int_equal(one.refusals, 1);
	close(fd);
}

static unsigned
pending(const struct side *side)
{
	unsigned n = 0;

	for (int i = 0; i < HANDOFF__PENDING_MAX; i++)
		n += side->pair.pending[i].fd >= 0;
	return n;
}

static void
silent_candidate_is_turned_away(void **state)
{
	struct handoff__timer *timer;
	int fd;

	(void)state;
	pair_own(&one);
	fd = connect_raw(&one);
	pair_run(&one, NULL);
	assert_int_equal(pending(&one), 1);
	timer = &one.pair.pending[0].timer;
	assert_true(timer->armed);
	assert_in_range(
		timer->deadline_us - handoff__now_us(), 1000000, 10000000);
	handoff__timer_arm(&one.loop, timer, 1);
	pair_wait(&one, &one.refusals, 1);
	assert_string_equal(
		one.refused, "a process that sent no HELLO within 5 s");
	assert_int_equal(pending(&one), 0);
	close(fd);
}

static void
candidates_are_limited_and_leave(void **state)
{
	int fds[HANDOFF__PENDING_MAX + 1];
	char byte;

	(void)state;
	pair_own(&one);
	for (int i = 0; i <= HANDOFF__PENDING_MAX; i++) {
		fds[i] = connect_raw(&one);
		pair_run(&one, NULL);
	}
	assert_int_equal(pending(&one), HANDOFF__PENDING_MAX);
	assert_int_equal(
		recv(fds[HANDOFF__PENDING_MAX], &byte, 1, MSG_DONTWAIT), 0);
	for (int i = 0; i <= HANDOFF__PENDING_MAX; i++)
		close(fds[i]);
	pair_run(&one, NULL);
	assert_int_equal(pending(&one), 0);
	/* A client that only looked is no refusal; one too many is. */
	assert_int_equal(one.refusals, 1);
	assert_non_null(strstr(one.refused, "too many are being greeted"));
}

static void
hello_twice_ends_the_link(void **state)
{
	struct handoff__msg hello;

	(void)state;
	hello = good_hello(&one);
	assert_int_equal(handoff__link_try(&two.pair.link, &hello, NULL, 0), 1);
	pair_run(&one, &two);
	assert_int_equal(one.pair.link.fd, -1);
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_APART);
}

static void
descriptors_where_none_belong_end_the_link(void **state)
{
	static const uint32_t types[] = {HANDOFF__BEAT, HANDOFF__HELD,
		HANDOFF__MIRROR, HANDOFF__SEGMENT};
	const char *dir = support_dir();

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct side a, b;
		struct handoff__msg msg = {.type = types[i], .nrefs = 1};
		int fds[2];

		pair_open_in(dir, &a, &b);
		fds[0] = fds[1] = b.loop.epfd;
		assert_int_equal(
			handoff__link_try(&b.pair.link, &msg, fds, 2), 1);
		pair_run(&a, &b);
		assert_int_equal(a.pair.link.fd, -1);
		pair_close(&a, &b);
	}
}

static void
bad_segment_ends_the_link(void **state)
{
	struct handoff__msg msg = {.type = HANDOFF__SEGMENT, .index = 1};

	(void)state;
	handoff__link_send(&two.pair.link, &msg, two.loop.epfd);
	pair_run(&one, &two);
	assert_int_equal(one.pair.link.fd, -1);
	assert_int_equal(one.pair.arena.count, 1);
}

/* A process that found both places taken asks each holder for its own. */
static void
place_is_asked_for(void **state)
{
	struct handoff__msg hello;

	(void)state;
	pair_own(&one);
	hello = good_hello(&one);
	hello.hello.place = 0;
	assert_int_equal(greet(&one, &hello).hello.refusal, HANDOFF__TAKEN);
	strcpy(hello.hello.service, "another");
	assert_int_equal(
		greet(&one, &hello).hello.refusal, HANDOFF__BAD_SERVICE);
	strcpy(hello.hello.service, "test");
	handoff__pair_leave(&one.pair);
	assert_int_equal(greet(&one, &hello).hello.refusal, HANDOFF__LEAVING);
	/* it tells its own user what it has heard */
	assert_int_equal(one.refusals, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		side_test(hello_is_judged),
		side_test(place_is_asked_for),
		side_test(layouts_are_judged),
		side_test(regions_are_judged),
		side_test(older_library_is_told_what_it_understands),
		pair_test(taken_names_the_two),
		side_test(garbage_before_hello_is_refused),
		side_test(descriptors_before_hello_are_closed),
		side_test(silent_candidate_is_turned_away),
		side_test(candidates_are_limited_and_leave),
		pair_test(hello_twice_ends_the_link),
		handoff_test(descriptors_where_none_belong_end_the_link),
		pair_test(bad_segment_ends_the_link),
	};

	return cmocka_run_group_tests_name("hello", tests, NULL, NULL);
}
