/* SPDX-License-Identifier: MIT */
/*
 * What is known of the other peer: its name, how its program compares with
 * this one, and whether anything can be moved to it or from it now. Only
 * looks.
 */
#include "peer/partner.h"

#include "peer/core.h"

#include <errno.h>
#include <stdio.h>

const char *
handoff__peer_partner_text(const struct handoff__peer *peer, char text[64])
{
	snprintf(text, 64, "%s (pid %u)", peer->other.name, peer->other.pid);
	return text;
}

bool
handoff__partner_older(const struct handoff__peer *peer)
{
	return peer->other.state_version < peer->config.service->state_version;
}

bool
handoff__partner_drifted(
	const struct handoff__peer *peer, const struct handoff__hello *h)
{
	uint64_t own = peer->config.config_hash;

	return h->config_hash != own && h->config_hash != 0 && own != 0;
}

static uint64_t
arena_id(const struct handoff__peer *peer)
{
	return peer->arena.count > 0
		       ? handoff__arena_board(
				 (struct handoff__arena *)(uintptr_t)&peer
					 ->arena)
				 ->id
		       : 0;
}

bool
handoff__partner_again(
	const struct handoff__peer *peer, const struct handoff__hello *hello)
{
	uint64_t own = arena_id(peer);

	return peer->partner == HANDOFF__PARTNER_APART && hello->again &&
	       hello->instance == peer->other.instance &&
	       (hello->arena == own || hello->arena == 0 || own == 0);
}

bool
handoff__peer_rejoining(const struct handoff__peer *peer)
{
	return peer->pidfd >= 0 && !peer->other_leaving &&
	       (peer->partner == HANDOFF__PARTNER_APART ||
		       (peer->partner == HANDOFF__PARTNER_GREETED &&
			       peer->rejoin.again));
}

/* There is a partner, but not one that could take or give anything now. */
static int
check_absent(struct handoff__peer *peer)
{
	char who[64];

	handoff__peer_partner_text(peer, who);
	if (peer->partner == HANDOFF__PARTNER_APART)
		return handoff__fail(&peer->error, -ENOTCONN,
			"the link to %s is closed and its process has not "
			"ended: a failover is under way, or the link is made "
			"anew; try again",
			who);
	if (peer->partner == HANDOFF__PARTNER_GREETED)
		return handoff__fail(&peer->error, -ENOTCONN,
			"%s is still joining: try again", who);
	if (peer->refusal[0])
		return handoff__fail(&peer->error, -ENOTCONN,
			"no standby is attached; the last that tried was "
			"refused: %s",
			peer->refusal);
	return handoff__fail(&peer->error, -ENOTCONN,
		"no standby is attached: start one on %s first",
		peer->dir.path);
}

int
handoff__partner_check(struct handoff__peer *peer, bool give)
{
	char who[64];

	if (handoff__peer_moving(peer))
		return handoff__fail(&peer->error, -EBUSY,
			"a handoff with %s is under way: wait for its end",
			handoff__peer_partner_text(peer, who));
	if (peer->pulse.hung)
		return handoff__fail(&peer->error, -ENOTCONN,
			"%s has said nothing for %u ms: it hangs or is stopped",
			handoff__peer_partner_text(peer, who),
			peer->config.hang_timeout_ms);
	if (peer->partner == HANDOFF__PARTNER_READY && give &&
		handoff__partner_older(peer))
		return handoff__fail(&peer->error, -EPERM,
			"%s has states of version %u and cannot take those of "
			"version %u: stop it and start the new program instead",
			handoff__peer_partner_text(peer, who),
			peer->other.state_version,
			peer->config.service->state_version);
	if (peer->partner == HANDOFF__PARTNER_READY && give &&
		peer->other_leaving)
		return handoff__fail(&peer->error, -ENOTCONN,
			"%s is stopping: it takes nothing any more",
			handoff__peer_partner_text(peer, who));
	return peer->partner == HANDOFF__PARTNER_READY ? 0 : check_absent(peer);
}
