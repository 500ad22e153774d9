/* SPDX-License-Identifier: MIT */
/*
 * A pair of connections that moves back and forth between two hosts with other
 * buffer sizes, driven at random beside a model of its streams: no byte is
 * lost, repeated or changed, in no buffer and not on the way to the pair.
 */
#include "record/parcels.h"

#include "record/pass.h"

#include <stdlib.h>
#include <string.h>

#define STEPS 40000
#define DEEP  (1u << 20)

/* Bytes in the order in which they are to come out again. */
struct queue {
	unsigned char *bytes;
	size_t first, end;
};

struct side {
	struct handoff__view view;
	struct queue unread, passed, unsent;
	uint64_t received, consumed, sent, produced;
	unsigned char state[STATE];
	size_t state_len;
};

static struct host hosts[2];
static struct side sides[2];
static uint64_t random_state;
static unsigned moves, moved_in, moved_out, moved_passed, moved_folded;
static unsigned char drawn[4 * SIZE];

static uint64_t
draw(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(2685821657736338717);
}

static size_t
draw_size(size_t most)
{
	uint64_t kind = draw() % 4;

	if (most > sizeof(drawn))
		most = sizeof(drawn);
	if (kind == 0 || most == 0)
		return most;
	return (size_t)(draw() % (kind == 1 && most > 40 ? 40 : most + 1));
}

static const unsigned char *
draw_bytes(size_t len)
{
	for (size_t i = 0; i < len; i++)
		drawn[i] = (unsigned char)(draw() >> 33);
	return drawn;
}

static void
push(struct queue *q, const unsigned char *bytes, size_t len)
{
	if (q->end + len > DEEP) {
		memmove(q->bytes, q->bytes + q->first, q->end - q->first);
		q->end -= q->first;
		q->first = 0;
	}
	assert_true(q->end + len <= DEEP);
	memcpy(q->bytes + q->end, bytes, len);
	q->end += len;
}

static size_t
left(const struct queue *q)
{
	return q->end - q->first;
}

static void
pop(struct queue *q, const void *bytes, size_t len)
{
	assert_true(len <= left(q));
	if (len > 0)
		assert_memory_equal(q->bytes + q->first, bytes, len);
	q->first += len;
}

/* Mostly no more than the smaller host can hold, or it would never move. */
static size_t
most_of(const struct queue *q, size_t room)
{
	size_t small = left(q) < SIZE ? SIZE - left(q) : 0;

	return draw() % 16 > 0 && small < room ? small : room;
}

static void
step_receive(struct side *s)
{
	void *at = NULL;
	size_t room = handoff__record_rx_room(&s->view, &at);
	size_t len = draw_size(most_of(&s->unread, room));
	const unsigned char *bytes = draw_bytes(len);

	if (len == 0)
		return;
	memcpy(at, bytes, len);
	handoff__record_received(&s->view, len);
	handoff__record_touch(s->view.rec);
	push(&s->unread, bytes, len);
	s->received += len;
}

/* A handler: consumes, writes, passes, and changes its state. */
static void
step_handle(struct side *s)
{
	struct handoff_conn txn;
	const void *in;
	size_t len, have;
	const unsigned char *bytes;

	handoff__txn_begin(&txn, &s->view);
	in = handoff_conn_input(&txn, &have);
	assert_int_equal(have, left(&s->unread));
	len = draw_size(have);
	assert_int_equal(handoff_conn_consume(&txn, len), 0);
	pop(&s->unread, in, len);
	s->consumed += len;
	len = draw_size(most_of(&s->unsent, handoff_conn_room(&txn)));
	bytes = draw_bytes(len);
	assert_int_equal(handoff_conn_write(&txn, bytes, len), len);
	push(&s->unsent, bytes, len);
	s->produced += len;
	len = draw_size(most_of(&s->passed, handoff_conn_pass_room(&txn)));
	bytes = draw_bytes(len);
	assert_int_equal(handoff_conn_pass(&txn, bytes, len), len);
	push(&s->passed, bytes, len);
	s->state_len = (size_t)(draw() % (STATE + 1));
	assert_non_null(handoff_conn_state_resize(&txn, s->state_len));
	memcpy(s->state, draw_bytes(s->state_len), s->state_len);
	memcpy(txn.state, s->state, s->state_len);
	handoff__txn_commit(&txn);
	handoff__record_touch(s->view.rec);
}

/* From its pair's ring to its own output. */
static void
step_take(struct side *s, struct side *pair)
{
	uint64_t before = handoff__record_unsent(s->view.rec), len;

	handoff__pass_take(&s->view, false);
	len = handoff__record_unsent(s->view.rec) - before;
	assert_true(len <= left(&pair->passed));
	push(&s->unsent, pair->passed.bytes + pair->passed.first, len);
	pair->passed.first += len;
	s->produced += len;
}

static void
step_send(struct side *s)
{
	struct iovec iov[2];
	int n = handoff__record_tx_pieces(&s->view, iov);
	size_t len;

	if (n == 0)
		return;
	len = draw_size(iov[0].iov_len);
	pop(&s->unsent, iov[0].iov_base, len);
	handoff__record_sent(&s->view, len);
	s->sent += len;
}

