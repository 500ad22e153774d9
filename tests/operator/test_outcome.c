/* SPDX-License-Identifier: MIT */
/*
 * The outcome of a handoff, as programs receive it.
 */
#include "support/support.h"

#include "operator/operator.h"

#include <string.h>

static void
reasons_are_named(void **state)
{
	(void)state;
	for (int i = 0; i < HANDOFF_REASONS; i++) {
		const char *text = handoff_reason_text((enum handoff_reason)i);

		assert_non_null(text);
		assert_string_not_equal(text, "unknown reason");
		/* What has a name here has a phrase of its own. */
		if (i > 0 && i <= (int)HANDOFF_REASON_NO_LEASE)
			assert_string_not_equal(text, "another reason");
	}
	assert_string_equal(
		handoff_reason_text(HANDOFF_REASON_OTHER), "another reason");
	assert_string_equal(handoff_reason_text((enum handoff_reason)999),
		"another reason");
	assert_string_equal(handoff_reason_text((enum handoff_reason) - 1),
		"another reason");
	assert_string_equal(handoff_reason_text(HANDOFF_REASON_CONFIG),
		"a different configuration");
}

/* Of a later version of the link. */
static void
unknown_reason_is_another(void **state)
{
	(void)state;
	assert_int_equal(handoff__public_reason(HANDOFF__OK), 0);
	assert_int_equal(handoff__public_reason(HANDOFF__CROWDED),
		HANDOFF_REASON_CROWDED);
	assert_int_equal(
		handoff__public_reason((enum handoff__reason)HANDOFF__REASONS),
		HANDOFF_REASON_OTHER);
	assert_int_equal(handoff__public_reason((enum handoff__reason) ~0u),
		HANDOFF_REASON_OTHER);
}

static struct handoff__report
some_report(void)
{
	return (struct handoff__report){
		.id = 7,
		.cause = HANDOFF__HOME_SILENT,
		.moved = 3,
		.listeners = 2,
		.left = 6,
		.left_by = {[0] = 1,
			[HANDOFF__HANDLER_BUSY] = 2,
			[HANDOFF__TABLE_FULL] = 3},
		.took_us = 11,
		.unread = 12,
		.unsent = 13,
	};
}

static void
counts_are_told(void **state)
{
	struct handoff__report report = some_report();
	struct handoff_outcome o;
	uint32_t sum = 0;

	(void)state;
	handoff__outcome_of(HANDOFF__WAY_IN, &report, &o);
	assert_int_equal(o.direction, HANDOFF_DIRECTION_IN);
	assert_int_equal(o.cause, HANDOFF_CAUSE_READY_SILENT);
	assert_int_equal(o.reason, HANDOFF_REASON_NONE);
	assert_int_equal(o.id, 7);
	assert_int_equal(o.connections, 3);
	assert_int_equal(o.listeners, 2);
	assert_int_equal(o.left, 6);
	assert_int_equal(o.left_by[HANDOFF_REASON_HANDLER], 2);
	assert_int_equal(o.left_by[HANDOFF_REASON_TABLE_FULL], 3);
	assert_int_equal(o.left_by[HANDOFF_REASON_OTHER], 1);
	for (int i = 0; i < HANDOFF_REASONS; i++)
		sum += o.left_by[i];
	assert_int_equal(sum, o.left);
	assert_int_equal(o.took_us, 11);
	assert_int_equal(o.unread, 12);
	assert_int_equal(o.unsent, 13);
}

/* One that broke off keeps its counts; one that was refused has moved nothing,
 * and tells what kept it from that. */
static void
refused_counts_what_did_not_move(void **state)
{
	struct handoff__report report = some_report();
	struct handoff_outcome o;

	(void)state;
	report.reason = HANDOFF__LEAVING;
	handoff__outcome_of(HANDOFF__WAY_OUT, &report, &o);
	assert_int_equal(o.direction, HANDOFF_DIRECTION_OUT);
	assert_int_equal(o.reason, HANDOFF_REASON_LEAVING);
	assert_int_equal(o.connections, 3);
	assert_int_equal(o.left, 6);
	report.id = 0;
	handoff__outcome_of(HANDOFF__WAY_OUT, &report, &o);
	assert_int_equal(o.reason, HANDOFF_REASON_LEAVING);
	assert_int_equal(o.connections, 0);
	assert_int_equal(o.left, 6);
	assert_int_equal(o.left_by[HANDOFF_REASON_HANDLER], 2);
}

static void
event_without_facts_has_no_outcome(void **state)
{
	struct handoff__facts facts = {.end = 0};
	struct handoff__survival survival = {
		.id = 4, .closed = 2, .taken = {.connections = 5}};

	(void)state;
	assert_null(handoff__facts_outcome(&facts));
	handoff__outcome_of_death(&survival, &facts);
	assert_ptr_equal(handoff__facts_outcome(&facts), &facts.outcome);
	assert_true(facts.died);
	assert_int_equal(facts.outcome.cause, HANDOFF_CAUSE_FAILOVER);
	assert_int_equal(facts.outcome.connections, 5);
	assert_int_equal(facts.outcome.closed, 2);
	assert_int_equal(facts.end, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(reasons_are_named),
		handoff_test(unknown_reason_is_another),
		handoff_test(counts_are_told),
		handoff_test(refused_counts_what_did_not_move),
		handoff_test(event_without_facts_has_no_outcome),
	};

	return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
