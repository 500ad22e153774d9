/* SPDX-License-Identifier: MIT */
/*
 * Entries as the program sees them: deposited, brought up to date, released,
 * taken. A state lies in its record with its length before it.
 */
#include "embed/embed.h"

#include "base/progress.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static size_t
capacity(const struct handoff_entry *e)
{
	return e->entry.view.geo->state_size - sizeof(uint64_t);
}

/* The valid one, or the one that is being written. */
static uint64_t *
state_of(const struct handoff_entry *e, bool spare)
{
	const struct handoff__view *view = &e->entry.view;

	return handoff__record_state(view, (view->rec->current & 1) ^ spare);
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
	}
}

void
handoff__embed_flush(struct handoff_peer *peer)
{
	move_released(peer);
	handoff__peer_flush(&peer->peer);
}

bool
handoff__embed_next(struct handoff_peer *peer, struct handoff_peer_event *event)
{
	struct handoff_entry *e;

	while ((e = TAILQ_FIRST(&peer->news))) {
		bool taken = e->news == HANDOFF__NEWS_TAKEN;

		handoff__embed_news(e, HANDOFF__NEWS_NONE);
		if (!taken && !e->entry.leaving)
			continue; /* the give has ended without it */
		memset(event, 0, sizeof(*event));
		event->type = taken ? HANDOFF_PEER_TAKEN : HANDOFF_PEER_RELEASE;
		event->generation = handoff__peer_generation(&peer->peer);
		event->entry = e;
		event->fd = taken ? fcntl(e->entry.fd, F_DUPFD_CLOEXEC, 3) : -1;
		snprintf(event->text, sizeof(event->text), "%s: %llu %s",
			taken ? "taken" : "release",
			(unsigned long long)e->entry.id, handoff_entry_name(e));
		return true;
	}
	return false;
}

static int
check(struct handoff_peer *peer, const struct handoff_entry_opts *o)
{
	if (o->fd < 0 || o->kind < HANDOFF_ENTRY_CONNECTION ||
		o->kind > HANDOFF_ENTRY_OTHER || (o->len > 0 && !o->state))
		return handoff__fail(&peer->error, -EINVAL,
			"deposit: a descriptor and a kind are needed");
	if (peer->peer.arena.count == 0)
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
	fd = fcntl(o.fd, F_DUPFD_CLOEXEC, 3);
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
	handoff__embed_soon(peer);
	return handoff_entry_update(*out, o.state, o.len);
}

void
handoff_entry_withdraw(struct handoff_entry *e)
{
	if (!e || !e->entry.mine)
		return;
	if (e->entry.kind == HANDOFF__CONNECTION)
		shutdown(e->entry.fd, SHUT_RDWR);
	handoff__embed_soon(e->peer);
	handoff__peer_end(&e->peer->peer, &e->entry);
}

int
handoff_entry_release(struct handoff_entry *e)
{
	if (!e || !e->entry.mine || e->news == HANDOFF__NEWS_RELEASED)
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

	if (!e || !e->entry.mine)
		return NULL;
	handoff__txn_begin(&txn, &e->entry.view);
	return (uint64_t *)txn.state + 1;
}

/* Begin copies, so it can't be asked again for what edit has returned. */
int
handoff_entry_commit(struct handoff_entry *e, size_t len)
{
	uint64_t *state;

	if (!e || !e->entry.mine)
		return -EINVAL;
	if (len > capacity(e))
		return -EMSGSIZE;
	state = state_of(e, true);
	state[0] = len;
	handoff__record_flip(&e->entry.view);
	return 0;
}

int
handoff_entry_update(struct handoff_entry *e, const void *state, size_t len)
{
	void *to;

	if (!e || !e->entry.mine || (len > 0 && !state))
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
