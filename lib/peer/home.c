/* SPDX-License-Identifier: MIT */
/*
 * A maintenance as people mean it: which peer is away and since when, whether
 * a command repeats the last one, and which of the moves brings service home.
 */
#include "peer/home.h"

#include "peer/away.h"
#include "peer/core.h"
#include "peer/moves.h"
#include "peer/partner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool
named(const char *name, const char *peer_name, uint32_t pid)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", pid);
	return strcmp(name, peer_name) == 0 || strcmp(name, number) == 0;
}

/* Is a peer meant, by name, that could be given maintenance? */
static int
repeats_named(
	struct handoff__peer *peer, const char *name, char *text, size_t size)
{
	bool own = named(name, peer->name, (uint32_t)getpid());
	bool other = peer->partner != HANDOFF__PARTNER_NONE &&
		     named(name, peer->other.name, peer->other.pid);
	char who[64];

	handoff__peer_partner_text(peer, who);
	if (own && other)
		return handoff__fail(&peer->error, -EINVAL,
			"both peers have the name %s: name one by its pid, %d "
			"or %u",
			name, (int)getpid(), peer->other.pid);
	if (!own && !other)
		return handoff__fail(&peer->error, -ENOENT,
			"no peer %.31s is here: %s (pid %d) serves", name,
			peer->name, (int)getpid());
	if (own == peer->serving ||
		(own && peer->partner != HANDOFF__PARTNER_READY))
		return 0;
	snprintf(text, size, "%s does not serve, %s does: nothing was changed",
		own ? peer->name : who, own ? who : peer->name);
	return 1;
}

/* Is it another peer than home that serves, in its place? A command may reach
 * the one that served when it was sent. */
static bool
is_kept_away(struct handoff__peer *peer)
{
	if (peer->serving)
		return peer->partner == HANDOFF__PARTNER_NONE ||
		       handoff__away_is_home(peer);
	return peer->partner == HANDOFF__PARTNER_READY &&
	       handoff__away_at_home(peer);
}

int
handoff__peer_repeats(
	struct handoff__peer *peer, const char *name, char *text, size_t size)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);
	const char *serves;
	char away[160];

	if (name[0])
		return repeats_named(peer, name, text, size);
	/* After a failover nobody has asked for one yet. */
	if (!board || atomic_load(&board->away) != HANDOFF__AWAY_MAINTENANCE ||
		!is_kept_away(peer))
		return 0;
	serves = peer->serving ? peer->name : peer->other.name;
	handoff__peer_away_text(peer, away, sizeof(away));
	snprintf(text, size,
		"%s; nothing was changed (to move it from %s all the same, "
		"name it: maintenance %s)",
		away, serves, serves);
	return 1;
}

static int
no_way(struct handoff__peer *peer)
{
	char who[64];

	if (peer->serving)
		return handoff__fail(&peer->error, -EALREADY,
			"%s serves already: nothing is to come home",
			peer->name);
	if (peer->partner == HANDOFF__PARTNER_APART)
		return handoff__fail(&peer->error, -ENOTCONN,
			"the link to %s is closed and its process has not "
			"ended: a failover is under way, or the link is made "
			"anew; try again",
			handoff__peer_partner_text(peer, who));
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
