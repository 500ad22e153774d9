/* SPDX-License-Identifier: MIT */
/*
 * Entries that follow a give one by one, as their handlers return. They have no
 * READY of their own: offers that were not accepted after a while are revoked.
 */
#include "peer/quiet.h"

#include "peer/core.h"
#include "peer/offer.h"

void
handoff__pair_quiet_all(struct handoff__pair *pair,
	struct handoff__roster_entry **list, uint32_t count)
{
	struct handoff__msg msg = {.cause = HANDOFF__REST};
	struct handoff__moved moved = {.connections = 0};
	bool waited = pair->give.step == HANDOFF__GIVE_DRAIN;

	for (uint32_t i = 0; i < count && handoff__link_up(&pair->link); i++) {
		struct handoff__roster_entry *e = list[i];

		if (!e->leaving)
			continue;
		e->leaving = false;
		handoff__offer_ref(e, 0, &msg.refs[msg.nrefs]);
		msg.nrefs += handoff__offer_entry(pair, e, &moved);
	}
	if (msg.nrefs == 0)
		return;
	handoff__tally_moved(
		pair, HANDOFF__WAY_OUT, &moved, &pair->give.report);
	handoff__offer_ring(pair, &msg);
	pair->ops->settle(pair);
	pair->give.followed_us = handoff__now_us();
	if (!waited)
		return;
	if (pair->give.none_at_once)
		handoff__offer_took_until(&pair->give, handoff__now_us());
	pair->give.waiting -= msg.nrefs;
	pair->noted = true;
}

void
handoff__pair_quiet(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	handoff__pair_quiet_all(pair, &e, 1);
}

void
handoff__quiet_revoke_late(struct handoff__pair *pair, int64_t now)
{
	struct handoff__moved back = {.connections = 0};

	if (pair->give.followed_us == 0 || handoff__pair_moving(pair) ||
		now - pair->give.followed_us <
			(int64_t)HANDOFF__TAKEN_MS * 1000)
		return;
	pair->give.followed_us = 0;
	handoff__offer_revoke(pair, HANDOFF__UNTAKEN, &back);
	handoff__tally_unmoved(pair, &back, &pair->give.report);
	if (back.connections + back.listeners > 0)
		handoff__log(pair->log, HANDOFF_LOG_WARNING,
			"handoff: entries that followed later, were not "
			"accepted in time and are served here again: %u",
			back.connections + back.listeners);
}
