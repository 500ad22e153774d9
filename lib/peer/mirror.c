/* SPDX-License-Identifier: MIT */
/*
 * The standby's copies: which entries it has, which it still must get, which
 * it must close. The owner sends what is due when the link takes it and never
 * waits; each MIRROR is answered by one HELD, which names it.
 */
#include "peer/peer.h"

#include "base/high.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Descriptors that a standby keeps free for itself: control and link. */
#define RESERVE 12

void
handoff__mirror_segments(struct handoff__peer *peer)
{
	struct handoff__msg msg = {.type = HANDOFF__SEGMENT};

	peer->grown = false;
	/* Records of our version are nothing to an older peer. */
	while (peer->link.fd >= 0 && peer->segments_sent < peer->arena.count &&
		!(handoff__partner_older(peer) &&
			peer->arena.segments[peer->segments_sent]
					->geo.state_version ==
				peer->config.service->state_version)) {
		msg.index = peer->segments_sent++;
		handoff__link_send(
			&peer->link, &msg, peer->arena.segments[msg.index]->fd);
	}
}

/* The other had no room for a segment: it is sent again at a later beat, and
 * what lies in it has no copy until then. */
void
handoff__mirror_lost(struct handoff__peer *peer, const struct handoff__msg *msg)
{
	if (msg->index < peer->segments_sent)
		peer->segments_sent = msg->index;
}

/* A new standby gets everything. */
void
handoff__mirror_all(struct handoff__peer *peer)
{
	struct handoff__entry *e = NULL;

	handoff__mirror_segments(peer);
	while ((e = handoff__roster_next(&peer->roster, e))) {
		if (e->mine)
			handoff__roster_queue(e, &peer->roster.to_mirror);
	}
	handoff__mirror_pump(peer);
}

/* Collects references to the entries of a list, up to `max`. */
static void
collect(const struct handoff__entries *list, uint32_t max,
	struct handoff__msg *msg, int *fds)
{
	struct handoff__entry *e;

	msg->nrefs = 0;
	TAILQ_FOREACH (e, list, node) {
		struct handoff__ref *ref = &msg->refs[msg->nrefs];

		if (msg->nrefs == max)
			return;
		*ref = (struct handoff__ref){.id = e->id,
			.segment = e->segment,
			.slot = e->slot,
			.arg = e->kind};
		if (fds)
			fds[msg->nrefs] = e->fd;
		msg->nrefs++;
	}
}

/* False when the link takes no more. */
static bool
pump_drops(struct handoff__peer *peer, struct handoff__msg *msg)
{
	struct handoff__entries *list = &peer->roster.to_drop;

	msg->type = HANDOFF__DROP;
	while (!TAILQ_EMPTY(list)) {
		collect(list, HANDOFF_FDPASS_MAX, msg, NULL);
		if (handoff__link_try(&peer->link, msg, NULL, 0) <= 0)
			return false;
		for (uint32_t i = 0; i < msg->nrefs; i++)
			handoff__roster_vacate(
				&peer->roster, TAILQ_FIRST(list));
	}
	return true;
}

static bool
pump_mirrors(struct handoff__peer *peer, struct handoff__msg *msg)
{
	struct handoff__entries *list = &peer->roster.to_mirror;
	int fds[HANDOFF_FDPASS_MAX];

	msg->type = HANDOFF__MIRROR;
	while (!TAILQ_EMPTY(list)) {
		int rc;

		collect(list, peer->mirror_max, msg, fds);
		msg->batch = peer->batch + 1;
		rc = handoff__link_try(&peer->link, msg, fds, msg->nrefs);
		if (rc == -EMSGSIZE && peer->mirror_max > 1) {
			peer->mirror_max /= 2;
			continue;
		}
		if (rc <= 0)
			return false;
		peer->batch = msg->batch;
		for (uint32_t i = 0; i < msg->nrefs; i++) {
			struct handoff__entry *e = TAILQ_FIRST(list);

			e->batch = msg->batch;
			handoff__roster_set_copy(
				&peer->roster, e, HANDOFF__COPY_SENT);
			handoff__roster_queue(e, &peer->roster.sent);
		}
	}
	return true;
}

static void
refuse(struct handoff__peer *peer, struct handoff__entry *e, uint32_t reason)
{
	handoff__roster_set_copy(&peer->roster, e, HANDOFF__COPY_REFUSED);
	e->refusal = (uint8_t)reason;
	handoff__roster_unqueue(e);
	handoff__give_answered(peer, e);
}

/* What the other could do nothing with is not sent: an older peer can't go on
 * with our states, and what is in a segment that it does not have is lost on
 * it. */
static void
refuse_useless(struct handoff__peer *peer)
{
	bool older = handoff__partner_older(peer);
	struct handoff__entry *e, *next;

	if (!older && peer->segments_sent == peer->arena.count)
		return;
	for (e = TAILQ_FIRST(&peer->roster.to_mirror); e; e = next) {
		next = TAILQ_NEXT(e, node);
		if (older)
			refuse(peer, e, HANDOFF__BAD_STATE_VERSION);
		else if (e->segment >= peer->segments_sent)
			refuse(peer, e, HANDOFF__NO_MEMORY);
	}
}

