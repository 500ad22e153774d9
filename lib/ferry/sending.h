/* SPDX-License-Identifier: MIT */
/*
 * One batch at the ferry that sends it: a state machine without I/O, time or
 * memory of its own. Each input is a function that returns the actions that the
 * caller has to carry out next, in the order of their bits, the least first;
 * some of them are answered by another input, at once or later. Between the
 * actions of one input the caller takes no other input.
 *
 * The decision is the word of the batch in the arena (record/batch.h), which
 * outlives this process: the machine says when to try the compare-and-swap, and
 * is told what the word says then. Until it says COMMITTED everything can be
 * undone here, by this ferry or by whatever survives it; from then on the
 * entries are the other host's, and this ferry only repeats COMMIT until
 * SERVING comes.
 *
 * Why no loss of a message and no restart makes a committed batch look unknown:
 *  1. The other ferry says PREPARED only when its own word for the batch is
 *     OPEN, and after that it aborts only if this ferry says so (ABORT, or
 *     VERDICT aborted). So as long as it can ask, it has a word, and a
 *     committed batch can still be committed there.
 *  2. This ferry says so only of a batch whose word is ABORTED, or that is not
 *     in the table; and it frees a COMMITTED word only after SERVING, which the
 *     other ferry sends only once its own word is COMMITTED, when it asks no
 *     more. So a batch that is not in the table, and is asked for, was not
 *     committed: "unknown" is "aborted".
 *  3. The other ferry frees its COMMITTED word only after FORGET, which this
 * one sends after its own word is free. Until then each COMMIT finds a word
 *     there and is answered by SERVING; and a SERVING that finds no word here
 *     is answered by FORGET. So COMMIT for a batch that the other host does not
 *     know means that the host has lost its memory, and nothing else.
 *  4. All this is about the table, so a ferry that has just started answers
 *     neither QUERY nor SERVING, and opens no batch, before it has read every
 *     word that may exist: those of the arena, and those of an arena that only
 *     the gate still has. Of each it makes a machine, by _resume. It may end a
 *     link on which it is asked before that: it will be asked again.
 * Messages that a link loses are made up for when the next one is up: each side
 * then repeats what it waits on (COMMIT here; QUERY or SERVING there). Messages
 * of a link that has ended are of no consequence even if they come later.
 */
#ifndef HANDOFF_FERRY_SENDING_H
#define HANDOFF_FERRY_SENDING_H

#include "record/batch.h"

#include <stdbool.h>
#include <stdint.h>

enum handoff__sending_state {
	HANDOFF__SENDING_IDLE,      /* no batch */
	HANDOFF__SENDING_TAKING,    /* packets are being held, entries come */
	HANDOFF__SENDING_FREEZING,  /* at rest and held: freeze them */
	HANDOFF__SENDING_SHIPPED,   /* the other ferry prepares them */
	HANDOFF__SENDING_CHECKING,  /* it has: are they unchanged? */
	HANDOFF__SENDING_DECIDING,  /* the word is about to be swapped */
	HANDOFF__SENDING_COMMITTED, /* the other host's; until SERVING */
	HANDOFF__SENDING_DONE,      /* it serves them */
	HANDOFF__SENDING_ABORTED,   /* they are here as before */
	HANDOFF__SENDING_LOST,      /* committed, and the other host has lost
				     * its memory of them */
};

/* In this order. Those of the last three states leave nothing to do: after
 * them the machine can be used for another batch. */
enum handoff__sending_action {
	/* handoff__batch_open(OUT) with the machine's id. If there is no slot,
	 * do none of the other actions and _init the machine. */
	HANDOFF__SENDING_OPEN = 0x1,
	/* The gate holds the packets of these flows; then _held. */
	HANDOFF__SENDING_HOLD = 0x2,
	/* The server gives the entries; then _taken. */
	HANDOFF__SENDING_TAKE = 0x4,
	/* Each entry's owner word becomes ELSEWHERE with the slot, then its
	 * socket is frozen; one that cannot be frozen goes back as in RETURN.
	 * Then _frozen. */
	HANDOFF__SENDING_FREEZE = 0x8,
	/* Some go back, which the input has named: unfrozen, owner word this
	 * ferry's, offered to the server, their packets passed. */
	HANDOFF__SENDING_RETURN = 0x10,
	/* BATCH, an ENTRY each, END. */
	HANDOFF__SENDING_SHIP = 0x20,
	/* WITHDRAW with the machine's round, of those that went back. */
	HANDOFF__SENDING_SEND_WITHDRAW = 0x40,
	/* handoff__migrate_unchanged of each; then _checked. */
	HANDOFF__SENDING_CHECK = 0x80,
	/* handoff__batch_commit or _abort; then _word with what it returned. */
	HANDOFF__SENDING_COMMIT = 0x100,
	HANDOFF__SENDING_ABORT = 0x200,
	/* All that are still in it go back, as in RETURN. */
	HANDOFF__SENDING_THAW = 0x400,
	/* The gate sends the packets of these flows to the other host from now
	 * on, those that it held first. */
	HANDOFF__SENDING_FLIP = 0x800,
	/* Instead of FLIP: it passes them, and the kernel will refuse them. */
	HANDOFF__SENDING_PASS = 0x1000,
	/* handoff__migrate_end of each that is here, then the entries end and
	 * their records are freed. None is here after a death of the ferry. */
	HANDOFF__SENDING_END = 0x2000,
	/* handoff__batch_free. No owner word names the slot any more, also none
	 * of an entry that a ferry before this one had: or the next batch in
	 * that slot would decide about it. */
	HANDOFF__SENDING_FREE = 0x4000,
	/* Messages of these names. VERDICT: committed if the state is
	 * COMMITTED, otherwise aborted. */
	HANDOFF__SENDING_SEND_COMMIT = 0x8000,
	HANDOFF__SENDING_SEND_ABORT = 0x10000,
	HANDOFF__SENDING_SEND_VERDICT = 0x20000,
	HANDOFF__SENDING_SEND_FORGET = 0x40000,
};

