/* SPDX-License-Identifier: MIT */
/*
 * Rules of helpers whose service directory is gone, in a network namespace of
 * this process: those that drop packets to the service's addresses are removed,
 * and no others. With nftables, and with the tables of iptables.
 */
#include "support/support.h"

#include "ferry/unfreeze/leftover.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FREE  1500 /* numbers of queues: nobody reads it, */
#define TAKEN 1600 /* and one that is read */

static const struct handoff__gate_address addresses[] = {
	{.family = 4, .ip = {10, 77, 0, 100}},
	{.family = 6, .ip = {0xfd, 0x77, [15] = 100}},
};
static const struct handoff__gate_address strangers[] = {
	{.family = 4, .ip = {10, 77, 0, 101}},
	{.family = 6, .ip = {0xfd, 0x77, [15] = 101}},
};

struct host {
	struct handoff__rules rules;    /* of the helper that starts */
	struct handoff__queue queue;    /* the same */
	struct handoff__queue readable; /* of another one, that lives */
	enum handoff__rules_way way;
};

static void
on_packet(void *arg, uint32_t id, const unsigned char *data, size_t len,
	bool whole)
{
	(void)arg;
	(void)id;
	(void)data;
	(void)len;
	(void)whole;
}

static void
open_rules(struct handoff__rules *rules, const char *name,
	const struct handoff__gate_address *of, enum handoff__rules_way way)
{
	struct handoff__error error = {""};

	if (handoff__rules_open(rules, &error) < 0 ||
		handoff__rules_name(rules, name, of, 2, &error) < 0)
		fail_msg("%s", error.text);
	if (way == HANDOFF__RULES_LEGACY)
		rules->way = way;
	else if (handoff__rules_probe(rules, &error) < 0)
		fail_msg("%s", error.text);
}

static void
open_host(struct host *h, enum handoff__rules_way way)
{
	struct handoff__error error = {""};

	h->way = way;
	if (unshare(CLONE_NEWNET) < 0) {
		print_message("SKIP: needs root: a network namespace\n");
		skip();
	}
	if (handoff__rules_open(&h->rules, &error) < 0) {
		print_message("SKIP: %s\n", error.text);
		skip();
	}
	assert_int_equal(
		handoff__rules_name(&h->rules, "new", addresses, 2, &error), 0);
	if (handoff__rules_probe(&h->rules, &error) < 0 ||
		(way == HANDOFF__RULES_LEGACY &&
			handoff__legacy_probe(&h->rules.legacy, 4) < 0)) {
		handoff__rules_close(&h->rules);
		print_message(
			"SKIP: packets cannot be queued so: %s\n", error.text);
		skip();
	}
	if (way == HANDOFF__RULES_LEGACY)
		h->rules.way = way;
	if (handoff__queue_open(&h->queue, on_packet, NULL, &error) < 0 ||
		handoff__queue_open(&h->readable, on_packet, NULL, &error) <
			0 ||
		handoff__queue_bind(&h->readable, TAKEN, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(h->readable.number, TAKEN);
}

static void
close_host(struct host *h)
{
	handoff__queue_close(&h->readable);
	handoff__queue_close(&h->queue);
	handoff__rules_close(&h->rules);
}

/* A helper has put its rules in place, and is gone. */
static void
leave(const struct host *h, const char *name,
	const struct handoff__gate_address *of, uint16_t number)
{
	struct handoff__error error = {""};
	struct handoff__rules rules;

	open_rules(&rules, name, of, h->way);
	if (handoff__rules_install(&rules, number, &error) < 0)
		fail_msg("%s", error.text);
	handoff__rules_close(&rules);
}

static bool
is_there(const struct host *h, const char *name)
{
	struct handoff__rules rules;
	bool there;

	open_rules(&rules, name, addresses, h->way);
	there = handoff__rules_found(&rules) == 1;
	handoff__rules_close(&rules);
	return there;
}

static uint32_t
remove_leftovers(struct host *h)
{
	struct handoff__error error = {""};
	struct handoff__leftovers found;
	uint32_t n;

	if (handoff__leftover_find(&found, &h->rules, &h->queue, &error) < 0)
		fail_msg("%s", error.text);
	n = found.n;
	if (handoff__leftover_remove(&found, &h->rules, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(found.n, 0);
	return n;
}

static void
rules_that_drop_are_removed(enum handoff__rules_way way)
{
	struct host h;

	open_host(&h, way);
	assert_int_equal(remove_leftovers(&h), 0);
	leave(&h, "old", addresses, FREE);
	leave(&h, "older", addresses, FREE + 1);
	assert_true(is_there(&h, "old"));
	assert_int_equal(remove_leftovers(&h), 2);
	assert_false(is_there(&h, "old"));
	assert_false(is_there(&h, "older"));
	assert_int_equal(remove_leftovers(&h), 0);
	close_host(&h);
}

/* Those of a helper that lives, of another service, and its own. */
static void
all_others_stay(enum handoff__rules_way way)
{
	struct handoff__error error = {""};
	struct host h;

	open_host(&h, way);
	leave(&h, "new", addresses, FREE);
	leave(&h, "lives", addresses, TAKEN);
	leave(&h, "stranger", strangers, FREE + 1);
	assert_int_equal(remove_leftovers(&h), 0);
	assert_true(is_there(&h, "new"));
	assert_true(is_there(&h, "lives"));
	assert_true(is_there(&h, "stranger"));
	/* nor does one that reads its queue itself take that for free */
	if (handoff__queue_bind(&h.queue, FREE, &error) < 0)
		fail_msg("%s", error.text);
	leave(&h, "old", addresses, FREE);
	assert_int_equal(remove_leftovers(&h), 0);
	assert_true(is_there(&h, "old"));
	close_host(&h);
}

static void
nft_rules_that_drop_are_removed(void **state)
{
	(void)state;
	rules_that_drop_are_removed(HANDOFF__RULES_NONE);
}

static void
all_others_of_nft_stay(void **state)
{
	(void)state;
	all_others_stay(HANDOFF__RULES_NONE);
}

static void
chains_that_drop_are_removed(void **state)
{
	(void)state;
	rules_that_drop_are_removed(HANDOFF__RULES_LEGACY);
}

static void
all_other_chains_stay(void **state)
{
	(void)state;
	all_others_stay(HANDOFF__RULES_LEGACY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(nft_rules_that_drop_are_removed),
		handoff_test(all_others_of_nft_stay),
		handoff_test(chains_that_drop_are_removed),
		handoff_test(all_other_chains_stay),
	};

	return cmocka_run_group_tests_name("leftover", tests, NULL, NULL);
}
