/* SPDX-License-Identifier: MIT */
/*
 * One batch at the ferry that receives it: a state machine without I/O, time or
 * memory of its own. Each input is a function that returns the actions that the
 * caller has to carry out next, in the order of their bits, the least first;
 * some of them are answered by another input, at once or later. Between the
 * actions of one input the caller takes no other input.
 *
 * Before PREPARED is sent this ferry may give the batch up. From then on only
 * the sender decides: without a word from it the batch is in doubt, nobody here
 * claims, frees or serves its entries, and the ferry asks (QUERY) each time a
 * link comes up. The word of the batch in the arena (record/batch.h) says so to
 * whatever survives this ferry: OPEN is doubt; COMMITTED is written before the
 * first socket leaves repair mode. Only ferries change a word of this
 * direction.
 *
 * The word of a committed batch stays until the sender has said FORGET, so that
 * it always finds an answer to COMMIT here. Why a committed batch never looks
 * unknown is in sending.h. A ferry that has just started answers no COMMIT
 * before it has read every word: of each it makes a machine, by _resume.
 */
#ifndef HANDOFF_FERRY_RECEIVING_H
#define HANDOFF_FERRY_RECEIVING_H

#include "record/batch.h"

#include <stdbool.h>
#include <stdint.h>

enum handoff__receiving_state {
	HANDOFF__RECEIVING_IDLE,       /* no batch */
	HANDOFF__RECEIVING_COLLECTING, /* entries come and are prepared */
	HANDOFF__RECEIVING_PREPARING,  /* all came: the server has not HELD all
					* copies yet, or the gate */
	HANDOFF__RECEIVING_PREPARED,   /* the sender decides */
	HANDOFF__RECEIVING_DOUBT,      /* and cannot be heard */
	HANDOFF__RECEIVING_DECIDING,   /* the word is about to be swapped */
	HANDOFF__RECEIVING_COMMITTED,  /* they are this host's; the server takes
					* them */
	HANDOFF__RECEIVING_SERVING,    /* it has; until FORGET */
	HANDOFF__RECEIVING_DONE,       /* the sender knows that */
	HANDOFF__RECEIVING_ABORTED,    /* nothing of it is here any more */
};

/* In this order. */
enum handoff__receiving_action {
	/* handoff__batch_open(IN) with the machine's id and count, before the
	 * first record. If there is no slot: _give_up. */
	HANDOFF__RECEIVING_OPEN = 0x1,
	/* Record, owner word ELSEWHERE with the slot, handoff__migrate_prepare,
	 * mirrored to the server. One that fails is refused by name and leaves
	 * nothing. */
	HANDOFF__RECEIVING_PREPARE = 0x2,
	/* The gate gets the descriptors and images of all; then _guarded. */
	HANDOFF__RECEIVING_GUARD = 0x4,
	/* Some are withdrawn, which the input has named, or refused by the
	 * server: handoff__migrate_abandon, gate told, record freed. */
	HANDOFF__RECEIVING_DROP = 0x8,
	/* PREPARED with the machine's round and the names and reasons of those
	 * that were refused (round 0). */
	HANDOFF__RECEIVING_SEND_PREPARED = 0x10,
	HANDOFF__RECEIVING_SEND_QUERY = 0x20,
	/* handoff__batch_commit or _abort; then _word with what it returned. */
	HANDOFF__RECEIVING_COMMIT = 0x40,
	HANDOFF__RECEIVING_ABORT = 0x80,
	/* As DROP, for all that are in it; the gate forgets the slot. */
	HANDOFF__RECEIVING_ABANDON = 0x100,
	/* handoff__migrate_commit of each that is not committed yet, or the
	 * gate does that; the gate passes their packets. */
	HANDOFF__RECEIVING_FINISH = 0x200,
	/* Owner word this ferry's, offered to the server; if there is none, one
	 * that comes gets them. When each is the server's or has ended:
	 * _served, at once if none is left. */
	HANDOFF__RECEIVING_OFFER = 0x400,
	HANDOFF__RECEIVING_SEND_SERVING = 0x800,
	/* handoff__batch_free; the gate forgets the slot. No owner word names
	 * it any more, see sending.h. */
	HANDOFF__RECEIVING_FREE = 0x1000,
	/* ABORT: this ferry has given it up. */
	HANDOFF__RECEIVING_SEND_ABORT = 0x2000,
	/* LOST: answers COMMIT. */
	HANDOFF__RECEIVING_SEND_LOST = 0x4000,
};

