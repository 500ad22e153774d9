/* SPDX-License-Identifier: MIT */
/*
 * Maintenance as an operator sees it: which peer is away and since when,
 * whether a command repeats the last one, and which move brings the service
 * home.
 */
#include "peer/home.h"

#include "peer/away.h"
#include "peer/core.h"
#include "peer/idle.h"
#include "peer/moves.h"
#include "peer/partner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SERVES_ALREADY "%s serves already: nothing to bring home"

static bool
named(const char *name, const char *peer_name, uint32_t pid)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", pid);
	return strcmp(name, peer_name) == 0 || strcmp(name, number) == 0;
}

/* Whether the named peer exists, and whether it has anything to give. */
static int
repeats_named(
	struct handoff__pair *pair, const char *name, char *text, size_t size)
{
	bool own = named(name, pair->name, (uint32_t)getpid());
	bool other = pair->partner != HANDOFF__PARTNER_NONE &&
		     named(name, pair->other.name, pair->other.pid);
	char who[64];

	handoff__pair_partner_text(pair, who);
	if (own && other)
		return handoff__fail(&pair->error, -EINVAL,
			"both peers have the name %s: name one by its pid, %d "
			"or %u",
			name, (int)getpid(), pair->other.pid);
	if (!own && !other)
		return handoff__fail(&pair->error, -ENOENT,
			"no peer %.31s is here: %s (pid %d) serves", name,
			pair->name, (int)getpid());
	if (own == pair->serving ||
		(own && pair->partner != HANDOFF__PARTNER_READY))
		return 0;
	snprintf(text, size, "%s does not serve, %s does: nothing was changed",
		own ? pair->name : who, own ? who : pair->name);
	return 1;
}

/* Whether another peer than the home serves in its place. The command may reach
 * the peer that was serving when it was sent. */
static bool
is_kept_away(struct handoff__pair *pair)
{
	if (pair->serving)
		return pair->partner == HANDOFF__PARTNER_NONE ||
		       handoff__away_is_home(pair);
	return pair->partner == HANDOFF__PARTNER_READY &&
	       handoff__away_at_home(pair);
}

int
handoff__pair_repeats(
	struct handoff__pair *pair, const char *name, char *text, size_t size)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);
	const char *serves;
	char away[160];
	int err = handoff__idle_check(pair);

	if (err < 0)
		return err;
	if (name[0])
		return repeats_named(pair, name, text, size);
	/* after a failover no maintenance was requested yet */
	if (!board || atomic_load(&board->away) != HANDOFF__AWAY_MAINTENANCE ||
		!is_kept_away(pair))
		return 0;
	serves = pair->serving ? pair->name : pair->other.name;
	handoff__pair_away_text(pair, away, sizeof(away));
	snprintf(text, size,
		"%s; nothing was changed (to move it from %s all the same, "
		"name it: maintenance %s)",
		away, serves, serves);
	return 1;
}

/* Connections that stayed after a READY can still be brought silently. */
bool
handoff__pair_is_home(
	struct handoff__pair *pair, bool silent, char *text, size_t size)
{
	char who[64];

	if (!handoff__arena_board(&pair->arena) || handoff__pair_away(pair) ||
		pair->partner != HANDOFF__PARTNER_READY ||
		handoff__pair_idle(pair) != HANDOFF__IDLE_NOT)
		return false;
	if (silent && !pair->serving && pair->roster.connections > 0)
		return false;
	snprintf(text, size, SERVES_ALREADY,
		pair->serving ? pair->name
			      : handoff__pair_partner_text(pair, who));
	return true;
}

/* It may have taken over since the command was sent to the standby. */
static int
explain_serving(struct handoff__pair *pair)
{
	char who[64];

	if (pair->partner == HANDOFF__PARTNER_READY && !pair->other.carrier)
		return handoff__fail(&pair->error, -EALREADY,
			"%s serves already: %s is the standby now; repeat this "
			"to bring the service home to it",
			pair->name, handoff__pair_partner_text(pair, who));
	return handoff__fail(&pair->error, -EALREADY,
		"%s serves already, and no standby is there to bring the "
		"service home to: start the other server on %s first",
		pair->name, pair->dir.path);
}

static int
explain_refusal(struct handoff__pair *pair)
{
	char who[64];

	if (pair->serving)
		return explain_serving(pair);
	if (pair->partner == HANDOFF__PARTNER_APART)
		return handoff__fail(&pair->error, -ENOTCONN,
			"the link to %s is closed and its process has not "
			"ended: a failover is under way, or the link is being "
			"renewed; try again",
			handoff__pair_partner_text(pair, who));
	if (pair->partner != HANDOFF__PARTNER_READY)
		return handoff__fail(&pair->error, -ENOTCONN,
			"no peer serves in %s: there is nothing to bring home",
			pair->dir.path);
	return handoff__fail(&pair->error, -EPERM, SERVES_ALREADY,
		handoff__pair_partner_text(pair, who));
}

/* Only a ferry can bring it. */
static int
explain_hosted(struct handoff__pair *pair)
{
	bool full = pair->partner == HANDOFF__PARTNER_READY;

	handoff__tally_refused(&pair->tally, HANDOFF__WAY_IN);
	return handoff__fail(&pair->error, -ENOTCONN,
		"the service is on another host, and no ferry is in %s: %s"
		"start handoff-ferry there again, then repeat this",
		pair->dir.path,
		full ? "stop one of the two servers, which has its place, and "
		     : "");
}

int
handoff__pair_home(struct handoff__pair *pair, bool silent)
{
	int err = handoff__idle_check(pair);

	if (err < 0) {
		handoff__tally_refused(&pair->tally, HANDOFF__WAY_IN);
		return err;
	}
	if (handoff__pair_hosted(pair))
		return explain_hosted(pair);
	if (!pair->serving && handoff__pair_away(pair))
		return handoff__pair_take(
			pair, silent ? HANDOFF__HOME_SILENT : HANDOFF__HOME);
	/* After a READY some clients may never have moved. */
	if (!pair->serving && silent && pair->roster.connections > 0)
		return handoff__pair_give(pair, HANDOFF__REST);
	handoff__tally_refused(&pair->tally, HANDOFF__WAY_IN);
	return explain_refusal(pair);
}

int
handoff__pair_stay(struct handoff__pair *pair, char *text, size_t size)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);
	int err = handoff__idle_check(pair);
	uint32_t away;

	if (err < 0)
		return err;
	if (!board || !pair->serving || pair->config.carrier ||
		handoff__pair_hosted(pair))
		return handoff__fail(&pair->error, -EPERM,
			"%s does not serve: only where a service is served it "
			"can be at home",
			pair->name);
	away = atomic_exchange(&board->away, HANDOFF__AWAY_NOT);
	if (away == HANDOFF__AWAY_NOT)
		snprintf(text, size,
			"the service is at home with %s already: nothing was "
			"changed",
			pair->name);
	else
		snprintf(text, size,
			"the service is at home with %s: the %s is over",
			pair->name,
			away == HANDOFF__AWAY_FAILOVER ? "failover"
						       : "maintenance");
	return 0;
}
