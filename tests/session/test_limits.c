/* SPDX-License-Identifier: MIT */
/*
 * What a connection cannot have for ever, in its turns: input that the service
 * does not consume.
 */
#include "session/user.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(more_input_than_there_can_be_ends_the_session),
		handoff_test(a_full_input_may_wait_for_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