struct handoff__receiving {
	enum handoff__receiving_state state;
	uint64_t id;    /* of the batch, the sender's choice */
	uint32_t count; /* entries that were announced */
	uint32_t came;  /* of those */
	uint32_t round; /* how often some were withdrawn */
	bool held, guarded;
	bool up;   /* the link */
	bool tell; /* given up here: the sender does not know */
};

/* A machine without a batch. `up`: the link to the other ferry is. */
void handoff__receiving_init(struct handoff__receiving *r, bool up);

/* BATCH of a batch that is not in the table. Only while IDLE with the link
 * up, `count` not 0; otherwise nothing happens and it returns 0. */
uint32_t handoff__receiving_begin(
	struct handoff__receiving *r, uint64_t id, uint32_t count);

/* The same for the word of a batch that a ferry before this one has opened, as
 * handoff__batch_read has found it, after what survived that ferry has done its
 * part. The link counts as down: if it is up already, _link is the next input.
 * What ABANDON and FINISH are about are all entries whose owner word names the
 * slot, and those that a survivor has claimed and nobody has finished. */
uint32_t handoff__receiving_resume(struct handoff__receiving *r, uint64_t id,
	uint32_t count, enum handoff__batch_state word);

/* ENTRY. Returns 0 if it is not expected: then it is ignored. */
uint32_t handoff__receiving_entry(struct handoff__receiving *r);

/* END. Gives the batch up if entries are missing. */
uint32_t handoff__receiving_end(struct handoff__receiving *r);

/* After END, the server has said of each copy of the batch that it holds it, or
 * has refused it: `refused` of them, which are dropped and named in PREPARED.
 */
uint32_t handoff__receiving_held(
	struct handoff__receiving *r, uint32_t refused);

/* The gate has everything of the batch. */
uint32_t handoff__receiving_guarded(struct handoff__receiving *r);

/* WITHDRAW, of that round. */
uint32_t handoff__receiving_withdrawn(
	struct handoff__receiving *r, uint32_t round);

/* COMMIT, or VERDICT committed. */
uint32_t handoff__receiving_commit(struct handoff__receiving *r);

/* ABORT, or VERDICT aborted. */
uint32_t handoff__receiving_abort(struct handoff__receiving *r);

/* What the word says after COMMIT or ABORT. */
uint32_t handoff__receiving_word(
	struct handoff__receiving *r, enum handoff__batch_state word);

/* All entries of a committed batch are the server's, or have ended. */
uint32_t handoff__receiving_served(struct handoff__receiving *r);

/* FORGET. */
uint32_t handoff__receiving_forget(struct handoff__receiving *r);

/* The link has come up, after HELLO, or is down. A link that is replaced by
 * another was down in between. */
uint32_t handoff__receiving_link(struct handoff__receiving *r, bool up);

/* Give it up, unless PREPARED was sent: no room, the server died or is late,
 * the gate died, the sender is not what was agreed. */
uint32_t handoff__receiving_give_up(struct handoff__receiving *r);

/* Whether nothing is left to do: IDLE, DONE or ABORTED. */
bool handoff__receiving_over(const struct handoff__receiving *r);

/* Whether nobody here may touch the entries: what the status shows. */
bool handoff__receiving_in_doubt(const struct handoff__receiving *r);

/* For a batch that has no machine, since it is not in the table: what the
 * caller sends. COMMIT: LOST. (FORGET, ABORT, VERDICT: nothing.) */
static inline uint32_t
handoff__receiving_unknown_commit(void)
{
	return HANDOFF__RECEIVING_SEND_LOST;
}

/* For logs and the status. */
const char *handoff__receiving_text(enum handoff__receiving_state state);

#endif