static void
compare(const struct side *s)
{
	struct handoff__record *rec = s->view.rec;
	const struct handoff__commit *c = handoff__record_commit(rec);

	assert_true(handoff__record_ok(&s->view));
	assert_int_equal(handoff__rx_head(rec), s->received);
	assert_int_equal(c->rx_tail, s->consumed);
	assert_int_equal(c->tx_head, s->produced);
	assert_int_equal(handoff__tx_tail(rec), s->sent);
	assert_int_equal(c->state_len, s->state_len);
	assert_memory_equal(
		handoff__record_valid_state(&s->view), s->state, s->state_len);
}

/* Both go: taken, then filled, then linked. The old records are cleared. */
static void
step_move(void)
{
	const struct host *now = sides[0].view.seg->arena == &hosts[0].arena
					 ? &hosts[0]
					 : &hosts[1];
	struct host *to = now == &hosts[0] ? &hosts[1] : &hosts[0];
	struct handoff__view views[2];

	/* the host with the smaller buffers cannot take everything */
	for (int i = 0; i < 2; i++) {
		if (left(&sides[i].unread) > to->geo.rx_size ||
			left(&sides[i].unsent) > to->geo.tx_size ||
			left(&sides[i].passed) > to->geo.pass_size)
			return;
	}
	moves++;
	for (int i = 0; i < 2; i++) {
		moved_in += left(&sides[i].unread) > 0;
		moved_folded +=
			handoff__record_commit(sides[i].view.rec)->folded;
		moved_out += left(&sides[i].unsent) > 0;
		moved_passed += left(&sides[i].passed) > 0;
		parcels_send(&sides[i].view, to, &views[i]);
		parcels_assert_same(&sides[i].view, &views[i]);
	}
	assert_true(handoff__parcel_link(&views[0], &views[1]));
	assert_true(handoff__parcel_link(&views[1], &views[0]));
	for (int i = 0; i < 2; i++) {
		struct handoff__segment *seg =
			(struct handoff__segment *)(uintptr_t)sides[i].view.seg;
		uint32_t slot =
			(uint32_t)(((unsigned char *)sides[i].view.rec -
					   (unsigned char *)
						   handoff__segment_record(
							   seg, 0)) /
				   seg->geo.stride);

		handoff__arena_clear(
			(struct handoff__arena *)(uintptr_t)seg->arena,
			seg->index, slot);
		handoff__owner_set(&sides[i].view.rec->owner, 0);
		sides[i].view = views[i];
	}
}

static void
step(void)
{
	unsigned i = (unsigned)(draw() % 2);
	struct side *s = &sides[i], *pair = &sides[1 - i];

	switch (draw() % 13) {
	case 0:
	case 1:
	case 2:
		step_receive(s);
		break;
	case 3:
	case 4:
	case 5:
		step_handle(s);
		break;
	case 6:
	case 7:
		step_take(s, pair);
		break;
	case 8:
		step_move();
		break;
	case 9:
		handoff__state_trim(&s->view);
		break;
	default:
		step_send(s);
	}
	compare(&sides[0]);
	compare(&sides[1]);
}

static void
open_side(struct side *s, uint64_t id)
{
	memset(s, 0, sizeof(*s));
	s->unread.bytes = malloc(DEEP);
	s->passed.bytes = malloc(DEEP);
	s->unsent.bytes = malloc(DEEP);
	assert_true(s->unread.bytes && s->passed.bytes && s->unsent.bytes);
	parcels_record(&hosts[0], &s->view);
	s->view.rec->kind = HANDOFF__CONNECTION;
	handoff__record_set_id(s->view.rec, id);
}

static void
close_side(struct side *s)
{
	free(s->unread.bytes);
	free(s->passed.bytes);
	free(s->unsent.bytes);
}

static void
pair_moves_back_and_forth(void **state)
{
	struct handoff_conn txn;

	(void)state;
	random_state = 88172645463325252;
	hosts[0].fold = STATE;
	parcels_host(&hosts[0], SIZE, 2 * SIZE, SIZE);
	parcels_host(&hosts[1], 2 * SIZE, SIZE, 2 * SIZE);
	open_side(&sides[0], 1);
	open_side(&sides[1], 2);
	handoff__txn_begin(&txn, &sides[0].view);
	assert_int_equal(handoff_conn_connect(&txn, "127.0.0.1:1"), 0);
	txn.next->flags |= HANDOFF__OPENED;
	handoff__txn_commit(&txn);
	handoff__pass_join(&sides[0].view, &sides[1].view);
	for (int i = 0; i < STEPS; i++)
		step();
	print_message("%u moves, with input %u, output %u, passed %u, folded "
		      "%u\n",
		moves, moved_in, moved_out, moved_passed, moved_folded);
	/* there was something of each kind to carry */
	assert_true(moves > 500 && moved_in > 300 && moved_out > 300 &&
		    moved_passed > 300 && moved_folded > 100);
	for (int i = 0; i < 2; i++) {
		close_side(&sides[i]);
		parcels_end(&hosts[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(pair_moves_back_and_forth),
	};

	return cmocka_run_group_tests_name("parcel model", tests, NULL, NULL);
}
