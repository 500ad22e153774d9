/* SPDX-License-Identifier: MIT */
/*
 * Entries that begin and end with this peer: record, roster, counts and copy
 * change together here. Entries that move are not its concern.
 */
#include "peer/entry.h"

#include "peer/barrier.h"
#include "peer/companions.h"
#include "peer/core.h"
#include "peer/quiet.h"

#include <assert.h>
#include <unistd.h>

struct handoff__roster_entry *
handoff__pair_enter(struct handoff__pair *pair, int fd, enum handoff__kind kind,
	const char *name, int *err)
{
	return handoff__pair_enter_with(pair, fd, kind, name, NULL, err);
}

struct handoff__roster_entry *
handoff__pair_enter_with(struct handoff__pair *pair, int fd,
	enum handoff__kind kind, const char *name,
	struct handoff__roster_entry *leader, int *err)
{
	struct handoff__board *board;
	struct handoff__record *rec;
	struct handoff__view view;
	struct handoff__roster_entry *entry;
	struct handoff__roster_entry *others[HANDOFF__TOGETHER_MAX];
	uint32_t segment, slot;

	*err = leader ? handoff__companions_check(pair, leader) : 0;
	if (*err == 0)
		*err = handoff__core_alloc(pair, &segment, &slot);
	if (*err < 0) {
		close(fd);
		return NULL;
	}
	board = handoff__arena_board(&pair->arena);
	handoff__view_make(&view, pair->arena.segments[segment], slot);
	rec = view.rec;
	rec->kind = kind;
	/* A service writes anywhere in its state, so all of it is in use,
	 * unless it says how much; a program that replaces its state gives the
	 * length each time. */
	if (kind == HANDOFF__CONNECTION && !pair->config.streamless &&
		!pair->config.service->state_grows)
		handoff__record_use_state(&view, pair->geo.state_size);
	if (leader)
		handoff__companions_name(rec, leader);
	handoff__record_set_id(
		rec, handoff__board_number(board, kind == HANDOFF__CONNECTION) |
			     (uint64_t)(kind != HANDOFF__CONNECTION) << 63);
	entry = handoff__roster_at(&pair->roster, segment, slot);
	handoff__roster_enter(&pair->roster, entry, segment, slot, fd, true);
	if (name)
		handoff__record_set_name(&entry->view, name);
	else
		handoff__record_skip_posts(&entry->view);
	if (kind == HANDOFF__CONNECTION && !pair->config.streamless)
		handoff__posts_enter(&pair->arena, entry->id, segment, slot);
	handoff__companions_join(pair, entry);
	*err = pair->ops->entered(pair, entry);
	if (*err < 0) {
		handoff__companions_part(pair, entry, others);
		handoff__arena_clear(&pair->arena, segment, slot);
		handoff__owner_set(&rec->owner, 0);
		handoff__roster_vacate(&pair->roster, entry);
		return NULL;
	}
	handoff__tally_begun(pair, entry);
	if (pair->link.fd >= 0)
		handoff__roster_queue(entry, &pair->roster.to_mirror);
	pair->noted = true;
	if (leader)
		handoff__quiet_joined(pair, entry);
	return entry;
}

void
handoff__pair_end(
	struct handoff__pair *pair, struct handoff__roster_entry *entry)
{
	bool known = pair->link.fd >= 0 &&
		     (entry->copy == HANDOFF__COPY_SENT ||
			     entry->copy == HANDOFF__COPY_HELD);

	bool waited = handoff__barrier_waits(pair, entry);
	struct handoff__roster_entry *others[HANDOFF__TOGETHER_MAX];
	uint32_t count;

	assert(entry->mine);
	entry->barrier = entry->leaving = false;
	count = handoff__companions_part(pair, entry, others);
	pair->ops->closing(pair, entry);
	handoff__tally_ended(pair, entry);
	handoff__arena_clear(&pair->arena, entry->segment, entry->slot);
	handoff__owner_set(&entry->view.rec->owner, 0);
	handoff__roster_close(&pair->roster, entry);
	if (known)
		handoff__roster_queue(entry, &pair->roster.to_drop);
	else
		handoff__roster_vacate(&pair->roster, entry);
	/* last: a give in progress may look at all live entries */
	handoff__barrier_ended(pair, waited);
	for (uint32_t i = 0; i < count; i++)
		handoff__quiet_again(pair, others[i]);
}
