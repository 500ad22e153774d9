/* SPDX-License-Identifier: MIT */
/*
 * Makes this peer the owner, and emits OWNER and STANDBY.
 */
#include "embed/embed.h"

#include "base/still.h"

int
handoff__embed_own(struct handoff_peer *peer)
{
	int err = handoff__pair_own(&peer->pair, 1);

	if (err < 0) {
		peer->error = peer->pair.error;
		return err;
	}
	if (peer->lease)
		handoff__operator_emit(&peer->op, HANDOFF_PEER_WAITING,
			"waiting: for the lease of %s", peer->service_name);
	else
		handoff__operator_emit(&peer->op, HANDOFF_PEER_OWNER,
			"owner: serves %s (generation 1)", peer->service_name);
	return 0;
}

/* Clients are refused at once, and so is a call of accept(2), before the
 * program has withdrawn them. */
static void
end_listeners(struct handoff__pair *below)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&below->roster, e))) {
		if (e->fd >= 0 && e->kind == HANDOFF__LISTENER)
			handoff__still_reset(e->fd);
	}
}

static void
tell_lease(struct handoff_peer *peer, const char *text)
{
	handoff__operator_emit(
		&peer->op, HANDOFF_PEER_LEASE, "lease: %s", text);
}

void
handoff__embed_leased(
	struct handoff_peer *peer, enum handoff__lease_action action)
{
	unsigned long long generation = handoff__pair_generation(&peer->pair);

	switch ((int)action) {
	case HANDOFF__LEASE_WON:
		handoff__operator_emit(&peer->op, HANDOFF_PEER_OWNER,
			"owner: has the lease and serves %s (generation %llu)",
			peer->service_name, generation);
		return;
	case HANDOFF__LEASE_RESET:
		end_listeners(&peer->pair);
		handoff__operator_emit(&peer->op, HANDOFF_PEER_WAITING,
			"waiting: the lease of %s is lost: its connections "
			"are reset, its listeners closed",
			peer->service_name);
		return;
	case HANDOFF__LEASE_DOUBTED:
		tell_lease(peer, "in doubt: nothing is accepted");
		return;
	case HANDOFF__LEASE_FREEZE:
		tell_lease(peer, "not valid: everything stands still");
		return;
	case HANDOFF__LEASE_THAW:
		tell_lease(peer, "valid again: everything goes on");
		return;
	case HANDOFF__LEASE_CERTAIN:
		tell_lease(peer, "certain again");
		return;
	default:
		return;
	}
}

enum handoff_may
handoff_peer_may(const struct handoff_peer *peer)
{
	if (!peer)
		return HANDOFF_MAY_NOTHING;
	if (handoff__pair_may_begin(&peer->pair))
		return HANDOFF_MAY_BEGIN;
	return handoff__pair_valid(&peer->pair) ? HANDOFF_MAY_GO_ON
						: HANDOFF_MAY_NOTHING;
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

	/* what was offered last may come back */
	if (!peer->standby_due || below->serving || below->roster.owned > 0 ||
		below->give.follows)
		return;
	peer->standby_due = false;
	handoff__operator_standby(&peer->op, "");
}
