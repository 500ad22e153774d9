/* SPDX-License-Identifier: MIT */
/*
 * The states of a batch at its receiver. Pure: no I/O, no time, no allocation;
 * the word of the batch is read and swapped by the caller alone. What it may
 * rely on, and why, is in sending.h and receiving.h.
 */
#include "ferry/receiving.h"

#include <string.h>

void
handoff__receiving_init(struct handoff__receiving *r, bool up)
{
	memset(r, 0, sizeof(*r));
	r->state = HANDOFF__RECEIVING_IDLE;
	r->up = up;
}

/* A message that cannot be sent now is made up for when the link is up. */
static uint32_t
send_if_up(const struct handoff__receiving *r, uint32_t message)
{
	return r->up ? message : 0;
}

/* PREPARED was not sent. */
static bool
unpromised(const struct handoff__receiving *r)
{
	return r->state == HANDOFF__RECEIVING_COLLECTING ||
	       r->state == HANDOFF__RECEIVING_PREPARING;
}

static bool
promised(const struct handoff__receiving *r)
{
	return r->state == HANDOFF__RECEIVING_PREPARED ||
	       r->state == HANDOFF__RECEIVING_DOUBT;
}

static uint32_t
decide(struct handoff__receiving *r, enum handoff__receiving_action how)
{
	r->state = HANDOFF__RECEIVING_DECIDING;
	return how;
}

uint32_t
handoff__receiving_begin(
	struct handoff__receiving *r, uint64_t id, uint32_t count)
{
	if (r->state != HANDOFF__RECEIVING_IDLE || !r->up || id == 0 ||
		count == 0)
		return 0;
	r->state = HANDOFF__RECEIVING_COLLECTING;
	r->id = id;
	r->count = count;
	return HANDOFF__RECEIVING_OPEN;
}

static uint32_t
commit(struct handoff__receiving *r)
{
	r->state = HANDOFF__RECEIVING_COMMITTED;
	return HANDOFF__RECEIVING_FINISH | HANDOFF__RECEIVING_OFFER;
}

static uint32_t
abandon(struct handoff__receiving *r)
{
	r->state = HANDOFF__RECEIVING_ABORTED;
	return HANDOFF__RECEIVING_ABANDON | HANDOFF__RECEIVING_FREE |
	       (r->tell ? send_if_up(r, HANDOFF__RECEIVING_SEND_ABORT) : 0u);
}

/* An OPEN word does not say whether PREPARED was sent: so it was. */
uint32_t
handoff__receiving_resume(struct handoff__receiving *r, uint64_t id,
	uint32_t count, enum handoff__batch_state word)
{
	handoff__receiving_init(r, false);
	r->id = id;
	r->count = r->came = count;
	switch (word) {
	case HANDOFF__BATCH_OPEN:
		r->state = HANDOFF__RECEIVING_DOUBT;
		return 0;
	case HANDOFF__BATCH_COMMITTED:
		return commit(r);
	case HANDOFF__BATCH_ABORTED:
		return abandon(r);
	case HANDOFF__BATCH_FREE:
	case HANDOFF__BATCH_WRITTEN:
		break;
	}
	return 0;
}

uint32_t
handoff__receiving_entry(struct handoff__receiving *r)
{
	if (r->state != HANDOFF__RECEIVING_COLLECTING)
		return 0;
	if (r->came == r->count)
		return handoff__receiving_give_up(r);
	r->came++;
	return HANDOFF__RECEIVING_PREPARE;
}

uint32_t
handoff__receiving_end(struct handoff__receiving *r)
{
	if (r->state != HANDOFF__RECEIVING_COLLECTING)
		return 0;
	if (r->came != r->count)
		return handoff__receiving_give_up(r);
	r->state = HANDOFF__RECEIVING_PREPARING;
	return HANDOFF__RECEIVING_GUARD;
}

static uint32_t
promise_if_ready(struct handoff__receiving *r)
{
	if (!r->held || !r->guarded)
		return 0;
	r->state = HANDOFF__RECEIVING_PREPARED;
	return HANDOFF__RECEIVING_SEND_PREPARED;
}

uint32_t
handoff__receiving_held(struct handoff__receiving *r, uint32_t refused)
{
	if (r->state != HANDOFF__RECEIVING_PREPARING || r->held)
		return 0;
	r->held = true;
	return (refused > 0 ? HANDOFF__RECEIVING_DROP : 0u) |
	       promise_if_ready(r);
}

