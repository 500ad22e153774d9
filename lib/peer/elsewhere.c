/* SPDX-License-Identifier: MIT */
/*
 * Entries of a carrier that leave this host, or come to it: the owner words
 * between its own place and ELSEWHERE, and lists of entries that are offered or
 * asked for. Freezes and restores nothing, and writes no batch word.
 */
#include "peer/elsewhere.h"

#include "peer/companions.h"
#include "peer/core.h"
#include "peer/partner.h"
#include "peer/quiet.h"

#include <errno.h>

bool
handoff__entry_elsewhere(const struct handoff__roster_entry *e, uint32_t *slot)
{
	uint32_t word = handoff__owner_word(&e->view.rec->owner);

	if (!handoff__owner_is_elsewhere(word))
		return false;
	*slot = handoff__owner_slot(word);
	return true;
}

bool
handoff__pair_send_away(struct handoff__pair *pair,
	struct handoff__roster_entry *e, uint32_t slot)
{
	return e->mine && !e->leaving &&
	       handoff__owner_swap(&e->view.rec->owner, (uint32_t)pair->place,
		       handoff__owner_elsewhere(slot));
}

bool
handoff__pair_return(
	struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	uint32_t slot;

	if (!e->mine || !handoff__entry_elsewhere(e, &slot) ||
		!handoff__owner_swap(&e->view.rec->owner,
			handoff__owner_elsewhere(slot), (uint32_t)pair->place))
		return false;
	/* one in doubt came before its leader */
	handoff__companions_join(pair, e);
	return true;
}

bool
handoff__entry_accepted(
	const struct handoff__pair *pair, const struct handoff__roster_entry *e)
{
	return handoff__owner_word(&e->view.rec->owner) ==
	       handoff__pair_other_place(pair);
}

uint32_t
handoff__pair_offer_list(struct handoff__pair *pair,
	struct handoff__roster_entry **list, uint32_t n)
{
	if (handoff__pair_moving(pair) || pair->other_leaving ||
		pair->partner != HANDOFF__PARTNER_READY)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		if (list[i]->mine)
			handoff__companions_join(pair, list[i]);
	}
	return handoff__quiet_offer(pair, list, n);
}

int
handoff__pair_take_list(struct handoff__pair *pair,
	struct handoff__roster_entry **list, uint32_t n)
{
	struct handoff__msg msg = {
		.type = HANDOFF__TAKE, .cause = HANDOFF__REST};
	int err = handoff__partner_check(pair, false);

	if (err < 0)
		return err;
	if (n == 0 || n > HANDOFF_FDPASS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++)
		msg.refs[i] = (struct handoff__ref){.id = list[i]->id,
			.segment = list[i]->segment,
			.slot = list[i]->slot};
	msg.nrefs = n;
	handoff__link_send(&pair->link, &msg, -1);
	return 0;
}

void
handoff__pair_take_no_more(struct handoff__pair *pair)
{
	struct handoff__msg msg = {
		.type = HANDOFF__TAKE, .cause = HANDOFF__REST};

	if (handoff__link_up(&pair->link))
		handoff__link_send(&pair->link, &msg, -1);
}

uint32_t
handoff__pair_forget_batch(struct handoff__pair *pair, uint32_t batch)
{
	struct handoff__arena *arena = &pair->arena;
	uint32_t count = 0;

	for (uint32_t i = 0; i < arena->count; i++) {
		for (uint32_t s = 0; s < arena->segments[i]->geo.slots; s++) {
			struct handoff__record *rec =
				handoff__arena_record(arena, i, s);

			if (handoff__owner_word(&rec->owner) !=
					handoff__owner_elsewhere(batch) ||
				handoff__roster_find(&pair->roster, i, s,
					handoff__record_id(rec)))
				continue;
			handoff__arena_clear(arena, i, s);
			handoff__owner_set(&rec->owner, 0);
			handoff__arena_vacate(arena, i, s);
			count++;
		}
	}
	return count;
}

void
handoff__pair_succeed(struct handoff__pair *pair, uint64_t generation)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);
	uint64_t now = board ? atomic_load(&board->generation) : generation;

	while (now < generation &&
		!atomic_compare_exchange_weak(
			&board->generation, &now, generation))
		;
}
