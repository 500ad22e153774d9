/* SPDX-License-Identifier: MIT */
/*
 * Entries as the program sees them: deposited, updated, released. A state is
 * stored in its record behind its length.
 */
#include "embed/embed.h"

#include "base/high.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Whether the entry is this peer's and has not ended. */
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

/* The valid copy, or the spare one that is being written. */
static uint64_t *
state_of(const struct handoff_entry *e, bool spare)
{
	const struct handoff__view *view = &e->entry.view;

	return handoff__record_state(
		view, (handoff__record_sequence(view->rec) & 1) ^ spare);
}

static int
check_deposit(struct handoff_peer *peer, const struct handoff_entry_opts *o)
{
	if (o->fd < 0 || o->kind < HANDOFF_ENTRY_CONNECTION ||
		o->kind > HANDOFF_ENTRY_OTHER || (o->len > 0 && !o->state))
		return handoff__fail(&peer->error, -EINVAL,
			"deposit: a descriptor and a kind are needed");
	if (!peer->pair.serving && peer->pair.roster.owned == 0)
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
	struct handoff__roster_entry *entry;
	int err, fd;

	if (!peer || !out || !opts)
		return -EINVAL;
	err = handoff__opts_copy(
		&o, sizeof(o), opts, offsetof(struct handoff_entry_opts, name));
	if (err < 0)
		return handoff__fail(&peer->error, err,
			"deposit: opts.size is not supported");
	err = check_deposit(peer, &o);
	if (err < 0)
		return err;
	fd = handoff__high_dup(o.fd);
	if (fd < 0)
		return handoff__fail(&peer->error, -errno,
			"deposit: cannot duplicate descriptor %d: %s", o.fd,
			strerror(errno));
	entry = handoff__pair_enter(&peer->pair, fd, (enum handoff__kind)o.kind,
		o.name ? o.name : "", &err);
	if (!entry)
		return handoff__fail(
			&peer->error, err, "deposit: %s", strerror(-err));
	*out = handoff__public_entry(entry);
	(*out)->data = o.data;
	peer->late |= !peer->pair.serving || handoff__pair_moving(&peer->pair);
	handoff__operator_wake(&peer->op);
	return handoff_entry_update(*out, o.state, o.len);
}

void
handoff_entry_withdraw(struct handoff_entry *e)
{
	if (!serves(e))
		return;
	if (e->entry.kind == HANDOFF__CONNECTION)
		shutdown(e->entry.fd, SHUT_RDWR);
	handoff__operator_wake(&e->peer->op);
	handoff__pair_end(&e->peer->pair, &e->entry);
}

int
handoff_entry_release(struct handoff_entry *e)
{
	if (!serves(e) || e->pending == HANDOFF__PENDING_RELEASED)
		return -EINVAL;
	e->data = NULL;
	/* even if no give wants it any more: TAKEN follows */
	handoff__embed_pend(e, HANDOFF__PENDING_RELEASED);
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
	if (!serves(e))
		return -EINVAL;
	if (len > capacity(e))
		return -EMSGSIZE;
	state_of(e, true)[0] = len;
	return handoff__record_flip(&e->entry.view, sizeof(uint64_t) + len);
}

/* Replaces the whole state, so the old one is not copied. */
int
handoff_entry_update(struct handoff_entry *e, const void *state, size_t len)
{
	if (!serves(e) || (len > 0 && !state))
		return -EINVAL;
	if (len > capacity(e))
		return -EMSGSIZE;
	handoff__prepare_commit(
		&e->entry.view, handoff__record_sequence(e->entry.view.rec));
	if (len > 0)
		memcpy(state_of(e, true) + 1, state, len);
	return handoff_entry_commit(e, len);
}

const void *
handoff_entry_state(const struct handoff_entry *e, size_t *len)
{
	const uint64_t *state;

	if (!e || !len)
		return NULL;
	state = state_of(e, false);
	/* another process may have written it */
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