/* Segments first, then drops, then copies: a copy lies in a segment, and in a
 * record that may have been freed a moment ago. */
void
handoff__mirror_pump(struct handoff__peer *peer)
{
	struct handoff__msg msg = {.type = 0};

	if (!handoff__link_up(&peer->link))
		return;
	if (peer->grown)
		handoff__mirror_segments(peer);
	refuse_useless(peer);
	if (pump_drops(peer, &msg))
		pump_mirrors(peer, &msg);
}

/* The standby is gone: it has nothing of ours any more. */
void
handoff__mirror_forget(struct handoff__peer *peer)
{
	struct handoff__roster *roster = &peer->roster;
	struct handoff__entry *e;

	peer->batch = 0;
	peer->mirror_max = HANDOFF_FDPASS_MAX;
	while ((e = TAILQ_FIRST(&roster->to_drop)))
		handoff__roster_vacate(roster, e);
	for (e = NULL; (e = handoff__roster_next(roster, e));) {
		handoff__roster_unqueue(e);
		if (e->mine)
			handoff__roster_set_copy(roster, e, HANDOFF__COPY_NONE);
		e->leaving = false;
	}
}

/* What was refused gets another chance, `most` of them (listeners first): the
 * standby may have room now. Those whose record it thought to be another's,
 * because a DROP of its own was still on the way, do not count. */
void
handoff__mirror_retry(struct handoff__peer *peer, uint32_t most)
{
	struct handoff__entry *e = NULL;

	handoff__mirror_segments(peer);
	while (peer->roster.refused > 0 &&
		(e = handoff__roster_next(&peer->roster, e))) {
		bool free = e->refusal == HANDOFF__BAD_RECORD ||
			    e->kind == HANDOFF__LISTENER;

		if (!e->mine || e->copy != HANDOFF__COPY_REFUSED ||
			(most == 0 && !free))
			continue;
		most -= !free;
		handoff__roster_set_copy(&peer->roster, e, HANDOFF__COPY_NONE);
		handoff__roster_queue(e, &peer->roster.to_mirror);
	}
	handoff__mirror_pump(peer);
}

/* A refusal of all that was sent in one message: the table was full before
 * the last of them. Smaller messages find out how many fit. None of them may
 * be left: what has ended meanwhile is in no list. */
static void
refuse_batch(struct handoff__peer *peer, uint32_t batch, uint32_t reason)
{
	struct handoff__roster *roster = &peer->roster;
	struct handoff__entry *e, *next;
	uint32_t count = 0;

	TAILQ_FOREACH (e, &roster->sent, node)
		count += e->batch == batch;
	if (peer->mirror_max > 1)
		peer->mirror_max /= 2;
	for (e = TAILQ_FIRST(&roster->sent); e; e = next) {
		next = TAILQ_NEXT(e, node);
		if (e->batch != batch)
			continue;
		if (count == 1) {
			refuse(peer, e, reason);
			continue;
		}
		handoff__roster_set_copy(roster, e, HANDOFF__COPY_NONE);
		handoff__roster_queue(e, &roster->to_mirror);
	}
}

void
handoff__mirror_answered(
	struct handoff__peer *peer, const struct handoff__msg *msg)
{
	peer->pulse.progress = true;
	if (msg->reason != HANDOFF__OK) {
		refuse_batch(peer, msg->batch, msg->reason);
	} else if (peer->mirror_max < HANDOFF_FDPASS_MAX &&
		   msg->nrefs == peer->mirror_max) {
		peer->mirror_max = peer->mirror_max * 2 < HANDOFF_FDPASS_MAX
					   ? peer->mirror_max * 2
					   : HANDOFF_FDPASS_MAX;
	}
	for (uint32_t i = 0; i < msg->nrefs; i++) {
		const struct handoff__ref *ref = &msg->refs[i];
		struct handoff__entry *e = handoff__roster_find(
			&peer->roster, ref->segment, ref->slot, ref->id);

		if (!e || !e->mine || e->copy != HANDOFF__COPY_SENT)
			continue;
		handoff__roster_unqueue(e);
		handoff__roster_set_copy(&peer->roster, e,
			ref->arg == HANDOFF__OK ? HANDOFF__COPY_HELD
						: HANDOFF__COPY_REFUSED);
		e->refusal = (uint8_t)ref->arg;
		handoff__give_answered(peer, e);
	}
	handoff__give_probed(peer, msg->batch);
	handoff__mirror_pump(peer);
}

