/* SPDX-License-Identifier: MIT */
/*
 * The list of held connections that a give waits for. There are few, and for a
 * short while; so a handler that releases one, in whatever thread or process,
 * only writes to the record, and a timer reads that. Moves nothing.
 */
#include "server/held.h"

#include "record/older.h"
#include "server/internal.h"

#include <stdlib.h>

#define LOOK_US 5000

static bool
is_held(const struct handoff__member *member)
{
	const struct handoff__view *view = &member->entry.view;
	uint64_t until =
		handoff__older(view->seg)
			? 0
			: atomic_load_explicit(&view->rec->extra.hold_ms,
				  memory_order_relaxed);

	return until > 0 && handoff__boot_ms() < until;
}

static bool
make_room(struct handoff__held_list *holds)
{
	uint32_t room = holds->room > 0 ? 2 * holds->room : 16;
	struct handoff__hold *list;

	if (holds->count < holds->room)
		return true;
	list = realloc(holds->list, room * sizeof(*list));
	if (!list)
		return false;
	holds->list = list;
	holds->room = room;
	return true;
}

/* Before the give's own time is up, which begins now or later. */
static int64_t
give_waits_until(const struct handoff_server *server)
{
	return handoff__now_us() +
	       (int64_t)server->opts.give_timeout_ms * 1000 / 4 * 3;
}

bool
handoff__held_keep(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	struct handoff__held_list *holds = &server->holds;

	if (!member->entry.leaving)
		handoff__held_drop(member);
	if (member->held == HANDOFF__HELD_WAITS)
		return true;
	/* without memory it moves, as it does when its process dies */
	if (member->held == HANDOFF__HELD_OVER || !is_held(member) ||
		!make_room(holds))
		return false;
	member->held = HANDOFF__HELD_WAITS;
	holds->list[holds->count++] = (struct handoff__hold){
		.member = member, .until_us = give_waits_until(server)};
	if (!holds->timer.armed)
		handoff__timer_arm(&server->loop, &holds->timer, LOOK_US);
	return true;
}

static void
take_out(struct handoff__held_list *holds, uint32_t at)
{
	holds->list[at].member->held = HANDOFF__HELD_OVER;
	holds->list[at] = holds->list[--holds->count];
}

void
handoff__held_drop(struct handoff__member *member)
{
	struct handoff__held_list *holds = &member->server->holds;

	for (uint32_t i = 0;
		member->held == HANDOFF__HELD_WAITS && i < holds->count; i++) {
		if (holds->list[i].member == member)
			take_out(holds, i);
	}
	member->held = HANDOFF__HELD_NOT;
}

/* Taking one out may bring others in, behind `*at`. */
struct handoff__member *
handoff__held_next(struct handoff_server *server, uint32_t *at)
{
	struct handoff__held_list *holds = &server->holds;
	int64_t now = handoff__now_us();

	while (*at < holds->count) {
		const struct handoff__hold *hold = &holds->list[*at];
		struct handoff__member *member = hold->member;

		if (!member->entry.leaving) {
			handoff__held_drop(member);
		} else if (!is_held(member) || now >= hold->until_us ||
			   server->pair.move.hurried) {
			take_out(holds, *at);
			return member;
		} else {
			++*at;
		}
	}
	if (holds->count > 0)
		handoff__timer_arm(&server->loop, &holds->timer, LOOK_US);
	return NULL;
}

void
handoff__held_free(struct handoff_server *server)
{
	free(server->holds.list);
	server->holds.list = NULL;
}
