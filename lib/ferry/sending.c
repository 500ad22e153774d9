/* SPDX-License-Identifier: MIT */
/*
 * The states of a batch at its sender. Pure: no I/O, no time, no allocation;
 * the word of the batch is read and swapped by the caller alone. What it may
 * rely on, and why, is in sending.h.
 */
#include "ferry/sending.h"

#include <string.h>

void
handoff__sending_init(struct handoff__sending *s, bool up)
{
	memset(s, 0, sizeof(*s));
	s->state = HANDOFF__SENDING_IDLE;
	s->up = up;
}

/* A message that cannot be sent now is made up for when the link is up. */
static uint32_t
send_if_up(const struct handoff__sending *s, uint32_t message)
{
	return s->up ? message : 0;
}

static bool
undecided(const struct handoff__sending *s)
{
	switch (s->state) {
	case HANDOFF__SENDING_TAKING:
	case HANDOFF__SENDING_FREEZING:
	case HANDOFF__SENDING_SHIPPED:
	case HANDOFF__SENDING_CHECKING:
		return true;
	default:
		return false;
	}
}

static uint32_t
decide(struct handoff__sending *s, enum handoff__sending_action how)
{
	s->state = HANDOFF__SENDING_DECIDING;
	return how;
}

uint32_t
handoff__sending_begin(struct handoff__sending *s, uint64_t id, uint32_t count)
{
	if (s->state != HANDOFF__SENDING_IDLE || !s->up || id == 0 ||
		count == 0)
		return 0;
	s->state = HANDOFF__SENDING_TAKING;
	s->id = id;
	s->count = count;
	return HANDOFF__SENDING_HOLD | HANDOFF__SENDING_OPEN |
	       HANDOFF__SENDING_TAKE;
}

uint32_t
handoff__sending_resume(struct handoff__sending *s, uint64_t id, uint32_t count,
	enum handoff__batch_state word)
{
	handoff__sending_init(s, false);
	s->id = id;
	s->count = count;
	switch (word) {
	case HANDOFF__BATCH_COMMITTED:
		s->state = HANDOFF__SENDING_COMMITTED;
		return 0;
	case HANDOFF__BATCH_OPEN:
		return decide(s, HANDOFF__SENDING_ABORT);
	case HANDOFF__BATCH_ABORTED:
		s->state = HANDOFF__SENDING_ABORTED;
		return HANDOFF__SENDING_THAW | HANDOFF__SENDING_FREE;
	case HANDOFF__BATCH_FREE:
	case HANDOFF__BATCH_WRITTEN:
		break;
	}
	return 0;
}

static uint32_t
freeze_if_ready(struct handoff__sending *s)
{
	if (!s->held || !s->taken)
		return 0;
	s->state = HANDOFF__SENDING_FREEZING;
	return HANDOFF__SENDING_FREEZE;
}

uint32_t
handoff__sending_held(struct handoff__sending *s)
{
	if (s->state != HANDOFF__SENDING_TAKING || s->held)
		return 0;
	s->held = true;
	return freeze_if_ready(s);
}

uint32_t
handoff__sending_taken(struct handoff__sending *s, uint32_t count)
{
	if (s->state != HANDOFF__SENDING_TAKING || s->taken)
		return 0;
	s->taken = true;
	s->count = count;
	return count > 0 ? freeze_if_ready(s)
			 : decide(s, HANDOFF__SENDING_ABORT);
}

uint32_t
handoff__sending_frozen(struct handoff__sending *s, uint32_t count)
{
	if (s->state != HANDOFF__SENDING_FREEZING)
		return 0;
	s->count = count;
	if (count == 0)
		return decide(s, HANDOFF__SENDING_ABORT);
	s->state = HANDOFF__SENDING_SHIPPED;
	return HANDOFF__SENDING_SHIP;
}

/* `back` entries leave the batch: RETURN for them; ABORT if none is left in
 * it. */
static uint32_t
leave(struct handoff__sending *s, uint32_t back)
{
	s->count -= back < s->count ? back : s->count;
	return (back > 0 ? HANDOFF__SENDING_RETURN : 0u) |
	       (s->count == 0 ? decide(s, HANDOFF__SENDING_ABORT) : 0u);
}

uint32_t
handoff__sending_prepared(
	struct handoff__sending *s, uint32_t round, uint32_t refused)
{
	uint32_t actions;

	if (s->state != HANDOFF__SENDING_SHIPPED || round != s->round)
		return 0;
	actions = leave(s, refused);
	if (s->count == 0)
		return actions;
	s->state = HANDOFF__SENDING_CHECKING;
	return actions | HANDOFF__SENDING_CHECK;
}

