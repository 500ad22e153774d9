/* SPDX-License-Identifier: MIT */
/*
 * Makes this peer the owner, and emits OWNER and STANDBY.
 */
#include "embed/embed.h"

int
handoff__embed_own(struct handoff_peer *peer)
{
	int err = handoff__pair_own(&peer->pair, 1);

	if (err < 0) {
		peer->error = peer->pair.error;
		return err;
	}
	handoff__operator_emit(&peer->op, HANDOFF_PEER_OWNER,
		"owner: serves %s (generation 1)", peer->service_name);
	return 0;
}

void
handoff__embed_owner(struct handoff_peer *peer)
{
	char who[64];

	if (!peer->owner_due)
		return;
	peer->owner_due = false;
	handoff__operator_emit(&peer->op, HANDOFF_PEER_OWNER,
		"owner: took over from %s (generation %llu)",
		handoff__pair_partner_text(&peer->pair, who),
		(unsigned long long)handoff__pair_generation(&peer->pair));
}

void
handoff__embed_standby(struct handoff_peer *peer)
{
	const struct handoff__pair *below = &peer->pair;

	if (!peer->standby_due || below->serving || below->roster.owned > 0)
		return;
	peer->standby_due = false;
	handoff__operator_standby(&peer->op, "");
}
