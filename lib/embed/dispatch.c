/* SPDX-License-Identifier: MIT */
/*
 * The work of a dispatch: moves what the program has released, continues a
 * stop, and picks the program's next event.
 */
#include "embed/embed.h"

#include "record/handling.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define RETRY_US 100000

/* Entries that could not be offered, because the link has just broken, go back
 * to the program; one that waits for others stays. */
static void
take_again(struct handoff__roster_entry **list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (list[i]->mine && !handoff__entry_parked(list[i]))
			handoff__embed_pend(handoff__public_entry(list[i]),
				HANDOFF__PENDING_TAKEN);
	}
}

/* Lists the released entries, as many as fit into a message, but for those that
 * wait for others. An entry that no give wants any more goes back to the
 * program. */
static uint32_t
list_released(struct handoff_peer *peer,
	struct handoff__roster_entry *list[HANDOFF_FDPASS_MAX])
{
	struct handoff_entry *e, *next;
	uint32_t n = 0;

	for (e = TAILQ_FIRST(&peer->released); e && n < HANDOFF_FDPASS_MAX;
		e = next) {
		next = TAILQ_NEXT(e, node);
		if (!e->entry.leaving)
			handoff__embed_pend(e, HANDOFF__PENDING_TAKEN);
		else if (!handoff__entry_parked(&e->entry))
			list[n++] = &e->entry;
	}
	return n;
}

static void
move_released(struct handoff_peer *peer)
{
	struct handoff__roster_entry *list[HANDOFF_FDPASS_MAX];
	uint32_t n;

	while ((n = list_released(peer, list)) > 0) {
		handoff__pair_quiet_all(&peer->pair, list, n);
		take_again(list, n);
	}
}

/* Entries that came while the service was moving away follow it, as soon as the
 * standby has a copy of them. */
static void
follow(struct handoff_peer *peer)
{
	struct handoff__pair *below = &peer->pair;
	struct handoff__roster_entry *e = NULL;

	if (!peer->late || handoff__pair_moving(below) || peer->op.stopping)
		return;
	peer->late = !below->serving && below->roster.owned > 0;
	while (peer->late && (e = handoff__roster_next(&below->roster, e))) {
		if (!e->mine || e->leaving || !handoff__entry_covered(below, e))
			continue;
		handoff__pair_give(below, HANDOFF__REST);
		return;
	}
}

void
handoff__embed_flush(struct handoff_peer *peer)
{
	move_released(peer);
	follow(peer);
	handoff__pair_proceed(&peer->pair);
	if (!handoff__pair_moving(&peer->pair))
		handoff__embed_standby(peer);
	handoff__embed_stop(peer);
}

/* What the program gets with TAKEN: a descriptor, which gets a low number as it
 * is the program's; or memory, and -1. */
static int
make_ready(struct handoff_entry *e, int *fd)
{
	*fd = -1;
	if (e->entry.kind == HANDOFF__DATA)
		return handoff__embed_data_map(e);
	*fd = fcntl(e->entry.fd, F_DUPFD_CLOEXEC, 3);
	return *fd < 0 ? -errno : 0;
}

static void
look_again(struct handoff_peer *peer)
{
	if (!peer->starved.armed)
		handoff__timer_arm(&peer->loop, &peer->starved, RETRY_US);
}

/* Whether a ferry has left it incomplete, or what it comes together with. Asked
 * once until the timer. */
static bool
is_unfinished(struct handoff_entry *e)
{
	struct handoff__roster_entry *other = &e->entry;
	bool waits;

	if (e->looked == e->peer->looks)
		return true;
	waits = handoff__entry_unfinished(other);

	while ((other = handoff__companions_next(&e->peer->pair, other)) !=
		&e->entry)
		waits |= other->mine && handoff__entry_unfinished(other);
	if (waits)
		e->looked = e->peer->looks;
	return waits;
}

static void
note_unfinished(struct handoff_peer *peer, const struct handoff_entry *e)
{
	if (!peer->unfinished)
		handoff__log(&peer->log, HANDOFF_LOG_WARNING,
			"entry %llu: its socket is not complete, a ferry has "
			"to do it: it waits, and others like it",
			(unsigned long long)e->entry.id);
	look_again(peer);
}

/* Returns the next entry with an event. One for which there is no descriptor
 * waits, and one that is not complete; a release does not wait behind it. */
static struct handoff_entry *
next_pending(struct handoff_peer *peer, int *fd)
{
	struct handoff_entry *e, *after;
	bool unfinished = false;
	int err = 0;

	for (e = TAILQ_FIRST(&peer->pending); e; e = after) {
		after = TAILQ_NEXT(e, node);
		*fd = -1;
		if (e->pending == HANDOFF__PENDING_RELEASE) {
			if (e->entry.leaving)
				return e;
			/* the give has ended without it */
			handoff__embed_pend(e, HANDOFF__PENDING_NONE);
		} else if (is_unfinished(e)) {
			note_unfinished(peer, e);
			peer->unfinished = unfinished = true;
		} else if (err == 0) {
			err = -make_ready(e, fd);
			if (err == 0) {
				peer->starving = false;
				return e;
			}
		}
	}
	if (err != 0 && !peer->starving)
		handoff__log(&peer->log, HANDOFF_LOG_WARNING,
			"peer: entries taken over wait for a free "
			"descriptor or memory: %s",
			strerror(err));
	if (err != 0)
		look_again(peer);
	peer->starving |= err != 0;
	peer->unfinished = unfinished;
	return NULL;
}

bool
handoff__embed_next(struct handoff_peer *peer)
{
	int fd;
	struct handoff_entry *e = next_pending(peer, &fd);
	struct handoff__operator_event *pulled = &peer->op.pulled;
	bool taken;

	if (!e)
		return false;
	taken = e->pending == HANDOFF__PENDING_TAKEN;
	handoff__embed_pend(e, HANDOFF__PENDING_NONE);
	e->told = !taken;
	snprintf(pulled->text, sizeof(pulled->text), "%s: %llu %s",
		taken ? "taken" : "release", (unsigned long long)e->entry.id,
		handoff_entry_name(e));
	peer->event = (struct handoff_peer_event){
		.type = taken ? HANDOFF_PEER_TAKEN : HANDOFF_PEER_RELEASE,
		.generation = handoff__pair_generation(&peer->pair),
		.entry = e,
		.fd = fd,
		.text = pulled->text,
		.deaths =
			taken ? handoff__handler_deaths(e->entry.view.rec) : 0,
	};
	return true;
}
