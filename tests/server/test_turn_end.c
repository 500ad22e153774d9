/* SPDX-License-Identifier: MIT */
/*
 * How a connection ends: by its service, by its client, by a fault of either;
 * and that all pending output is sent first.
 */
#include "server/solo.h"

#include "record/desk.h"
#include "record/tenure.h"

#include <handoff/lease.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* First all output, then the end, then the client's end. */
static void
closed_connection_lingers(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, lines, NULL);
	client_says(&f, "one\nquit\nthree\n");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_LINGER);
	assert_int_equal(f.result.want, EPOLLIN);
	assert_int_equal(f.rec->activity, HANDOFF__PENDING);
	client_hears(&f, "ONE\nQUIT\n", true);
	assert_int_equal(f.seen.calls, 2);
	/* What the client still says is read, so that it is no reset. */
	client_says(&f, "more\n");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_LINGER);
	assert_int_equal(f.seen.calls, 2);
	assert_int_equal(handoff__record_unread(f.rec), 0);
	client_ends_sending(&f);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_null(f.result.why);
	assert_int_equal(f.result.end, HANDOFF__END_SERVICE);
	assert_int_equal(f.seen.calls, 2);
	close_conn(&f);
}

static void
closed_connection_sends_all_before_it_ends(void **state)
{
	struct fixture f;
	size_t got = 0;

	(void)state;
	open_conn(&f, lines, NULL);
	shrink(&f);
	for (int i = 0; i < 40; i++) {
		char line[101];

		memset(line, 'a', sizeof(line));
		line[99] = '\n';
		line[100] = '\0';
		client_says(&f, line);
		assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	}
	client_says(&f, "quit\n");
	for (int i = 0; got < 40 * 100 + 5; i++) {
		char data[64];
		ssize_t n;

		assert_in_range(i, 0, 1000);
		turns(&f);
		n = recv(f.client, data, sizeof(data), MSG_DONTWAIT);
		assert_true(n > 0);
		got += (size_t)n;
	}
	assert_int_equal(turns(&f), HANDOFF__TURN_LINGER);
	client_hears(&f, "", true);
	close_conn(&f);
}

/* Of the desk that the turns were on. */
static bool
desk_has(const struct fixture *f, const char *text)
{
	struct handoff__view at = f->view;

	if (turn_desk == 0)
		return false;
	handoff__desk_buffers(&at, turn_desk);
	return memmem(at.rx, at.seg->geo.buffer_stride, text, strlen(text));
}

/* On a desk, it is there while the connection lives. */
static void
assert_desk_in_use(const struct fixture *f)
{
	assert_true(desk_has(f, "secret") == (turn_desk != 0));
	assert_true(desk_has(f, "SECRET") == (turn_desk != 0));
}

static void
assert_desk_clear(const struct fixture *f)
{
	assert_false(desk_has(f, "secret"));
	assert_false(desk_has(f, "SECRET"));
}

static void
nothing_stays_on_the_desk_after_the_client_ends(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, lines, NULL);
	client_says(&f, "my secret\n");
	turn(&f, EPOLLIN);
	client_hears(&f, "MY SECRET\n", false);
	assert_desk_in_use(&f);
	client_ends_sending(&f);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_desk_clear(&f);
	close_conn(&f);
}

static void
nothing_stays_on_the_desk_after_the_service_closes(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, lines, NULL);
	client_says(&f, "my secret\n");
	turn(&f, EPOLLIN);
	assert_desk_in_use(&f);
	client_says(&f, "quit\n");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_LINGER);
	assert_desk_clear(&f);
	client_says(&f, "one more secret\n");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_LINGER);
	assert_desk_clear(&f);
	close_conn(&f);
}

