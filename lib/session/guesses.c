/* SPDX-License-Identifier: MIT */
/*
 * Wrong tokens by address. A token cannot be guessed anyway; the limit keeps a
 * flood of wrong ones cheap and visible. So an attacker with many addresses may
 * push others out of the table.
 */
#include "session/guesses.h"

#include <string.h>

/* The /64 of an IPv6 address is what one client gets. */
static uint64_t
key_of(const struct handoff__client *client)
{
	uint64_t key = 0;

	memcpy(&key, client->ip, client->family == 4 ? 4 : 8);
	return key;
}

static bool
is_over(const struct handoff__guesser *g, int64_t now_ms)
{
	return g->since_ms == 0 || now_ms - g->since_ms >= HANDOFF__GUESSES_MS;
}

/* The place of this client, or -1. */
static int
find(const struct handoff__guesses *guesses,
	const struct handoff__client *client)
{
	uint64_t key = key_of(client);

	for (int i = 0; i < HANDOFF__GUESSES_PLACES; i++) {
		const struct handoff__guesser *g = &guesses->places[i];

		if (g->since_ms != 0 && g->key == key &&
			g->family == client->family)
			return i;
	}
	return -1;
}

bool
handoff__guesses_allow(const struct handoff__guesses *guesses,
	const struct handoff__client *client, int64_t now_ms)
{
	int at = client->family == 0 ? -1 : find(guesses, client);

	return at < 0 || is_over(&guesses->places[at], now_ms) ||
	       guesses->places[at].count < HANDOFF__GUESSES;
}

static int
oldest(const struct handoff__guesses *guesses)
{
	int at = 0;

	for (int i = 1; i < HANDOFF__GUESSES_PLACES; i++) {
		if (guesses->places[i].since_ms < guesses->places[at].since_ms)
			at = i;
	}
	return at;
}

void
handoff__guesses_count(struct handoff__guesses *guesses,
	const struct handoff__client *client, int64_t now_ms)
{
	struct handoff__guesser *g;
	int at;

	if (client->family == 0)
		return;
	at = find(guesses, client);
	g = &guesses->places[at < 0 ? oldest(guesses) : at];
	if (at < 0 || is_over(g, now_ms)) {
		g->key = key_of(client);
		g->family = client->family;
		g->since_ms = now_ms;
		g->count = 0;
	}
	g->count++;
}
