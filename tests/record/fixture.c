/* SPDX-License-Identifier: MIT */
/*
 * A record in an arena of its own.
 */
#include "record/fixture.h"

#include <stdlib.h>
#include <string.h>

bool
record_always(void *arg, uint32_t segment, uint32_t slot)
{
	(void)arg;
	(void)segment;
	(void)slot;
	return true;
}

void
record_arena(struct handoff__arena *arena, uint32_t state_size)
{
	struct handoff__geometry geo;

	handoff__arena_init(arena);
	assert_int_equal(
		handoff__geometry_make(&geo, state_size, SIZE, SIZE), 0);
	assert_int_equal(handoff__arena_grow(arena, &geo), 0);
}

void
record_open(struct fixture *f, uint32_t state_size)
{
	uint32_t segment, slot;

	record_arena(&f->arena, state_size);
	assert_int_equal(handoff__arena_alloc(&f->arena, 1, record_always, NULL,
				 &segment, &slot),
		0);
	handoff__view_make(&f->view, f->arena.segments[segment], slot);
	f->at = f->view;
	f->rec = f->view.rec;
	handoff__record_use_state(&f->view, state_size);
}

void
record_begin_at(struct handoff__record *rec, uint64_t rx, uint64_t tx)
{
	rec->rx_base = rx;
	rec->tx_base = tx;
	for (int i = 0; i < 2; i++)
		rec->commit[i] = (struct handoff__commit){.rx_tail = rx,
			.rx_origin = rx,
			.tx_head = tx,
			.tx_origin = tx};
	handoff__record_set_positions(rec, rx, tx);
}

void
record_close(struct fixture *f)
{
	handoff__arena_fini(&f->arena);
}

size_t
record_room(const struct fixture *f)
{
	void *at;

	return handoff__record_rx_room(&f->view, &at);
}

void
record_receive(const struct fixture *f, const char *data, size_t len)
{
	void *at = NULL;

	assert_true(handoff__record_rx_room(&f->at, &at) >= len);
	memcpy(at, data, len);
	handoff__record_received(&f->at, len);
}

void
record_receive_fill(const struct fixture *f, char byte, size_t len)
{
	char *data = malloc(len);

	assert_non_null(data);
	memset(data, byte, len);
	record_receive(f, data, len);
	free(data);
}

void
record_handle(
	const struct fixture *f, size_t consume, const void *out, size_t len)
{
	struct handoff_conn txn;

	handoff__txn_begin(&txn, &f->at);
	assert_int_equal(handoff_conn_consume(&txn, consume), 0);
	assert_int_equal(handoff_conn_write(&txn, out, len), len);
	handoff__txn_commit(&txn);
}

void
record_assert_input(const struct fixture *f, const char *text)
{
	struct handoff_conn txn;
	const void *input;
	size_t len;

	handoff__txn_begin(&txn, &f->view);
	input = handoff_conn_input(&txn, &len);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(input, text, len);
	assert_int_equal(handoff__record_unread(f->rec), len);
}

void
record_assert_output(const struct fixture *f, const char *text)
{
	struct iovec iov[2] = {{.iov_len = 0}, {.iov_len = 0}};
	int n = handoff__record_tx_pieces(&f->view, iov);
	size_t first = iov[0].iov_len;

	assert_int_equal(n, text[0] == '\0' ? 0 : iov[1].iov_len > 0 ? 2 : 1);
	assert_int_equal(first + iov[1].iov_len, strlen(text));
	assert_int_equal(handoff__record_unsent(f->rec), strlen(text));
	if (n > 0)
		assert_memory_equal(iov[0].iov_base, text, first);
	if (n > 1)
		assert_memory_equal(
			iov[1].iov_base, text + first, iov[1].iov_len);
}

uint32_t
record_alloc(struct handoff__arena *arena, uint32_t owner)
{
	uint32_t segment, slot;

	assert_int_equal(handoff__arena_alloc(arena, owner, record_always, NULL,
				 &segment, &slot),
		0);
	assert_int_equal(
		handoff__arena_record(arena, segment, slot)->owner, owner);
	return segment * HANDOFF__SLOTS + slot;
}

blkcnt_t
record_blocks(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(fstat(f->arena.segments[0]->fd, &st), 0);
	return st.st_blocks;
}
