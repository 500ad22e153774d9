/* SPDX-License-Identifier: MIT */
/*
 * The stream of a connection beside its state: input is peeked at and consumed,
 * and what a dead owner left undone is mended, on TCP and on what has no
 * counters. What a death may leave is made by hand; tests/fault/loops.py kills.
 */
#include "embed/stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
assert_peek(const struct stream *s, const char *wanted)
{
	char buf[64];
	size_t len = 1000;

	assert_int_equal(
		handoff_entry_peek(s->entry, buf, sizeof(buf), &len), 1);
	assert_int_equal(len, strlen(wanted));
	assert_memory_equal(buf, wanted, len);
}

static void
input_stays_until_it_is_consumed(void **state)
{
	struct stream s;
	size_t len = 1000;
	char buf[4];

	(void)state;
	open_stream(&s);
	assert_int_equal(handoff_entry_peek(s.entry, buf, 4, &len), 0);
	assert_int_equal(len, 1000);
	put(&s, "abcdefgh");
	assert_peek(&s, "abcdefgh");
	assert_peek(&s, "abcdefgh");
	assert_int_equal(handoff_entry_peek(s.entry, buf, 4, &len), 1);
	assert_int_equal(len, 4);
	assert_memory_equal(buf, "abcd", 4);
	assert_progress(&s, 0, 0);
	assert_int_equal(handoff_entry_consume(s.entry, 5), 0);
	assert_peek(&s, "fgh");
	assert_progress(&s, 5, 0);
	assert_int_equal(handoff_entry_consume(s.entry, 0), 0);
	assert_int_equal(handoff_entry_consume(s.entry, 4), -ENODATA);
	assert_progress(&s, 8, 0);
	shutdown(s.client, SHUT_WR);
	assert_true(support_poll(s.fd, POLLIN));
	assert_peek(&s, "");
	assert_int_equal(handoff_entry_consume(s.entry, 1), -ENODATA);
	/* no room is not the end */
	assert_int_equal(handoff_entry_peek(s.entry, buf, 0, &len), 0);
	close_stream(&s);
}

/* It died between its commit and the consume. */
static void
input_that_the_state_has_is_consumed(void **state)
{
	struct stream s;
	size_t sent = 99;

	(void)state;
	open_stream(&s);
	put(&s, "question?next");
	assert_int_equal(handoff_entry_mend(s.entry, 0, 0, 0, &sent), 0);
	assert_int_equal(sent, 0);
	assert_int_equal(handoff_entry_mend(s.entry, 9, 0, 0, &sent), 1);
	assert_peek(&s, "next");
	assert_int_equal(handoff_entry_mend(s.entry, 9, 0, 0, &sent), 0);
	/* in part */
	assert_int_equal(handoff_entry_consume(s.entry, 1), 0);
	assert_int_equal(handoff_entry_mend(s.entry, 12, 0, 0, &sent), 1);
	assert_peek(&s, "t");
	/* and behind it the end, which is no byte */
	shutdown(s.client, SHUT_WR);
	assert_true(support_poll(s.fd, POLLRDHUP));
	assert_int_equal(handoff_entry_mend(s.entry, 13, 0, 0, &sent), 1);
	assert_int_equal(handoff_entry_mend(s.entry, 13, 0, 0, &sent), 0);
	assert_peek(&s, "");
	close_stream(&s);
}

/* It died between a send and the commit that says so. */
static void
output_that_was_sent_is_skipped(void **state)
{
	struct stream s;
	size_t sent = 99;

	(void)state;
	open_stream(&s);
	assert_int_equal(send(s.fd, "answer", 4, 0), 4);
	assert_int_equal(handoff_entry_mend(s.entry, 0, 0, 6, &sent), 1);
	assert_int_equal(sent, 4);
	assert_int_equal(handoff_entry_mend(s.entry, 0, 4, 2, &sent), 0);
	assert_int_equal(sent, 0);
	assert_int_equal(handoff_entry_mend(s.entry, 0, 3, 3, &sent), 1);
	assert_int_equal(sent, 1);
	/* our own end is no byte either */
	shutdown(s.fd, SHUT_WR);
	assert_int_equal(handoff_entry_mend(s.entry, 0, 4, 0, &sent), 0);
	close_stream(&s);
}

static void
lost_input_is_told(void **state)
{
	struct stream s;
	size_t sent = 99;
	char buf[8];

	(void)state;
	open_stream(&s);
	put(&s, "abcdefgh");
	assert_int_equal(recv(s.fd, buf, 8, 0), 8);
	assert_int_equal(send(s.fd, "an", 2, 0), 2);
	assert_int_equal(handoff_entry_mend(s.entry, 5, 0, 6, &sent), -ENODATA);
	assert_int_equal(sent, 2);
	assert_progress(&s, 8, 2);
	close_stream(&s);
}

static void
impossible_states_are_refused(void **state)
{
	struct stream s;
	size_t sent = 99;

	(void)state;
	open_stream(&s);
	put(&s, "abcdefgh");
	assert_int_equal(send(s.fd, "answer", 6, 0), 6);
	assert_int_equal(handoff_entry_mend(s.entry, 0, 0, 5, &sent), -ERANGE);
	assert_int_equal(handoff_entry_mend(s.entry, 0, 7, 9, &sent), -ERANGE);
	assert_progress(&s, 0, 6);
	assert_int_equal(handoff_entry_mend(s.entry, 9, 6, 0, &sent), -ERANGE);
	assert_int_equal(
		handoff_entry_mend(s.entry, UINT64_MAX, 6, 0, &sent), -ERANGE);
	assert_int_equal(sent, 99);
	close_stream(&s);
}

