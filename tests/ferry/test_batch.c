/* SPDX-License-Identifier: MIT */
/*
 * The states of a batch, one input after the other, and the inputs that no
 * right ferry on the other side makes: each is ignored, or gives up what can
 * still be given up. All orders of deaths and losses are in test_simulation.c.
 */
#include "support/support.h"

#include "ferry/receiving.h"
#include "ferry/sending.h"

#define OUT(name) HANDOFF__SENDING_##name
#define IN(name)  HANDOFF__RECEIVING_##name

enum { ID = 7, COUNT = 3 };

static void
ship(struct handoff__sending *s)
{
	handoff__sending_init(s, true);
	assert_int_equal(handoff__sending_begin(s, ID, COUNT),
		OUT(OPEN) | OUT(HOLD) | OUT(TAKE));
	assert_int_equal(handoff__sending_taken(s, COUNT), 0);
	assert_int_equal(handoff__sending_held(s), OUT(FREEZE));
	assert_int_equal(handoff__sending_frozen(s, COUNT), OUT(SHIP));
}

static void
commit(struct handoff__sending *s)
{
	ship(s);
	assert_int_equal(handoff__sending_prepared(s, 0, 0), OUT(CHECK));
	assert_int_equal(handoff__sending_checked(s, 0), OUT(COMMIT));
	assert_int_equal(handoff__sending_word(s, HANDOFF__BATCH_COMMITTED),
		OUT(SEND_COMMIT));
}

static void
test_sent(void **state)
{
	struct handoff__sending s;

	(void)state;
	commit(&s);
	assert_false(handoff__sending_over(&s));
	assert_int_equal(handoff__sending_serving(&s),
		OUT(FLIP) | OUT(END) | OUT(FREE) | OUT(SEND_FORGET));
	assert_true(handoff__sending_over(&s));
	assert_int_equal(s.state, HANDOFF__SENDING_DONE);
}

static void
test_nothing_is_frozen_before_all_came(void **state)
{
	struct handoff__sending s;

	(void)state;
	handoff__sending_init(&s, true);
	handoff__sending_begin(&s, ID, COUNT);
	assert_int_equal(handoff__sending_held(&s), 0);
	assert_int_equal(handoff__sending_taken(&s, 1), OUT(FREEZE));
	assert_int_equal(handoff__sending_frozen(&s, 0), OUT(ABORT));
	handoff__sending_init(&s, true);
	handoff__sending_begin(&s, ID, COUNT);
	assert_int_equal(handoff__sending_taken(&s, 0), OUT(ABORT));
}

static void
test_nothing_begins_without_a_link(void **state)
{
	struct handoff__sending s;
	struct handoff__receiving r;

	(void)state;
	handoff__sending_init(&s, false);
	assert_int_equal(handoff__sending_begin(&s, ID, COUNT), 0);
	assert_int_equal(handoff__sending_link(&s, true), 0);
	assert_int_equal(handoff__sending_begin(&s, 0, COUNT), 0);
	assert_int_equal(handoff__sending_begin(&s, ID, 0), 0);
	assert_int_not_equal(handoff__sending_begin(&s, ID, COUNT), 0);
	assert_int_equal(handoff__sending_begin(&s, ID + 1, COUNT), 0);
	handoff__receiving_init(&r, false);
	assert_int_equal(handoff__receiving_begin(&r, ID, COUNT), 0);
}

static void
test_refused_and_stale_entries_stay(void **state)
{
	struct handoff__sending s;

	(void)state;
	ship(&s);
	assert_int_equal(
		handoff__sending_prepared(&s, 0, 1), OUT(RETURN) | OUT(CHECK));
	assert_int_equal(handoff__sending_checked(&s, 1),
		OUT(RETURN) | OUT(SEND_WITHDRAW));
	assert_int_equal(s.round, 1);
	assert_int_equal(handoff__sending_prepared(&s, 0, 0), 0);
	assert_int_equal(handoff__sending_prepared(&s, 1, 0), OUT(CHECK));
	assert_int_equal(
		handoff__sending_checked(&s, 1), OUT(RETURN) | OUT(ABORT));
	assert_int_equal(handoff__sending_word(&s, HANDOFF__BATCH_ABORTED),
		OUT(THAW) | OUT(FREE) | OUT(SEND_ABORT));
	ship(&s);
	assert_int_equal(handoff__sending_prepared(&s, 0, COUNT + 1),
		OUT(RETURN) | OUT(ABORT));
}

