/* SPDX-License-Identifier: MIT */
/*
 * Counts are the same on both sides, with nothing lost or counted twice; and
 * the log lines about them, by which two logs can be joined.
 */
#include "peer/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SOON_MS 30
#define LINES   64

struct lines {
	unsigned count;
	enum handoff_log_level levels[LINES];
	char text[LINES][2 * HANDOFF_TEXT_MAX];
};

static void
keep_line(enum handoff_log_level level, const char *text, void *arg)
{
	struct lines *lines = arg;

	if (lines->count == LINES)
		return;
	lines->levels[lines->count] = level;
	handoff__copy(
		lines->text[lines->count++], sizeof(lines->text[0]), text);
}

static void
assert_logged(const struct lines *lines, enum handoff_log_level level,
	const char *text)
{
	for (unsigned i = 0; i < lines->count; i++) {
		if (lines->levels[i] == level &&
			strcmp(lines->text[i], text) == 0)
			return;
	}
	for (unsigned i = 0; i < lines->count; i++)
		print_message("%s\n", lines->text[i]);
	fail_msg("not logged: %s", text);
}

/* As a turn does that finds so many bytes, and leaves them for later. */
static void
receive(struct handoff__roster_entry *e, const char *text)
{
	void *at = NULL;

	assert_true(handoff__record_rx_room(&e->view, &at) >= strlen(text));
	memcpy(at, text, strlen(text));
	handoff__record_received(&e->view, strlen(text));
	handoff__record_mark(e->view.rec, HANDOFF__PENDING);
}

static void
answer(struct handoff__roster_entry *e, size_t consume, const char *text)
{
	struct handoff_conn txn;

	handoff__txn_begin(&txn, &e->view);
	assert_int_equal(handoff_conn_consume(&txn, consume), 0);
	assert_int_equal(
		handoff_conn_write(&txn, text, strlen(text)), strlen(text));
	handoff__txn_commit(&txn);
}

static void
sent(struct handoff__roster_entry *e, size_t len)
{
	handoff__record_sent(&e->view, len);
	if (handoff__record_unsent(e->view.rec) == 0 &&
		handoff__record_unread(e->view.rec) == 0)
		handoff__record_mark(e->view.rec, HANDOFF__AT_REST);
}

/* Bytes that have passed through this peer. */
static void
assert_passed(struct side *side, uint64_t received, uint64_t out)
{
	struct handoff__load all;

	handoff__tally_passed(&side->pair, &all);
	assert_int_equal(all.received, received);
	assert_int_equal(all.sent, out);
}

/* Every connection that is here has come in some way, and has not gone. */
static void
assert_balance(struct side *side)
{
	const struct handoff__tally *t = &side->pair.tally;

	assert_int_equal(side->pair.roster.connections,
		t->begun + t->moved[HANDOFF__WAY_IN] + t->inherited -
			t->moved[HANDOFF__WAY_OUT] - t->ended);
}

static void
assert_handoffs(struct side *side, enum handoff__way way, unsigned done,
	unsigned refused, unsigned broken)
{
	const uint64_t *counts = side->pair.tally.handoffs[way];

	assert_int_equal(counts[HANDOFF__DONE], done);
	assert_int_equal(counts[HANDOFF__REFUSED], refused);
	assert_int_equal(counts[HANDOFF__BROKEN], broken);
	assert_int_equal(side->pair.tally.took[way].count, done);
}

