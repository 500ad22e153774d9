/* SPDX-License-Identifier: MIT */
/*
 * What follows when the program comes by: what it has released moves, a stop
 * goes on; and what of its entries it hears next.
 */
#include "embed/embed.h"

#include "record/handling.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define RETRY_US 100000

/* What could not be offered, since the link has just broken, is the program's
 * again. */
static void
take_again(struct handoff__roster_entry **list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (list[i]->mine)
			handoff__embed_news(handoff__public_entry(list[i]),
				HANDOFF__NEWS_TAKEN);
	}
}

/* What was released moves, as many at once as a message holds. One that no
 * give wants any more is the program's again. */
static void
move_released(struct handoff_peer *peer)
{
	struct handoff__roster_entry *list[HANDOFF_FDPASS_MAX];
	struct handoff_entry *e;

	while (!TAILQ_EMPTY(&peer->released)) {
		uint32_t n = 0;

		while (n < HANDOFF_FDPASS_MAX &&
			(e = TAILQ_FIRST(&peer->released))) {
			handoff__embed_news(e, e->entry.leaving
						       ? HANDOFF__NEWS_NONE
						       : HANDOFF__NEWS_TAKEN);
			if (e->entry.leaving)
				list[n++] = &e->entry;
		}
		handoff__pair_quiet_all(&peer->pair, list, n);
		take_again(list, n);
	}
}

/* What came while the service moved away goes where that is now, as soon as
 * there is a copy of it. */
static void
follow(struct handoff_peer *peer)
{
	struct handoff__pair *below = &peer->pair;
	struct handoff__roster_entry *e = NULL;

	if (!peer->late || handoff__pair_moving(below) || peer->op.stopping)
		return;
	peer->late = !below->serving && below->roster.owned > 0;
	while (peer->late && (e = handoff__roster_next(&below->roster, e))) {
		if (!e->mine || e->leaving || e->copy != HANDOFF__COPY_HELD)
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
	handoff__embed_stop(peer);
}

/* The next to tell of. What there is no descriptor for waits; what is to be
 * released does not wait behind it. */
static struct handoff_entry *
next_news(struct handoff_peer *peer, int *fd)
{
	struct handoff_entry *e, *after;
	int err = 0;

	for (e = TAILQ_FIRST(&peer->news); e; e = after) {
		after = TAILQ_NEXT(e, node);
		*fd = -1;
		if (e->news == HANDOFF__NEWS_RELEASE) {
			if (e->entry.leaving)
				return e;
			/* The give has ended without it. */
			handoff__embed_news(e, HANDOFF__NEWS_NONE);
		} else if (err == 0) {
			/* The program's own, so with a low number. */
			*fd = fcntl(e->entry.fd, F_DUPFD_CLOEXEC, 3);
			if (*fd >= 0) {
				peer->starving = false;
				return e;
			}
			err = errno;
		}
	}
	if (err != 0 && !peer->starving)
		handoff__log(&peer->log, HANDOFF_LOG_WARNING,
			"peer: what was taken over waits for a free "
			"descriptor: %s",
			strerror(err));
	if (err != 0 && !peer->starved.armed)
		handoff__timer_arm(&peer->loop, &peer->starved, RETRY_US);
	peer->starving |= err != 0;
	return NULL;
}

bool
handoff__embed_next(struct handoff_peer *peer)
{
	int fd;
	struct handoff_entry *e = next_news(peer, &fd);
	struct handoff__happening *pulled = &peer->op.pulled;

	if (!e)
		return false;
	handoff__embed_news(e, HANDOFF__NEWS_NONE);
	snprintf(pulled->text, sizeof(pulled->text), "%s: %llu %s",
		fd >= 0 ? "taken" : "release", (unsigned long long)e->entry.id,
		handoff_entry_name(e));
	peer->event = (struct handoff_peer_event){
		.type = fd >= 0 ? HANDOFF_PEER_TAKEN : HANDOFF_PEER_RELEASE,
		.generation = handoff__pair_generation(&peer->pair),
		.entry = e,
		.fd = fd,
		.text = pulled->text,
		.deaths = fd >= 0 ? handoff__handler_deaths(e->entry.view.rec)
				  : 0,
	};
	return true;
}
