/* SPDX-License-Identifier: MIT */
/*
 * The owner's side of mirroring: which entries the standby has, which it still
 * needs, and which it must close. Sends what is due as the link accepts it and
 * never waits; each MIRROR is answered by one HELD that names it. Knows nothing
 * of moves: barrier.c counts what a give waits for.
 */
#include "peer/mirror.h"

#include "peer/barrier.h"
#include "peer/core.h"
#include "peer/partner.h"

#include <errno.h>

void
handoff__mirror_segments(struct handoff__pair *pair)
{
	struct handoff__msg msg = {.type = HANDOFF__SEGMENT};

	pair->grown = false;
	/* an older peer cannot read records of our layout and version */
	while (pair->link.fd >= 0 && pair->segments_sent < pair->arena.count &&
		handoff__partner_reads(
			pair, pair->arena.segments[pair->segments_sent])) {
		msg.index = pair->segments_sent++;
		handoff__link_send(
			&pair->link, &msg, pair->arena.segments[msg.index]->fd);
	}
}

/* The other peer had no room for a segment: it is sent again at a later beat,
 * and until then entries in it have no copy. */
void
handoff__mirror_lost(struct handoff__pair *pair, const struct handoff__msg *msg)
{
	if (msg->index < pair->segments_sent)
		pair->segments_sent = msg->index;
}

/* Left by a carrier that has died: a new one decides what becomes of it, and
 * needs its descriptor for that. */
static bool
is_in_doubt(
	const struct handoff__pair *pair, const struct handoff__roster_entry *e)
{
	return pair->other.carrier && !pair->rejoin.again &&
	       handoff__owner_is_elsewhere(
		       handoff__owner_word(&e->view.rec->owner));
}

static void
queue_kind(struct handoff__pair *pair, bool listeners)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		if ((e->mine || is_in_doubt(pair, e)) &&
			(e->kind == HANDOFF__LISTENER) == listeners)
			handoff__roster_queue(e, &pair->roster.to_mirror);
	}
}

/* Sends everything to a new standby. The listeners first, since without them it
 * cannot be one, and in one message, so that it can compare them with its
 * addresses. */
void
handoff__mirror_all(struct handoff__pair *pair)
{
	handoff__mirror_segments(pair);
	queue_kind(pair, true);
	queue_kind(pair, false);
	handoff__mirror_pump(pair);
}

