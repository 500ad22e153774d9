/* SPDX-License-Identifier: MIT */
/*
 * Bringing service home: which of the moves it takes, as things are.
 */
#include "peer/peer.h"

#include <errno.h>

static int
no_way(struct handoff__peer *peer)
{
	char who[64];

	if (peer->serving)
		return handoff__fail(&peer->error, -EALREADY,
			"%s serves already: nothing is to come home",
			peer->name);
	if (peer->partner != HANDOFF__PARTNER_READY)
		return handoff__fail(&peer->error, -ENOTCONN,
			"no peer serves in %s: nothing is to come home",
			peer->dir.path);
	return handoff__fail(&peer->error, -EPERM,
		"no maintenance is under way: %s serves",
		handoff__peer_partner_text(peer, who));
}

int
handoff__peer_home(struct handoff__peer *peer, bool silent)
{
	if (!peer->serving && handoff__peer_away(peer))
		return handoff__peer_take(
			peer, silent ? HANDOFF__HOME_SILENT : HANDOFF__HOME);
	/* After a READY some clients may never have come. */
	if (!peer->serving && silent && peer->roster.connections > 0)
		return handoff__peer_give(peer, HANDOFF__REST);
	handoff__tally_refused(&peer->tally, HANDOFF__WAY_IN);
	return no_way(peer);
}
