/* SPDX-License-Identifier: MIT */
/*
 * The outcome of a handoff and the entries left behind, in terms of the public
 * header. The only file that knows both these and those of the link.
 */
#include "operator/operator.h"

#include "peer/report.h"

#include <assert.h>
#include <errno.h>

#define SAME(own, public)                                                      \
	static_assert((int)HANDOFF__##own == (int)HANDOFF_REASON_##public,     \
		"reasons of the link are those of the public interface")

SAME(OK, NONE);
SAME(BAD_VERSION, PROTOCOL);
SAME(BAD_SERVICE, SERVICE);
SAME(BAD_STATE_SIZE, STATE_SIZE);
SAME(BAD_STATE_VERSION, STATE_VERSION);
SAME(BAD_LAYOUT, LAYOUT);
SAME(TAKEN, TWO_PEERS);
SAME(TABLE_FULL, TABLE_FULL);
SAME(BAD_RECORD, RECORD);
SAME(NO_MEMORY, NO_MEMORY);
SAME(HANDLER_BUSY, HANDLER);
SAME(UNANSWERED, UNANSWERED);
SAME(BUSY, BUSY);
SAME(NOT_OWNER, NOT_OWNER);
SAME(LEAVING, LEAVING);
SAME(GARBAGE, GARBAGE);
SAME(BAD_CONFIG, CONFIG);
SAME(UNTAKEN, UNTAKEN);
SAME(UNWATCHED, UNWATCHED);
SAME(STRANGER, STRANGER);
SAME(ANOTHER_USER, USER);
SAME(CROWDED, CROWDED);
SAME(BAD_SHARED, SHARED);
SAME(UNREADY, UNREADY);
SAME(BAD_LEASE, OTHER_LEASE);
SAME(NO_LEASE, NO_LEASE);
static_assert(HANDOFF__REASONS == HANDOFF_REASON_NO_LEASE + 1 &&
		      HANDOFF__REASONS <= (int)HANDOFF_REASON_OTHER,
	"each reason of the link is above");

static_assert(
	(int)HANDOFF__MAINTENANCE == (int)HANDOFF_CAUSE_MAINTENANCE &&
		(int)HANDOFF__HOME == (int)HANDOFF_CAUSE_READY &&
		(int)HANDOFF__HOME_SILENT == (int)HANDOFF_CAUSE_READY_SILENT &&
		(int)HANDOFF__REST == (int)HANDOFF_CAUSE_REST,
	"causes of the link are those of the public interface");

static_assert((int)HANDOFF__CONNECTION == (int)HANDOFF_ENTRY_CONNECTION &&
		      (int)HANDOFF__LISTENER == (int)HANDOFF_ENTRY_LISTENER &&
		      (int)HANDOFF__EXTRA == (int)HANDOFF_ENTRY_OTHER &&
		      (int)HANDOFF__DATA == (int)HANDOFF_ENTRY_DATA,
	"kinds of records are those of the public interface");

enum handoff_reason
handoff__public_reason(enum handoff__reason reason)
{
	return reason < HANDOFF__REASONS ? (enum handoff_reason)reason
					 : HANDOFF_REASON_OTHER;
}

const char *
handoff_reason_text(enum handoff_reason reason)
{
	if (reason == HANDOFF_REASON_NONE)
		return "no reason";
	return (unsigned)reason < HANDOFF__REASONS
		       ? handoff__reason_text((enum handoff__reason)reason)
		       : "another reason";
}

