/* SPDX-License-Identifier: MIT */
/*
 * A turn in progress. For conn.c, and for what it leaves to ended.c, taking.c
 * and effects.c because few turns need it.
 */
#ifndef HANDOFF_SERVER_TURN_H
#define HANDOFF_SERVER_TURN_H

#include "base/loop.h"
#include "record/tenure.h"
#include "server/conn.h"
#include "server/conn_state.h"

struct turn {
	struct handoff_conn txn;        /* its view is that of the turn */
	struct handoff__conn_state now; /* reloaded after each change */
	int rounds;                     /* transactions left */
	struct handoff__turn_result *result;
};

/* Ends the connection with this turn; false, for those that return that. */
static inline bool
handoff__turn_end(
	const struct turn *t, enum handoff__end kind, const char *why, int err)
{
	t->result->outcome = HANDOFF__TURN_END;
	t->result->end = (uint8_t)kind;
	t->result->why = why;
	t->result->err = err;
	return false;
}

/* Why it ends, as far as that was noted; else `otherwise`. */
static inline enum handoff__end
handoff__turn_noted(uint32_t flags, enum handoff__end otherwise)
{
	uint32_t noted = (flags & HANDOFF__END) >> HANDOFF__END_SHIFT;

	return noted > 0 && noted < HANDOFF__ENDS ? (enum handoff__end)noted
						  : otherwise;
}

/* What a handler of a service with a lease returns in place of its own result,
 * see guarded.c. */
#define HANDOFF__NOT_NOW (-4096)

/* Whether the service has a lease that does not allow anything now. Never asked
 * on the path of a plain request. */
static inline bool
handoff__turn_barred(const struct turn *t)
{
	const struct handoff__arena *arena = t->now.view->seg->arena;

	return arena->above && handoff__tenure_over(handoff__tenure_of(arena),
				       handoff__boot_ns());
}

/* effects.c */
/* Nothing may be committed or sent now: the turn ends, and so does its
 * connection, if the lease is lost. Of a transaction, if one has begun, nothing
 * is undone here: a turn may be barred before its first. */
__attribute__((cold)) void handoff__turn_bar(struct turn *t);
/* Commits a transaction with effects beside its record, or undoes it; the same
 * result as of one without. `before` is the commit that was valid before it. */
__attribute__((cold)) int handoff__effects_commit(
	struct turn *t, const struct handoff__commit *before);
/* The handler has returned `rc`, which is not 0. */
__attribute__((cold)) int handoff__effects_refused(struct turn *t, int rc);

/* Commits the last transaction of an ended connection, as it is; posts that
 * cannot be published in time are lost. */
__attribute__((cold)) void handoff__effects_flip(struct turn *t);
/* Undoes a transaction that is not committed. */
void handoff__effects_undo(struct turn *t);

/* taking.c */
#define HANDOFF__POSTS_LATER 2
/* Takes the posts that wait, as far as the turn's rounds go. 1; 0: they wait
 * for room; HANDOFF__POSTS_LATER: for input; negative: the turn is over. */
__attribute__((cold)) int handoff__take_posts(struct turn *t);

#endif
