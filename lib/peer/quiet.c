/* SPDX-License-Identifier: MIT */
/*
 * Entries that follow a give one by one, as their handlers return. They have
 * no READY of their own: what the other has not accepted after a while is
 * taken back.
 */
#include "peer/quiet.h"

#include "peer/core.h"
#include "peer/offer.h"

void
handoff__peer_quiet_all(struct handoff__peer *peer,
	struct handoff__entry **list, uint32_t count)
{
	struct handoff__msg msg = {.cause = HANDOFF__REST};
	struct handoff__batch batch = {.connections = 0};
	bool waited = peer->give.step == HANDOFF__GIVE_DRAIN;

	for (uint32_t i = 0; i < count && handoff__link_up(&peer->link); i++) {
		struct handoff__entry *e = list[i];

		if (!e->leaving)
			continue;
		e->leaving = false;
		handoff__offer_ref(e, 0, &msg.refs[msg.nrefs]);
		msg.nrefs += handoff__offer_entry(peer, e, &batch);
	}
	if (msg.nrefs == 0)
		return;
	handoff__tally_moved(
		peer, HANDOFF__WAY_OUT, &batch, &peer->give.report);
	handoff__offer_ring(peer, &msg);
	peer->ops->settle(peer);
	peer->give.strays_us = handoff__now_us();
	if (!waited)
		return;
	if (peer->give.asked)
		handoff__offer_took_until(&peer->give, handoff__now_us());
	peer->give.waiting -= msg.nrefs;
	peer->noted = true;
}

void
handoff__peer_quiet(struct handoff__peer *peer, struct handoff__entry *e)
{
	handoff__peer_quiet_all(peer, &e, 1);
}

/* What followed one by one has no READY of its own: it is looked after later.
 */
void
handoff__quiet_strays(struct handoff__peer *peer, int64_t now)
{
	struct handoff__batch back = {.connections = 0};

	if (peer->give.strays_us == 0 || handoff__peer_moving(peer) ||
		now - peer->give.strays_us < (int64_t)HANDOFF__TAKEN_MS * 1000)
		return;
	peer->give.strays_us = 0;
	handoff__offer_revoke(peer, &back);
	handoff__tally_unmoved(peer, &back, &peer->give.report);
	if (back.connections + back.listeners > 0)
		handoff__log(peer->log, HANDOFF_LOG_WARNING,
			"handoff: %u that followed later not taken in time, "
			"and served here again",
			back.connections + back.listeners);
}
