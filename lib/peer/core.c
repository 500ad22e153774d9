/* SPDX-License-Identifier: MIT */
/*
 * What all machines of a peer stand on: the generation, a free record, and
 * notes of what is to be acted upon after the turn. Knows none of the
 * machines.
 */
#include "peer/core.h"

#include <errno.h>

uint64_t
handoff__peer_generation(struct handoff__peer *peer)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);

	return board ? atomic_load(&board->generation) : 0;
}

void
handoff__core_break(struct handoff__peer *peer, const char *why)
{
	if (!handoff__link_up(&peer->link))
		return;
	handoff__copy(peer->cut_why, sizeof(peer->cut_why), why);
	handoff__link_fail(&peer->link, -ECANCELED);
}

void
handoff__core_process_ended(struct handoff__peer *peer)
{
	peer->ended = true;
}

static bool
is_vacant(void *arg, uint32_t segment, uint32_t slot)
{
	struct handoff__entry *entry = handoff__roster_cell(arg, segment, slot);

	return entry && entry->id == 0;
}

int
handoff__core_alloc(
	struct handoff__peer *peer, uint32_t *segment, uint32_t *slot)
{
	int err = handoff__arena_alloc(&peer->arena, (uint32_t)peer->slot,
		is_vacant, &peer->roster, segment, slot);

	if (err != -ENOSPC)
		return err;
	err = handoff__arena_grow(&peer->arena, &peer->geo);
	if (err < 0)
		return err;
	peer->grown = peer->noted = true;
	return handoff__arena_alloc(&peer->arena, (uint32_t)peer->slot,
		is_vacant, &peer->roster, segment, slot);
}

static void
on_deadline(struct handoff__timer *timer)
{
	struct handoff__peer *peer = timer->arg;

	peer->move.late = true;
}

void
handoff__core_init(struct handoff__peer *peer)
{
	peer->move.deadline.fn = on_deadline;
	peer->move.deadline.arg = peer;
}

void
handoff__core_set_deadline(struct handoff__peer *peer, int64_t ms)
{
	if (peer->move.hurried && ms > HANDOFF__HURRY_MS)
		ms = HANDOFF__HURRY_MS;
	peer->move.late = false;
	handoff__timer_arm(peer->loop, &peer->move.deadline, ms * 1000);
}