/* The other ferry must know which entries a batch has before it is decided:
 * after a restart it knows nothing but the word. So what is stale is withdrawn,
 * and the rest prepared and checked again. */
uint32_t
handoff__sending_checked(struct handoff__sending *s, uint32_t stale)
{
	uint32_t actions;

	if (s->state != HANDOFF__SENDING_CHECKING)
		return 0;
	if (stale == 0)
		return decide(s, HANDOFF__SENDING_COMMIT);
	actions = leave(s, stale);
	if (s->count == 0)
		return actions;
	s->round++;
	s->state = HANDOFF__SENDING_SHIPPED;
	return actions | HANDOFF__SENDING_SEND_WITHDRAW;
}

uint32_t
handoff__sending_word(
	struct handoff__sending *s, enum handoff__batch_state word)
{
	bool committed = word == HANDOFF__BATCH_COMMITTED;
	uint32_t message = committed ? HANDOFF__SENDING_SEND_COMMIT
				     : HANDOFF__SENDING_SEND_ABORT;

	if (s->state != HANDOFF__SENDING_DECIDING)
		return 0;
	if (s->asked)
		message = HANDOFF__SENDING_SEND_VERDICT;
	s->asked = false;
	if (committed) {
		s->state = HANDOFF__SENDING_COMMITTED;
		return send_if_up(s, message);
	}
	s->state = HANDOFF__SENDING_ABORTED;
	return HANDOFF__SENDING_THAW | HANDOFF__SENDING_FREE |
	       send_if_up(s, message);
}

uint32_t
handoff__sending_serving(struct handoff__sending *s)
{
	if (s->state == HANDOFF__SENDING_DONE)
		return send_if_up(s, HANDOFF__SENDING_SEND_FORGET);
	if (s->state != HANDOFF__SENDING_COMMITTED)
		return 0;
	s->state = HANDOFF__SENDING_DONE;
	return HANDOFF__SENDING_FLIP | HANDOFF__SENDING_END |
	       HANDOFF__SENDING_FREE |
	       send_if_up(s, HANDOFF__SENDING_SEND_FORGET);
}

uint32_t
handoff__sending_query(struct handoff__sending *s)
{
	if (undecided(s)) {
		s->asked = true;
		return decide(s, HANDOFF__SENDING_ABORT);
	}
	if (s->state == HANDOFF__SENDING_COMMITTED ||
		s->state == HANDOFF__SENDING_ABORTED)
		return send_if_up(s, HANDOFF__SENDING_SEND_VERDICT);
	return 0;
}

uint32_t
handoff__sending_lost(struct handoff__sending *s)
{
	if (s->state != HANDOFF__SENDING_COMMITTED)
		return 0;
	s->state = HANDOFF__SENDING_LOST;
	return HANDOFF__SENDING_PASS | HANDOFF__SENDING_END |
	       HANDOFF__SENDING_FREE;
}

uint32_t
handoff__sending_link(struct handoff__sending *s, bool up)
{
	s->up = up;
	if (!up)
		return handoff__sending_give_up(s);
	return s->state == HANDOFF__SENDING_COMMITTED
		       ? HANDOFF__SENDING_SEND_COMMIT
		       : 0;
}

uint32_t
handoff__sending_give_up(struct handoff__sending *s)
{
	return undecided(s) ? decide(s, HANDOFF__SENDING_ABORT) : 0;
}

bool
handoff__sending_over(const struct handoff__sending *s)
{
	return s->state == HANDOFF__SENDING_IDLE ||
	       s->state == HANDOFF__SENDING_DONE ||
	       s->state == HANDOFF__SENDING_ABORTED ||
	       s->state == HANDOFF__SENDING_LOST;
}

const char *
handoff__sending_text(enum handoff__sending_state state)
{
	switch (state) {
	case HANDOFF__SENDING_IDLE:
		return "idle";
	case HANDOFF__SENDING_TAKING:
		return "taking";
	case HANDOFF__SENDING_FREEZING:
		return "freezing";
	case HANDOFF__SENDING_SHIPPED:
		return "shipped";
	case HANDOFF__SENDING_CHECKING:
		return "checking";
	case HANDOFF__SENDING_DECIDING:
		return "deciding";
	case HANDOFF__SENDING_COMMITTED:
		return "committed";
	case HANDOFF__SENDING_DONE:
		return "done";
	case HANDOFF__SENDING_ABORTED:
		return "aborted";
	case HANDOFF__SENDING_LOST:
		return "lost";
	}
	return "unknown";
}