/* The kernel counts the SYN of the side that has sent it. */
static void
connected_socket_begins_at_zero(void **state)
{
	struct stream s;
	size_t sent = 99;

	(void)state;
	connect_tcp(&s.client, &s.fd);
	deposit_stream(&s);
	assert_progress(&s, 0, 1);
	assert_int_equal(handoff_entry_set_progress(s.entry, 0, 0), 0);
	assert_progress(&s, 0, 0);
	put(&s, "abcdefgh");
	assert_int_equal(send(s.fd, "answer", 6, 0), 6);
	assert_progress(&s, 0, 6);
	assert_int_equal(handoff_entry_mend(s.entry, 8, 2, 9, &sent), 1);
	assert_int_equal(sent, 4);
	assert_progress(&s, 8, 6);
	close_stream(&s);
}

/* They are the program's: here it does not count what came before. They stay
 * with the entry when it moves. */
static void
positions_begin_where_the_program_says(void **state)
{
	struct stream s;
	struct handoff_entry *e;
	uint64_t in, out;
	char buf[8];

	(void)state;
	connect_tcp(&s.fd, &s.client);
	put(&s, "PROXY 1.question");
	assert_int_equal(recv(s.fd, buf, 8, 0), 8);
	deposit_stream(&s);
	assert_int_equal(handoff_entry_set_progress(s.entry, 0, 1000), 0);
	assert_progress(&s, 0, 1000);
	assert_int_equal(handoff_peer_give(s.p.a.peer), 0);
	e = pair_expect(&s.p, &s.p.a, HANDOFF_PEER_RELEASE);
	assert_int_equal(handoff_entry_release(e), 0);
	assert_int_equal(handoff_entry_peek(e, buf, 8, &(size_t){0}), 1);
	e = pair_expect(&s.p, &s.p.b, HANDOFF_PEER_TAKEN);
	assert_int_equal(handoff_entry_progress(e, &in, &out), 0);
	assert_int_equal(in, 0);
	assert_int_equal(out, 1000);
	assert_int_equal(handoff_entry_peek(e, buf, 8, &(size_t){0}), 1);
	assert_memory_equal(buf, "question", 8);
	close(s.p.b.event.fd);
	close_stream(&s);
}

/* Nobody counts its bytes, but input stays in it all the same. */
static void
unix_socket_can_only_be_peeked_at(void **state)
{
	static char big[10000];
	struct stream s = {.fd = -1};
	size_t sent = 99, len;

	(void)state;
	pair_open(&s.p);
	s.entry = side_deposit(&s.p.a, &s.fd, &s.client, NULL, "");
	put(&s, "question?next");
	assert_peek(&s, "question?next");
	assert_int_equal(handoff_entry_consume(s.entry, 9), 0);
	assert_peek(&s, "next");
	assert_int_equal(
		handoff_entry_mend(s.entry, 9, 0, 0, &sent), -EOPNOTSUPP);
	assert_int_equal(
		handoff_entry_set_progress(s.entry, 0, 0), -EOPNOTSUPP);
	assert_int_equal(sent, 99);
	assert_int_equal(send(s.client, big, sizeof(big), 0), sizeof(big));
	assert_int_equal(handoff_entry_consume(s.entry, sizeof(big)), 0);
	assert_int_equal(handoff_entry_peek(s.entry, big, 64, &len), 1);
	assert_int_equal(len, 4);
	close_stream(&s);
}

static void
others_cannot_touch_it(void **state)
{
	struct stream s;
	size_t len;
	char buf[8];

	(void)state;
	open_stream(&s);
	put(&s, "abcdefgh");
	assert_int_equal(handoff_entry_peek(NULL, buf, 8, &len), -EINVAL);
	assert_int_equal(handoff_entry_peek(s.entry, NULL, 8, &len), -EINVAL);
	assert_int_equal(handoff_entry_peek(s.entry, buf, 8, NULL), -EINVAL);
	assert_int_equal(handoff_entry_mend(s.entry, 0, 0, 0, NULL), -EINVAL);
	handoff_entry_withdraw(s.entry);
	assert_int_equal(handoff_entry_peek(s.entry, buf, 8, &len), -EINVAL);
	assert_int_equal(handoff_entry_consume(s.entry, 1), -EINVAL);
	assert_int_equal(handoff_entry_mend(s.entry, 0, 0, 0, &len), -EINVAL);
	assert_int_equal(handoff_entry_set_progress(s.entry, 0, 0), -EINVAL);
	assert_int_equal(recv(s.fd, buf, 8, 0), 8);
	close_stream(&s);
}

/* The client has gone for good: nothing is left to mend. */
static void
ended_connection_is_told(void **state)
{
	struct linger abort = {.l_onoff = 1, .l_linger = 0};
	struct stream s;
	size_t sent = 99;
	char byte;

	(void)state;
	open_stream(&s);
	assert_int_equal(setsockopt(s.client, SOL_SOCKET, SO_LINGER, &abort,
				 sizeof(abort)),
		0);
	close(s.client);
	assert_true(support_poll(s.fd, POLLIN));
	assert_int_equal(
		handoff_entry_mend(s.entry, 0, 0, 0, &sent), -ENOTCONN);
	assert_int_equal(
		handoff_entry_peek(s.entry, &byte, 1, &sent), -ECONNRESET);
	s.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	close_stream(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(input_stays_until_it_is_consumed),
		handoff_test(input_that_the_state_has_is_consumed),
		handoff_test(output_that_was_sent_is_skipped),
		handoff_test(lost_input_is_told),
		handoff_test(impossible_states_are_refused),
		handoff_test(connected_socket_begins_at_zero),
		handoff_test(positions_begin_where_the_program_says),
		handoff_test(unix_socket_can_only_be_peeked_at),
		handoff_test(others_cannot_touch_it),
		handoff_test(ended_connection_is_told),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
