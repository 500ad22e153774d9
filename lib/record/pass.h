/* SPDX-License-Identifier: MIT */
/*
 * Pairs: two connections of a service that pass bytes to each other. Each
 * record has a ring that its own handlers append to (pass_head, in its own
 * commit); the pair moves the bytes from there to its own output, in a
 * transaction of its own (pass_tail, in the pair's commit). So each word has
 * one writer, and a death at any instruction neither loses nor repeats a byte.
 *
 * A connection that has a pair, or is to get one, has the flag PAIRED. Nothing
 * here concerns any other; and nothing here knows sockets.
 */
#ifndef HANDOFF_RECORD_PASS_H
#define HANDOFF_RECORD_PASS_H

#include "record/record.h"

#include <assert.h>

/* Where a connection is to be connected to. There are two, and a commit flag
 * selects one: a handler writes the other one. */
struct handoff__wish {
	char address[HANDOFF_ADDRESS_MAX];
	_Atomic uint32_t error;  /* why there is no pair: an errno; 0: there is
				  * one, or will be */
	_Atomic uint32_t dialer; /* place of the peer that is connecting it */
};

/* In front of the ring; it has a page. */
struct handoff__pass_head {
	struct handoff__wish wishes[2];
	_Atomic uint32_t end; /* GONE: enum handoff__end */
};

static_assert(sizeof(struct handoff__pass_head) <= HANDOFF__PASS_HEAD,
	"the ring begins behind it");

/* What a turn has to do for a pair. */
enum handoff__pass_due {
	HANDOFF__PASS_HERE = 1,    /* there is a pair, or will be */
	HANDOFF__PASS_TAKE = 2,    /* bytes, or their end, are to be taken */
	HANDOFF__PASS_TELL = 4,    /* the handler is to learn that there is no
				    * pair (any more) */
	HANDOFF__PASS_TAKEN = 8,   /* no pair has still to take what it has
				    * passed */
	HANDOFF__PASS_SETTLE = 16, /* the new pair has been used */
};

static inline struct handoff__pass_head *
handoff__pass_head(const struct handoff__view *view)
{
	return (void *)handoff__record_pass(view);
}

static inline unsigned char *
handoff__pass_ring(const struct handoff__view *view)
{
	return handoff__record_pass(view) + HANDOFF__PASS_HEAD;
}

static inline struct handoff__wish *
handoff__pass_wish(const struct handoff__view *view, uint32_t flags)
{
	return &handoff__pass_head(view)->wishes[(flags & HANDOFF__WISH) != 0];
}

/* The view of the record's pair. False if there is none, or no longer. */
bool handoff__pass_pair(
	const struct handoff__view *view, struct handoff__view *pair);

/* Makes the two a pair: `backend` is new, and `client` waits for it. */
void handoff__pass_join(const struct handoff__view *client,
	const struct handoff__view *backend);

/* Whether a connection is to be made for it, and no attempt of the peer in
 * `place` is in progress (0: or of any). */
bool handoff__pass_to_dial(const struct handoff__view *view, uint32_t place);

/* What is due, a set of enum handoff__pass_due, for a commit with PAIRED. */
uint32_t handoff__pass_due(
	const struct handoff__view *view, const struct handoff__commit *c);

/* A transaction that takes as much as fits into the output, or, with `drop`,
 * all of it nowhere. */
void handoff__pass_take(const struct handoff__view *view, bool drop);

/* The connection of its pair has been used: it is not to be made again, even if
 * a survivor should not find it. */
void handoff__pass_settle(const struct handoff__view *view);

/* A transaction: there is no pair, and the handler's next one tells it. */
void handoff__pass_over(const struct handoff__view *view);

/* The socket has ended, for the reason `end`, before the pair has taken
 * everything. */
void handoff__pass_outlive(const struct handoff__view *view, uint32_t end);

/* Returns the pages of a ring in which nothing is left. */
void handoff__pass_trim(const struct handoff__view *view);

/* Where in its ring begins what its pair has not taken, and how much that is.
 * Nothing, if the pair has ended; all of it, if it is still to come. -EBADMSG:
 * the positions are damaged. */
int handoff__pass_untaken(
	const struct handoff__view *view, uint32_t *from, uint32_t *len);

/* Copies bytes of the ring from a position on, and to it; at most its size. */
void handoff__pass_get(const struct handoff__view *view, uint32_t from,
	unsigned char *data, uint32_t len);
void handoff__pass_put(const struct handoff__view *view, uint32_t at,
	const unsigned char *data, uint32_t len);

/* Copies what `from` has passed and its pair has not taken, and where it is to
 * be connected. -EMSGSIZE if that does not fit. */
int handoff__pass_carry(
	const struct handoff__view *to, const struct handoff__view *from);

#endif