/* A long one: its desk gives its pages back. */
static void
nothing_stays_on_the_desk_of_a_long_connection(void **state)
{
	struct fixture f;
	char line[SIZE / 2];

	(void)state;
	open_conn(&f, lines, NULL);
	memset(line, 'x', sizeof(line));
	memcpy(line + sizeof(line) - 8, "secret\n", 8);
	for (int i = 0; i < 5; i++) {
		client_says(&f, line);
		turn(&f, EPOLLIN);
		assert_int_equal(
			recv(f.client, line, sizeof(line), MSG_DONTWAIT),
			strlen(line));
		memcpy(line + sizeof(line) - 8, "secret\n", 8);
	}
	assert_desk_in_use(&f);
	client_ends_sending(&f);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_desk_clear(&f);
	close_conn(&f);
}

static int
greet_and_close(struct handoff_conn *conn, void *arg)
{
	greet(conn, arg);
	handoff_conn_close(conn);
	return 0;
}

static void
open_may_close(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, echo, greet_and_close);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_LINGER);
	client_hears(&f, "welcome\n", true);
	close_conn(&f);
}

static void
open_that_fails_ends_it(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, echo, greet);
	f.seen.fail = -EPERM;
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_END);
	assert_string_equal(f.result.why, "handler");
	assert_int_equal(f.result.err, EPERM);
	assert_int_equal(f.result.end, HANDOFF__END_HANDLER);
	client_hears(&f, "", false);
	close_conn(&f);
}

static void
handler_that_fails_ends_it_and_says_nothing(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, lines, NULL);
	client_says(&f, "good\n");
	turn(&f, EPOLLIN);
	f.seen.fail = -EBADMSG;
	client_says(&f, "bad\n");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_string_equal(f.result.why, "handler");
	assert_int_equal(f.result.err, EBADMSG);
	assert_int_equal(f.result.end, HANDOFF__END_HANDLER);
	client_hears(&f, "GOOD\n", false);
	/* What it did is as if it had not. */
	assert_int_equal(handoff__record_unread(f.rec), 4);
	assert_int_equal(handoff__record_unsent(f.rec), 0);
	close_conn(&f);
}

static void
input_past_its_size_ends_the_connection(void **state)
{
	struct fixture f;
	char many[SIZE + 1];

	(void)state;
	open_conn(&f, lines, NULL);
	memset(many, 'x', SIZE);
	many[SIZE] = '\0';
	client_says(&f, many + 1);
	assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	client_says(&f, "y");
	assert_int_equal(turns(&f), HANDOFF__TURN_END);
	assert_string_equal(
		f.result.why, "the handler wants more input than input_size");
	assert_int_equal(f.result.err, 0);
	assert_int_equal(f.result.end, HANDOFF__END_INPUT);
	close_conn(&f);
}

static void
end_of_an_idle_client_is_the_end(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, echo, NULL);
	client_ends_sending(&f);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_null(f.result.why);
	assert_int_equal(f.result.err, 0);
	assert_int_equal(f.result.end, HANDOFF__END_CLIENT);
	assert_int_equal(f.seen.eofs, 1);
	close_conn(&f);
}

static void
handler_answers_the_last_half_line(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, lines, NULL);
	client_says(&f, "one\ntwo");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	client_hears(&f, "ONE\n", false);
	client_ends_sending(&f);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	client_hears(&f, "TWO", false);
	assert_true(f.seen.eofs >= 1);
	close_conn(&f);
}

static int
ignore(struct handoff_conn *conn, void *arg)
{
	struct seen *seen = arg;

	(void)conn;
	seen->calls++;
	return 0;
}

/* Input that the handler never takes does not keep the dead alive. */
static void
handler_that_ignores_the_end_is_not_asked_for_ever(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, ignore, NULL);
	client_ends_sending(&f);
	assert_int_equal(turns(&f), HANDOFF__TURN_END);
	assert_int_equal(f.seen.calls, 1);
	close_conn(&f);
	open_conn(&f, ignore, NULL);
	client_says(&f, "x");
	client_ends_sending(&f);
	assert_int_equal(turns(&f), HANDOFF__TURN_END);
	assert_null(f.result.why);
	assert_in_range(f.seen.calls, 2, 4);
	close_conn(&f);
}

