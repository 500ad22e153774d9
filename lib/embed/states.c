/* SPDX-License-Identifier: MIT */
/*
 * The states of entries: written to the spare copy, made the valid one by a
 * commit. A state is in its record, behind its length; that of data is in
 * memory of its own, and only the length in the record.
 */
#include "embed/embed.h"

#include <errno.h>
#include <string.h>

/* The word in front of the valid state, or of the spare one. */
static uint64_t *
word_of(const struct handoff_entry *e, bool spare)
{
	const struct handoff__view *view = &e->entry.view;

	return handoff__record_state(
		view, (handoff__record_sequence(view->rec) & 1) ^ spare);
}

static bool
second_half(const struct handoff_entry *e)
{
	return (*word_of(e, false) & HANDOFF__DATA_SECOND) != 0;
}

static void *
bytes_of(const struct handoff_entry *e, bool spare)
{
	return e->entry.kind == HANDOFF__DATA
		       ? handoff__data_half(&e->memory, second_half(e) ^ spare)
		       : (unsigned char *)(word_of(e, spare) + 1);
}

size_t
handoff__embed_room(const struct handoff_entry *e)
{
	return e->entry.kind == HANDOFF__DATA
		       ? e->memory.half
		       : e->entry.view.seg->geo.state_size - sizeof(uint64_t);
}

/* Writes the whole state, so the old one is not copied. */
void
handoff__embed_write(struct handoff_entry *e, const void *state, size_t len)
{
	handoff__prepare_commit(
		&e->entry.view, handoff__record_sequence(e->entry.view.rec));
	if (len > 0)
		memcpy(bytes_of(e, true), state, len);
}

/* Returns the bytes of the record's state that this makes. */
size_t
handoff__embed_set_len(struct handoff_entry *e, size_t len)
{
	bool data = e->entry.kind == HANDOFF__DATA;

	*word_of(e, true) =
		len | (data && !second_half(e) ? HANDOFF__DATA_SECOND : 0);
	return sizeof(uint64_t) + (data ? 0 : len);
}

void *
handoff_entry_edit(struct handoff_entry *e)
{
	struct handoff_conn txn;
	const void *state;
	size_t len;

	if (!handoff__embed_serves(e))
		return NULL;
	handoff__txn_begin(&txn, &e->entry.view);
	if (e->entry.kind != HANDOFF__DATA)
		return (uint64_t *)txn.state + 1;
	state = handoff_entry_state(e, &len);
	memcpy(bytes_of(e, true), state, len);
	return bytes_of(e, true);
}

int
handoff_entry_commit(struct handoff_entry *e, size_t len)
{
	if (!handoff__embed_serves(e))
		return -EINVAL;
	if (len > handoff__embed_room(e))
		return -EMSGSIZE;
	if (!handoff__pair_valid(&e->peer->pair))
		return -EAGAIN;
	return handoff__record_flip(
		&e->entry.view, handoff__embed_set_len(e, len));
}

int
handoff_entry_update(struct handoff_entry *e, const void *state, size_t len)
{
	if (!handoff__embed_serves(e) || (len > 0 && !state))
		return -EINVAL;
	if (len > handoff__embed_room(e))
		return -EMSGSIZE;
	handoff__embed_write(e, state, len);
	return handoff_entry_commit(e, len);
}

const void *
handoff_entry_state(const struct handoff_entry *e, size_t *len)
{
	uint64_t used;

	if (!e || !len)
		return NULL;
	*len = 0;
	/* of data that the program does not have */
	if (e->entry.kind == HANDOFF__DATA && !e->memory.base)
		return NULL;
	used = *word_of(e, false);
	if (e->entry.kind == HANDOFF__DATA)
		used &= ~HANDOFF__DATA_SECOND;
	/* another process may have written it */
	*len = used <= handoff__embed_room(e) ? (size_t)used : 0;
	return bytes_of(e, false);
}
