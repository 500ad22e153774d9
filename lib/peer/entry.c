/* SPDX-License-Identifier: MIT */
/*
 * Entries that begin and end with this peer: their record, their cell, their
 * count and their copy change together here. Those that change hands are not
 * its own.
 */
#include "peer/entry.h"

#include "peer/barrier.h"
#include "peer/core.h"

#include <assert.h>
#include <unistd.h>

struct handoff__entry *
handoff__peer_enter(struct handoff__peer *peer, int fd, enum handoff__kind kind,
	const char *name, int *err)
{
	struct handoff__board *board;
	struct handoff__record *rec;
	struct handoff__entry *entry;
	uint32_t segment, slot;

	*err = handoff__core_alloc(peer, &segment, &slot);
	if (*err < 0) {
		close(fd);
		return NULL;
	}
	board = handoff__arena_board(&peer->arena);
	rec = handoff__arena_record(&peer->arena, segment, slot);
	rec->kind = kind;
	handoff__record_set_id(
		rec, handoff__board_number(board, kind == HANDOFF__CONNECTION) |
			     (uint64_t)(kind != HANDOFF__CONNECTION) << 63);
	entry = handoff__roster_cell(&peer->roster, segment, slot);
	handoff__roster_enter(&peer->roster, entry, segment, slot, fd, true);
	if (name)
		handoff__record_set_name(&entry->view, name);
	else
		handoff__record_listen(&entry->view);
	*err = peer->ops->entered(peer, entry);
	if (*err < 0) {
		handoff__arena_clear(&peer->arena, segment, slot);
		handoff__owner_set(&rec->owner, 0);
		handoff__roster_vacate(&peer->roster, entry);
		return NULL;
	}
	handoff__tally_begun(peer, entry);
	if (peer->link.fd >= 0)
		handoff__roster_queue(entry, &peer->roster.to_mirror);
	peer->noted = true;
	return entry;
}

void
handoff__peer_end(struct handoff__peer *peer, struct handoff__entry *entry)
{
	bool known = peer->link.fd >= 0 &&
		     (entry->copy == HANDOFF__COPY_SENT ||
			     entry->copy == HANDOFF__COPY_HELD);

	bool barrier = entry->barrier, leaving = entry->leaving;

	assert(entry->mine);
	entry->barrier = entry->leaving = false;
	peer->ops->closing(peer, entry);
	handoff__tally_ended(peer, entry);
	handoff__arena_clear(&peer->arena, entry->segment, entry->slot);
	handoff__owner_set(&entry->view.rec->owner, 0);
	handoff__roster_close(&peer->roster, entry);
	if (known)
		handoff__roster_queue(entry, &peer->roster.to_drop);
	else
		handoff__roster_vacate(&peer->roster, entry);
	/* Not before: a give that goes on looks at all that live. */
	handoff__barrier_ended(peer, barrier, leaving);
}
