/* SPDX-License-Identifier: MIT */
/*
 * Transactions that do more than to change their record: what they do beside
 * it takes effect with the commit of the record, or not at all. None of this is
 * on the path of a plain request.
 */
#include "record/region.h"
#include "server/posting.h"
#include "server/turn.h"
#include "session/session.h"

#include <handoff/lease.h>

#include <errno.h>

#define FLIP_TRIES 5

void
handoff__effects_undo(struct turn *t)
{
	uint32_t effects = t->txn.next->flags;

	if (effects & HANDOFF__POSTING)
		handoff__posting_discard(&t->txn);
	if (effects & HANDOFF__SHARED)
		handoff__region_undo(t->txn.view.seg->commons);
	handoff__state_erase(&t->txn.view);
}

/* The turn ends, and another one follows shortly. */
static void
retry(struct turn *t, const char *why, int err)
{
	handoff__turn_end(t, HANDOFF__END_ERROR, why, -err);
	t->result->outcome = HANDOFF__TURN_RETRY;
}

/* Undoes the transaction; another turn runs the handler again shortly. */
static int
try_later(struct turn *t, const char *why, int err)
{
	handoff__effects_undo(t);
	retry(t, why, err);
	return err;
}

void
handoff__turn_bar(struct turn *t)
{
	const struct handoff__tenure *tenure =
		handoff__tenure_of(t->now.view->seg->arena);
	uint32_t state = atomic_load(&tenure->state);

	handoff__turn_end(t, HANDOFF__END_ERROR, "the lease is lost", 0);
	if (state == HANDOFF_LEASE_OWNER || state == HANDOFF_LEASE_DOUBT)
		retry(t, "stands still until the lease is confirmed", -EAGAIN);
}

/* What comes before the flip. Returns the effects; negative: they are not
 * possible now, and nothing has changed. */
static int
effects_before(struct turn *t)
{
	struct handoff__commit *next = t->txn.next;
	uint32_t effects = next->flags & (uint32_t)HANDOFF__TRANSIENT;
	int err = effects & HANDOFF__POSTING ? handoff__posting_prepare(&t->txn)
					     : 0;

	if (err < 0)
		return err;
	next->flags &= ~effects;
	return (int)effects;
}

/* And after it. */
static void
effects_after(struct turn *t, int effects)
{
	if (effects & HANDOFF__SHARED)
		handoff__region_keep(t->txn.view.seg->commons);
	if (effects & HANDOFF__POSTING)
		handoff__posting_publish(&t->txn);
	if (effects & HANDOFF__ERASE)
		handoff__state_erase(&t->txn.view);
}

/* Whether it has consumed input that was there to wait for: its own, or that of
 * a service that it wraps. */
static bool
has_consumed(const struct turn *t, const struct handoff__commit *before)
{
	const struct handoff__geometry *geo = &t->now.view->seg->geo;
	const struct handoff__commit *next = t->txn.next;

	/* the first call of an inner service only begins to count */
	if (handoff__commit_wrapped(geo, before) == 0 &&
		handoff__commit_wrapped(geo, next) != 0)
		return false;
	return handoff__commit_request(geo, next) !=
	       handoff__commit_request(geo, before);
}

int
handoff__effects_commit(struct turn *t, const struct handoff__commit *before)
{
	struct handoff__commit *next = t->txn.next;
	int effects = effects_before(t);
	bool consumed, changed;

	if (effects < 0)
		return try_later(t, "waits for the ring of posts", effects);
	if (next->tx_head != before->tx_head)
		handoff__record_touch(t->txn.view.rec);
	/* it no longer waits for an answer to what it has consumed */
	consumed = has_consumed(t, before);
	if (consumed)
		next->flags &= ~(uint32_t)HANDOFF__WAITING;
	changed = consumed || next->rx_tail != before->rx_tail ||
		  next->tx_head != before->tx_head ||
		  next->flags != before->flags;
	handoff__txn_commit(&t->txn);
	effects_after(t, effects);
	handoff__conn_state_load(&t->now);
	return changed;
}

void
handoff__effects_flip(struct turn *t)
{
	int effects = effects_before(t);

	for (int i = 1; effects < 0 && i < FLIP_TRIES; i++)
		effects = effects_before(t);
	if (effects < 0) {
		handoff__posting_discard(&t->txn);
		t->txn.next->flags &= ~(uint32_t)HANDOFF__POSTING;
		effects = effects_before(t);
	}
	handoff__flip(&t->txn.view);
	effects_after(t, effects);
}

/* The answer comes later: of all that the handler did its posts and its
 * deadline remain, and that it has taken a post. */
static int
wait_for_answer(struct turn *t)
{
	uint32_t effects =
		t->txn.next->flags & (HANDOFF__POSTING | HANDOFF__REASON);
	const struct handoff__commit done = *t->txn.next;
	int rc;

	if (t->txn.next->flags & HANDOFF__SHARED)
		handoff__region_undo(t->txn.view.seg->commons);
	handoff__state_erase(&t->txn.view);
	handoff__txn_again(&t->txn);
	t->txn.next->flags |= HANDOFF__WAITING | effects;
	t->txn.next->line_pos = done.line_pos;
	t->txn.next->deadline = done.deadline;
	if (handoff__commit_wrapped(&t->txn.view.seg->geo, &done) != 0) {
		t->txn.next->pass_head = done.pass_head;
		t->txn.next->pass_tail = done.pass_tail;
	}
	rc = handoff__effects_commit(t, t->now.commit);
	return rc < 0 ? rc : 0;
}

/* The client of a session is told in words; no handler runs any more. */
static bool
fail_session(struct turn *t, int err)
{
	uint32_t flags = t->now.commit->flags;

	if (!(flags & HANDOFF__SESSION) || (flags & HANDOFF__NO_OUTPUT))
		return false;
	handoff__txn_again(&t->txn);
	if (!handoff__session_failed(&t->txn))
		return false;
	handoff__record_touch(t->txn.view.rec);
	handoff__txn_commit_state(&t->txn);
	handoff__conn_state_load(&t->now);
	t->result->end = HANDOFF__END_HANDLER;
	t->result->why = "handler";
	t->result->err = -err;
	return true;
}

/* The handler has failed, which is noted, so that no other process runs it
 * again. */
static int
fail(struct turn *t, int err)
{
	handoff__effects_undo(t);
	if (fail_session(t, err))
		return 1;
	handoff__turn_end(t, HANDOFF__END_HANDLER, "handler", -err);
	handoff__record_flag(t->now.view,
		HANDOFF__CLOSING | HANDOFF__OVER |
			HANDOFF__END_HANDLER << HANDOFF__END_SHIFT);
	handoff__conn_state_load(&t->now);
	return err;
}

int
handoff__effects_refused(struct turn *t, int rc)
{
	if (rc == HANDOFF_LATER && t->now.service->posted &&
		(t->now.commit->flags & HANDOFF__OPENED))
		return wait_for_answer(t);
	if (rc == HANDOFF__NOT_NOW && t->txn.view.seg->arena->above) {
		handoff__effects_undo(t);
		handoff__turn_bar(t);
		return rc;
	}
	if (rc == -ETIMEDOUT && (t->txn.next->flags & HANDOFF__SHARED_LATE))
		return try_later(t, "waits for the shared region", rc);
	return fail(t, rc < 0 ? rc : -EINVAL);
}