static void
both_count_the_same(void **state)
{
	struct handoff__roster_entry *first, *second;
	const struct handoff__last *out = &one.pair.last, *in = &two.pair.last;

	(void)state;
	pair_enter(&one, HANDOFF__LISTENER);
	first = pair_enter(&one, HANDOFF__CONNECTION);
	second = pair_enter(&one, HANDOFF__CONNECTION);
	pair_enter(&one, HANDOFF__CONNECTION);
	assert_int_equal(one.pair.tally.begun, 3);
	receive(first, "0123456789");
	answer(first, 7, "hello");
	sent(first, 1);
	receive(second, "xy");
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_handoffs(&one, HANDOFF__WAY_OUT, 1, 0, 0);
	assert_handoffs(&two, HANDOFF__WAY_IN, 1, 0, 0);
	assert_int_equal(one.pair.tally.moved[HANDOFF__WAY_OUT], 3);
	assert_int_equal(two.pair.tally.moved[HANDOFF__WAY_IN], 3);
	assert_int_equal(one.pair.tally.unread[HANDOFF__WAY_OUT], 5);
	assert_int_equal(two.pair.tally.unread[HANDOFF__WAY_IN], 5);
	assert_int_equal(one.pair.tally.unsent[HANDOFF__WAY_OUT], 4);
	assert_int_equal(two.pair.tally.unsent[HANDOFF__WAY_IN], 4);
	assert_passed(&one, 12, 1);
	assert_passed(&two, 0, 0);
	for (int i = 0; i < 2; i++) {
		const struct handoff__last *last = i ? in : out;

		assert_int_equal(last->report.id, 2);
		assert_int_equal(last->report.cause, HANDOFF__MAINTENANCE);
		assert_int_equal(
			last->way, i ? HANDOFF__WAY_IN : HANDOFF__WAY_OUT);
		assert_int_equal(last->report.moved, 3);
		assert_int_equal(last->report.listeners, 1);
		assert_int_equal(last->report.unread, 5);
		assert_int_equal(last->report.unsent, 4);
		assert_int_equal(last->report.left, 0);
		assert_string_equal(last->other, i ? "one" : "two");
		assert_true(last->at_ms > 0);
	}
	assert_int_equal(in->report.took_us, out->report.took_us);
	assert_balance(&one);
	assert_balance(&two);
}

static void
bytes_belong_to_who_had_them(void **state)
{
	struct handoff__roster_entry *here, *there;

	(void)state;
	here = pair_enter(&one, HANDOFF__CONNECTION);
	receive(here, "abc");
	answer(here, 3, "ABC");
	sent(here, 3);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	there = pair_find(&two, here);
	assert_non_null(there);
	receive(there, "defg");
	answer(there, 4, "DEFGH");
	sent(there, 5);
	assert_passed(&one, 3, 3);
	assert_passed(&two, 4, 5);
	pair_give(&two, &one, HANDOFF__HOME_SILENT);
	receive(here, "h");
	assert_passed(&one, 4, 3);
	assert_passed(&two, 4, 5);
	handoff__pair_end(&one.pair, here);
	assert_passed(&one, 4, 3);
	pair_run(&one, &two);
	assert_passed(&two, 4, 5);
	assert_int_equal(one.pair.tally.ended, 1);
	assert_int_equal(two.pair.tally.ended, 0);
	assert_balance(&one);
	assert_balance(&two);
}

static void
refusals_are_counted_by_who_refused(void **state)
{
	(void)state;
	pair_own(&one);
	assert_int_equal(
		handoff__pair_give(&one.pair, HANDOFF__MAINTENANCE), -ENOTCONN);
	assert_int_equal(handoff__pair_home(&one.pair, true), -EALREADY);
	assert_handoffs(&one, HANDOFF__WAY_OUT, 0, 1, 0);
	assert_handoffs(&one, HANDOFF__WAY_IN, 0, 1, 0);
	pair_join(&one, &two);
	assert_int_equal(
		handoff__pair_give(&two.pair, HANDOFF__MAINTENANCE), -EPERM);
	assert_int_equal(handoff__pair_home(&two.pair, true), -EPERM);
	assert_handoffs(&two, HANDOFF__WAY_OUT, 0, 1, 0);
	assert_handoffs(&two, HANDOFF__WAY_IN, 0, 1, 0);
	/* Asked for over the link: the other refuses. */
	assert_int_equal(handoff__pair_take(&one.pair, HANDOFF__HOME), 0);
	pair_run(&one, &two);
	assert_int_equal(one.report.reason, HANDOFF__NOT_OWNER);
	assert_handoffs(&one, HANDOFF__WAY_IN, 0, 2, 0);
	assert_handoffs(&two, HANDOFF__WAY_OUT, 0, 1, 0);
	assert_int_equal(one.pair.last.report.id, 0);
	assert_int_equal(two.pair.last.report.id, 0);
}