static void
test_a_question_decides(void **state)
{
	struct handoff__sending s;

	(void)state;
	ship(&s);
	assert_int_equal(handoff__sending_query(&s), OUT(ABORT));
	assert_int_equal(handoff__sending_word(&s, HANDOFF__BATCH_ABORTED),
		OUT(THAW) | OUT(FREE) | OUT(SEND_VERDICT));
	commit(&s);
	assert_int_equal(handoff__sending_query(&s), OUT(SEND_VERDICT));
	assert_int_equal(s.state, HANDOFF__SENDING_COMMITTED);
}

/* A survivor that believed this ferry dead was faster. */
static void
test_the_word_decides(void **state)
{
	struct handoff__sending s;

	(void)state;
	ship(&s);
	handoff__sending_prepared(&s, 0, 0);
	handoff__sending_checked(&s, 0);
	assert_int_equal(handoff__sending_give_up(&s), 0);
	assert_int_equal(handoff__sending_word(&s, HANDOFF__BATCH_ABORTED),
		OUT(THAW) | OUT(FREE) | OUT(SEND_ABORT));
	assert_int_equal(
		handoff__sending_word(&s, HANDOFF__BATCH_COMMITTED), 0);
}

static void
test_a_commit_is_repeated_and_never_undone(void **state)
{
	struct handoff__sending s;

	(void)state;
	commit(&s);
	assert_int_equal(handoff__sending_give_up(&s), 0);
	assert_int_equal(handoff__sending_prepared(&s, 0, COUNT), 0);
	assert_int_equal(handoff__sending_link(&s, false), 0);
	assert_int_equal(handoff__sending_link(&s, true), OUT(SEND_COMMIT));
	assert_int_equal(
		handoff__sending_lost(&s), OUT(PASS) | OUT(END) | OUT(FREE));
}

static void
test_serving_before_the_word_is_ignored(void **state)
{
	struct handoff__sending s;

	(void)state;
	ship(&s);
	assert_int_equal(handoff__sending_serving(&s), 0);
	assert_int_equal(handoff__sending_lost(&s), 0);
	assert_int_equal(handoff__sending_link(&s, false), OUT(ABORT));
	assert_int_equal(handoff__sending_word(&s, HANDOFF__BATCH_ABORTED),
		OUT(THAW) | OUT(FREE));
}

static void
test_a_sender_that_starts_again(void **state)
{
	struct handoff__sending s;

	(void)state;
	assert_int_equal(handoff__sending_resume(
				 &s, ID, COUNT, HANDOFF__BATCH_COMMITTED),
		0);
	assert_int_equal(handoff__sending_link(&s, true), OUT(SEND_COMMIT));
	assert_int_equal(
		handoff__sending_resume(&s, ID, COUNT, HANDOFF__BATCH_OPEN),
		OUT(ABORT));
	assert_int_equal(
		handoff__sending_resume(&s, ID, COUNT, HANDOFF__BATCH_ABORTED),
		OUT(THAW) | OUT(FREE));
	assert_int_equal(
		handoff__sending_resume(&s, ID, COUNT, HANDOFF__BATCH_FREE), 0);
	assert_true(handoff__sending_over(&s));
}

static void
collect(struct handoff__receiving *r)
{
	handoff__receiving_init(r, true);
	assert_int_equal(handoff__receiving_begin(r, ID, COUNT), IN(OPEN));
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(handoff__receiving_entry(r), IN(PREPARE));
}

static void
promise(struct handoff__receiving *r)
{
	collect(r);
	assert_int_equal(handoff__receiving_end(r), IN(GUARD));
	assert_int_equal(handoff__receiving_guarded(r), 0);
	assert_int_equal(
		handoff__receiving_held(r, 1), IN(DROP) | IN(SEND_PREPARED));
}

static void
test_received(void **state)
{
	struct handoff__receiving r;

	(void)state;
	promise(&r);
	assert_int_equal(handoff__receiving_withdrawn(&r, 2), 0);
	assert_int_equal(handoff__receiving_withdrawn(&r, 1),
		IN(DROP) | IN(SEND_PREPARED));
	assert_int_equal(handoff__receiving_commit(&r), IN(COMMIT));
	assert_int_equal(handoff__receiving_word(&r, HANDOFF__BATCH_COMMITTED),
		IN(FINISH) | IN(OFFER));
	assert_int_equal(handoff__receiving_forget(&r), 0);
	assert_int_equal(handoff__receiving_served(&r), IN(SEND_SERVING));
	assert_int_equal(handoff__receiving_commit(&r), IN(SEND_SERVING));
	assert_int_equal(handoff__receiving_abort(&r), 0);
	assert_int_equal(handoff__receiving_forget(&r), IN(FREE));
	assert_true(handoff__receiving_over(&r));
}

