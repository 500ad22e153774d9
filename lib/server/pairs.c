/* SPDX-License-Identifier: MIT */
/*
 * Which connections of this process are a pair: a table beside the roster, so
 * that a service without pairs has none. Only the loop's thread changes it.
 * What makes two connections a pair is in their records.
 */
#include "server/internal.h"

#include <errno.h>
#include <stdlib.h>

bool
handoff__pairs_outgoing(const struct handoff__member *member)
{
	const struct handoff__roster_entry *e = &member->entry;

	return e->kind == HANDOFF__CONNECTION &&
	       e->view.seg->geo.pass_size > 0 &&
	       e->view.rec->extra.outgoing != 0;
}

struct handoff__member *
handoff__pairs_other(const struct handoff__member *member)
{
	const struct handoff__roster_entry *e = &member->entry;
	handoff__pairs_of_segment *pairs = atomic_load_explicit(
		&member->server->pairs[e->segment], memory_order_acquire);

	return pairs ? atomic_load_explicit(
			       &pairs[e->slot], memory_order_acquire)
		     : NULL;
}

/* False if there is no memory. */
static bool
set_other(struct handoff__member *member, struct handoff__member *other)
{
	struct handoff_server *server = member->server;
	const struct handoff__roster_entry *e = &member->entry;
	handoff__pairs_of_segment *pairs =
		atomic_load(&server->pairs[e->segment]);

	if (!pairs && !other)
		return true;
	if (!pairs) {
		pairs = calloc(e->view.seg->geo.slots, sizeof(*pairs));
		if (!pairs)
			return false;
		atomic_store(&server->pairs[e->segment], pairs);
	}
	atomic_store_explicit(&pairs[e->slot], other, memory_order_release);
	return true;
}

/* A record of the pair may have moved to a segment of a newer program: then its
 * old place is in an older segment. */
static struct handoff__roster_entry *
find_converted(
	const struct handoff_server *server, uint32_t segment, uint64_t id)
{
	const struct handoff__arena *arena = &server->pair.arena;
	struct handoff__roster_entry *e = NULL;

	if (segment >= arena->count ||
		arena->segments[segment]->geo.state_version == arena->version)
		return NULL;
	while ((e = handoff__roster_next(&server->pair.roster, e))) {
		if (e->id == id)
			return e;
	}
	return NULL;
}

struct handoff__member *
handoff__pairs_find(const struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	const struct handoff__roster_entry *e = &member->entry;
	const struct handoff__extra *extra = &e->view.rec->extra;
	struct handoff__roster_entry *other;
	uint64_t id;

	if (e->view.seg->geo.pass_size == 0 || e->kind != HANDOFF__CONNECTION)
		return NULL;
	id = atomic_load(&extra->pair);
	if (id == 0)
		return NULL;
	other = handoff__roster_find(&server->pair.roster, extra->pair_segment,
		extra->pair_slot, id);
	if (!other)
		other = find_converted(server, extra->pair_segment, id);
	return other ? handoff__member_of(other) : NULL;
}

/* The record of `to` may have moved: the one of `member` names its new place.
 */
static void
refer(const struct handoff__member *member, const struct handoff__member *to)
{
	struct handoff__extra *extra = &member->entry.view.rec->extra;
	const struct handoff__roster_entry *e = &to->entry;

	if (atomic_load(&extra->pair) != e->id ||
		(extra->pair_segment == e->segment &&
			extra->pair_slot == e->slot))
		return;
	extra->pair_segment = e->segment;
	extra->pair_slot = e->slot;
}

void
handoff__pairs_link(struct handoff__member *member)
{
	struct handoff__member *other = handoff__pairs_find(member);

	if (!other || !set_other(member, other) || !set_other(other, member))
		return;
	refer(other, member);
	refer(member, other);
}

void
handoff__pairs_unlink(struct handoff__member *member)
{
	struct handoff__member *other = handoff__pairs_other(member);

	if (!other)
		return;
	set_other(member, NULL);
	set_other(other, NULL);
}

void
handoff__pairs_close(struct handoff_server *server)
{
	for (uint32_t i = 0; i < HANDOFF__SEGMENTS_MAX; i++) {
		free(atomic_load(&server->pairs[i]));
		atomic_store(&server->pairs[i], NULL);
	}
}
