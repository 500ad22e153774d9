/* SPDX-License-Identifier: MIT */
/*
 * The maintenance state on the board: that the service is away from home, since
 * when, and from which peer. Moves nothing.
 */
#include "peer/away.h"

#include "peer/core.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

bool
handoff__pair_away(struct handoff__pair *pair)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);

	if (!board || atomic_load(&board->away) == HANDOFF__AWAY_NOT)
		return false;
	return atomic_load(&board->away) != HANDOFF__AWAY_HOST ||
	       handoff__pair_hosted(pair);
}

bool
handoff__pair_hosted(struct handoff__pair *pair)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);
	struct handoff__roster_entry *e = NULL;

	if (!board || atomic_load(&board->away) != HANDOFF__AWAY_HOST)
		return false;
	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (e->kind == HANDOFF__LISTENER ||
			e->kind == HANDOFF__CONNECTION)
			return false;
	}
	return true;
}

void
handoff__away_set_home(
	struct handoff__board *board, const char *name, uint64_t instance)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	handoff__copy(board->home, sizeof(board->home), name);
	atomic_store(&board->home_id, instance);
	atomic_store(&board->away_ms,
		(int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* The home peer's name, written by another process and thus checked. */
static void
home_name(const struct handoff__board *board, char name[HANDOFF_NAME_MAX])
{
	memcpy(name, board->home, HANDOFF_NAME_MAX);
	name[HANDOFF_NAME_MAX - 1] = '\0';
	if (!handoff__name_ok(name))
		handoff__copy(name, HANDOFF_NAME_MAX, "?");
}

static void
since_text(const struct handoff__board *board, char *text, size_t size)
{
	time_t at = (time_t)(atomic_load(&board->away_ms) / 1000);
	struct tm tm;

	localtime_r(&at, &tm);
	strftime(text, size, "%F %T", &tm);
}

void
handoff__pair_away_text(struct handoff__pair *pair, char *text, size_t size)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);
	char home[HANDOFF_NAME_MAX], since[32];
	bool carrier;

	text[0] = '\0';
	if (!handoff__pair_away(pair))
		return;
	home_name(board, home);
	since_text(board, since, sizeof(since));
	if (handoff__pair_hosted(pair)) {
		snprintf(text, size,
			"the service is on another host: the ferry here ended "
			"at %s",
			since);
		return;
	}
	carrier = pair->serving ? pair->config.carrier : pair->other.carrier;
	snprintf(text, size, "%s since %s: %s %s in place of %s",
		atomic_load(&board->away) == HANDOFF__AWAY_FAILOVER
			? "failed over"
			: "maintenance under way",
		since, pair->serving ? pair->name : pair->other.name,
		carrier ? "has the service, and serves nothing," : "serves",
		home);
}

bool
handoff__away_at_home(struct handoff__pair *pair)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);
	char home[HANDOFF_NAME_MAX];

	home_name(board, home);
	return atomic_load(&board->home_id) == pair->instance ||
	       (strcmp(pair->name, home) == 0 &&
		       strcmp(pair->other.name, home) != 0);
}

/* Whether the standby is the service's home, or has come back under the same
 * name. If both peers have that name the maintenance was an upgrade, which is
 * over once the old program has ended. */
bool
handoff__away_is_home(struct handoff__pair *pair)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);
	char home[HANDOFF_NAME_MAX];

	home_name(board, home);
	return pair->other.instance == atomic_load(&board->home_id) ||
	       (strcmp(pair->other.name, home) == 0 &&
		       strcmp(pair->name, home) != 0);
}
