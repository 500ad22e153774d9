/* SPDX-License-Identifier: MIT */
/*
 * The standby's copies: which entries it has, which it still must get, which
 * it must close. The owner sends what is due when the link takes it and never
 * waits; each MIRROR is answered by one HELD, in order.
 */
#include "peer/peer.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors that a standby keeps free for itself: control and link. */
#define RESERVE 12

void
handoff__mirror_segments(struct handoff__peer *peer)
{
	struct handoff__msg msg = {.type = HANDOFF__SEGMENT};

	/* Records of our version are nothing to an older peer. */
	while (peer->link.fd >= 0 && peer->segments_sent < peer->arena.count &&
		!(handoff__peer_older(peer) &&
			peer->arena.segments[peer->segments_sent]
					->geo.state_version ==
				peer->config.service->state_version)) {
		msg.index = peer->segments_sent++;
		if (handoff__link_send(&peer->link, &msg,
			    peer->arena.segments[msg.index]->fd) < 0)
			handoff__peer_cut(peer, "it does not read its link");
	}
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

/* An older peer can't go on with them. */
static void
refuse_all(struct handoff__peer *peer)
{
	struct handoff__entry *e;

	while ((e = TAILQ_FIRST(&peer->roster.to_mirror))) {
		handoff__roster_set_copy(
			&peer->roster, e, HANDOFF__COPY_REFUSED);
		e->refusal = HANDOFF__BAD_STATE_VERSION;
		handoff__roster_unqueue(e);
	}
}

/* Drops before copies: a record that was freed may be in use again. */
void
handoff__mirror_pump(struct handoff__peer *peer)
{
	struct handoff__msg msg = {.type = 0};

	if (peer->link.fd < 0)
		return;
	if (handoff__peer_older(peer))
		refuse_all(peer);
	if (pump_drops(peer, &msg))
		pump_mirrors(peer, &msg);
}

/* The standby is gone: it has nothing of ours any more. */
void
handoff__mirror_forget(struct handoff__peer *peer)
{
	struct handoff__roster *roster = &peer->roster;
	struct handoff__entry *e;

	peer->batch = peer->answered = 0;
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

/* What was refused gets another chance: the standby may have room now. With
 * `stale_only` just those whose record it thought to be another's, because a
 * DROP of its own was still on the way. */
void
handoff__mirror_retry(struct handoff__peer *peer, bool stale_only)
{
	struct handoff__entry *e = NULL;

	while (peer->roster.refused > 0 &&
		(e = handoff__roster_next(&peer->roster, e))) {
		if (!e->mine || e->copy != HANDOFF__COPY_REFUSED ||
			(stale_only && e->refusal != HANDOFF__BAD_RECORD))
			continue;
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
	struct handoff__entry *e = TAILQ_FIRST(&roster->sent), *next;
	bool single = e && (!TAILQ_NEXT(e, node) ||
				   TAILQ_NEXT(e, node)->batch != batch);

	if (peer->mirror_max > 1)
		peer->mirror_max /= 2;
	for (; e && e->batch == batch; e = next) {
		next = TAILQ_NEXT(e, node);
		handoff__roster_set_copy(roster, e,
			single ? HANDOFF__COPY_REFUSED : HANDOFF__COPY_NONE);
		e->refusal = (uint8_t)reason;
		if (single) {
			handoff__roster_unqueue(e);
			handoff__give_answered(peer, e);
		} else {
			handoff__roster_queue(e, &roster->to_mirror);
		}
	}
}

void
handoff__mirror_answered(
	struct handoff__peer *peer, const struct handoff__msg *msg)
{
	peer->pulse.progress = true;
	/* The standby can't tell which message it lost; the order does. */
	peer->answered++;
	if (msg->reason != HANDOFF__OK) {
		refuse_batch(peer, peer->answered, msg->reason);
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
objection(struct handoff__peer *peer, const struct handoff__ref *ref, int fd)
{
	const struct handoff__entry *cell =
		handoff__roster_cell(&peer->roster, ref->segment, ref->slot);
	const struct handoff__record *rec =
		handoff__arena_record(&peer->arena, ref->segment, ref->slot);
	uint32_t more = peer->config.own_fds * (peer->roster.held + 1);
	struct rlimit limit;

	/* Descriptors are given lowest first: this one is near the limit. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
		(rlim_t)fd + RESERVE + more >= limit.rlim_cur)
		return HANDOFF__TABLE_FULL;
	if (rec && !cell)
		return HANDOFF__NO_MEMORY;
	if (!rec || cell->id != 0 || handoff__record_id(rec) != ref->id ||
		rec->kind != ref->arg || rec->kind < HANDOFF__CONNECTION ||
		rec->kind > HANDOFF__EXTRA)
		return HANDOFF__BAD_RECORD;
	return HANDOFF__OK;
}

/* Takes the descriptor over. */
static enum handoff__reason
keep(struct handoff__peer *peer, const struct handoff__ref *ref, int fd)
{
	enum handoff__reason reason = objection(peer, ref, fd);
	struct handoff__entry *cell;

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

void
handoff__mirror_arrived(struct handoff__peer *peer,
	const struct handoff__msg *msg, const int *fds, size_t nfds)
{
	struct handoff__msg reply = {.type = HANDOFF__HELD,
		.batch = msg->batch,
		.nrefs = msg->nrefs};

	for (size_t i = 0; i < nfds; i++) {
		reply.refs[i] = msg->refs[i];
		reply.refs[i].arg = keep(peer, &msg->refs[i], fds[i]);
	}
	if (handoff__link_send(&peer->link, &reply, -1) < 0)
		handoff__peer_cut(peer, "it does not read its link");
}

void
handoff__mirror_overflow(struct handoff__peer *peer)
{
	struct handoff__msg reply = {
		.type = HANDOFF__HELD, .reason = HANDOFF__TABLE_FULL};

	if (handoff__link_send(&peer->link, &reply, -1) < 0)
		handoff__peer_cut(peer, "it does not read its link");
}

void
handoff__mirror_dropped(
	struct handoff__peer *peer, const struct handoff__msg *msg)
{
	for (uint32_t i = 0; i < msg->nrefs; i++) {
		const struct handoff__ref *ref = &msg->refs[i];
		struct handoff__entry *e = handoff__roster_find(
			&peer->roster, ref->segment, ref->slot, ref->id);

		if (!e || e->mine)
			continue;
		peer->ops->closing(peer, e);
		handoff__roster_vacate(&peer->roster, e);
	}
}
