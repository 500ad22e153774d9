/* SPDX-License-Identifier: MIT */
/*
 * The lists of entries of which the program is still to hear, or that it has
 * released. Knows nothing of why.
 */
#include "embed/embed.h"

/* Puts the entry into the list that it belongs in, or in none. */
void
handoff__embed_news(struct handoff_entry *e, enum handoff__news news)
{
	struct handoff_peer *peer = e->peer;

	if (e->news == HANDOFF__NEWS_RELEASED)
		TAILQ_REMOVE(&peer->released, e, node);
	else if (e->news != HANDOFF__NEWS_NONE)
		TAILQ_REMOVE(&peer->news, e, node);
	e->news = (uint8_t)news;
	if (news == HANDOFF__NEWS_RELEASED)
		TAILQ_INSERT_TAIL(&peer->released, e, node);
	else if (news != HANDOFF__NEWS_NONE)
		TAILQ_INSERT_TAIL(&peer->news, e, node);
	if (news != HANDOFF__NEWS_NONE)
		handoff__operator_wake(&peer->op);
}
