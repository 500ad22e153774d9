/* SPDX-License-Identifier: MIT */
/*
 * What is known of the other peer: its name, how its program compares with this
 * one, and whether anything can be moved to it or from it now. Changes nothing.
 */
#include "peer/partner.h"

#include "peer/core.h"

#include <errno.h>
#include <stdio.h>

const char *
handoff__pair_partner_text(const struct handoff__pair *pair, char text[64])
{
	snprintf(text, 64, "%s (pid %u)", pair->other.name, pair->other.pid);
	return text;
}

bool
handoff__partner_older(const struct handoff__pair *pair)
{
	return pair->other.state_version < pair->config.service->state_version;
}

bool
handoff__partner_drifted(
	const struct handoff__pair *pair, const struct handoff__hello *h)
{
	uint64_t own = pair->config.config_hash;

	return h->config_hash != own && h->config_hash != 0 && own != 0;
}

static uint64_t
arena_id(const struct handoff__pair *pair)
{
	return pair->arena.count > 0
		       ? handoff__arena_board(
				 (struct handoff__arena *)(uintptr_t)&pair
					 ->arena)
				 ->id
		       : 0;
}

bool
handoff__partner_again(
	const struct handoff__pair *pair, const struct handoff__hello *hello)
{
	uint64_t own = arena_id(pair);

	return pair->partner == HANDOFF__PARTNER_APART && hello->again &&
	       hello->instance == pair->other.instance &&
	       (hello->arena == own || hello->arena == 0 || own == 0);
}

bool
handoff__pair_rejoining(const struct handoff__pair *pair)
{
	return pair->pidfd >= 0 && !pair->other_leaving &&
	       (pair->partner == HANDOFF__PARTNER_APART ||
		       (pair->partner == HANDOFF__PARTNER_GREETED &&
			       pair->rejoin.again));
}

/* Explains why the partner, if any, can take or give nothing now. */
static int
check_absent(struct handoff__pair *pair)
{
	char who[64];

	handoff__pair_partner_text(pair, who);
	if (pair->partner == HANDOFF__PARTNER_APART)
		return handoff__fail(&pair->error, -ENOTCONN,
			"the link to %s is closed and its process has not "
			"ended: a failover is under way, or the link is being "
			"renewed; try again",
			who);
	if (pair->partner == HANDOFF__PARTNER_GREETED)
		return handoff__fail(&pair->error, -ENOTCONN,
			"%s is still joining: try again", who);
	if (pair->refusal[0])
		return handoff__fail(&pair->error, -ENOTCONN,
			"no standby is attached; the last that tried was "
			"refused: %s",
			pair->refusal);
	return handoff__fail(&pair->error, -ENOTCONN,
		"no standby is attached: start one on %s first",
		pair->dir.path);
}

int
handoff__partner_check(struct handoff__pair *pair, bool give)
{
	char who[64];

	if (handoff__pair_moving(pair))
		return handoff__fail(&pair->error, -EBUSY,
			"a handoff with %s is under way: wait for its end",
			handoff__pair_partner_text(pair, who));
	if (pair->pulse.hung)
		return handoff__fail(&pair->error, -ENOTCONN,
			"%s has been silent for %u ms: it hangs or is stopped",
			handoff__pair_partner_text(pair, who),
			pair->config.hang_timeout_ms);
	if (pair->partner == HANDOFF__PARTNER_READY && give &&
		handoff__partner_older(pair))
		return handoff__fail(&pair->error, -EPERM,
			"%s has states of version %u and cannot take those of "
			"version %u: stop it and start the new program instead",
			handoff__pair_partner_text(pair, who),
			pair->other.state_version,
			pair->config.service->state_version);
	if (pair->partner == HANDOFF__PARTNER_READY && give &&
		pair->other_leaving)
		return handoff__fail(&pair->error, -ENOTCONN,
			"%s is stopping: it does not take anything any more",
			handoff__pair_partner_text(pair, who));
	return pair->partner == HANDOFF__PARTNER_READY ? 0 : check_absent(pair);
}
