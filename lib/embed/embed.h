/* SPDX-License-Identifier: MIT */
/*
 * The public peer from the inside: the peer below, its operator's side, and
 * what the program has not heard yet. Each file calls only those below it:
 *
 *   embed.c      the handle
 *   dispatch.c       what follows when the program comes by
 *   entries.c    what the program deposits
 *   handling.c   the mark around what it does with that
 *   callbacks.c  what the peer below tells
 *   stop.c       the end
 *   role.c       who serves
 *   news.c       entries of which the program is to hear
 *   lib/operator what is told, asked and answered
 */
#ifndef HANDOFF_EMBED_EMBED_H
#define HANDOFF_EMBED_EMBED_H

#include "base/loop.h"
#include "operator/operator.h"
#include "peer/pair.h"

#include <handoff/peer.h>

/* What the program is still to hear of an entry. */
enum handoff__news {
	HANDOFF__NEWS_NONE = 0,
	HANDOFF__NEWS_TAKEN,
	HANDOFF__NEWS_RELEASE,
	HANDOFF__NEWS_RELEASED, /* by it; is to be moved */
};

struct handoff_entry {
	struct handoff__roster_entry entry; /* first */
	struct handoff_peer *peer;
	void *data;
	uint8_t news; /* which of the lists it is in */
	TAILQ_ENTRY(handoff_entry) node;
	char name[HANDOFF_ADDRESS_MAX];
};

TAILQ_HEAD(handoff__entry_list, handoff_entry);

struct handoff_peer {
	struct handoff_service service;
	char service_name[HANDOFF_NAME_MAX];
	bool may_own;
	struct handoff__log log;
	struct handoff__error error;
	struct handoff__loop loop;
	struct handoff__pair pair;
	struct handoff__operator op;
	struct handoff_peer_event event; /* that the program looks at */
	struct handoff__timer starved;   /* no descriptor was left for news */
	bool starving;                   /* and that was logged */
	struct handoff__entry_list news, released;
	bool owner_due; /* it serves; OWNER is told once all has come along */
	bool late;      /* entries came while the service moved away */
	bool stopped;   /* the program was told to end */
	unsigned tries; /* left to give what there is, before the end */
};

static inline struct handoff_entry *
handoff__public_entry(struct handoff__roster_entry *e)
{
	return (struct handoff_entry *)(void *)e;
}

/* news.c */
void handoff__embed_news(struct handoff_entry *e, enum handoff__news news);

/* role.c */
int handoff__embed_own(struct handoff_peer *peer);
/* OWNER, if it is due. */
void handoff__embed_owner(struct handoff_peer *peer);

/* stop.c */
extern const struct handoff__operator_ops handoff__embed_orders;
void handoff__embed_stop(struct handoff_peer *peer);

/* callbacks.c */
extern const struct handoff__pair_ops handoff__embed_ops;

/* dispatch.c */
void handoff__embed_flush(struct handoff_peer *peer);
/* Sets peer->event to what is next of the entries; false: nothing. */
bool handoff__embed_next(struct handoff_peer *peer);

#endif
