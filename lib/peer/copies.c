/* SPDX-License-Identifier: MIT */
/*
 * The copies that this peer keeps of what the other owns: descriptors that
 * come with MIRROR, segments, and what is closed again by DROP. Each MIRROR is
 * answered by one HELD. Asks for nothing, and owns nothing.
 */
#include "peer/copies.h"

#include "base/high.h"
#include "peer/core.h"

#include <errno.h>
#include <unistd.h>

/* Descriptors that a standby keeps free for itself: control and link. */
#define KEPT_FREE 12

/* The standby's side: is there a reason not to keep this copy? */
static enum handoff__reason
objection(struct handoff__pair *pair, const struct handoff__ref *ref, bool fits)
{
	const struct handoff__roster_entry *at =
		handoff__roster_at(&pair->roster, ref->segment, ref->slot);
	const struct handoff__record *rec =
		handoff__arena_record(&pair->arena, ref->segment, ref->slot);

	if (!fits)
		return HANDOFF__TABLE_FULL;
	/* Its segment was LOST, or there is no room to keep it in. */
	if (ref->segment >= pair->arena.count || (rec && !at))
		return HANDOFF__NO_MEMORY;
	if (!rec || at->id != 0 || handoff__record_id(rec) != ref->id ||
		rec->kind != ref->arg || rec->kind < HANDOFF__CONNECTION ||
		rec->kind > HANDOFF__EXTRA)
		return HANDOFF__BAD_RECORD;
	return HANDOFF__OK;
}

static void
close_copy(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	pair->ops->closing(pair, e);
	handoff__roster_vacate(&pair->roster, e);
}

/* A copy that was kept from before the link was made anew: is it of this very
 * entry? One that is of another makes room. */
static bool
is_kept(struct handoff__pair *pair, const struct handoff__ref *ref)
{
	struct handoff__roster_entry *at =
		handoff__roster_at(&pair->roster, ref->segment, ref->slot);

	if (!at || at->id == 0 || at->fd < 0 || at->mine)
		return false;
	if (at->id == ref->id)
		return true;
	close_copy(pair, at);
	return false;
}

/* Takes the descriptor over. */
static enum handoff__reason
keep_copy(struct handoff__pair *pair, const struct handoff__ref *ref, int fd,
	bool fits)
{
	enum handoff__reason reason;
	struct handoff__roster_entry *at;

	if (is_kept(pair, ref)) {
		close(fd);
		return HANDOFF__OK;
	}
	reason = objection(pair, ref, fits);
	if (reason != HANDOFF__OK) {
		close(fd);
		return reason;
	}
	at = handoff__roster_at(&pair->roster, ref->segment, ref->slot);
	handoff__roster_enter(
		&pair->roster, at, ref->segment, ref->slot, fd, false);
	/* Its owner may have ended and cleared it since it was looked at. */
	if (at->id != ref->id || at->kind != ref->arg)
		reason = HANDOFF__BAD_RECORD;
	else if (pair->ops->entered(pair, at) < 0)
		reason = HANDOFF__NO_MEMORY;
	if (reason != HANDOFF__OK)
		handoff__roster_vacate(&pair->roster, at);
	return reason;
}

/* Moves what came out of the low numbers and returns how many of them leave
 * enough room, counted from the first. The last one moves first, and is the
 * first to be refused: so no hole is left among those that stay low, which
 * would be taken for room. */
static size_t
raise_copies(const struct handoff__pair *pair, const int *fds, size_t nfds,
	int *copies)
{
	size_t room, fits = nfds;

	for (size_t i = nfds; i-- > 0;)
		copies[i] = handoff__high_raise(fds[i]);
	room = handoff__high_room(pair->link.fd);
	while (fits > 0 &&
		room + (nfds - fits) <
			KEPT_FREE + pair->config.own_fds *
					    (pair->roster.held + fits))
		fits--;
	return fits;
}

void
handoff__copies_arrived(struct handoff__pair *pair,
	const struct handoff__msg *msg, const int *fds, size_t nfds)
{
	struct handoff__msg reply = {.type = HANDOFF__HELD,
		.batch = msg->batch,
		.nrefs = msg->nrefs};
	int copies[HANDOFF_FDPASS_MAX];
	size_t fits = raise_copies(pair, fds, nfds, copies);

	for (size_t i = 0; i < nfds; i++) {
		reply.refs[i] = msg->refs[i];
		reply.refs[i].arg =
			keep_copy(pair, &msg->refs[i], copies[i], i < fits);
	}
	handoff__link_send(&pair->link, &reply, -1);
}

/* Its descriptors found no room in the table. */
void
handoff__copies_overflow(
	struct handoff__pair *pair, const struct handoff__msg *msg)
{
	struct handoff__msg reply = {.type = HANDOFF__HELD,
		.batch = msg->batch,
		.reason = HANDOFF__TABLE_FULL};

	handoff__link_send(&pair->link, &reply, -1);
}

void
handoff__copies_dropped(
	struct handoff__pair *pair, const struct handoff__msg *msg)
{
	for (uint32_t i = 0; i < msg->nrefs; i++) {
		const struct handoff__ref *ref = &msg->refs[i];
		struct handoff__roster_entry *e = handoff__roster_find(
			&pair->roster, ref->segment, ref->slot, ref->id);

		if (e && !e->mine)
			close_copy(pair, e);
	}
}

/* Copies of what its owner has ended meanwhile, which no DROP told of. */
void
handoff__copies_sweep(struct handoff__pair *pair)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (!e->mine &&
			(handoff__record_id(e->view.rec) != e->id ||
				handoff__owner_word(&e->view.rec->owner) == 0))
			close_copy(pair, e);
	}
}

void
handoff__copies_lost_segment(
	struct handoff__pair *pair, const struct handoff__msg *msg)
{
	struct handoff__msg lost = {.type = HANDOFF__LOST, .index = msg->index};

	handoff__link_send(&pair->link, &lost, -1);
}

/* READY makes a partner of an owner whose arena is here. If the first segment
 * was lost and comes after READY, that is so only now. */
static void
segment_added(struct handoff__pair *pair)
{
	pair->segments_sent = pair->arena.count;
	if (pair->arena.count == 1 && !pair->serving &&
		pair->partner == HANDOFF__PARTNER_READY)
		pair->ops->partner(pair, true);
}

void
handoff__copies_on_segment(
	struct handoff__pair *pair, const struct handoff__msg *msg, int fd)
{
	int err;

	if (msg->index != pair->arena.count) {
		/* The one before it was lost: both come again. */
		close(fd);
		handoff__copies_lost_segment(pair, msg);
		return;
	}
	err = handoff__arena_add(&pair->arena, msg->index, fd,
		pair->config.service->state_size, &pair->error);
	if (err == -EBADMSG)
		handoff__core_break(pair, pair->error.text);
	else if (err < 0)
		handoff__copies_lost_segment(pair, msg);
	else
		segment_added(pair);
}