static void
test_nothing_is_given_up_once_promised(void **state)
{
	struct handoff__receiving r;

	(void)state;
	promise(&r);
	assert_int_equal(handoff__receiving_give_up(&r), 0);
	assert_int_equal(handoff__receiving_forget(&r), 0);
	assert_int_equal(handoff__receiving_link(&r, false), 0);
	assert_true(handoff__receiving_in_doubt(&r));
	assert_int_equal(handoff__receiving_give_up(&r), 0);
	assert_int_equal(handoff__receiving_forget(&r), 0);
	assert_int_equal(handoff__receiving_link(&r, true), IN(SEND_QUERY));
	assert_int_equal(handoff__receiving_abort(&r), IN(ABORT));
	assert_int_equal(handoff__receiving_word(&r, HANDOFF__BATCH_ABORTED),
		IN(ABANDON) | IN(FREE));
}

static void
test_before_that_it_is(void **state)
{
	struct handoff__receiving r;

	(void)state;
	collect(&r);
	assert_int_equal(handoff__receiving_commit(&r), 0);
	assert_int_equal(handoff__receiving_give_up(&r), IN(ABORT));
	assert_int_equal(handoff__receiving_word(&r, HANDOFF__BATCH_ABORTED),
		IN(ABANDON) | IN(FREE) | IN(SEND_ABORT));
	collect(&r);
	assert_int_equal(handoff__receiving_link(&r, false), IN(ABORT));
	assert_int_equal(handoff__receiving_word(&r, HANDOFF__BATCH_ABORTED),
		IN(ABANDON) | IN(FREE));
}

static void
test_entries_must_be_as_many_as_announced(void **state)
{
	struct handoff__receiving r;

	(void)state;
	collect(&r);
	assert_int_equal(handoff__receiving_entry(&r), IN(ABORT));
	handoff__receiving_init(&r, true);
	handoff__receiving_begin(&r, ID, COUNT);
	assert_int_equal(handoff__receiving_entry(&r), IN(PREPARE));
	assert_int_equal(handoff__receiving_end(&r), IN(ABORT));
	assert_int_equal(handoff__receiving_entry(&r), 0);
}

static void
test_a_receiver_that_starts_again(void **state)
{
	struct handoff__receiving r;

	(void)state;
	assert_int_equal(
		handoff__receiving_resume(&r, ID, COUNT, HANDOFF__BATCH_OPEN),
		0);
	assert_true(handoff__receiving_in_doubt(&r));
	assert_int_equal(handoff__receiving_link(&r, true), IN(SEND_QUERY));
	assert_int_equal(handoff__receiving_commit(&r), IN(COMMIT));
	assert_int_equal(handoff__receiving_resume(
				 &r, ID, COUNT, HANDOFF__BATCH_COMMITTED),
		IN(FINISH) | IN(OFFER));
	assert_int_equal(handoff__receiving_served(&r), 0);
	assert_int_equal(handoff__receiving_link(&r, true), IN(SEND_SERVING));
	assert_int_equal(handoff__receiving_resume(
				 &r, ID, COUNT, HANDOFF__BATCH_ABORTED),
		IN(ABANDON) | IN(FREE));
}

static void
test_every_state_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i <= HANDOFF__SENDING_LOST; i++)
		assert_string_not_equal(
			handoff__sending_text((enum handoff__sending_state)i),
			"unknown");
	for (int i = 0; i <= HANDOFF__RECEIVING_ABORTED; i++)
		assert_string_not_equal(
			handoff__receiving_text(
				(enum handoff__receiving_state)i),
			"unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sent),
		cmocka_unit_test(test_nothing_is_frozen_before_all_came),
		cmocka_unit_test(test_nothing_begins_without_a_link),
		cmocka_unit_test(test_refused_and_stale_entries_stay),
		cmocka_unit_test(test_a_question_decides),
		cmocka_unit_test(test_the_word_decides),
		cmocka_unit_test(test_a_commit_is_repeated_and_never_undone),
		cmocka_unit_test(test_serving_before_the_word_is_ignored),
		cmocka_unit_test(test_a_sender_that_starts_again),
		cmocka_unit_test(test_received),
		cmocka_unit_test(test_nothing_is_given_up_once_promised),
		cmocka_unit_test(test_before_that_it_is),
		cmocka_unit_test(test_entries_must_be_as_many_as_announced),
		cmocka_unit_test(test_a_receiver_that_starts_again),
		cmocka_unit_test(test_every_state_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