/* Collects references to the entries of a list, up to `max`. */
static void
collect_refs(const struct handoff__entries *list, uint32_t max,
	struct handoff__msg *msg, int *fds)
{
	struct handoff__roster_entry *e;

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

/* False when the link accepts no more. */
static bool
pump_drops(struct handoff__pair *pair, struct handoff__msg *msg)
{
	struct handoff__entries *list = &pair->roster.to_drop;

	msg->type = HANDOFF__DROP;
	while (!TAILQ_EMPTY(list)) {
		collect_refs(list, HANDOFF_FDPASS_MAX, msg, NULL);
		if (handoff__link_try(&pair->link, msg, NULL, 0) <= 0)
			return false;
		for (uint32_t i = 0; i < msg->nrefs; i++)
			handoff__roster_vacate(
				&pair->roster, TAILQ_FIRST(list));
	}
	return true;
}

static bool
pump_mirrors(struct handoff__pair *pair, struct handoff__msg *msg)
{
	struct handoff__entries *list = &pair->roster.to_mirror;
	int fds[HANDOFF_FDPASS_MAX];

	msg->type = HANDOFF__MIRROR;
	while (!TAILQ_EMPTY(list)) {
		int rc;

		collect_refs(list, pair->mirror_max, msg, fds);
		msg->batch = pair->batch + 1;
		rc = handoff__link_try(&pair->link, msg, fds, msg->nrefs);
		if (rc == -EMSGSIZE && pair->mirror_max > 1) {
			pair->mirror_max /= 2;
			continue;
		}
		if (rc <= 0)
			return false;
		pair->batch = msg->batch;
		for (uint32_t i = 0; i < msg->nrefs; i++) {
			struct handoff__roster_entry *e = TAILQ_FIRST(list);

			e->batch = msg->batch;
			handoff__roster_set_copy(
				&pair->roster, e, HANDOFF__COPY_SENT);
			handoff__roster_queue(e, &pair->roster.sent);
		}
	}
	return true;
}

static void
refuse_copy(struct handoff__pair *pair, struct handoff__roster_entry *e,
	uint32_t reason)
{
	if (!e->mine) { /* in doubt: this peer's copy is all there is */
		handoff__roster_set_copy(&pair->roster, e, HANDOFF__COPY_HELD);
		handoff__roster_unqueue(e);
		return;
	}
	handoff__roster_set_copy(&pair->roster, e, HANDOFF__COPY_REFUSED);
	e->refusal = (uint8_t)reason;
	handoff__roster_unqueue(e);
	handoff__barrier_answered(pair, e);
}

/* Skips copies that the other peer could not use: an older peer cannot read our
 * records, and an entry is useless without its segment. */
static void
refuse_useless(struct handoff__pair *pair)
{
	enum handoff__reason older = handoff__partner_older(pair);
	struct handoff__roster_entry *e, *next;

	if (older == HANDOFF__OK && pair->segments_sent == pair->arena.count)
		return;
	for (e = TAILQ_FIRST(&pair->roster.to_mirror); e; e = next) {
		next = TAILQ_NEXT(e, node);
		if (older != HANDOFF__OK)
			refuse_copy(pair, e, older);
		else if (e->segment >= pair->segments_sent)
			refuse_copy(pair, e, HANDOFF__NO_MEMORY);
	}
}

/* Segments first, then drops, then copies: a copy refers to a segment, and to a
 * record that may have been freed just before. */
void
handoff__mirror_pump(struct handoff__pair *pair)
{
	struct handoff__msg msg = {.type = 0};

	if (!handoff__link_up(&pair->link))
		return;
	if (pair->grown)
		handoff__mirror_segments(pair);
	refuse_useless(pair);
	if (pump_drops(pair, &msg))
		pump_mirrors(pair, &msg);
}

void
handoff__mirror_forget(struct handoff__pair *pair)
{
	struct handoff__roster *roster = &pair->roster;
	struct handoff__roster_entry *e;

	pair->batch = 0;
	pair->mirror_max = HANDOFF_FDPASS_MAX;
	while ((e = TAILQ_FIRST(&roster->to_drop)))
		handoff__roster_vacate(roster, e);
	for (e = NULL; (e = handoff__roster_next(roster, e));) {
		handoff__roster_unqueue(e);
		handoff__roster_set_copy(roster, e,
			e->mine ? HANDOFF__COPY_NONE : HANDOFF__COPY_HELD);
		handoff__core_stay(pair, e);
	}
}

/* Sends up to `most` refused copies again, listeners first: the standby may
 * have room now. Copies that it refused because a DROP for their record was
 * still in flight are not counted. */
void
handoff__mirror_retry(struct handoff__pair *pair, uint32_t most)
{
	struct handoff__roster_entry *e = NULL;

	handoff__mirror_segments(pair);
	while (pair->roster.refused > 0 &&
		(e = handoff__roster_next(&pair->roster, e))) {
		bool free = e->refusal == HANDOFF__BAD_RECORD ||
			    e->kind == HANDOFF__LISTENER;

		if (!e->mine || e->copy != HANDOFF__COPY_REFUSED ||
			(most == 0 && !free))
			continue;
		most -= !free;
		handoff__roster_set_copy(&pair->roster, e, HANDOFF__COPY_NONE);
		handoff__roster_queue(e, &pair->roster.to_mirror);
	}
	handoff__mirror_pump(pair);
}

/* A whole message was refused: the table filled up before its last descriptor.
 * Smaller messages find out how many fit. All of its entries must be handled:
 * none may stay without a list. */
static void
refuse_batch(struct handoff__pair *pair, uint32_t batch, uint32_t reason)
{
	struct handoff__roster *roster = &pair->roster;
	struct handoff__roster_entry *e, *next;
	uint32_t count = 0;

	TAILQ_FOREACH (e, &roster->sent, node)
		count += e->batch == batch;
	if (pair->mirror_max > 1)
		pair->mirror_max /= 2;
	for (e = TAILQ_FIRST(&roster->sent); e; e = next) {
		next = TAILQ_NEXT(e, node);
		if (e->batch != batch)
			continue;
		if (count == 1) {
			refuse_copy(pair, e, reason);
			continue;
		}
		handoff__roster_set_copy(roster, e, HANDOFF__COPY_NONE);
		handoff__roster_queue(e, &roster->to_mirror);
	}
}

void
handoff__mirror_answered(
	struct handoff__pair *pair, const struct handoff__msg *msg)
{
	pair->pulse.progress = true;
	if (msg->reason != HANDOFF__OK) {
		refuse_batch(pair, msg->batch, msg->reason);
	} else if (pair->mirror_max < HANDOFF_FDPASS_MAX &&
		   msg->nrefs == pair->mirror_max) {
		pair->mirror_max = pair->mirror_max * 2 < HANDOFF_FDPASS_MAX
					   ? pair->mirror_max * 2
					   : HANDOFF_FDPASS_MAX;
	}
	for (uint32_t i = 0; i < msg->nrefs; i++) {
		const struct handoff__ref *ref = &msg->refs[i];
		struct handoff__roster_entry *e = handoff__roster_find(
			&pair->roster, ref->segment, ref->slot, ref->id);

		if (!e || e->copy != HANDOFF__COPY_SENT)
			continue;
		handoff__roster_unqueue(e);
		handoff__roster_set_copy(&pair->roster, e,
			ref->arg == HANDOFF__OK || !e->mine
				? HANDOFF__COPY_HELD
				: HANDOFF__COPY_REFUSED);
		e->refusal = (uint8_t)ref->arg;
		handoff__barrier_answered(pair, e);
	}
	handoff__barrier_ping_answered(pair, msg->batch);
	handoff__mirror_pump(pair);
}
