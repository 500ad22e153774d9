/* SPDX-License-Identifier: MIT */
/*
 * Counts what a peer has done since it was opened; what is exported as a
 * counter never decreases. Only the loop's thread counts, at the beginning and
 * end of entries and handoffs; nothing is counted per byte.
 */
#ifndef HANDOFF_PEER_TALLY_H
#define HANDOFF_PEER_TALLY_H

#include "peer/message.h"
#include "peer/roster.h"
#include "record/older.h"

#define HANDOFF__BOUNDS 16 /* number of a histogram's buckets */

enum handoff__way {
	HANDOFF__WAY_OUT = 0, /* this peer gave */
	HANDOFF__WAY_IN = 1,  /* this peer took */
	HANDOFF__WAYS,
};

enum handoff__outcome {
	HANDOFF__DONE = 0,
	HANDOFF__REFUSED, /* nothing has moved */
	HANDOFF__BROKEN,  /* the other peer went away during it */
	HANDOFF__OUTCOMES,
};

/* Why a connection ended: enum handoff_end_reason, which has the comments. */
enum handoff__end {
	HANDOFF__END_OTHER = HANDOFF_ENDED_OTHER,
	HANDOFF__END_CLIENT = HANDOFF_ENDED_CLIENT,
	HANDOFF__END_SERVICE = HANDOFF_ENDED_SERVICE,
	HANDOFF__END_ERROR = HANDOFF_ENDED_ERROR,
	HANDOFF__END_HANDLER = HANDOFF_ENDED_HANDLER,
	HANDOFF__END_INPUT = HANDOFF_ENDED_INPUT,
	HANDOFF__END_STOP = HANDOFF_ENDED_STOP,
	HANDOFF__END_DEATH = HANDOFF_ENDED_DEATH,
	HANDOFF__END_STATE = HANDOFF_ENDED_STATE,
	HANDOFF__END_POISON = HANDOFF_ENDED_POISON,
	HANDOFF__END_SUSPECT = HANDOFF_ENDED_SUSPECT,
	HANDOFF__END_DEADLINE = HANDOFF_ENDED_DEADLINE,
	HANDOFF__END_POSTS = HANDOFF_ENDED_POSTS,
	/* never counted: it had begun with the other peer */
	HANDOFF__END_LOST = HANDOFF_ENDED_LOST,
	HANDOFF__END_PROTOCOL = HANDOFF_ENDED_PROTOCOL,
	HANDOFF__ENDS,
};

struct handoff__histogram {
	uint64_t counts[HANDOFF__BOUNDS]; /* not cumulative */
	uint64_t count, sum_us;
};

/* Upper bounds of the buckets, with a final 0. */
extern const uint32_t handoff__bounds_us[HANDOFF__BOUNDS + 1];

void handoff__histogram_add(struct handoff__histogram *h, uint32_t us);

/* Stream positions of a quiet connection, and the bytes in its buffers. */
struct handoff__load {
	uint64_t received, sent; /* since its first byte */
	uint64_t unread, unsent;
};

/* Entries that move together: counted one by one, added to the tally once. */
struct handoff__moved {
	uint32_t connections, listeners;
	struct handoff__load load; /* of all of them */
};

struct handoff__tally {
	/* connections that came, by accept(2) or otherwise, and that ended */
	uint64_t begun, ended;
	uint64_t ends[HANDOFF__ENDS]; /* those whose reason is known */
	/* Sum of final positions of connections that left, or ended, minus
	 * positions at arrival. Adding the present positions gives the
	 * traffic. */
	uint64_t received, sent;

	uint64_t handoffs[HANDOFF__WAYS][HANDOFF__OUTCOMES];
	struct handoff__histogram took[HANDOFF__WAYS];         /* of completed
								* handoffs */
	uint64_t moved[HANDOFF__WAYS];                         /* connections */
	uint64_t unread[HANDOFF__WAYS], unsent[HANDOFF__WAYS]; /* bytes in
								* them */
	/* those that were given and came back, which are in none of these */
	struct {
		uint64_t connections, unread, unsent;
	} returned;
	uint64_t left[HANDOFF__REASONS]; /* behind, by reason; the first for
					  * unknown reasons */

	struct handoff__histogram failovers;
	uint64_t inherited;      /* connections */
	uint64_t repaired;       /* records, after any death */
	uint64_t handler_deaths; /* connections whose handler was running at a
				  * death */
	uint64_t refused;        /* candidates */
};

struct handoff__pair;
struct handoff__report;

/* A handoff that could not begin. */
static inline void
handoff__tally_refused(struct handoff__tally *tally, enum handoff__way way)
{
	tally->handoffs[way][HANDOFF__REFUSED]++;
}

static inline void
handoff__load_of(
	const struct handoff__roster_entry *e, struct handoff__load *load)
{
	const struct handoff__record *rec = e->view.rec;

	load->received = load->sent = load->unread = load->unsent = 0;
	if (e->kind != HANDOFF__CONNECTION)
		return;
	load->received = handoff__rx_head(rec);
	load->sent = handoff__tx_tail(rec);
	/* A connection at rest has empty buffers, and its `activity` shares a
	 * cache line with the owner word. */
	if (handoff__record_activity(rec) == HANDOFF__AT_REST)
		return;
	handoff__older_waits(&e->view, &load->unread, &load->unsent);
}

static inline void
handoff__moved_add(struct handoff__moved *moved,
	const struct handoff__roster_entry *e, const struct handoff__load *load)
{
	if (e->kind != HANDOFF__CONNECTION) {
		moved->listeners += e->kind == HANDOFF__LISTENER;
		return;
	}
	moved->connections++;
	moved->load.received += load->received;
	moved->load.sent += load->sent;
	moved->load.unread += load->unread;
	moved->load.unsent += load->unsent;
}

/* A connection began here, or ended here. */
void handoff__tally_begun(
	struct handoff__pair *pair, const struct handoff__roster_entry *entry);
void handoff__tally_ended(
	struct handoff__pair *pair, const struct handoff__roster_entry *entry);

/* Entries have moved; `report` counts them too. */
void handoff__tally_moved(struct handoff__pair *pair, enum handoff__way way,
	const struct handoff__moved *moved, struct handoff__report *report);
/* Given entries were revoked. */
void handoff__tally_unmoved(struct handoff__pair *pair,
	const struct handoff__moved *moved, struct handoff__report *report);
void handoff__tally_inherited(
	struct handoff__pair *pair, const struct handoff__moved *moved);
void handoff__tally_left(
	struct handoff__pair *pair, enum handoff__reason reason);

/* Logs an event of one connection. */
void handoff__tally_trace(struct handoff__pair *pair,
	const struct handoff__roster_entry *entry, const char *what,
	uint64_t id, const struct handoff__load *load);

/* A give or a failover has ended and becomes the last one. */
void handoff__tally_handoff(struct handoff__pair *pair, enum handoff__way way,
	const struct handoff__report *report);
void handoff__tally_failover(struct handoff__pair *pair);

/* Bytes that have passed through this peer so far. */
void handoff__tally_passed(
	struct handoff__pair *pair, struct handoff__load *all);

#endif
