/* SPDX-License-Identifier: MIT */
/*
 * What an operator may decide about a batch in doubt, and what not. That it
 * becomes true is for tests/hosts.
 */
#include "support/support.h"

#include "ferry/freight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ID UINT64_C(0x12ab)

static struct handoff__ferry *ferry;
static struct handoff__freight *load;

static void
on_timer(struct handoff__timer *timer)
{
	(void)timer;
}

/* One batch of that direction, and no link since long ago. */
static void
make(bool out)
{
	load = handoff__freight_make(ferry, 0, out, on_timer);
	assert_non_null(load);
	if (out)
		handoff__sending_resume(
			&load->s, ID, 7, HANDOFF__BATCH_COMMITTED);
	else
		handoff__receiving_resume(&load->r, ID, 7, HANDOFF__BATCH_OPEN);
	ferry->loads[0] = load;
	ferry->nloads = 1;
}

static int
setup(void **state)
{
	if (support_setup(state) < 0)
		return -1;
	ferry = calloc(1, sizeof(*ferry));
	assert_non_null(ferry);
	strcpy(ferry->other_host, "B");
	assert_int_equal(handoff__loop_init(&ferry->loop), 0);
	load = NULL;
	return 0;
}

static int
teardown(void **state)
{
	handoff__loop_fini(&ferry->loop);
	free(load);
	free(ferry);
	return support_teardown(state);
}

static void
refuse(uint64_t id, bool here, int err, const char *text)
{
	assert_int_equal(handoff__ferry_settle(ferry, id, here), err);
	assert_string_equal(ferry->error.text, text);
}

static void
another_batch(void **state)
{
	(void)state;
	make(true);
	refuse(ID + 1, false, -ENOENT,
		"batch 00000000000012ac is not here: status lists those that "
		"are in doubt");
}

/* Also of one that is lost for a moment only. */
static void
other_host_decides(void **state)
{
	(void)state;
	make(true);
	ferry->greeted = true;
	refuse(ID, false, -EPERM,
		"B can be reached and says itself what has become of it: "
		"nothing was changed");
	ferry->greeted = false;
	ferry->apart_us = handoff__now_us();
	refuse(ID, false, -EPERM,
		"the link to the other host has been down for less than 5 "
		"seconds: try again");
	assert_int_equal(load->s.state, HANDOFF__SENDING_COMMITTED);
}

static void
what_has_left_is_only_dropped(void **state)
{
	(void)state;
	make(true);
	refuse(ID, true, -EPERM,
		"it has left this host: its connections can be dropped here, "
		"not served again");
	assert_int_equal(handoff__ferry_settle(ferry, ID, false), 0);
	assert_int_equal(load->s.state, HANDOFF__SENDING_LOST);
	refuse(ID, false, -EPERM, "it is decided already");
}

/* Nothing of what has come is in this process without the server. */
static void
what_has_come_needs_a_server(void **state)
{
	(void)state;
	make(false);
	refuse(ID, true, -EPERM,
		"no server is here that has its connections: start one first");
	refuse(ID, false, -EPERM,
		"no server is here that has its connections: start one first");
	assert_true(handoff__receiving_in_doubt(&load->r));
	load->r.state = HANDOFF__RECEIVING_SERVING;
	refuse(ID, false, -EPERM, "it is decided already");
}

#define settle_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		settle_test(another_batch),
		settle_test(other_host_decides),
		settle_test(what_has_left_is_only_dropped),
		settle_test(what_has_come_needs_a_server),
	};

	return cmocka_run_group_tests_name("settle", tests, NULL, NULL);
}