static void
output_is_sent_after_the_clients_end(void **state)
{
	struct fixture f;
	size_t total = 20000, sent = 0, got = 0;

	(void)state;
	open_conn(&f, echo, NULL);
	shrink(&f);
	for (int i = 0; i < 100 && sent < total; i++)
		sent = client_sends_some(&f, sent, total);
	assert_int_equal(sent, total);
	client_ends_sending(&f);
	assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	for (int i = 0; turns(&f) != HANDOFF__TURN_END; i++) {
		assert_in_range(i, 0, 1000);
		got = client_reads_some(&f, got, 1000);
	}
	assert_null(f.result.why);
	for (int i = 0; i < 100 && got < total; i++)
		got = client_reads_some(&f, got, 5000);
	assert_int_equal(got, total);
	close_conn(&f);
}

/* No input is left, no output fits: the handler is told of the end when there
 * is room again, though no event comes for it. */
static void
end_comes_while_the_output_is_full(void **state)
{
	struct fixture f;
	size_t sent = 0, got = 0;

	(void)state;
	open_conn(&f, echo, NULL);
	shrink(&f);
	while (handoff__record_unsent(f.rec) < SIZE) {
		assert_in_range(sent, 0, 10 * SIZE);
		sent = client_sends_some(&f, sent, sent + 1);
		turn(&f, EPOLLIN);
	}
	client_ends_sending(&f);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_int_equal(handoff__record_unread(f.rec), 0);
	assert_int_equal(f.seen.eofs, 0);
	while (f.result.outcome != HANDOFF__TURN_END) {
		struct pollfd p = {.fd = f.fd, .events = (short)f.result.want};
		size_t before = got;

		if (poll(&p, 1, 0) == 1) {
			turn(&f, (uint32_t)p.revents);
			continue;
		}
		got = client_reads_some(&f, got, 1000);
		assert_true(got > before);
	}
	assert_null(f.result.why);
	assert_true(f.seen.eofs >= 1);
	close_conn(&f);
}

static void
half_closed_client_wants_only_output(void **state)
{
	struct fixture f;
	size_t sent = 0;

	(void)state;
	open_conn(&f, echo, NULL);
	shrink(&f);
	for (int i = 0; i < 4; i++) {
		sent = client_sends_some(&f, sent, 12000);
		turns(&f);
	}
	client_ends_sending(&f);
	for (int i = 0; f.result.want != EPOLLOUT; i++) {
		assert_in_range(i, 0, 100);
		assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	}
	close_conn(&f);
}

static void
reset_while_reading_ends_it(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, lines, NULL);
	client_says(&f, "one\n");
	turn(&f, EPOLLIN);
	/* Closed with the answer unread: a reset (unix(7)). */
	close(f.client);
	f.client = -1;
	assert_int_equal(turn(&f, EPOLLHUP), HANDOFF__TURN_END);
	assert_string_equal(f.result.why, "receive");
	assert_int_equal(f.result.err, ECONNRESET);
	assert_int_equal(f.result.end, HANDOFF__END_ERROR);
	close_conn(&f);
}

static void
nothing_stays_on_the_desk_after_a_reset(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, lines, NULL);
	client_says(&f, "my secret\n");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_desk_in_use(&f);
	/* Closed with the answer unread: a reset (unix(7)). */
	close(f.client);
	f.client = -1;
	assert_int_equal(turn(&f, EPOLLIN | EPOLLHUP), HANDOFF__TURN_END);
	assert_int_equal(f.result.err, ECONNRESET);
	assert_desk_clear(&f);
	close_conn(&f);
}

static void
client_that_is_gone_ends_it(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, echo, NULL);
	client_says(&f, "one\n");
	close(f.client);
	f.client = -1;
	assert_int_equal(turn(&f, EPOLLIN | EPOLLHUP), HANDOFF__TURN_END);
	assert_string_equal(f.result.why, "send");
	assert_int_equal(f.result.err, EPIPE);
	assert_int_equal(f.result.end, HANDOFF__END_ERROR);
	close_conn(&f);
}

