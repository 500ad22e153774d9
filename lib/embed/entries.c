/* SPDX-License-Identifier: MIT */
/*
 * Entries as the program sees them: deposited, brought up to date, released,
 * taken. A state lies in its record with its length before it.
 */
#include "embed/embed.h"

#include "base/high.h"
#include "base/progress.h"
#include "record/handling.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_US 100000

/* Is it this peer's, and has it not ended? */
static bool
serves(const struct handoff_entry *e)
{
	return e && e->entry.id != 0 && e->entry.fd >= 0 && e->entry.mine;
}

static size_t
capacity(const struct handoff_entry *e)
{
	return e->entry.view.seg->geo.state_size - sizeof(uint64_t);
}

/* The valid one, or the one that is being written. */
static uint64_t *
state_of(const struct handoff_entry *e, bool spare)
{
	const struct handoff__view *view = &e->entry.view;

	return handoff__record_state(
		view, (handoff__turn_of(view->rec) & 1) ^ spare);
}

/* Puts the entry into the list that it belongs in, or in none. */
void
handoff__embed_news(struct handoff_entry *e, enum handoff__news news)
{
	struct handoff_peer *peer = e->peer;

	if (e->news == HANDOFF__NEWS_RELEASED)
		TAILQ_REMOVE(&peer->released, e, node);
	else if (e->news != HANDOFF__NEWS_NONE)
		TAILQ_REMOVE(&peer->news, e, node);
	e->news = (uint8_t)news;
	if (news == HANDOFF__NEWS_RELEASED)
		TAILQ_INSERT_TAIL(&peer->released, e, node);
	else if (news != HANDOFF__NEWS_NONE)
		TAILQ_INSERT_TAIL(&peer->news, e, node);
	if (news != HANDOFF__NEWS_NONE)
		handoff__embed_soon(peer);
}

/* What could not be offered, since the link has just broken, is the program's
 * again. */
static void
take_again(struct handoff__entry **list, uint32_t count)
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
	struct handoff__entry *list[HANDOFF_FDPASS_MAX];
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
		handoff__peer_quiet_all(&peer->peer, list, n);
		take_again(list, n);
	}
}

/* What came while the service moved away goes where that is now, as soon as
 * there is a copy of it. */
static void
follow(struct handoff_peer *peer)
{
	struct handoff__peer *below = &peer->peer;
	struct handoff__entry *e = NULL;

	if (!peer->late || handoff__peer_moving(below) || peer->stopping)
		return;
	peer->late = !below->serving && below->roster.owned > 0;
	while (peer->late && (e = handoff__roster_next(&below->roster, e))) {
		if (!e->mine || e->leaving || e->copy != HANDOFF__COPY_HELD)
			continue;
		handoff__peer_give(below, HANDOFF__REST);
		return;
	}
}

void
handoff__embed_flush(struct handoff_peer *peer)
{
	move_released(peer);
	follow(peer);
	handoff__peer_after_turn(&peer->peer);
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
			if (*fd >= 0)
				return e;
			err = errno;
		}
	}
	if (err != 0 && !peer->starved.armed) {
		handoff__log(&peer->log, HANDOFF_LOG_WARNING,
			"peer: what was taken over waits for a free "
			"descriptor: %s",
			strerror(err));
		handoff__timer_arm(&peer->loop, &peer->starved, RETRY_US);
	}
	return NULL;
}

bool
handoff__embed_next(struct handoff_peer *peer, struct handoff_peer_event *event)
{
	int fd;
	struct handoff_entry *e = next_news(peer, &fd);

	if (!e)
		return false;
	handoff__embed_news(e, HANDOFF__NEWS_NONE);
	memset(event, 0, sizeof(*event));
	event->type = fd >= 0 ? HANDOFF_PEER_TAKEN : HANDOFF_PEER_RELEASE;
	event->generation = handoff__peer_generation(&peer->peer);
	event->entry = e;
	event->fd = fd;
	event->deaths =
		fd >= 0 ? handoff__handler_deaths(e->entry.view.rec) : 0;
	snprintf(event->text, sizeof(event->text), "%s: %llu %s",
		fd >= 0 ? "taken" : "release", (unsigned long long)e->entry.id,
		handoff_entry_name(e));
	return true;
}

static int
check(struct handoff_peer *peer, const struct handoff_entry_opts *o)
{
	if (o->fd < 0 || o->kind < HANDOFF_ENTRY_CONNECTION ||
		o->kind > HANDOFF_ENTRY_OTHER || (o->len > 0 && !o->state))
		return handoff__fail(&peer->error, -EINVAL,
			"deposit: a descriptor and a kind are needed");
	if (!peer->peer.serving && peer->peer.roster.owned == 0)
		return handoff__fail(&peer->error, -EPERM,
			"deposit: this peer does not serve");
	if ((o->name && strlen(o->name) >= HANDOFF_ADDRESS_MAX) ||
		o->len > peer->service.state_size - sizeof(uint64_t))
		return handoff__fail(&peer->error, -EMSGSIZE,
			"deposit: a name has at most %d bytes, a state %zu",
			HANDOFF_ADDRESS_MAX - 1,
			peer->service.state_size - sizeof(uint64_t));
	return 0;
}