struct handoff__sending {
	enum handoff__sending_state state;
	uint64_t id;    /* of the batch, never used before: not 0 */
	uint32_t count; /* entries in it */
	uint32_t round; /* how often some were withdrawn */
	bool held, taken;
	bool up;    /* the link */
	bool asked; /* QUERY came before the decision */
};

/* A machine without a batch. `up`: the link to the other ferry is. */
void handoff__sending_init(struct handoff__sending *s, bool up);

/* A batch of `count` entries is to leave. Only while IDLE with the link up,
 * otherwise nothing happens and it returns 0. */
uint32_t handoff__sending_begin(
	struct handoff__sending *s, uint64_t id, uint32_t count);

/* The same for the word of a batch that a ferry before this one has opened, as
 * handoff__batch_read has found it, after what survived that ferry has done its
 * part. The link counts as down: if it is up already, _link is the next input.
 */
uint32_t handoff__sending_resume(struct handoff__sending *s, uint64_t id,
	uint32_t count, enum handoff__batch_state word);

/* The gate holds all packets of the batch. */
uint32_t handoff__sending_held(struct handoff__sending *s);

/* The server has given `count` entries and will give no more: the others were
 * busy for too long, or have ended. One that comes later, or of a batch that
 * was given up, is given back by the caller. */
uint32_t handoff__sending_taken(struct handoff__sending *s, uint32_t count);

/* `count` entries are frozen and described. */
uint32_t handoff__sending_frozen(struct handoff__sending *s, uint32_t count);

/* PREPARED, of this round, all but `refused` of the entries. */
uint32_t handoff__sending_prepared(
	struct handoff__sending *s, uint32_t round, uint32_t refused);

/* All but `stale` are still what their image says. */
uint32_t handoff__sending_checked(struct handoff__sending *s, uint32_t stale);

/* What the word says after COMMIT or ABORT. FREE, and everything that is not
 * COMMITTED, means that it was not committed. */
uint32_t handoff__sending_word(
	struct handoff__sending *s, enum handoff__batch_state word);

/* SERVING. */
uint32_t handoff__sending_serving(struct handoff__sending *s);

/* QUERY. */
uint32_t handoff__sending_query(struct handoff__sending *s);

/* LOST: the other host has answered COMMIT, and does not know the batch. */
uint32_t handoff__sending_lost(struct handoff__sending *s);

/* The link has come up, after HELLO, or is down. A link that is replaced by
 * another was down in between. */
uint32_t handoff__sending_link(struct handoff__sending *s, bool up);

/* Give it up, if it is not committed yet: the deadline has passed, the other
 * ferry has refused it (ABORT), the operator says so, or the gate has died,
 * which may have let packets through. */
uint32_t handoff__sending_give_up(struct handoff__sending *s);

/* Whether nothing is left to do: IDLE, DONE, ABORTED or LOST. */
bool handoff__sending_over(const struct handoff__sending *s);

/* For a batch that has no machine, since it is not in the table: what the
 * caller sends. QUERY: VERDICT aborted. SERVING: FORGET. PREPARED: ABORT. */
static inline uint32_t
handoff__sending_unknown_query(void)
{
	return HANDOFF__SENDING_SEND_VERDICT;
}

static inline uint32_t
handoff__sending_unknown_serving(void)
{
	return HANDOFF__SENDING_SEND_FORGET;
}

static inline uint32_t
handoff__sending_unknown_prepared(void)
{
	return HANDOFF__SENDING_SEND_ABORT;
}

/* For logs and the status. */
const char *handoff__sending_text(enum handoff__sending_state state);

#endif
