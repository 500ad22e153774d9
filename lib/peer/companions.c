/* SPDX-License-Identifier: MIT */
/*
 * Leaders and companions. A companion's record names its leader by id, which
 * identifies it, and by place, a hint: a conversion moves the leader to another
 * record. Rings are undone before their entries move and made again by the
 * peer that gets them. Decides nothing about moves.
 */
#include "peer/companions.h"

#include "peer/core.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t
leader_id(const struct handoff__roster_entry *e)
{
	return handoff__older(e->view.seg)
		       ? 0
		       : atomic_load_explicit(&e->view.rec->extra.leader,
				 memory_order_relaxed);
}

static struct handoff__roster_entry **
link_of(const struct handoff__roster *roster,
	const struct handoff__roster_entry *e)
{
	return &roster->rings[e->segment][e->slot];
}

static int
make_room(struct handoff__roster *roster, uint32_t segment)
{
	if (!roster->rings[segment])
		roster->rings[segment] =
			calloc(roster->arena->segments[segment]->geo.slots,
				sizeof(struct handoff__roster_entry *));
	return roster->rings[segment] ? 0 : -ENOMEM;
}

/* The last of the ring, and how many there are. */
static struct handoff__roster_entry *
last_of(const struct handoff__pair *pair, struct handoff__roster_entry *leader,
	uint32_t *count)
{
	struct handoff__roster_entry *e = leader, *next;

	for (*count = 1; (next = handoff__companions_next(pair, e)) != leader;
		e = next)
		++*count;
	return e;
}

int
handoff__companions_check(
	struct handoff__pair *pair, struct handoff__roster_entry *leader)
{
	uint32_t count;

	if (leader->id == 0 || leader->fd < 0 || !leader->mine ||
		handoff__older(leader->view.seg) ||
		leader->marks & HANDOFF__FOLLOWS)
		return -EINVAL;
	last_of(pair, leader, &count);
	if (count == HANDOFF__TOGETHER_MAX)
		return -ENOSPC;
	return make_room(&pair->roster, leader->segment);
}

void
handoff__companions_name(
	struct handoff__record *rec, const struct handoff__roster_entry *leader)
{
	rec->extra.leader_segment = leader->segment;
	rec->extra.leader_slot = leader->slot;
	atomic_store(&rec->extra.leader, leader->id);
}

/* Searches onwards from the last one that was found: records that a conversion
 * has moved follow each other. */
struct handoff__roster_entry *
handoff__companions_find(struct handoff__pair *pair, uint64_t id)
{
	struct handoff__roster *roster = &pair->roster;
	struct handoff__roster_entry hint = {
		.segment = roster->found_segment, .slot = roster->found_slot};
	struct handoff__roster_entry *e = &hint;

	for (int pass = 0; pass < 2; pass++, e = NULL) {
		while ((e = handoff__roster_next(roster, e))) {
			if (e->id != id)
				continue;
			roster->found_segment = e->segment;
			roster->found_slot = e->slot;
			return e;
		}
	}
	return NULL;
}

struct handoff__roster_entry *
handoff__pair_leader(
	struct handoff__pair *pair, const struct handoff__roster_entry *e)
{
	const struct handoff__extra *extra = &e->view.rec->extra;
	struct handoff__roster_entry *leader;
	uint64_t id = e->marks & HANDOFF__FOLLOWS ? leader_id(e) : 0;

	if (id == 0)
		return NULL;
	leader = handoff__roster_find(
		&pair->roster, extra->leader_segment, extra->leader_slot, id);
	return leader ? leader : handoff__companions_find(pair, id);
}

bool
handoff__entry_covered(
	const struct handoff__pair *pair, struct handoff__roster_entry *first)
{
	struct handoff__roster_entry *e = first;

	do {
		if (e->copy != HANDOFF__COPY_HELD)
			return false;
		e = handoff__companions_next(pair, e);
	} while (e != first);
	return true;
}

static int
bind_to(struct handoff__pair *pair, struct handoff__roster_entry *leader,
	struct handoff__roster_entry *e)
{
	struct handoff__roster *roster = &pair->roster;
	struct handoff__roster_entry *last;
	uint32_t count;
	int err = make_room(roster, e->segment);

	if (err == 0)
		err = make_room(roster, leader->segment);
	if (err < 0)
		return err;
	last = last_of(pair, leader, &count);
	if (count == HANDOFF__TOGETHER_MAX || leader->marks & HANDOFF__FOLLOWS)
		return -EINVAL;
	leader->marks |= HANDOFF__BOUND | HANDOFF__LEADS;
	e->marks |= HANDOFF__BOUND;
	*link_of(roster, last) = e;
	*link_of(roster, e) = leader;
	return 0;
}

static void
stand_alone(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	atomic_store(&e->view.rec->extra.leader, 0);
	handoff__roster_unmark(&pair->roster, e, HANDOFF__FOLLOWS);
}

void
handoff__companions_join_leader(
	struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	struct handoff__roster_entry *leader;

	if (e->marks & HANDOFF__BOUND)
		return;
	leader = handoff__pair_leader(pair, e);
	if (leader && !leader->mine)
		return;
	if (!leader) {
		stand_alone(pair, e);
		return;
	}
	handoff__companions_name(e->view.rec, leader);
	if (bind_to(pair, leader, e) == 0)
		return;
	handoff__log(pair->log, HANDOFF_LOG_ERROR,
		"entry %llu: cannot be kept together with its leader: it moves "
		"alone from now on",
		(unsigned long long)e->id);
	stand_alone(pair, e);
}

void
handoff__companions_join_all(struct handoff__pair *pair)
{
	struct handoff__roster_entry *e = NULL;

	while (pair->roster.followers > 0 &&
		(e = handoff__roster_next(&pair->roster, e))) {
		if (e->mine)
			handoff__companions_join(pair, e);
	}
}

static void
unbind(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	*link_of(&pair->roster, e) = NULL;
	e->marks &= (uint8_t) ~(HANDOFF__BOUND | HANDOFF__LEADS);
}

uint32_t
handoff__companions_undo(struct handoff__pair *pair,
	struct handoff__roster_entry *e,
	struct handoff__roster_entry *list[HANDOFF__TOGETHER_MAX])
{
	struct handoff__roster_entry *leader = handoff__entry_leads(pair, e);
	uint32_t count = 0;

	for (e = leader;;) {
		struct handoff__roster_entry *next =
			handoff__companions_next(pair, e);

		list[count++] = e;
		if (e->marks & HANDOFF__BOUND)
			unbind(pair, e);
		if (next == leader)
			return count;
		e = next;
	}
}

uint32_t
handoff__companions_part(struct handoff__pair *pair,
	struct handoff__roster_entry *e,
	struct handoff__roster_entry *list[HANDOFF__TOGETHER_MAX])
{
	bool leads = e->marks & HANDOFF__LEADS;
	uint32_t count;

	if (!(e->marks & HANDOFF__BOUND))
		return 0;
	count = handoff__companions_undo(pair, e, list);
	for (uint32_t i = 1; i < count; i++) {
		if (leads)
			stand_alone(pair, list[i]);
		else if (list[i] != e)
			handoff__companions_join(pair, list[i]);
	}
	if (!leads)
		return 1; /* the leader */
	list[0] = list[count - 1];
	return count - 1;
}

bool
handoff__companions_leader_is_here(
	struct handoff__pair *pair, const struct handoff__roster_entry *e)
{
	const struct handoff__roster_entry *leader =
		handoff__pair_leader(pair, e);

	return !leader || leader->mine;
}
