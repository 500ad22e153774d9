/* SPDX-License-Identifier: MIT */
/*
 * The copies of the other peer's entries: descriptors from MIRROR, segments,
 * and closing by DROP. Each MIRROR is answered by one HELD. Owns nothing and
 * sends no requests.
 */
#include "peer/copies.h"

#include "base/high.h"
#include "peer/core.h"

#include <errno.h>
#include <unistd.h>

/* descriptors that a standby keeps free for its control socket and link */
#define KEPT_FREE 12

/* The reason not to keep this copy, or OK. */
static enum handoff__reason
objection_to_copy(
	struct handoff__pair *pair, const struct handoff__ref *ref, bool fits)
{
	const struct handoff__roster_entry *at =
		handoff__roster_at(&pair->roster, ref->segment, ref->slot);
	const struct handoff__record *rec =
		handoff__arena_record(&pair->arena, ref->segment, ref->slot);

	if (!fits)
		return HANDOFF__TABLE_FULL;
	/* its segment was LOST, or the roster has no memory for it */
	if (ref->segment >= pair->arena.count || (rec && !at))
		return HANDOFF__NO_MEMORY;
	if (!rec || at->id != 0 || handoff__record_id(rec) != ref->id ||
		rec->kind != ref->arg || rec->kind < HANDOFF__CONNECTION ||
		rec->kind > HANDOFF__DATA)
		return HANDOFF__BAD_RECORD;
	return HANDOFF__OK;
}

static void
close_copy(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	pair->ops->closing(pair, e);
	handoff__roster_vacate(&pair->roster, e);
}

/* Whether a copy of this very entry is still here from before the link was
 * renewed. A copy of another entry is closed to make room. */
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

/* An entry of a batch that another carrier has left: it is this one's to decide
 * now. The other peer keeps its copy. */
static bool
is_in_doubt(const struct handoff__pair *pair, const struct handoff__ref *ref)
{
	const struct handoff__record *rec =
		handoff__arena_record(&pair->arena, ref->segment, ref->slot);

	return pair->config.carrier &&
	       handoff__owner_is_elsewhere(handoff__owner_word(&rec->owner));
}

/* Takes the descriptor over. */
static enum handoff__reason
keep_copy(struct handoff__pair *pair, const struct handoff__ref *ref, int fd,
	bool fits)
{
	enum handoff__reason reason;
	struct handoff__roster_entry *at;
	int err;

	if (is_kept(pair, ref)) {
		close(fd);
		return HANDOFF__OK;
	}
	reason = objection_to_copy(pair, ref, fits);
	if (reason != HANDOFF__OK) {
		close(fd);
		return reason;
	}
	at = handoff__roster_at(&pair->roster, ref->segment, ref->slot);
	handoff__roster_enter(&pair->roster, at, ref->segment, ref->slot, fd,
		is_in_doubt(pair, ref));
	if (at->mine)
		handoff__roster_set_copy(&pair->roster, at, HANDOFF__COPY_HELD);
	/* the owner may have ended and cleared it since the check */
	if (at->id != ref->id || at->kind != ref->arg)
		reason = HANDOFF__BAD_RECORD;
	else if ((err = pair->ops->entered(pair, at)) < 0)
		reason = err == -EBADMSG ? HANDOFF__BAD_RECORD
					 : HANDOFF__NO_MEMORY;
	if (reason != HANDOFF__OK)
		handoff__roster_vacate(&pair->roster, at);
	return reason;
}

/* Moves the new descriptors to high numbers and returns how many of them,
 * counted from the first, leave enough room. The last one moves first, and is
 * the first to be refused: so no hole is left among those that stay low, which
 * would count as room. */
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

/* READY makes an owner the partner once its arena is here. If the first segment
 * was lost and arrives after READY, that happens only now. */
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
		/* the one before it was lost: both will be sent again */
		close(fd);
		handoff__copies_lost_segment(pair, msg);
		return;
	}
	err = handoff__arena_add(&pair->arena, msg->index, fd,
		pair->config.service->state_size, &pair->error);
	if (err == 0 && handoff__core_share(pair) < 0)
		err = handoff__fail(&pair->error, -EBADMSG,
			"segment: its shared region is not this service's");
	if (err == -EBADMSG)
		handoff__core_break(pair, pair->error.text);
	else if (err < 0)
		handoff__copies_lost_segment(pair, msg);
	else
		segment_added(pair);
}
