/* SPDX-License-Identifier: MIT */
/*
 * States of several entries that come true together. Everything is checked
 * before anything is written, and nothing that is written counts before the
 * commit, so an error changes nothing.
 */
#include "embed/embed.h"

#include "record/group.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>

#define TRIES 1000 /* another thread's commit takes microseconds */

static_assert(HANDOFF_CHANGES_MAX == HANDOFF__GROUP_MOST,
	"the limit of the public header is that of a list");

/* What is to be changed, as far as its type is known here. */
struct set {
	struct handoff_change changes[HANDOFF_CHANGES_MAX];
	size_t count;
};

/* Threads beside that of the handle get the number alone: the text is read
 * there. */
static int
refuse(struct handoff_peer *peer, int err, const char *why)
{
	if (handoff__embed_on_its_thread(peer))
		handoff__fail(&peer->error, err, "commit: %s", why);
	return err;
}

static int
refuse_change(struct handoff_peer *peer, const struct set *set, int err,
	const char *why)
{
	char text[128];

	snprintf(text, sizeof(text), "change %zu: %s", set->count + 1, why);
	return refuse(peer, err, text);
}

static bool
is_twice(const struct set *set, const struct handoff_entry *entry)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->changes[i].entry == entry)
			return true;
	}
	return false;
}

static int
check_change(struct handoff_peer *peer, const struct set *set,
	const struct handoff_change *c)
{
	if (!c->entry || c->entry->peer != peer)
		return refuse_change(peer, set, -EINVAL,
			c->entry ? "its entry is of another peer"
				 : "it has no entry");
	if (!handoff__embed_serves(c->entry))
		return refuse_change(
			peer, set, -EINVAL, "its entry is not this peer's");
	if (is_twice(set, c->entry))
		return refuse_change(
			peer, set, -EINVAL, "its entry has one already");
	if (c->len > handoff__embed_room(c->entry))
		return refuse_change(peer, set, -EMSGSIZE,
			"its state is longer than there is room for");
	if (!c->state && !handoff__group_can_add(&c->entry->entry.view))
		return refuse_change(peer, set, -EINVAL,
			"it has no state, and nothing is being edited");
	return 0;
}

static int
take_changes(struct handoff_peer *peer, struct set *set,
	const struct handoff_change *changes, size_t count, size_t size)
{
	int err = 0;

	for (set->count = 0; err == 0 && set->count < count;) {
		struct handoff_change *c = &set->changes[set->count];

		err = handoff__opts_element(c, sizeof(*c), changes, size,
			set->count,
			HANDOFF__SIZE_TO(struct handoff_change, len));
		if (err < 0)
			return refuse_change(peer, set, err,
				"the size of the structure is not supported");
		err = check_change(peer, set, c);
		if (err == 0)
			set->count++;
	}
	return err;
}

/* False if as many threads as there are lists commit all the time. */
static bool
begin(struct handoff_peer *peer, const struct set *set,
	struct handoff__group *group)
{
	const struct handoff__segment *commons =
		set->changes[0].entry->entry.view.seg->commons;

	for (int i = 0; i < TRIES; i++) {
		if (handoff__group_begin(
			    group, commons, (uint32_t)peer->pair.place))
			return true;
		sched_yield();
	}
	return false;
}

static size_t
write_change(const struct handoff_change *c)
{
	if (c->state)
		handoff__embed_write(c->entry, c->state, c->len);
	return handoff__embed_set_len(c->entry, c->len);
}

/* The commit of one entry needs no list. */
static int
commit_one(const struct handoff_change *c)
{
	return handoff__record_flip(&c->entry->entry.view, write_change(c));
}

int
handoff_peer_commit(struct handoff_peer *peer,
	const struct handoff_change *changes, size_t count, size_t size)
{
	struct handoff__group group;
	struct set set;
	int err;

	if (!peer)
		return -EINVAL;
	if (!changes || count == 0)
		return refuse(peer, -EINVAL, "there are no changes");
	if (count > HANDOFF_CHANGES_MAX)
		return refuse(
			peer, -E2BIG, "more changes than one can have, 128");
	err = take_changes(peer, &set, changes, count, size);
	if (err < 0)
		return err;
	if (!handoff__pair_valid(&peer->pair))
		return refuse(peer, -EAGAIN,
			"the lease is not valid: everything stands still");
	if (count == 1)
		return commit_one(&set.changes[0]);
	if (!begin(peer, &set, &group))
		return refuse(peer, -EAGAIN, "too many threads commit at once");
	for (size_t i = 0; i < count; i++) {
		const struct handoff__roster_entry *e =
			&set.changes[i].entry->entry;

		handoff__group_add(&group, &e->view, e->segment, e->slot,
			write_change(&set.changes[i]));
	}
	handoff__group_commit(&group);
	return 0;
}
