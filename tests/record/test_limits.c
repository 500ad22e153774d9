/* SPDX-License-Identifier: MIT */
/*
 * A state of the greatest size, that of a service which wraps another one and
 * keeps input and output for it: in a transaction, a snapshot and a parcel, and
 * what a record with little of it takes.
 */
#include "record/parcels.h"

#include "record/snapshot.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static unsigned char state[HANDOFF__STATE_MAX];

static unsigned char
byte_at(size_t i)
{
	return (unsigned char)(i * 2654435761u >> 11);
}

static void
assert_bytes(const unsigned char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] != byte_at(i))
			fail_msg("byte %zu of %zu", i, len);
	}
}

static void
fill(struct handoff_conn *txn, size_t from, size_t to)
{
	unsigned char *s = handoff_conn_state_resize(txn, to);

	assert_non_null(s);
	for (size_t i = from; i < to; i++) {
		assert_int_equal(s[i], 0);
		s[i] = byte_at(i);
	}
}

static size_t
resident(const struct handoff__view *view)
{
	size_t pages = 2 * (size_t)HANDOFF__STATE_MAX / 4096 - 2, count = 0;
	unsigned char *in = malloc(pages);
	char *at = (char *)(((uintptr_t)view->rec + 4095) & ~(uintptr_t)4095);

	assert_non_null(in);
	assert_int_equal(mincore(at, pages * 4096, in), 0);
	for (size_t i = 0; i < pages; i++)
		count += in[i] & 1;
	free(in);
	return count;
}

static void
host_of(struct host *h)
{
	handoff__arena_init(&h->arena);
	handoff__arena_name(&h->arena, handoff__lock_name(1, 0));
	assert_int_equal(handoff__geometry_make(&h->geo, HANDOFF__STATE_MAX,
				 HANDOFF__BUFFER_MAX, HANDOFF__BUFFER_MAX),
		0);
	h->geo.state_version = h->arena.version = VERSION;
	assert_int_equal(handoff__arena_grow(&h->arena, &h->geo), 0);
}

static void
state_grows_to_the_limit_and_no_further(void **none)
{
	static unsigned char bytes[2 * SIZE];
	struct handoff__snapshot snap;
	struct handoff_conn txn;
	struct handoff__view view;
	struct host h;

	(void)none;
	host_of(&h);
	parcels_record(&h, &view);
	handoff__record_set_id(view.rec, 7);
	handoff__txn_begin(&txn, &view);
	fill(&txn, 0, 100);
	handoff__txn_commit(&txn);
	assert_true(resident(&view) <= 2);
	handoff__txn_begin(&txn, &view);
	assert_null(handoff_conn_state_resize(&txn, HANDOFF__STATE_MAX + 1));
	assert_int_equal(handoff_conn_state_len(&txn), 100);
	fill(&txn, 100, HANDOFF__STATE_MAX);
	handoff__txn_commit(&txn);
	/* the other half gets all of it too */
	handoff__txn_begin(&txn, &view);
	assert_bytes(txn.state, HANDOFF__STATE_MAX);
	handoff__txn_commit(&txn);
	assert_true(handoff__record_ok(&view));
	assert_true(handoff__snapshot_take(
		&snap, &view, state, bytes, sizeof(bytes)));
	assert_false(snap.unstable);
	assert_int_equal(snap.state_len, HANDOFF__STATE_MAX);
	assert_bytes(state, HANDOFF__STATE_MAX);
	parcels_end(&h);
}

static void
cleared_state_has_no_pages(void **none)
{
	struct handoff_conn txn;
	struct handoff__view view;
	struct host h;

	(void)none;
	support_not_emulated("memory that is given back");
	host_of(&h);
	parcels_record(&h, &view);
	handoff__txn_begin(&txn, &view);
	fill(&txn, 0, HANDOFF__STATE_MAX);
	handoff__txn_commit(&txn);
	assert_true(resident(&view) > 2);
	handoff__arena_clear(&h.arena, 0, 0);
	assert_true(resident(&view) <= 2);
	parcels_end(&h);
}

static void
fill_record(const struct handoff__view *view)
{
	struct handoff_conn txn;
	void *at = NULL;

	view->rec->kind = HANDOFF__CONNECTION;
	handoff__record_set_id(view->rec, 77);
	handoff__record_skip_posts(view);
	assert_int_equal(
		handoff__record_rx_room(view, &at), HANDOFF__BUFFER_MAX);
	for (size_t i = 0; i < HANDOFF__BUFFER_MAX; i++)
		((unsigned char *)at)[i] = byte_at(i);
	handoff__record_received(view, HANDOFF__BUFFER_MAX);
	handoff__txn_begin(&txn, view);
	fill(&txn, 0, HANDOFF__STATE_MAX);
	assert_int_equal(handoff_conn_write(&txn, at, HANDOFF__BUFFER_MAX),
		HANDOFF__BUFFER_MAX);
	handoff__commit_wrap(txn.next, 5);
	txn.next->flags |= HANDOFF__OPENED | HANDOFF__HOLDS_INPUT;
	handoff__txn_commit(&txn);
	handoff__record_touch(view->rec);
	handoff__record_mark(view->rec, HANDOFF__PENDING);
}

static void
parcel_has_room_for_all(void **none)
{
	struct handoff__error error = {""};
	struct handoff__parcel parcel;
	struct handoff__view from, to;
	struct host a, b;
	uint32_t which;

	(void)none;
	host_of(&a);
	host_of(&b);
	parcels_record(&a, &from);
	fill_record(&from);
	if (handoff__parcel_take(&parcel, &from, NOW_MS, &error) < 0)
		fail_msg("%s", error.text);
	assert_in_range(handoff__parcel_size(&parcel),
		HANDOFF__STATE_MAX + 2 * HANDOFF__BUFFER_MAX,
		HANDOFF__PARCEL_MOST);
	handoff__parcel_free(&parcel);
	parcels_send(&from, &b, &to);
	assert_true(handoff__record_ok(&to));
	which = handoff__record_sequence(to.rec) & 1;
	assert_int_equal(
		handoff__record_commit(to.rec)->state_len, HANDOFF__STATE_MAX);
	assert_bytes(handoff__record_state(&to, which), HANDOFF__STATE_MAX);
	assert_bytes(to.rx, HANDOFF__BUFFER_MAX);
	assert_int_equal(handoff__record_unsent(to.rec), HANDOFF__BUFFER_MAX);
	assert_true(
		handoff__record_commit(to.rec)->flags & HANDOFF__HOLDS_INPUT);
	parcels_end(&a);
	parcels_end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(state_grows_to_the_limit_and_no_further),
		handoff_test(cleared_state_has_no_pages),
		handoff_test(parcel_has_room_for_all),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
