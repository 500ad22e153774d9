/* SPDX-License-Identifier: MIT */
/*
 * What a connection cannot have for ever, in its turns: input that the service
 * does not consume, and silence before it is known what the client is, or
 * before it has a session.
 */
#include "session/user.h"

#include <errno.h>
#include <unistd.h>

static int
say_hello(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	seen.opens++;
	handoff_conn_write(conn, "hello\n", 6);
	return 0;
}

static void
note_end(struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	(void)arg;
	(void)conn;
	seen.ended++;
	seen.why = reason;
}

/* Keeps all that it gets while `keeps`, and then sends an answer of that many
 * bytes if `answers`. */
struct keeper {
	bool keeps;
	size_t answers;
};
static struct keeper keeper;

static int
keep_input(struct handoff_conn *conn, void *arg)
{
	static const char answer[SIZE];
	size_t len, most = handoff_conn_room(conn);

	(void)arg;
	seen.calls++;
	handoff_conn_input(conn, &len);
	if (keeper.answers > 0 && len > 0) {
		size_t n = keeper.answers < most ? keeper.answers : most;

		handoff_conn_write(conn, answer, n);
		keeper.answers -= n;
	}
	return keeper.keeps ? 0 : handoff_conn_consume(conn, len);
}

static void
more_input_than_there_can_be_ends_the_session(void **state)
{
	struct user *u = user_of(keep_input);

	(void)state;
	keeper = (struct keeper){.keeps = true};
	u->inner.ended = note_end;
	user_open(u);
	user_begins(u);
	assert_int_equal(user_fills(u, SIZE - 1), SIZE - 1);
	assert_false(u->aborted);
	assert_int_equal(user_flags(u) & HANDOFF__CLOSING, 0);
	user_fills(u, SIZE);
	assert_true(u->aborted);
	assert_int_equal(u->f.result.outcome, HANDOFF__TURN_LINGER);
	assert_int_equal((user_flags(u) & HANDOFF__END) >> HANDOFF__END_SHIFT,
		HANDOFF_ENDED_INPUT);
	assert_int_equal(seen.ended, 1);
	assert_int_equal(seen.why, HANDOFF_ENDED_INPUT);
	client_ends_sending(&u->f);
	assert_int_equal(turns(&u->f), HANDOFF__TURN_END);
	assert_int_equal(u->f.result.end, HANDOFF__END_INPUT);
	user_close(u);
}

/* An input that is full alone is no reason: the service waits for room for the
 * rest of its answer, which the client has not acknowledged. */
static void
a_full_input_may_wait_for_room(void **state)
{
	struct user *u = user_of(keep_input);

	(void)state;
	keeper = (struct keeper){.keeps = true};
	u->limits.take = 300;
	user_open(u);
	user_begins(u);
	user_fills(u, SIZE - 1);
	keeper.answers = 500;
	user_says(u, "x", 1, 1);
	assert_true(user_head(u)->pending_len >= SIZE);
	assert_int_equal(user_head(u)->kept_len, 300);
	assert_int_equal(user_flags(u) & HANDOFF__CLOSING, 0);
	assert_int_equal(keeper.answers, 200);
	keeper.keeps = false;
	user_reads(u);
	assert_false(u->aborted);
	assert_int_equal(u->got_len, 500);
	assert_int_equal(user_head(u)->pending_len, 0);
	user_close(u);
}

/* The client has been silent: the deadline, which is so far away at most, has
 * passed. */
static void
time_passes(struct user *u, int most_ms)
{
	struct handoff_conn conn;
	int left = handoff__conn_left_ms(u->f.rec);

	assert_true(left > most_ms - 3000);
	assert_true(left <= most_ms + 1);
	handoff__txn_begin(&conn, &u->f.view);
	handoff_conn_deadline(&conn, 1);
	handoff__txn_commit(&conn);
	while (handoff__conn_left_ms(u->f.rec) != 0)
		usleep(500);
	turns(&u->f);
}

static int
greet_and_wait(struct handoff_conn *conn, void *arg)
{
	assert_int_equal(handoff_conn_deadline(conn, 30000), 0);
	return say_hello(conn, arg);
}

/* It may wait for a greeting. */
static void
a_silent_client_is_plain_after_a_time(void **state)
{
	struct user *u = user_of(user_line);

	(void)state;
	u->inner.open = greet_and_wait;
	user_open(u);
	turns(&u->f);
	assert_int_equal(seen.opens, 0);
	time_passes(u, 5000);
	client_hears(&u->f, "hello\n", false);
	assert_int_equal(seen.opens, 1);
	assert_int_equal(seen.calls, 0);
	/* from here on the deadline is the service's */
	time_passes(u, 30000);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.last, HANDOFF_CONN_DEADLINE);
	assert_int_equal(handoff__record_deadline(u->f.rec), 0);
	user_sends(u, handoff__preface, 6);
	client_says(&u->f, "\n");
	turns(&u->f);
	client_hears(&u->f, "\xf5HSESS\n", false);
	user_close(u);
}