/* The standby's side: is there a reason not to keep this copy? */
static enum handoff__reason
objection(struct handoff__peer *peer, const struct handoff__ref *ref, bool fits)
{
	const struct handoff__entry *cell =
		handoff__roster_cell(&peer->roster, ref->segment, ref->slot);
	const struct handoff__record *rec =
		handoff__arena_record(&peer->arena, ref->segment, ref->slot);

	if (!fits)
		return HANDOFF__TABLE_FULL;
	/* Its segment was LOST, or there is no cell to keep it in. */
	if (ref->segment >= peer->arena.count || (rec && !cell))
		return HANDOFF__NO_MEMORY;
	if (!rec || cell->id != 0 || handoff__record_id(rec) != ref->id ||
		rec->kind != ref->arg || rec->kind < HANDOFF__CONNECTION ||
		rec->kind > HANDOFF__EXTRA)
		return HANDOFF__BAD_RECORD;
	return HANDOFF__OK;
}

static void
close_copy(struct handoff__peer *peer, struct handoff__entry *e)
{
	peer->ops->closing(peer, e);
	handoff__roster_vacate(&peer->roster, e);
}

/* A copy that was kept from before the link was made anew: is it of this very
 * entry? One that is of another makes room. */
static bool
is_kept(struct handoff__peer *peer, const struct handoff__ref *ref)
{
	struct handoff__entry *cell =
		handoff__roster_cell(&peer->roster, ref->segment, ref->slot);

	if (!cell || cell->id == 0 || cell->fd < 0 || cell->mine)
		return false;
	if (cell->id == ref->id)
		return true;
	close_copy(peer, cell);
	return false;
}

/* Takes the descriptor over. */
static enum handoff__reason
keep(struct handoff__peer *peer, const struct handoff__ref *ref, int fd,
	bool fits)
{
	enum handoff__reason reason;
	struct handoff__entry *cell;

	if (is_kept(peer, ref)) {
		close(fd);
		return HANDOFF__OK;
	}
	reason = objection(peer, ref, fits);
	if (reason != HANDOFF__OK) {
		close(fd);
		return reason;
	}
	cell = handoff__roster_cell(&peer->roster, ref->segment, ref->slot);
	handoff__roster_enter(
		&peer->roster, cell, ref->segment, ref->slot, fd, false);
	/* Its owner may have ended and cleared it since it was looked at. */
	if (cell->id != ref->id || cell->kind != ref->arg)
		reason = HANDOFF__BAD_RECORD;
	else if (peer->ops->entered(peer, cell) < 0)
		reason = HANDOFF__NO_MEMORY;
	if (reason != HANDOFF__OK)
		handoff__roster_vacate(&peer->roster, cell);
	return reason;
}

/* Moves what came out of the low numbers and returns how many of them leave
 * enough room, counted from the first. The last one moves first, and is the
 * first to be refused: so no hole is left among those that stay low, which
 * would be taken for room. */
static size_t
settle(const struct handoff__peer *peer, const int *fds, size_t nfds,
	int *copies)
{
	size_t room, fits = nfds;

	for (size_t i = nfds; i-- > 0;)
		copies[i] = handoff__high_raise(fds[i]);
	room = handoff__high_room(peer->link.fd);
	while (fits > 0 && room + (nfds - fits) <
				   RESERVE + peer->config.own_fds *
						     (peer->roster.held + fits))
		fits--;
	return fits;
}

void
handoff__mirror_arrived(struct handoff__peer *peer,
	const struct handoff__msg *msg, const int *fds, size_t nfds)
{
	struct handoff__msg reply = {.type = HANDOFF__HELD,
		.batch = msg->batch,
		.nrefs = msg->nrefs};
	int copies[HANDOFF_FDPASS_MAX];
	size_t fits = settle(peer, fds, nfds, copies);

	for (size_t i = 0; i < nfds; i++) {
		reply.refs[i] = msg->refs[i];
		reply.refs[i].arg =
			keep(peer, &msg->refs[i], copies[i], i < fits);
	}
	handoff__link_send(&peer->link, &reply, -1);
}

/* Its descriptors found no room in the table. */
void
handoff__mirror_overflow(
	struct handoff__peer *peer, const struct handoff__msg *msg)
{
	struct handoff__msg reply = {.type = HANDOFF__HELD,
		.batch = msg->batch,
		.reason = HANDOFF__TABLE_FULL};

	handoff__link_send(&peer->link, &reply, -1);
}

void
handoff__mirror_dropped(
	struct handoff__peer *peer, const struct handoff__msg *msg)
{
	for (uint32_t i = 0; i < msg->nrefs; i++) {
		const struct handoff__ref *ref = &msg->refs[i];
		struct handoff__entry *e = handoff__roster_find(
			&peer->roster, ref->segment, ref->slot, ref->id);

		if (e && !e->mine)
			close_copy(peer, e);
	}
}

/* Copies of what its owner has ended meanwhile, which no DROP told of. */
void
handoff__mirror_sweep(struct handoff__peer *peer)
{
	struct handoff__entry *e = NULL;

	while ((e = handoff__roster_next(&peer->roster, e))) {
		if (!e->mine &&
			(handoff__record_id(e->view.rec) != e->id ||
				handoff__owner_word(&e->view.rec->owner) == 0))
			close_copy(peer, e);
	}
}