int
handoff_peer_deposit(struct handoff_peer *peer, struct handoff_entry **out,
	const struct handoff_entry_opts *opts)
{
	struct handoff_entry_opts o = {.size = 0};
	struct handoff__entry *entry;
	int err, fd;

	if (!peer || !out || !opts)
		return -EINVAL;
	err = handoff__opts_copy(
		&o, sizeof(o), opts, offsetof(struct handoff_entry_opts, name));
	if (err < 0)
		return handoff__fail(
			&peer->error, err, "deposit: opts of another size");
	err = check(peer, &o);
	if (err < 0)
		return err;
	fd = handoff__high_dup(o.fd);
	if (fd < 0)
		return handoff__fail(&peer->error, -errno,
			"deposit: cannot duplicate descriptor %d: %s", o.fd,
			strerror(errno));
	entry = handoff__peer_enter(&peer->peer, fd, (enum handoff__kind)o.kind,
		o.name ? o.name : "", &err);
	if (!entry)
		return handoff__fail(
			&peer->error, err, "deposit: %s", strerror(-err));
	*out = handoff__public_entry(entry);
	(*out)->data = o.data;
	peer->late |= !peer->peer.serving || handoff__peer_moving(&peer->peer);
	handoff__embed_soon(peer);
	return handoff_entry_update(*out, o.state, o.len);
}

void
handoff_entry_withdraw(struct handoff_entry *e)
{
	if (!serves(e))
		return;
	if (e->entry.kind == HANDOFF__CONNECTION)
		shutdown(e->entry.fd, SHUT_RDWR);
	handoff__embed_soon(e->peer);
	handoff__peer_end(&e->peer->peer, &e->entry);
}

int
handoff_entry_release(struct handoff_entry *e)
{
	if (!serves(e) || e->news == HANDOFF__NEWS_RELEASED)
		return -EINVAL;
	e->data = NULL;
	/* Also if no give wants it any more: TAKEN follows. */
	handoff__embed_news(e, HANDOFF__NEWS_RELEASED);
	return 0;
}

void *
handoff_entry_edit(struct handoff_entry *e)
{
	struct handoff_conn txn;

	if (!serves(e))
		return NULL;
	handoff__txn_begin(&txn, &e->entry.view);
	return (uint64_t *)txn.state + 1;
}

int
handoff_entry_commit(struct handoff_entry *e, size_t len)
{
	uint64_t *state;

	if (!serves(e))
		return -EINVAL;
	if (len > capacity(e))
		return -EMSGSIZE;
	state = state_of(e, true);
	state[0] = len;
	return handoff__record_flip(&e->entry.view);
}

int
handoff_entry_update(struct handoff_entry *e, const void *state, size_t len)
{
	void *to;

	if (!serves(e) || (len > 0 && !state))
		return -EINVAL;
	if (len > capacity(e))
		return -EMSGSIZE;
	to = handoff_entry_edit(e);
	if (len > 0)
		memcpy(to, state, len);
	return handoff_entry_commit(e, len);
}

const void *
handoff_entry_state(const struct handoff_entry *e, size_t *len)
{
	const uint64_t *state;

	if (!e || !len)
		return NULL;
	state = state_of(e, false);
	/* Another process may have written it. */
	*len = state[0] <= capacity(e) ? (size_t)state[0] : 0;
	return state + 1;
}

uint64_t
handoff_entry_id(const struct handoff_entry *e)
{
	return e ? e->entry.id : 0;
}

enum handoff_entry_kind
handoff_entry_kind(const struct handoff_entry *e)
{
	return e ? (enum handoff_entry_kind)e->entry.kind : 0;
}

const char *
handoff_entry_name(const struct handoff_entry *e)
{
	return e ? e->name : "";
}

void *
handoff_entry_data(const struct handoff_entry *e)
{
	return e ? e->data : NULL;
}

void
handoff_entry_set_data(struct handoff_entry *e, void *data)
{
	if (e)
		e->data = data;
}

int
handoff_entry_progress(
	const struct handoff_entry *e, uint64_t *read, uint64_t *written)
{
	struct handoff__progress progress;
	int rc;

	if (!e || !read || !written)
		return -EINVAL;
	rc = handoff__progress(e->entry.fd, &progress);
	if (rc < 0)
		return rc;
	*read = progress.read;
	*written = progress.written;
	return 0;
}