static int
refuse_client(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	handoff_conn_close(conn);
	return 0;
}

static void
what_open_closes_late_is_closed_by_the_service(void **state)
{
	struct user *u = user_of(user_line);

	(void)state;
	u->inner.open = refuse_client;
	u->inner.ended = note_end;
	user_open(u);
	turns(&u->f);
	time_passes(u, 5000);
	assert_int_equal(u->f.result.outcome, HANDOFF__TURN_LINGER);
	assert_int_equal(seen.ended, 1);
	assert_int_equal(seen.why, HANDOFF_ENDED_SERVICE);
	user_close(u);
}

static void
a_part_of_the_preface_becomes_input(void **state)
{
	struct user *u = user_of(user_line);

	(void)state;
	user_open(u);
	user_sends(u, handoff__preface, 3);
	turns(&u->f);
	assert_int_equal(seen.calls, 0);
	time_passes(u, 5000);
	assert_true(seen.calls > 0);
	assert_int_equal(handoff__record_deadline(u->f.rec), 0);
	client_says(&u->f, "!\n");
	turns(&u->f);
	client_hears(&u->f, "\xf5HS!\n", false);
	user_close(u);
}

/* Whatever it is, it has no deadline but the service's. */
static void
once_it_has_begun_no_deadline_is_left(void **state)
{
	struct user *u = user_of(user_line);
	struct handoff__view from;

	(void)state;
	user_open(u);
	turns(&u->f);
	assert_int_not_equal(handoff__record_deadline(u->f.rec), 0);
	client_says(&u->f, "a");
	turns(&u->f);
	assert_int_equal(handoff__record_deadline(u->f.rec), 0);
	user_close(u);
	u = user_of(user_line);
	user_open(u);
	user_begins(u);
	assert_int_equal(handoff__record_deadline(u->f.rec), 0);
	user_is_cut(u);
	user_returns(u, &from);
	/* the loop is to answer */
	assert_int_equal(handoff__record_deadline(u->f.rec), 0);
	assert_int_equal(user_resumes(u, &from), 0);
	assert_int_equal(handoff__record_deadline(u->f.rec), 0);
	user_close(u);
}

static void
a_preface_alone_is_closed(void **state)
{
	struct user *u = user_of(user_line);

	(void)state;
	u->inner.ended = note_end;
	user_open(u);
	user_sends(u, handoff__preface, 4);
	turns(&u->f);
	user_sends(u, handoff__preface + 4, HANDOFF__PREFACE_LEN - 4);
	user_sends(u, "\x10", 1);
	turns(&u->f);
	assert_int_equal(user_flags(u) & HANDOFF__CLOSING, 0);
	time_passes(u, 5000);
	assert_true(user_flags(u) & HANDOFF__CLOSING);
	client_ends_sending(&u->f);
	assert_int_equal(turns(&u->f), HANDOFF__TURN_END);
	assert_int_equal(u->f.result.end, HANDOFF__END_DEADLINE);
	/* the service has not begun with it */
	assert_int_equal(seen.calls + seen.ended, 0);
	user_close(u);
}

static void
silence_after_a_refusal_is_closed(void **state)
{
	struct user *u = user_of(user_line);
	struct handoff__view from;

	(void)state;
	user_open(u);
	user_begins(u);
	user_is_cut(u);
	user_returns(u, &from);
	handoff__record_flag(&from, HANDOFF__CLOSING);
	from.rec->commit[0].state_len = from.rec->commit[1].state_len = 0;
	assert_int_equal(user_resumes(u, &from), -ENOENT);
	assert_int_equal(u->refused, HANDOFF__REFUSED_UNKNOWN);
	assert_int_equal(user_flags(u) & HANDOFF__CLOSING, 0);
	time_passes(u, 60000);
	assert_true(user_flags(u) & HANDOFF__CLOSING);
	user_close(u);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(more_input_than_there_can_be_ends_the_session),
		handoff_test(a_full_input_may_wait_for_room),
		handoff_test(a_silent_client_is_plain_after_a_time),
		handoff_test(what_open_closes_late_is_closed_by_the_service),
		handoff_test(a_part_of_the_preface_becomes_input),
		handoff_test(once_it_has_begun_no_deadline_is_left),
		handoff_test(a_preface_alone_is_closed),
		handoff_test(silence_after_a_refusal_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
