/* SPDX-License-Identifier: MIT */
/* Records on two hosts, and what is the same in both. */
#include "record/parcels.h"

#include "record/snapshot.h"

#include <stdlib.h>
#include <string.h>

void
parcels_host(struct host *h, uint32_t rx, uint32_t tx, uint32_t pass)
{
	handoff__arena_init(&h->arena);
	handoff__arena_name(&h->arena, handoff__lock_name(1, 0));
	assert_int_equal(handoff__geometry_make(&h->geo, STATE, rx, tx), 0);
	h->geo.fold_size = h->fold;
	assert_int_equal(handoff__geometry_extend(&h->geo, pass, 65536, 0), 0);
	h->geo.state_version = h->arena.version = VERSION;
	assert_int_equal(handoff__arena_grow(&h->arena, &h->geo), 0);
}

void
parcels_end(struct host *h)
{
	handoff__arena_fini(&h->arena);
}

void
parcels_record(struct host *h, struct handoff__view *view)
{
	uint32_t segment, slot;

	assert_int_equal(handoff__arena_alloc_fit(&h->arena, &h->geo,
				 handoff__owner_elsewhere(2), record_always,
				 NULL, &segment, &slot),
		0);
	handoff__view_make(view, h->arena.segments[segment], slot);
}

void
parcels_connection(struct host *h, struct handoff__view *view, uint64_t id)
{
	struct handoff_conn txn;
	void *at = NULL;

	parcels_record(h, view);
	view->rec->kind = HANDOFF__CONNECTION;
	handoff__record_use_state(view, 20);
	handoff__record_set_id(view->rec, id);
	handoff__record_skip_posts(view);
	assert_true(handoff__record_rx_room(view, &at) >= 10);
	memcpy(at, "12345input", 10);
	handoff__record_received(view, 10);
	handoff__txn_begin(&txn, view);
	assert_int_equal(handoff_conn_consume(&txn, 5), 0);
	assert_int_equal(handoff_conn_write(&txn, "abcoutput", 9), 9);
	memcpy(txn.state, "the state of service", 20);
	txn.next->flags |= HANDOFF__OPENED;
	handoff__txn_commit(&txn);
	handoff__record_touch(view->rec);
	handoff__record_sent(view, 3);
	handoff__record_mark(view->rec, HANDOFF__PENDING);
}

unsigned char *
parcels_message(const struct handoff__parcel *parcel, size_t *size)
{
	struct handoff__error error = {""};
	unsigned char *data;

	*size = handoff__parcel_size(parcel);
	data = malloc(*size);
	assert_non_null(data);
	assert_int_equal(
		handoff__parcel_encode(parcel, data, *size, &error), 0);
	return data;
}

void
parcels_send(const struct handoff__view *from, struct host *to,
	struct handoff__view *view)
{
	struct handoff__error error = {""};
	struct handoff__parcel parcel, got;
	unsigned char *data;
	size_t size;

	if (handoff__parcel_take(&parcel, from, NOW_MS, &error) < 0)
		fail_msg("%s", error.text);
	data = parcels_message(&parcel, &size);
	handoff__parcel_free(&parcel);
	assert_int_equal(handoff__parcel_decode(&got, data, size, &error), 0);
	parcels_record(to, view);
	if (handoff__parcel_fill(view, &got, THEN_MS, &error) < 0)
		fail_msg("%s", error.text);
	free(data);
}

struct copy {
	struct handoff__snapshot snap;
	unsigned char state[STATE], *bytes;
};

static void
copy_of(struct copy *copy, const struct handoff__view *view)
{
	size_t most = (size_t)view->seg->geo.rx_size + view->seg->geo.tx_size;

	memset(copy, 0, sizeof(*copy));
	copy->bytes = malloc(most);
	assert_non_null(copy->bytes);
	assert_true(handoff__snapshot_take(
		&copy->snap, view, copy->state, copy->bytes, most));
	assert_false(copy->snap.unstable);
}

static void
assert_same_extra(
	const struct handoff__extra *a, const struct handoff__extra *b)
{
	assert_int_equal(a->tag, b->tag);
	assert_int_equal(a->leader, b->leader);
	assert_int_equal(a->pair, b->pair);
	assert_int_equal(a->since_ms, b->since_ms);
	assert_int_equal(a->outgoing, b->outgoing);
	for (size_t i = 0; i < HANDOFF__LABEL_MAX / 8; i++)
		assert_int_equal(a->label[i], b->label[i]);
	assert_memory_equal(&a->client, &b->client, sizeof(a->client));
}

void
parcels_assert_same(
	const struct handoff__view *a, const struct handoff__view *b)
{
	struct copy x, y;

	copy_of(&x, a);
	copy_of(&y, b);
	assert_true(handoff__record_ok(b));
	assert_int_equal(x.snap.id, y.snap.id);
	assert_int_equal(x.snap.kind, y.snap.kind);
	assert_int_equal(x.snap.activity, y.snap.activity);
	assert_int_equal(x.snap.flags, y.snap.flags);
	assert_int_equal(x.snap.received, y.snap.received);
	assert_int_equal(x.snap.consumed, y.snap.consumed);
	assert_int_equal(x.snap.produced, y.snap.produced);
	assert_int_equal(x.snap.sent, y.snap.sent);
	assert_int_equal(x.snap.deaths, y.snap.deaths);
	assert_int_equal(x.snap.in, y.snap.in);
	assert_int_equal(x.snap.out, y.snap.out);
	assert_memory_equal(x.bytes, y.bytes, x.snap.in + x.snap.out);
	assert_int_equal(x.snap.state_len, y.snap.state_len);
	assert_memory_equal(x.state, y.state, x.snap.state_len);
	assert_same_extra(&a->rec->extra, &b->rec->extra);
	free(x.bytes);
	free(y.bytes);
}
