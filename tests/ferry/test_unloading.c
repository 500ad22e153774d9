/* SPDX-License-Identifier: MIT */
/*
 * What has come of a batch and belongs to this host is the server's: at once,
 * or as soon as there is one. The ferry has the service, and no other peer is
 * there.
 */
#include "support/support.h"

#include "ferry/carrier.h"
#include "ferry/freight.h"
#include "ferry/unloading.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define COUNT 3
#define SLOT  2

static struct handoff__ferry *ferry;
static struct handoff__freight *load;

static void
on_timer(struct handoff__timer *timer)
{
	(void)timer;
}

/* One of the batch, which is decided: it belongs here. */
static void
add_item(uint32_t i)
{
	int err, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct handoff__roster_entry *e = handoff__pair_enter(
		&ferry->pair, fd, HANDOFF__CONNECTION, "", &err);

	assert_non_null(e);
	handoff__owner_set(&e->view.rec->owner, handoff__owner_elsewhere(SLOT));
	handoff__cargo(e)->load = SLOT;
	handoff__cargo(e)->index = (int32_t)i;
	load->items[i].entry = e;
	load->items[i].id = e->id;
	load->count++;
}

static int
setup(void **state)
{
	struct handoff__identity id = {.service = "test",
		.state_size = 32,
		.state_version = 1,
		.input_size = 4096,
		.output_size = 4096};

	if (support_setup(state) < 0)
		return -1;
	ferry = calloc(1, sizeof(*ferry));
	assert_non_null(ferry);
	ferry->options.dir = support_dir();
	ferry->options.name = "ferry";
	assert_int_equal(handoff__loop_init(&ferry->loop), 0);
	handoff__operator_init(&ferry->op, &handoff__ferry_operator_ops, ferry,
		&ferry->pair, &ferry->loop, &ferry->log);
	if (handoff__carrier_open(ferry) < 0)
		fail_msg("%s", ferry->error.text);
	assert_int_equal(handoff__pair_identify(&ferry->pair, &id), 0);
	assert_int_equal(handoff__pair_own(&ferry->pair, 1), 0);
	handoff__pair_started(&ferry->pair);
	load = handoff__freight_make(ferry, COUNT, false, on_timer);
	assert_non_null(load);
	load->slot = SLOT;
	return 0;
}

static int
teardown(void **state)
{
	struct handoff__roster_entry *e;

	while ((e = handoff__roster_next(&ferry->pair.roster, NULL)))
		handoff__pair_end(&ferry->pair, e);
	free(load);
	handoff__carrier_close(ferry);
	handoff__loop_fini(&ferry->loop);
	free(ferry);
	return support_teardown(state);
}

/* The word came while the service itself was given to a server, and that give
 * had to leave them behind: nothing else would offer them again. */
static void
those_that_cannot_be_offered_now_are_given_back_later(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < COUNT; i++)
		add_item(i);
	assert_int_equal(handoff__carrier_holding(ferry), 0);
	ferry->returns = false;
	handoff__unloading_offer(load);
	assert_int_equal(handoff__carrier_holding(ferry), COUNT);
	assert_int_equal(ferry->received, COUNT);
	assert_true(ferry->returns);
}

static void
of_an_empty_batch_nothing_is_given_back(void **state)
{
	(void)state;
	ferry->returns = false;
	handoff__unloading_offer(load);
	assert_false(ferry->returns);
}

/* The ferry before has died before the server had a copy of it. A session of
 * that number, which comes again, would be found there. */
static void
what_nobody_has_is_freed_with_an_aborted_batch(void **state)
{
	struct handoff__arena *arena = &ferry->pair.arena;
	struct handoff__record *rec;
	uint32_t segment, slot;
	struct handoff__roster_entry *e;

	(void)state;
	add_item(0);
	e = load->items[0].entry;
	segment = e->segment;
	slot = e->slot;
	rec = e->view.rec;
	handoff__roster_vacate(&ferry->pair.roster, e);
	load->count = 0;
	handoff__unloading_abandon(load);
	assert_int_not_equal(handoff__record_id(rec), 0);
	load->resumed = true;
	handoff__unloading_abandon(load);
	assert_ptr_equal(handoff__arena_record(arena, segment, slot), rec);
	assert_int_equal(handoff__record_id(rec), 0);
	assert_int_equal(handoff__owner_word(&rec->owner), 0);
}

#define unloading_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		unloading_test(
			those_that_cannot_be_offered_now_are_given_back_later),
		unloading_test(of_an_empty_batch_nothing_is_given_back),
		unloading_test(what_nobody_has_is_freed_with_an_aborted_batch),
	};

	return cmocka_run_group_tests_name("unloading", tests, NULL, NULL);
}
