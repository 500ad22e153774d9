/* SPDX-License-Identifier: MIT */
/*
 * What is known of the other peer: its name, how its program compares with this
 * one, and whether anything can be moved to it or from it now. Changes nothing.
 */
#include "peer/partner.h"

#include "peer/carrier.h"
#include "peer/core.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *
handoff__pair_partner_text(const struct handoff__pair *pair, char text[64])
{
	snprintf(text, 64, "%s%s (pid %u)",
		pair->other.carrier && strcmp(pair->other.name, "ferry") != 0
			? "ferry "
			: "",
		pair->other.name, pair->other.pid);
	return text;
}

/* A carrier has what others have made. */
static uint32_t
own_version(const struct handoff__pair *pair)
{
	return pair->config.carrier ? handoff__carrier_newest(pair)
				    : pair->config.service->state_version;
}

enum handoff__reason
handoff__partner_older(const struct handoff__pair *pair)
{
	if (handoff__partner_layout(&pair->other) < HANDOFF__LAYOUT)
		return HANDOFF__BAD_LAYOUT;
	return !pair->other.carrier &&
			       pair->other.state_version < own_version(pair)
		       ? HANDOFF__BAD_STATE_VERSION
		       : HANDOFF__OK;
}

bool
handoff__partner_reads(
	const struct handoff__pair *pair, const struct handoff__segment *seg)
{
	uint32_t own = pair->config.carrier
			       ? seg->geo.state_version
			       : pair->config.service->state_version;

	if (pair->other.carrier)
		return true;
	return seg->geo.layout <= handoff__partner_layout(&pair->other) &&
	       (seg->geo.state_version != own ||
		       pair->other.state_version >= own);
}

bool
handoff__partner_drifted(
	const struct handoff__pair *pair, const struct handoff__hello *h)
{
	uint64_t own = pair->config.config_hash;

	return h->config_hash != own && h->config_hash != 0 && own != 0 &&
	       !h->carrier && !pair->config.carrier;
}

bool
handoff__partner_again(
	const struct handoff__pair *pair, const struct handoff__hello *hello)
{
	uint64_t own = handoff__core_arena_id(pair);

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

static int
refuse_older(struct handoff__pair *pair)
{
	uint32_t own = own_version(pair);
	char who[64];

	handoff__pair_partner_text(pair, who);
	if (handoff__partner_older(pair) == HANDOFF__BAD_LAYOUT)
		return handoff__fail(&pair->error, -EPERM,
			"%s has records of layout %u and cannot take those of "
			"layout %u: stop it and start the new program instead",
			who, handoff__partner_layout(&pair->other),
			HANDOFF__LAYOUT);
	return handoff__fail(&pair->error, -EPERM,
		"%s has states of version %u and cannot take those of version "
		"%u: stop it and start the new program instead",
		who, pair->other.state_version, own);
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
		handoff__partner_older(pair) != HANDOFF__OK)
		return refuse_older(pair);
	if (pair->partner == HANDOFF__PARTNER_READY && give &&
		pair->other_leaving)
		return handoff__fail(&pair->error, -ENOTCONN,
			"%s is stopping: it does not take anything any more",
			handoff__pair_partner_text(pair, who));
	return pair->partner == HANDOFF__PARTNER_READY ? 0 : check_absent(pair);
}
