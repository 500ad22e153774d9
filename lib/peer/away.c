/* SPDX-License-Identifier: MIT */
/*
 * What the board says of a maintenance: that service is away from home, since
 * when, and from which peer. Moves nothing.
 */
#include "peer/away.h"

#include "peer/core.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

bool
handoff__peer_away(struct handoff__peer *peer)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);

	return board && atomic_load(&board->away) != 0;
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

/* The name of the peer that is away; written by another process. */
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
handoff__peer_away_text(struct handoff__peer *peer, char *text, size_t size)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);
	char home[HANDOFF_NAME_MAX], since[32];

	text[0] = '\0';
	if (!handoff__peer_away(peer))
		return;
	home_name(board, home);
	since_text(board, since, sizeof(since));
	snprintf(text, size, "%s since %s: %s serves in place of %s",
		atomic_load(&board->away) == HANDOFF__AWAY_FAILOVER
			? "failed over"
			: "maintenance under way",
		since, peer->serving ? peer->name : peer->other.name, home);
}

/* Is this peer the one that service was away from? */
bool
handoff__away_at_home(struct handoff__peer *peer)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);
	char home[HANDOFF_NAME_MAX];

	home_name(board, home);
	return atomic_load(&board->home_id) == peer->instance ||
	       (strcmp(peer->name, home) == 0 &&
		       strcmp(peer->other.name, home) != 0);
}

/* Is the standby that is here the one that is away from its service, or has
 * it come back under the same name? With equal names on both sides the
 * maintenance was an upgrade, which is over when the old program has ended. */
bool
handoff__away_is_home(struct handoff__peer *peer)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);
	char home[HANDOFF_NAME_MAX];

	home_name(board, home);
	return peer->other.instance == atomic_load(&board->home_id) ||
	       (strcmp(peer->other.name, home) == 0 &&
		       strcmp(peer->name, home) != 0);
}
