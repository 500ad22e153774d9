/* SPDX-License-Identifier: MIT */
/*
 * What all state machines of a peer share: the generation, a free record, and
 * notes of pending work. Knows none of the state machines.
 */
#include "peer/core.h"

#include "record/region.h"

#include <errno.h>

uint64_t
handoff__pair_generation(struct handoff__pair *pair)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);

	return board ? atomic_load(&board->generation) : 0;
}

void
handoff__pair_advance(struct handoff__pair *pair, uint64_t generation)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);
	uint64_t now = board ? atomic_load(&board->generation) : 0;

	while (board && now < generation &&
		!atomic_compare_exchange_weak(
			&board->generation, &now, generation))
		;
}

uint64_t
handoff__core_arena_id(const struct handoff__pair *pair)
{
	const struct handoff__board *board = handoff__arena_board(&pair->arena);

	return board ? board->id : 0;
}

void
handoff__core_break(struct handoff__pair *pair, const char *why)
{
	if (!handoff__link_up(&pair->link))
		return;
	handoff__copy(pair->cut_why, sizeof(pair->cut_why), why);
	handoff__link_fail(&pair->link, -ECANCELED);
}

void
handoff__core_process_ended(struct handoff__pair *pair)
{
	pair->ended = true;
}

static bool
is_vacant(void *arg, uint32_t segment, uint32_t slot)
{
	struct handoff__roster_entry *entry =
		handoff__roster_at(arg, segment, slot);

	return entry && entry->id == 0;
}

static uint64_t
own_stamp(const struct handoff__pair *pair)
{
	const struct handoff_service *service = pair->config.service;

	return handoff__region_stamp_of(
		service->shared_size, service->shared_version);
}

int
handoff__core_share(const struct handoff__pair *pair)
{
	return handoff__region_claim(&pair->arena, own_stamp(pair));
}

uint64_t
handoff__core_shared(const struct handoff__pair *pair)
{
	uint64_t stamp = handoff__region_stamp(&pair->arena);

	return stamp != 0 ? stamp : own_stamp(pair);
}

/* Logged once, until it succeeds: connections that come are tried again. */
static int
grow(struct handoff__pair *pair)
{
	int err = handoff__arena_grow(&pair->arena, &pair->geo);
	struct handoff__error error = {.text = ""};

	if (err < 0 && pair->config.lock_memory && !pair->ungrown &&
		handoff__arena_may_lock(pair->geo.size, &error) < 0)
		handoff__log(pair->log, HANDOFF_LOG_WARNING,
			"no room for more connections: %s", error.text);
	pair->ungrown = err < 0;
	return err;
}

int
handoff__core_alloc(
	struct handoff__pair *pair, uint32_t *segment, uint32_t *slot)
{
	int err = handoff__arena_alloc(&pair->arena, (uint32_t)pair->place,
		is_vacant, &pair->roster, segment, slot);

	/* of a carrier only the board's owner adds segments, so that no two
	 * get the same number */
	if (err != -ENOSPC ||
		(pair->config.carrier &&
			(!pair->serving || !pair->identity.service[0])))
		return err;
	err = grow(pair);
	if (err < 0)
		return err;
	handoff__core_share(pair);
	pair->grown = pair->noted = true;
	return handoff__arena_alloc(&pair->arena, (uint32_t)pair->place,
		is_vacant, &pair->roster, segment, slot);
}

void
handoff__core_resume(
	struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	if (!(e->marks & HANDOFF__PARKED))
		return;
	handoff__roster_unmark(&pair->roster, e, HANDOFF__PARKED);
	if (pair->ops->resume)
		pair->ops->resume(pair, e);
}

void
handoff__core_stay(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	e->leaving = false;
	handoff__roster_unmark(&pair->roster, e, HANDOFF__ASKED);
	handoff__core_resume(pair, e);
}

static void
on_deadline(struct handoff__timer *timer)
{
	struct handoff__pair *pair = timer->arg;

	pair->move.late = true;
}

void
handoff__core_init(struct handoff__pair *pair)
{
	pair->move.deadline.fn = on_deadline;
	pair->move.deadline.arg = pair;
}

void
handoff__core_set_deadline(struct handoff__pair *pair, int64_t ms)
{
	if (pair->move.hurried && ms > HANDOFF__HURRY_MS)
		ms = HANDOFF__HURRY_MS;
	pair->move.late = false;
	handoff__timer_arm(pair->loop, &pair->move.deadline, ms * 1000);
}
