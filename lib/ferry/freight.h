/* SPDX-License-Identifier: MIT */
/* A batch under way, in either direction: what this process knows of it beside
 * its word in the arena. */
#ifndef HANDOFF_FERRY_FREIGHT_H
#define HANDOFF_FERRY_FREIGHT_H

#include "ferry/ferry.h"
#include "ferry/flow.h"
#include "ferry/images.h"
#include "migrate/migrate.h"
#include "record/parcel.h"

/* One connection of a batch, or one session that is absent: that has neither an
 * image nor a flow, and the gate knows nothing of it. */
struct handoff__item {
	struct handoff__roster_entry *entry; /* NULL: it is not in it (any
					      * more) */
	uint64_t id;
	struct handoff__flow flow;
	struct handoff__image image;
	bool absent;        /* no connection, but a session without one */
	uint64_t posts_end; /* OUT: how far posts were looked for */
	bool frozen;        /* OUT: `image` has memory of its own */
	bool named;   /* an input has named it: it goes back, or is dropped */
	bool refused; /* by the other host */
	const char *word; /* OUT: why it stays for ever, if it does */
	uint32_t index;   /* IN: the sender's */
	struct handoff__restore restore; /* IN */
	struct handoff__parcel parcel;   /* IN */
	unsigned char *body;             /* IN: what these two point into */
	uint32_t parcel_len, image_len;
	uint32_t guard; /* its index at the gate; UINT32_MAX: none */
	char why[HANDOFF__LETTER_WHY]; /* IN: refused */
};

struct handoff__freight {
	struct handoff__ferry *ferry;
	uint32_t slot;
	bool out;
	bool whole;                     /* OUT: all of it, or nothing */
	bool resumed;                   /* opened by a ferry before this one */
	bool guarded;                   /* the gate has the slot */
	bool opened;                    /* its word is in the table */
	bool roomed;                    /* IN: free records were asked for */
	bool guard_failed, guard_empty; /* IN */
	char why[HANDOFF__LETTER_WHY];  /* IN: it is given up */
	struct handoff__sending s;
	struct handoff__receiving r;
	struct handoff__timer timer;
	int64_t held_us;
	uint32_t count; /* of `items` */
	uint32_t next;  /* the item to ship, or to prepare, next */
	bool end_sent, end_came;
	uint32_t wanted; /* entries that are still to come from the server */
	uint32_t room;   /* of `items` */
	/* IN, of an earlier ferry: what it has kept of it, and since when it is
	 * this one's */
	struct handoff__images images;
	int64_t resumed_us;
	struct handoff__usual usual; /* IN */
	struct handoff__item items[];
};

/* Whether it is a session without a connection, which is never one with one
 * again. For a process that does not own it, too. */
bool handoff__freight_absent(const struct handoff__roster_entry *entry);

/* A batch without entries, with room for `count`; NULL: no memory. */
struct handoff__freight *handoff__freight_make(struct handoff__ferry *ferry,
	uint32_t count, bool out, handoff__timer_fn *on_timer);

/* The batch of that id in that direction; NULL: none is under way. */
struct handoff__freight *handoff__freight_find(
	const struct handoff__ferry *ferry, bool out, uint64_t id);

/* Whether it can be decided, or freed: what an earlier ferry has left only when
 * the gate has read its word. A message about it that comes before is not
 * looked at: both ferries repeat theirs. */
bool handoff__freight_is_ready(const struct handoff__freight *load);

/* Whether a batch to this host is under way. With SERVING, which comes before
 * all that is sent later, the other host has ended what it had of it. */
bool handoff__freight_comes(const struct handoff__ferry *ferry);

#endif
