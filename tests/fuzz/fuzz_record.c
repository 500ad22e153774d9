/* SPDX-License-Identifier: MIT */
/*
 * Any record, as a dead process may have left it: it is not in order, or
 * whatever is then done with it stays within its buffers and leaves it in
 * order.
 *
 * The input: the fields of the record, most of them as differences, so that
 * some records are nearly in order; then what is done, one step a byte.
 */
#include "fuzz.h"

#include "record/desk.h"
#include "record/snapshot.h"

#include <errno.h>

#define SIZE  4096u
#define STATE 32u

struct input {
	const uint8_t *data;
	size_t left;
};

static uint64_t
take(struct input *in, size_t bytes)
{
	uint64_t v = 0;

	for (; bytes > 0 && in->left > 0; bytes--, in->left--)
		v = v << 8 | *in->data++;
	return v;
}

/* Mostly within the buffers, at times anywhere. */
static uint64_t
distance(struct input *in)
{
	uint64_t v = take(in, 2);

	if (v < 0xff00)
		return v % (2 * SIZE + 100);
	return take(in, 8);
}

static void
fill_commit(struct input *in, struct handoff__commit *c, uint64_t rx_head,
	uint64_t tx_tail)
{
	c->rx_tail = rx_head - distance(in);
	c->rx_origin = c->rx_tail - distance(in);
	c->tx_head = tx_tail + distance(in);
	c->tx_origin = tx_tail - distance(in);
	c->flags = (uint32_t)take(in, 1);
}

static void
fill(struct input *in, struct handoff__record *rec)
{
	uint64_t rx_head = distance(in) + 2 * SIZE;
	uint64_t tx_tail = distance(in) + 2 * SIZE;

	memset(rec, 0, sizeof(*rec));
	rec->kind = (uint32_t)take(in, 1);
	atomic_store(&rec->owner, 1);
	rec->id = 1;
	atomic_store(&rec->rx_head, rx_head);
	atomic_store(&rec->tx_tail, tx_tail);
	atomic_store(&rec->sequence, (uint32_t)take(in, 1));
	rec->rx_base = distance(in);
	rec->tx_base = distance(in);
	fill_commit(in, &rec->commit[0], rx_head, tx_tail);
	fill_commit(in, &rec->commit[1], rx_head, tx_tail);
	if (take(in, 1) < 0xf0)
		rec->commit[rec->sequence & 1].sequence = rec->sequence;
	if (take(in, 1) >= 0xf0)
		rec->desk = (uint32_t)take(in, 2);
}

static void
receive(struct input *in, const struct handoff__view *view)
{
	void *at = NULL;
	size_t room = handoff__record_rx_room(view, &at), len;

	check(room <= SIZE);
	len = room > 0 ? (size_t)take(in, 2) % (room + 1) : 0;
	if (len == 0)
		return;
	memset(at, 'i', room); /* recv may write to all of it */
	handoff__record_received(view, len);
}

static void
handle(struct input *in, const struct handoff__view *view)
{
	struct handoff_conn txn;
	unsigned char scratch[SIZE + 100] = {0};
	const void *input;
	size_t len, room;

	handoff__txn_begin(&txn, view);
	input = handoff_conn_input(&txn, &len);
	check(len <= SIZE);
	memcpy(scratch, input, len);
	memset(handoff_conn_state(&txn), 's', STATE);
	check(handoff_conn_consume(&txn, len + 1) == -EINVAL);
	check(handoff_conn_consume(&txn, take(in, 2) % (len + 1)) == 0);
	room = handoff_conn_room(&txn);
	check(room <= SIZE);
	len = (size_t)take(in, 2) % sizeof(scratch);
	check(handoff_conn_write(&txn, scratch, len) ==
		(len < room ? len : room));
	if (take(in, 1) % 4)
		handoff__txn_commit(&txn);
}

static void
transmit(struct input *in, const struct handoff__view *view)
{
	unsigned char scratch[SIZE];
	struct iovec iov[2] = {{.iov_len = 0}, {.iov_len = 0}};
	int n = handoff__record_tx_pieces(view, iov);
	size_t len = iov[0].iov_len + iov[1].iov_len;

	check(n >= 0 && n <= 2 && len <= SIZE);
	check(len == handoff__record_unsent(view->rec));
	for (int i = 0; i < n; i++)
		memcpy(scratch, iov[i].iov_base, iov[i].iov_len);
	handoff__record_sent(view, len > 0 ? take(in, 2) % (len + 1) : 0);
}

/* Of any record, also one that is not in order. */
static void
copy(const struct handoff__view *view, size_t most)
{
	unsigned char state[STATE], bytes[2 * SIZE];
	struct handoff__snapshot snap;

	if (!handoff__snapshot_take(&snap, view, state, bytes, most))
		return;
	check(snap.in <= most && snap.out <= most);
	check(snap.unstable == !handoff__record_ok(view));
}

static void
step(struct input *in, const struct handoff__view *view)
{
	char name[HANDOFF_ADDRESS_MAX];

	switch (take(in, 1) % 8) {
	case 0:
	case 1:
		receive(in, view);
		return;
	case 2:
	case 3:
		handle(in, view);
		return;
	case 4:
		transmit(in, view);
		return;
	case 5:
		handoff__record_flag(view, (uint32_t)take(in, 1));
		handoff__desk_clear(view);
		return;
	case 6:
		(void)handoff__record_repair(view, distance(in), distance(in));
		return;
	default:
		if (handoff__record_name(view, name) == 0)
			check(memchr(name, 0, sizeof(name)));
		handoff__record_discard(view);
		return;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char desks[HANDOFF__DESKS * 3 * SIZE];
	struct handoff__segment seg = {
		.geo = {.layout = HANDOFF__LAYOUT,
			.state_size = STATE,
			.half = STATE,
			.rx_size = SIZE,
			.tx_size = SIZE,
			.buffer_stride = 3 * SIZE},
		.desks = desks,
	};
	struct input in = {.data = data, .left = size};
	/* Each apart, so that a step out of one is seen. */
	struct handoff__view view = {
		.rec = malloc(sizeof(struct handoff__record) + 2 * STATE),
		.rx = calloc(2, SIZE),
		.tx = calloc(1, SIZE),
		.seg = &seg,
	};

	check(view.rec && view.rx && view.tx);
	fill(&in, view.rec);
	memset(view.rec + 1, 0, 2 * STATE);
	copy(&view, (size_t)take(&in, 2) % SIZE);
	if (handoff__record_ok(&view)) {
		while (in.left > 0) {
			step(&in, &view);
			check(handoff__record_ok(&view));
			copy(&view, SIZE);
		}
	}
	free(view.rec);
	free(view.rx);
	free(view.tx);
	return 0;
}