static void
give_without_an_answer_is_refused(void **state)
{
	(void)state;
	pair_enter_many(&one, 2);
	pair_run(&one, &two);
	one.pair.config.give_timeout_ms = SOON_MS;
	pair_begin(&one);
	pair_wait(&one, &one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__UNANSWERED);
	assert_handoffs(&one, HANDOFF__WAY_OUT, 0, 1, 0);
	assert_int_equal(one.pair.last.report.id, 0);
	assert_int_equal(one.pair.tally.left[HANDOFF__UNANSWERED], 0);
	pair_run(&one, &two);
	assert_handoffs(&two, HANDOFF__WAY_IN, 0, 0, 0);
	assert_balance(&one);
}

static void
left_behind_by_reason(void **state)
{
	(void)state;
	pair_enter_many(&one, 2);
	pair_run(&one, &two);
	two.refuse_entered = -ENOMEM;
	pair_enter_many(&one, HANDOFF_FDPASS_MAX + 3);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(one.pair.tally.left[HANDOFF__NO_MEMORY],
		HANDOFF_FDPASS_MAX + 3);
	assert_int_equal(one.pair.last.report.left, HANDOFF_FDPASS_MAX + 3);
	assert_int_equal(two.pair.last.report.left, HANDOFF_FDPASS_MAX + 3);
	assert_int_equal(
		one.report.left_by[HANDOFF__NO_MEMORY], HANDOFF_FDPASS_MAX + 3);
	/* As many as the message names. */
	assert_int_equal(
		two.report.left_by[HANDOFF__NO_MEMORY], HANDOFF_FDPASS_MAX);
	assert_int_equal(two.report.left_by[0], 3);
	assert_int_equal(one.way, HANDOFF__WAY_OUT);
	assert_int_equal(two.way, HANDOFF__WAY_IN);
	assert_int_equal(two.pair.tally.moved[HANDOFF__WAY_IN], 2);
	/* They stay and can follow: a handoff of its own. */
	two.refuse_entered = 0;
	pair_give(&one, &two, HANDOFF__REST);
	assert_handoffs(&one, HANDOFF__WAY_OUT, 2, 0, 0);
	assert_handoffs(&two, HANDOFF__WAY_IN, 2, 0, 0);
	assert_int_equal(
		two.pair.tally.moved[HANDOFF__WAY_IN], HANDOFF_FDPASS_MAX + 5);
	assert_int_equal(two.pair.last.report.cause, HANDOFF__REST);
	assert_int_equal(two.pair.last.report.id, 2);
	assert_int_equal(one.pair.last.report.id, 2);
	assert_balance(&one);
	assert_balance(&two);
}

/* It follows after the end of the handoff: it has moved, but not in it. */
static void
late_followers_are_counted(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	pair_enter(&one, HANDOFF__LISTENER);
	e = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	one.busy = true;
	one.pair.config.give_timeout_ms = SOON_MS;
	pair_begin(&one);
	pair_run(&one, &two);
	pair_wait(&one, &one.given, 1);
	pair_run(&one, &two);
	assert_int_equal(one.pair.last.report.moved, 0);
	assert_int_equal(two.pair.last.report.moved, 0);
	assert_int_equal(one.pair.tally.left[HANDOFF__HANDLER_BUSY], 1);
	receive(e, "12345");
	handoff__pair_quiet(&one.pair, e);
	pair_run(&one, &two);
	assert_int_equal(two.pair.roster.connections, 1);
	assert_int_equal(one.pair.tally.moved[HANDOFF__WAY_OUT], 1);
	assert_int_equal(two.pair.tally.moved[HANDOFF__WAY_IN], 1);
	assert_int_equal(two.pair.tally.unread[HANDOFF__WAY_IN], 5);
	assert_passed(&one, 5, 0);
	assert_passed(&two, 0, 0);
	assert_int_equal(two.pair.last.report.moved, 0);
	assert_handoffs(&one, HANDOFF__WAY_OUT, 1, 0, 0);
	assert_balance(&one);
	assert_balance(&two);
}

/* What was offered and not taken counts as if it had never left. */
static void
revoked_handoffs_are_counted(void **state)
{
	(void)state;
	pair_enter_many(&one, 1);
	pair_run(&one, &two);
	pair_offer(&one, &two);
	pair_expire(&one);
	assert_int_equal(one.report.reason, HANDOFF__UNTAKEN);
	assert_handoffs(&one, HANDOFF__WAY_OUT, 0, 1, 0);
	assert_int_equal(one.pair.tally.moved[HANDOFF__WAY_OUT], 0);
	pair_run(&one, &two);
	assert_balance(&one);
	assert_balance(&two);
}