/* EPOLLHUP can't be turned off: who does nothing with it spins. */
static void
hangup_always_ends_it(void **state)
{
	struct fixture f;
	size_t sent = 0;

	(void)state;
	open_conn(&f, echo, NULL);
	shrink(&f);
	for (int i = 0; i < 100; i++) {
		sent = client_sends_some(&f, sent, 1 << 20);
		turns(&f);
	}
	assert_int_equal(f.result.want, EPOLLOUT);
	close(f.client);
	f.client = -1;
	assert_int_equal(turn(&f, EPOLLHUP | EPOLLERR), HANDOFF__TURN_END);
	close_conn(&f);
}

/* A service whose lease is in this state, and not valid. */
static void
bar(struct fixture *f, enum handoff_lease_state state)
{
	struct handoff__tenure *tenure = handoff__tenure_of(&f->arena);

	f->arena.above = &f->service;
	atomic_store(&tenure->leased, 1);
	atomic_store(&tenure->state, state);
	atomic_store(&tenure->until_ns, 0);
}

static void
again_with_lease(struct fixture *f)
{
	atomic_store(&handoff__tenure_of(&f->arena)->until_ns, UINT64_MAX);
}

/* What an earlier turn has left on the stack would be taken for a transaction
 * of this one. */
static __attribute__((noinline)) void
wipe_stack(void)
{
	volatile char below[16384];

	for (size_t i = 0; i < sizeof(below); i++)
		below[i] = 0;
}

/* Before the first transaction of a turn, too: there is nothing to undo. */
static void
turn_without_a_valid_lease_does_nothing(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, lines, NULL);
	bar(&f, HANDOFF_LEASE_DOUBT);
	wipe_stack();
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_RETRY);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_RETRY);
	handoff__record_flag(&f.view, HANDOFF__CLOSING);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_RETRY);
	assert_int_equal(f.seen.calls, 0);
	client_hears(&f, "", false);
	again_with_lease(&f);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_LINGER);
	client_hears(&f, "", true);
	close_conn(&f);
}

static void
turn_after_a_lost_lease_is_the_last(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, lines, NULL);
	bar(&f, HANDOFF_LEASE_LOST);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_END);
	assert_int_equal(f.result.end, HANDOFF__END_ERROR);
	assert_int_equal(f.seen.calls, 0);
	client_hears(&f, "", false);
	close_conn(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(closed_connection_lingers),
		handoff_test(closed_connection_sends_all_before_it_ends),
		handoff_test(nothing_stays_on_the_desk_after_the_client_ends),
		handoff_test(
			nothing_stays_on_the_desk_after_the_service_closes),
		handoff_test(nothing_stays_on_the_desk_of_a_long_connection),
		handoff_test(nothing_stays_on_the_desk_after_a_reset),
		handoff_test(open_may_close),
		handoff_test(open_that_fails_ends_it),
		handoff_test(handler_that_fails_ends_it_and_says_nothing),
		handoff_test(input_past_its_size_ends_the_connection),
		handoff_test(end_of_an_idle_client_is_the_end),
		handoff_test(handler_answers_the_last_half_line),
		handoff_test(
			handler_that_ignores_the_end_is_not_asked_for_ever),
		handoff_test(output_is_sent_after_the_clients_end),
		handoff_test(end_comes_while_the_output_is_full),
		handoff_test(half_closed_client_wants_only_output),
		handoff_test(reset_while_reading_ends_it),
		handoff_test(client_that_is_gone_ends_it),
		handoff_test(hangup_always_ends_it),
		handoff_test(turn_without_a_valid_lease_does_nothing),
		handoff_test(turn_after_a_lost_lease_is_the_last),
	};

	return cmocka_run_group_tests_name(
		       "turn_end", tests, on_no_desk, NULL) +
	       cmocka_run_group_tests_name(
		       "turn_end on a desk", tests, on_a_desk, NULL);
}