uint32_t
handoff__receiving_guarded(struct handoff__receiving *r)
{
	if (r->state != HANDOFF__RECEIVING_PREPARING || r->guarded)
		return 0;
	r->guarded = true;
	return promise_if_ready(r);
}

uint32_t
handoff__receiving_withdrawn(struct handoff__receiving *r, uint32_t round)
{
	if (r->state != HANDOFF__RECEIVING_PREPARED || round != r->round + 1)
		return 0;
	r->round = round;
	return HANDOFF__RECEIVING_DROP | HANDOFF__RECEIVING_SEND_PREPARED;
}

uint32_t
handoff__receiving_commit(struct handoff__receiving *r)
{
	if (promised(r))
		return decide(r, HANDOFF__RECEIVING_COMMIT);
	return r->state == HANDOFF__RECEIVING_SERVING
		       ? send_if_up(r, HANDOFF__RECEIVING_SEND_SERVING)
		       : 0;
}

uint32_t
handoff__receiving_abort(struct handoff__receiving *r)
{
	return promised(r) || unpromised(r)
		       ? decide(r, HANDOFF__RECEIVING_ABORT)
		       : 0;
}

uint32_t
handoff__receiving_word(
	struct handoff__receiving *r, enum handoff__batch_state word)
{
	if (r->state != HANDOFF__RECEIVING_DECIDING)
		return 0;
	return word == HANDOFF__BATCH_COMMITTED ? commit(r) : abandon(r);
}

uint32_t
handoff__receiving_served(struct handoff__receiving *r)
{
	if (r->state != HANDOFF__RECEIVING_COMMITTED)
		return 0;
	r->state = HANDOFF__RECEIVING_SERVING;
	return send_if_up(r, HANDOFF__RECEIVING_SEND_SERVING);
}

/* Before _served it answers a ferry before this one; SERVING will bring
 * another.
 */
uint32_t
handoff__receiving_forget(struct handoff__receiving *r)
{
	if (r->state != HANDOFF__RECEIVING_SERVING)
		return 0;
	r->state = HANDOFF__RECEIVING_DONE;
	return HANDOFF__RECEIVING_FREE;
}

static uint32_t
link_down(struct handoff__receiving *r)
{
	if (r->state == HANDOFF__RECEIVING_PREPARED)
		r->state = HANDOFF__RECEIVING_DOUBT;
	return unpromised(r) ? decide(r, HANDOFF__RECEIVING_ABORT) : 0;
}

uint32_t
handoff__receiving_link(struct handoff__receiving *r, bool up)
{
	r->up = up;
	if (!up)
		return link_down(r);
	if (r->state == HANDOFF__RECEIVING_DOUBT)
		return HANDOFF__RECEIVING_SEND_QUERY;
	return r->state == HANDOFF__RECEIVING_SERVING
		       ? HANDOFF__RECEIVING_SEND_SERVING
		       : 0;
}

uint32_t
handoff__receiving_give_up(struct handoff__receiving *r)
{
	if (!unpromised(r))
		return 0;
	r->tell = true;
	return decide(r, HANDOFF__RECEIVING_ABORT);
}

bool
handoff__receiving_over(const struct handoff__receiving *r)
{
	return r->state == HANDOFF__RECEIVING_IDLE ||
	       r->state == HANDOFF__RECEIVING_DONE ||
	       r->state == HANDOFF__RECEIVING_ABORTED;
}

bool
handoff__receiving_in_doubt(const struct handoff__receiving *r)
{
	return r->state == HANDOFF__RECEIVING_DOUBT;
}

const char *
handoff__receiving_text(enum handoff__receiving_state state)
{
	switch (state) {
	case HANDOFF__RECEIVING_IDLE:
		return "idle";
	case HANDOFF__RECEIVING_COLLECTING:
		return "collecting";
	case HANDOFF__RECEIVING_PREPARING:
		return "preparing";
	case HANDOFF__RECEIVING_PREPARED:
		return "prepared";
	case HANDOFF__RECEIVING_DOUBT:
		return "in doubt";
	case HANDOFF__RECEIVING_DECIDING:
		return "deciding";
	case HANDOFF__RECEIVING_COMMITTED:
		return "committed";
	case HANDOFF__RECEIVING_SERVING:
		return "serving";
	case HANDOFF__RECEIVING_DONE:
		return "done";
	case HANDOFF__RECEIVING_ABORTED:
		return "aborted";
	}
	return "unknown";
}