/* Both go on alone, and each says what it knows of the handoff. */
static void
broken_handoffs_are_counted(void **state)
{
	(void)state;
	pair_enter_many(&one, 3);
	pair_run(&one, &two);
	pair_offer(&one, &two);
	/* It has the bell and has not said what it makes of it. */
	pair_turn(&two);
	assert_true(two.pair.receiving);
	handoff__core_break(&two.pair, "of the test");
	handoff__core_break(&one.pair, "of the test");
	handoff__pair_proceed(&two.pair);
	handoff__pair_proceed(&one.pair);
	/* All had moved before. */
	assert_handoffs(&one, HANDOFF__WAY_OUT, 1, 0, 0);
	assert_handoffs(&two, HANDOFF__WAY_IN, 1, 0, 0);
	assert_int_equal(one.pair.last.report.moved, 3);
	assert_int_equal(two.pair.last.report.moved, 3);
	assert_int_equal(two.pair.last.report.id, 2);
	assert_int_equal(two.pair.last.report.cause, HANDOFF__MAINTENANCE);
	assert_int_equal(two.given, 0);
	assert_balance(&one);
	assert_balance(&two);
}

static void
link_that_breaks_before_anything_moved_is_a_refusal(void **state)
{
	(void)state;
	pair_enter_many(&one, 3);
	pair_begin(&one);
	side_close(&two);
	pair_run(&one, NULL);
	assert_int_equal(one.report.reason, HANDOFF__LEAVING);
	assert_handoffs(&one, HANDOFF__WAY_OUT, 0, 1, 0);
	assert_int_equal(one.pair.last.report.id, 0);
}

static void
death_is_counted(void **state)
{
	struct handoff__roster_entry *e;
	const struct handoff__last *last = &one.pair.last;
	int told;
	pid_t child;

	(void)state;
	pair_own(&one);
	pair_enter(&one, HANDOFF__LISTENER);
	pair_enter_many(&one, 2);
	e = pair_enter(&one, HANDOFF__CONNECTION);
	child = pair_child(one.config.dir, &told);
	pair_wait(&one, &one.partners, 1);
	pair_begin(&one);
	pair_wait(&one, &one.given, 1);
	/* As the child would. */
	receive(e, "12345");
	answer(e, 3, "67");
	pair_kill(child, told);
	pair_wait(&one, &one.partings, 1);
	assert_int_equal(one.pair.tally.failovers.count, 1);
	assert_int_equal(one.pair.tally.inherited, 3);
	assert_int_equal(last->report.id, 3);
	assert_true(last->death);
	assert_int_equal(last->report.moved, 3);
	assert_int_equal(last->report.listeners, 1);
	assert_int_equal(last->report.unread, 2);
	assert_int_equal(last->report.unsent, 2);
	assert_int_equal(last->report.left, 0);
	assert_string_equal(last->other, "child");
	/* They were the dead one's. */
	assert_passed(&one, 0, 0);
	receive(e, "8");
	assert_passed(&one, 1, 0);
	assert_balance(&one);
}

static void
logs_can_be_joined(void **state)
{
	static struct lines out, in;
	struct handoff__roster_entry *e;
	char line[512];

	(void)state;
	memset(&out, 0, sizeof(out));
	memset(&in, 0, sizeof(in));
	one.log = (struct handoff__log){.fn = keep_line, .arg = &out};
	two.log = (struct handoff__log){.fn = keep_line, .arg = &in};
	one.config.trace = two.config.trace = true;
	pair_own(&one);
	pair_join(&one, &two);
	e = pair_enter(&one, HANDOFF__CONNECTION);
	receive(e, "12345");
	answer(e, 3, "x");
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	one.report.took_us = one.pair.last.report.took_us;
	snprintf(line, sizeof(line),
		"handoff 2: gave 1 connection, 0 listeners to two (pid %d) in "
		"%u.%03u ms; they carried 2 bytes unread, 1 unsent; 0 left "
		"behind",
		(int)getpid(), one.report.took_us / 1000,
		one.report.took_us % 1000);
	assert_logged(&out, HANDOFF_LOG_INFO, line);
	snprintf(line, sizeof(line),
		"handoff 2: took 1 connection, 0 listeners from one (pid %d) "
		"in %u.%03u ms; they carried 2 bytes unread, 1 unsent; 0 left "
		"behind",
		(int)getpid(), one.report.took_us / 1000,
		one.report.took_us % 1000);
	assert_logged(&in, HANDOFF_LOG_INFO, line);
	assert_logged(&out, HANDOFF_LOG_DEBUG, "connection 1: begins");
	snprintf(line, sizeof(line),
		"handoff 2: connection 1: given to two (pid %d), with 2 bytes "
		"unread, 1 unsent",
		(int)getpid());
	assert_logged(&out, HANDOFF_LOG_DEBUG, line);
	snprintf(line, sizeof(line),
		"handoff 2: connection 1: taken from one (pid %d), with 2 "
		"bytes unread, 1 unsent",
		(int)getpid());
	assert_logged(&in, HANDOFF_LOG_DEBUG, line);
	handoff__pair_end(&two.pair, pair_find(&two, e));
	assert_logged(&in, HANDOFF_LOG_DEBUG,
		"connection 1: ends after 5 bytes received, 0 sent");
}

