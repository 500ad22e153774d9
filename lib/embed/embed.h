/* SPDX-License-Identifier: MIT */
/*
 * The public peer from the inside: the peer below, its control socket, and
 * the events that the program has not pulled yet.
 *
 *   embed.c    the handle
 *   entries.c  what the program deposits and is given
 *   events.c   what it is told
 *   handling.c the mark around what it does with them
 *   orders.c   what the control socket asks for
 */
#ifndef HANDOFF_EMBED_EMBED_H
#define HANDOFF_EMBED_EMBED_H

#include "base/loop.h"
#include "control/control.h"
#include "control/waiting.h"
#include "peer/peer.h"
#include "peer/status.h"

#include <handoff/peer.h>

#define HANDOFF__PEER_EVENTS 64

/* What the program is still to hear of an entry. */
enum handoff__news {
	HANDOFF__NEWS_NONE = 0,
	HANDOFF__NEWS_TAKEN,
	HANDOFF__NEWS_RELEASE,
	HANDOFF__NEWS_RELEASED, /* by it; is to be moved */
};

struct handoff_entry {
	struct handoff__entry entry; /* first */
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
	struct handoff__peer peer;
	struct handoff__control control;
	struct handoff__waiting moves; /* wait for the end of a give */
	struct handoff__waiting stops; /* and of the program */
	struct handoff__timer soon;    /* there is something to flush */
	struct handoff__timer starved; /* no descriptor was left for news */
	struct handoff__entry_list news, released;
	struct handoff_peer_event events[HANDOFF__PEER_EVENTS];
	unsigned first_event, nevents;
	bool owner_due; /* it serves; OWNER is told once all has come along */
	bool late;      /* entries came while the service moved away */
	bool stopping, stopped;
	unsigned tries; /* left to give what there is, before the end */
};

static inline struct handoff_entry *
handoff__public_entry(struct handoff__entry *e)
{
	return (struct handoff_entry *)(void *)e;
}

/* embed.c */
/* Has the descriptor become readable, so that dispatch is called. */
void handoff__embed_soon(struct handoff_peer *peer);
int handoff__embed_own(struct handoff_peer *peer);

/* entries.c */
void handoff__embed_news(struct handoff_entry *e, enum handoff__news news);
void handoff__embed_flush(struct handoff_peer *peer);
bool handoff__embed_next(
	struct handoff_peer *peer, struct handoff_peer_event *event);

/* events.c */
extern const struct handoff__peer_ops handoff__embed_ops;
void handoff__embed_tell(struct handoff_peer *peer,
	enum handoff_peer_event_type type, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void handoff__embed_owner(struct handoff_peer *peer);

/* orders.c */
void handoff__embed_order(
	void *arg, struct handoff__request *request, const char *line);
void handoff__embed_given(
	struct handoff_peer *peer, const struct handoff__report *report);
void handoff__embed_stop(struct handoff_peer *peer);

#endif
