/* SPDX-License-Identifier: MIT */
/*
 * What is counted: the same on both sides, nothing twice and nothing lost;
 * and what is logged of it, so that the two logs can be joined.
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
give(struct side *from, struct side *to, enum handoff__cause cause)
{
	assert_int_equal(handoff__pair_give(&from->pair, cause), 0);
	pair_run(from, to);
	assert_int_equal(from->report.reason, HANDOFF__OK);
}

static void
both_count_the_same(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *one, *two;
	const struct handoff__last *out = &a.pair.last, *in = &b.pair.last;

	(void)state;
	pair_open(&a, &b);
	pair_enter(&a, HANDOFF__LISTENER);
	one = pair_enter(&a, HANDOFF__CONNECTION);
	two = pair_enter(&a, HANDOFF__CONNECTION);
	pair_enter(&a, HANDOFF__CONNECTION);
	assert_int_equal(a.pair.tally.begun, 3);
	receive(one, "0123456789");
	answer(one, 7, "hello");
	sent(one, 1);
	receive(two, "xy");
	give(&a, &b, HANDOFF__MAINTENANCE);
	assert_handoffs(&a, HANDOFF__WAY_OUT, 1, 0, 0);
	assert_handoffs(&b, HANDOFF__WAY_IN, 1, 0, 0);
	assert_int_equal(a.pair.tally.moved[HANDOFF__WAY_OUT], 3);
	assert_int_equal(b.pair.tally.moved[HANDOFF__WAY_IN], 3);
	assert_int_equal(a.pair.tally.unread[HANDOFF__WAY_OUT], 5);
	assert_int_equal(b.pair.tally.unread[HANDOFF__WAY_IN], 5);
	assert_int_equal(a.pair.tally.unsent[HANDOFF__WAY_OUT], 4);
	assert_int_equal(b.pair.tally.unsent[HANDOFF__WAY_IN], 4);
	assert_passed(&a, 12, 1);
	assert_passed(&b, 0, 0);
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
	assert_balance(&a);
	assert_balance(&b);
	pair_close(&a, &b);
}

static void
bytes_belong_to_who_had_them(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *here, *there;

	(void)state;
	pair_open(&a, &b);
	here = pair_enter(&a, HANDOFF__CONNECTION);
	receive(here, "abc");
	answer(here, 3, "ABC");
	sent(here, 3);
	give(&a, &b, HANDOFF__MAINTENANCE);
	there = pair_find(&b, here);
	assert_non_null(there);
	receive(there, "defg");
	answer(there, 4, "DEFGH");
	sent(there, 5);
	assert_passed(&a, 3, 3);
	assert_passed(&b, 4, 5);
	give(&b, &a, HANDOFF__HOME_SILENT);
	receive(here, "h");
	assert_passed(&a, 4, 3);
	assert_passed(&b, 4, 5);
	handoff__pair_end(&a.pair, here);
	assert_passed(&a, 4, 3);
	pair_run(&a, &b);
	assert_passed(&b, 4, 5);
	assert_int_equal(a.pair.tally.ended, 1);
	assert_int_equal(b.pair.tally.ended, 0);
	assert_balance(&a);
	assert_balance(&b);
	pair_close(&a, &b);
}

static void
refusals_are_counted_by_who_refused(void **state)
{
	struct side a, b;

	(void)state;
	side_init(&a, support_dir(), "one");
	side_init(&b, support_dir(), "two");
	pair_own(&a);
	assert_int_equal(
		handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), -ENOTCONN);
	assert_int_equal(handoff__pair_home(&a.pair, true), -EALREADY);
	assert_handoffs(&a, HANDOFF__WAY_OUT, 0, 1, 0);
	assert_handoffs(&a, HANDOFF__WAY_IN, 0, 1, 0);
	assert_int_equal(side_open(&b, &a), 0);
	handoff__pair_started(&b.pair);
	pair_run(&a, &b);
	assert_int_equal(
		handoff__pair_give(&b.pair, HANDOFF__MAINTENANCE), -EPERM);
	assert_int_equal(handoff__pair_home(&b.pair, true), -EPERM);
	assert_handoffs(&b, HANDOFF__WAY_OUT, 0, 1, 0);
	assert_handoffs(&b, HANDOFF__WAY_IN, 0, 1, 0);
	/* Asked for over the link: the other refuses. */
	assert_int_equal(handoff__pair_take(&a.pair, HANDOFF__HOME), 0);
	pair_run(&a, &b);
	assert_int_equal(a.report.reason, HANDOFF__NOT_OWNER);
	assert_handoffs(&a, HANDOFF__WAY_IN, 0, 2, 0);
	assert_handoffs(&b, HANDOFF__WAY_OUT, 0, 1, 0);
	assert_int_equal(a.pair.last.report.id, 0);
	assert_int_equal(b.pair.last.report.id, 0);
	pair_close(&a, &b);
}