static void
bytes_that_are_not_known_are_not_logged(void **state)
{
	static struct lines out;
	struct handoff__roster_entry *e;
	char line[512];

	(void)state;
	memset(&out, 0, sizeof(out));
	one.log = (struct handoff__log){.fn = keep_line, .arg = &out};
	one.config.trace = one.config.streamless = true;
	pair_own(&one);
	pair_join(&one, &two);
	handoff__pair_end(&one.pair, pair_enter(&one, HANDOFF__CONNECTION));
	assert_logged(&out, HANDOFF_LOG_DEBUG, "connection 1: ends");
	e = pair_enter(&one, HANDOFF__CONNECTION);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	snprintf(line, sizeof(line),
		"handoff 2: gave 1 connection, 0 listeners to two (pid %d) in "
		"%u.%03u ms; 0 left behind",
		(int)getpid(), one.pair.last.report.took_us / 1000,
		one.pair.last.report.took_us % 1000);
	assert_logged(&out, HANDOFF_LOG_INFO, line);
	snprintf(line, sizeof(line),
		"handoff 2: connection 2: given to two (pid %d)",
		(int)getpid());
	assert_logged(&out, HANDOFF_LOG_DEBUG, line);
	handoff__pair_end(&two.pair, pair_find(&two, e));
}

/* Formatting a line takes longer than moving a connection. */
static void
connections_are_not_logged_unasked(void **state)
{
	static struct lines out;

	(void)state;
	memset(&out, 0, sizeof(out));
	one.log = (struct handoff__log){.fn = keep_line, .arg = &out};
	pair_own(&one);
	pair_join(&one, &two);
	pair_enter_many(&one, 5);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(out.count, 1);
}

static void
histograms_have_bounds(void **state)
{
	struct handoff__histogram h = {.count = 0};

	(void)state;
	handoff__histogram_add(&h, 0);
	handoff__histogram_add(&h, 100);
	handoff__histogram_add(&h, 101);
	handoff__histogram_add(&h, 10000000);
	handoff__histogram_add(&h, 10000001);
	assert_int_equal(h.count, 5);
	assert_int_equal(h.sum_us, 20000202);
	assert_int_equal(h.counts[0], 2);
	assert_int_equal(h.counts[1], 1);
	assert_int_equal(h.counts[HANDOFF__BOUNDS - 1], 1);
	for (int i = 1; i < HANDOFF__BOUNDS; i++)
		assert_true(handoff__bounds_us[i] > handoff__bounds_us[i - 1]);
	assert_int_equal(handoff__bounds_us[HANDOFF__BOUNDS], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pair_test(both_count_the_same),
		pair_test(bytes_belong_to_who_had_them),
		side_test(refusals_are_counted_by_who_refused),
		pair_test(give_without_an_answer_is_refused),
		pair_test(left_behind_by_reason),
		pair_test(late_followers_are_counted),
		pair_test(revoked_handoffs_are_counted),
		pair_test(broken_handoffs_are_counted),
		pair_test(link_that_breaks_before_anything_moved_is_a_refusal),
		side_test(death_is_counted),
		side_test(logs_can_be_joined),
		side_test(bytes_that_are_not_known_are_not_logged),
		side_test(connections_are_not_logged_unasked),
		handoff_test(histograms_have_bounds),
	};

	return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