void
handoff__outcome_of(enum handoff__way way, const struct handoff__report *r,
	struct handoff_outcome *outcome)
{
	*outcome = (struct handoff_outcome){
		.direction = way == HANDOFF__WAY_OUT ? HANDOFF_DIRECTION_OUT
						     : HANDOFF_DIRECTION_IN,
		.cause = (enum handoff_cause)r->cause,
		.reason = handoff__public_reason(r->reason),
		.id = r->id,
	};
	outcome->left = r->left;
	for (int i = 1; i < HANDOFF__REASONS; i++)
		outcome->left_by[i] = r->left_by[i];
	outcome->left_by[HANDOFF_REASON_OTHER] = r->left_by[0];
	/* refused as a whole: nothing has moved */
	if (r->reason != HANDOFF__OK && r->id == 0)
		return;
	outcome->connections = r->moved;
	outcome->listeners = r->listeners;
	outcome->unread = r->unread;
	outcome->unsent = r->unsent;
	outcome->took_us = r->took_us;
}

void
handoff__outcome_of_death(
	const struct handoff__survival *s, struct handoff__facts *facts)
{
	facts->died = !s->bye;
	facts->outcome = (struct handoff_outcome){
		.direction = HANDOFF_DIRECTION_IN,
		.cause = HANDOFF_CAUSE_FAILOVER,
		.id = s->id,
		.connections = s->taken.connections,
		.listeners = s->taken.listeners,
		.unread = s->taken.load.unread,
		.unsent = s->taken.load.unsent,
		.took_us = s->took_us,
		.closed = s->closed,
	};
}

const struct handoff_outcome *
handoff__facts_outcome(const struct handoff__facts *facts)
{
	return facts->outcome.direction != 0 ? &facts->outcome : NULL;
}

/* The next entry that this peer gave without success: marked, and still its
 * own. */
static const struct handoff__roster_entry *
next_entry(struct handoff__operator *op)
{
	struct handoff__roster *roster = &op->pair->roster;
	/* by position: the entry itself, and its part of the roster, may be
	 * gone */
	const struct handoff__roster_entry last = {
		.segment = op->walk_segment, .slot = op->walk_slot};
	const struct handoff__roster_entry *e =
		op->walk_count > 0 ? &last : NULL;

	do
		e = handoff__roster_next(roster, e);
	while (e && (!e->mine || e->left == HANDOFF__OK));
	return e;
}

static void
set_left(struct handoff__operator *op, uint64_t id, enum handoff__kind kind,
	uint32_t reason)
{
	op->left = (struct handoff_left){
		.kind = (enum handoff_entry_kind)kind,
		.reason = handoff__public_reason((enum handoff__reason)reason),
		.id = id,
		.name = op->left_name,
	};
}

static int
left_here(struct handoff__operator *op,
	const struct handoff__roster_entry **entry)
{
	const struct handoff__roster_entry *e = next_entry(op);

	if (!e)
		return 0;
	/* a stream has its input where other entries have a name */
	if ((e->kind == HANDOFF__CONNECTION && !op->pair->config.streamless) ||
		handoff__record_name(&e->view, op->left_name) < 0)
		op->left_name[0] = '\0';
	set_left(op, e->id, (enum handoff__kind)e->kind, e->left);
	op->walk_count++;
	op->walk_segment = e->segment;
	op->walk_slot = e->slot;
	*entry = e;
	return 1;
}

/* The next entry that the other peer has named, after a take. */
static int
left_there(struct handoff__operator *op)
{
	const struct handoff__report *report = &op->ended_report;
	const struct handoff__ref *ref;
	enum handoff__kind kind;

	if (op->walk_count == report->nrefs)
		return 0;
	ref = &report->refs[op->walk_count++];
	kind = handoff__report_entry(op->pair, ref, op->left_name);
	set_left(op, ref->id, kind, ref->arg);
	return 1;
}

int
handoff__operator_left(struct handoff__operator *op,
	const struct handoff__roster_entry **entry)
{
	const struct handoff__report *report = &op->ended_report;
	bool out = op->ended_way == HANDOFF__WAY_OUT;

	*entry = NULL;
	if (op->walk_end != op->ends ||
		(out && op->pair->give.step != HANDOFF__GIVE_NONE))
		return -ESTALE;
	if (report->reason != HANDOFF__OK && report->id == 0 &&
		report->nrefs == 0)
		return 0;
	return out ? left_here(op, entry) : left_there(op);
}