static void
give_without_an_answer_is_refused(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	pair_enter_many(&a, 2);
	pair_run(&a, &b);
	a.pair.config.give_timeout_ms = SOON_MS;
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_wait(&a, &a.given, 1);
	assert_int_equal(a.report.reason, HANDOFF__UNANSWERED);
	assert_handoffs(&a, HANDOFF__WAY_OUT, 0, 1, 0);
	assert_int_equal(a.pair.last.report.id, 0);
	assert_int_equal(a.pair.tally.left[HANDOFF__UNANSWERED], 0);
	pair_run(&a, &b);
	assert_handoffs(&b, HANDOFF__WAY_IN, 0, 0, 0);
	assert_balance(&a);
	pair_close(&a, &b);
}

static void
left_behind_by_reason(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	pair_enter_many(&a, 2);
	pair_run(&a, &b);
	b.refuse_entered = -ENOMEM;
	pair_enter_many(&a, HANDOFF_FDPASS_MAX + 3);
	give(&a, &b, HANDOFF__MAINTENANCE);
	assert_int_equal(
		a.pair.tally.left[HANDOFF__NO_MEMORY], HANDOFF_FDPASS_MAX + 3);
	assert_int_equal(a.pair.last.report.left, HANDOFF_FDPASS_MAX + 3);
	assert_int_equal(b.pair.last.report.left, HANDOFF_FDPASS_MAX + 3);
	assert_int_equal(
		a.report.left_by[HANDOFF__NO_MEMORY], HANDOFF_FDPASS_MAX + 3);
	/* As many as the message names. */
	assert_int_equal(
		b.report.left_by[HANDOFF__NO_MEMORY], HANDOFF_FDPASS_MAX);
	assert_int_equal(b.report.left_by[0], 3);
	assert_int_equal(a.way, HANDOFF__WAY_OUT);
	assert_int_equal(b.way, HANDOFF__WAY_IN);
	assert_int_equal(b.pair.tally.moved[HANDOFF__WAY_IN], 2);
	/* They stay and can follow: a handoff of its own. */
	b.refuse_entered = 0;
	give(&a, &b, HANDOFF__REST);
	assert_handoffs(&a, HANDOFF__WAY_OUT, 2, 0, 0);
	assert_handoffs(&b, HANDOFF__WAY_IN, 2, 0, 0);
	assert_int_equal(
		b.pair.tally.moved[HANDOFF__WAY_IN], HANDOFF_FDPASS_MAX + 5);
	assert_int_equal(b.pair.last.report.cause, HANDOFF__REST);
	assert_int_equal(b.pair.last.report.id, 2);
	assert_int_equal(a.pair.last.report.id, 2);
	assert_balance(&a);
	assert_balance(&b);
	pair_close(&a, &b);
}

/* It follows after the end of the handoff: it has moved, but not in it. */
static void
late_followers_are_counted(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *e;

	(void)state;
	pair_open(&a, &b);
	e = pair_enter(&a, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	a.busy = true;
	a.pair.config.give_timeout_ms = SOON_MS;
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&a, &b);
	pair_wait(&a, &a.given, 1);
	pair_run(&a, &b);
	assert_int_equal(a.pair.last.report.moved, 0);
	assert_int_equal(b.pair.last.report.moved, 0);
	assert_int_equal(a.pair.tally.left[HANDOFF__HANDLER_BUSY], 1);
	receive(e, "12345");
	handoff__pair_quiet(&a.pair, e);
	pair_run(&a, &b);
	assert_int_equal(b.pair.roster.connections, 1);
	assert_int_equal(a.pair.tally.moved[HANDOFF__WAY_OUT], 1);
	assert_int_equal(b.pair.tally.moved[HANDOFF__WAY_IN], 1);
	assert_int_equal(b.pair.tally.unread[HANDOFF__WAY_IN], 5);
	assert_passed(&a, 5, 0);
	assert_passed(&b, 0, 0);
	assert_int_equal(b.pair.last.report.moved, 0);
	assert_handoffs(&a, HANDOFF__WAY_OUT, 1, 0, 0);
	assert_balance(&a);
	assert_balance(&b);
	pair_close(&a, &b);
}

/* What was offered and not taken counts as if it had never left. */
static void
revoked_handoffs_are_counted(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	pair_enter_many(&a, 1);
	pair_run(&a, &b);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(NULL, &b);
	pair_turn(&a);
	assert_int_equal(a.pair.give.step, HANDOFF__GIVE_DRAIN);
	handoff__timer_arm(&a.loop, &a.pair.move.deadline, SOON_MS * 1000);
	pair_wait(&a, &a.given, 1);
	assert_int_equal(a.report.reason, HANDOFF__UNTAKEN);
	assert_handoffs(&a, HANDOFF__WAY_OUT, 0, 1, 0);
	assert_int_equal(a.pair.tally.moved[HANDOFF__WAY_OUT], 0);
	pair_run(&a, &b);
	assert_balance(&a);
	assert_balance(&b);
	pair_close(&a, &b);
}

/* Both go on alone, and each says what it knows of the handoff. */
static void
broken_handoffs_are_counted(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	pair_enter_many(&a, 3);
	pair_run(&a, &b);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(NULL, &b);
	pair_turn(&a);
	assert_int_equal(a.pair.give.step, HANDOFF__GIVE_DRAIN);
	/* It has the bell and has not said what it makes of it. */
	pair_turn(&b);
	assert_true(b.pair.receiving);
	handoff__core_break(&b.pair, "of the test");
	handoff__core_break(&a.pair, "of the test");
	handoff__pair_proceed(&b.pair);
	handoff__pair_proceed(&a.pair);
	/* All had moved before. */
	assert_handoffs(&a, HANDOFF__WAY_OUT, 1, 0, 0);
	assert_handoffs(&b, HANDOFF__WAY_IN, 1, 0, 0);
	assert_int_equal(a.pair.last.report.moved, 3);
	assert_int_equal(b.pair.last.report.moved, 3);
	assert_int_equal(b.pair.last.report.id, 2);
	assert_int_equal(b.pair.last.report.cause, HANDOFF__MAINTENANCE);
	assert_int_equal(b.given, 0);
	assert_balance(&a);
	assert_balance(&b);
	pair_close(&a, &b);
}

static void
link_that_breaks_before_anything_moved_is_a_refusal(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	pair_enter_many(&a, 3);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	side_close(&b);
	pair_run(&a, NULL);
	assert_int_equal(a.report.reason, HANDOFF__LEAVING);
	assert_handoffs(&a, HANDOFF__WAY_OUT, 0, 1, 0);
	assert_int_equal(a.pair.last.report.id, 0);
	side_close(&a);
}

static void
death_is_counted(void **state)
{
	struct side a;
	struct handoff__roster_entry *e;
	const struct handoff__last *last = &a.pair.last;
	int told;
	pid_t child;

	(void)state;
	side_init(&a, support_dir(), "one");
	pair_own(&a);
	pair_enter(&a, HANDOFF__LISTENER);
	pair_enter_many(&a, 2);
	e = pair_enter(&a, HANDOFF__CONNECTION);
	child = pair_child(a.config.dir, &told);
	pair_wait(&a, &a.partners, 1);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_wait(&a, &a.given, 1);
	/* As the child would. */
	receive(e, "12345");
	answer(e, 3, "67");
	pair_kill(child, told);
	pair_wait(&a, &a.partings, 1);
	assert_int_equal(a.pair.tally.failovers.count, 1);
	assert_int_equal(a.pair.tally.inherited, 3);
	assert_int_equal(last->report.id, 3);
	assert_true(last->death);
	assert_int_equal(last->report.moved, 3);
	assert_int_equal(last->report.listeners, 1);
	assert_int_equal(last->report.unread, 2);
	assert_int_equal(last->report.unsent, 2);
	assert_int_equal(last->report.left, 0);
	assert_string_equal(last->other, "child");
	/* They were the dead one's. */
	assert_passed(&a, 0, 0);
	receive(e, "8");
	assert_passed(&a, 1, 0);
	assert_balance(&a);
	side_close(&a);
}

static void
logs_can_be_joined(void **state)
{
	static struct lines out, in;
	struct side a, b;
	struct handoff__roster_entry *e;
	char line[512];

	(void)state;
	memset(&out, 0, sizeof(out));
	memset(&in, 0, sizeof(in));
	side_init(&a, support_dir(), "one");
	side_init(&b, support_dir(), "two");
	a.log = (struct handoff__log){.fn = keep_line, .arg = &out};
	b.log = (struct handoff__log){.fn = keep_line, .arg = &in};
	a.config.trace = b.config.trace = true;
	pair_own(&a);
	assert_int_equal(side_open(&b, &a), 0);
	handoff__pair_started(&b.pair);
	pair_run(&a, &b);
	e = pair_enter(&a, HANDOFF__CONNECTION);
	receive(e, "12345");
	answer(e, 3, "x");
	give(&a, &b, HANDOFF__MAINTENANCE);
	a.report.took_us = a.pair.last.report.took_us;
	snprintf(line, sizeof(line),
		"handoff 2: gave 1 connection, 0 listeners to two (pid %d) in "
		"%u.%03u ms; they carried 2 bytes unread, 1 unsent; 0 left "
		"behind",
		(int)getpid(), a.report.took_us / 1000,
		a.report.took_us % 1000);
	assert_logged(&out, HANDOFF_LOG_INFO, line);
	snprintf(line, sizeof(line),
		"handoff 2: took 1 connection, 0 listeners from one (pid %d) "
		"in %u.%03u ms; they carried 2 bytes unread, 1 unsent; 0 left "
		"behind",
		(int)getpid(), a.report.took_us / 1000,
		a.report.took_us % 1000);
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
	handoff__pair_end(&b.pair, pair_find(&b, e));
	assert_logged(&in, HANDOFF_LOG_DEBUG,
		"connection 1: ends after 5 bytes received, 0 sent");
	pair_close(&a, &b);
}

static void
bytes_that_are_not_known_are_not_logged(void **state)
{
	static struct lines out;
	struct side a, b;
	struct handoff__roster_entry *e;
	char line[512];

	(void)state;
	memset(&out, 0, sizeof(out));
	side_init(&a, support_dir(), "one");
	side_init(&b, support_dir(), "two");
	a.log = (struct handoff__log){.fn = keep_line, .arg = &out};
	a.config.trace = a.config.streamless = true;
	pair_own(&a);
	assert_int_equal(side_open(&b, &a), 0);
	handoff__pair_started(&b.pair);
	pair_run(&a, &b);
	handoff__pair_end(&a.pair, pair_enter(&a, HANDOFF__CONNECTION));
	assert_logged(&out, HANDOFF_LOG_DEBUG, "connection 1: ends");
	e = pair_enter(&a, HANDOFF__CONNECTION);
	give(&a, &b, HANDOFF__MAINTENANCE);
	snprintf(line, sizeof(line),
		"handoff 2: gave 1 connection, 0 listeners to two (pid %d) in "
		"%u.%03u ms; 0 left behind",
		(int)getpid(), a.pair.last.report.took_us / 1000,
		a.pair.last.report.took_us % 1000);
	assert_logged(&out, HANDOFF_LOG_INFO, line);
	snprintf(line, sizeof(line),
		"handoff 2: connection 2: given to two (pid %d)",
		(int)getpid());
	assert_logged(&out, HANDOFF_LOG_DEBUG, line);
	handoff__pair_end(&b.pair, pair_find(&b, e));
	pair_close(&a, &b);
}

/* Formatting a line takes longer than moving a connection. */
static void
connections_are_not_logged_unasked(void **state)
{
	static struct lines out;
	struct side a, b;

	(void)state;
	memset(&out, 0, sizeof(out));
	side_init(&a, support_dir(), "one");
	side_init(&b, support_dir(), "two");
	a.log = (struct handoff__log){.fn = keep_line, .arg = &out};
	pair_own(&a);
	assert_int_equal(side_open(&b, &a), 0);
	handoff__pair_started(&b.pair);
	pair_run(&a, &b);
	pair_enter_many(&a, 5);
	give(&a, &b, HANDOFF__MAINTENANCE);
	assert_int_equal(out.count, 1);
	pair_close(&a, &b);
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
		handoff_test(both_count_the_same),
		handoff_test(bytes_belong_to_who_had_them),
		handoff_test(refusals_are_counted_by_who_refused),
		handoff_test(give_without_an_answer_is_refused),
		handoff_test(left_behind_by_reason),
		handoff_test(late_followers_are_counted),
		handoff_test(revoked_handoffs_are_counted),
		handoff_test(broken_handoffs_are_counted),
		handoff_test(
			link_that_breaks_before_anything_moved_is_a_refusal),
		handoff_test(death_is_counted),
		handoff_test(logs_can_be_joined),
		handoff_test(bytes_that_are_not_known_are_not_logged),
		handoff_test(connections_are_not_logged_unasked),
		handoff_test(histograms_have_bounds),
	};

	return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
