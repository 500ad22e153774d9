/* SPDX-License-Identifier: MIT */
/*
 * Entries as the program sees them: deposited, found, withdrawn, released. Does
 * not know how a state is stored.
 */
#include "embed/embed.h"

#include "base/high.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Another entry that is data has this name, here or in the other peer. */
static bool
is_data_name(struct handoff_peer *peer, const char *name)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&peer->pair.roster, e))) {
		if (e->kind == HANDOFF__DATA &&
			strcmp(handoff__public_entry(e)->name, name) == 0)
			return true;
	}
	return false;
}

static int
check_data(struct handoff_peer *peer, struct handoff_entry_opts *o)
{
	if (o->capacity == 0)
		o->capacity = o->len;
	if (!o->name || o->name[0] == '\0')
		return handoff__fail(
			&peer->error, -EINVAL, "deposit: data needs a name");
	if (o->capacity > HANDOFF__DATA_MAX || o->len > o->capacity)
		return handoff__fail(&peer->error, -EMSGSIZE,
			"deposit: data has at most its capacity, which is at "
			"most %llu bytes",
			(unsigned long long)HANDOFF__DATA_MAX);
	if (is_data_name(peer, o->name))
		return handoff__fail(&peer->error, -EEXIST,
			"deposit: there is data named %s already", o->name);
	return 0;
}

static int
check_state(struct handoff_peer *peer, const struct handoff_entry_opts *o)
{
	size_t room = peer->service.state_size - sizeof(uint64_t);

	if (o->fd < 0 || o->capacity != 0)
		return handoff__fail(&peer->error, -EINVAL,
			"deposit: a descriptor is needed, and only data has a "
			"capacity");
	if (o->len > room)
		return handoff__fail(&peer->error, -EMSGSIZE,
			"deposit: a state has at most %zu bytes", room);
	return 0;
}

static int
check_deposit(struct handoff_peer *peer, struct handoff_entry_opts *o)
{
	if (o->kind < HANDOFF_ENTRY_CONNECTION ||
		o->kind > HANDOFF_ENTRY_DATA || (o->len > 0 && !o->state))
		return handoff__fail(&peer->error, -EINVAL,
			"deposit: a kind is needed, and a state if it has a "
			"length");
	if (o->with &&
		(o->with->peer != peer || !handoff__embed_serves(o->with)))
		return handoff__fail(&peer->error, -EINVAL,
			"deposit: the entry that it is to move with is not "
			"this peer's");
	if (!peer->pair.serving && peer->pair.roster.owned == 0)
		return handoff__fail(&peer->error, -EPERM,
			"deposit: this peer does not serve");
	if (o->name && strlen(o->name) >= HANDOFF_ADDRESS_MAX)
		return handoff__fail(&peer->error, -EMSGSIZE,
			"deposit: a name has at most %d bytes",
			HANDOFF_ADDRESS_MAX - 1);
	return o->kind == HANDOFF_ENTRY_DATA ? check_data(peer, o)
					     : check_state(peer, o);
}

/* The descriptor of a new entry. */
static int
make_descriptor(struct handoff_peer *peer, const struct handoff_entry_opts *o)
{
	bool data = o->kind == HANDOFF_ENTRY_DATA;
	int fd = data ? handoff__embed_data_create(o->capacity)
		      : handoff__high_dup(o->fd);

	if (data && fd < 0)
		return handoff__fail(&peer->error, fd,
			"deposit: no memory for data of %zu bytes: %s",
			o->capacity, strerror(-fd));
	if (fd < 0)
		return handoff__fail(&peer->error, -errno,
			"deposit: cannot duplicate descriptor %d: %s", o->fd,
			strerror(errno));
	return fd;
}

/* Takes the descriptor over. NULL with `*err` set on failure. */
static struct handoff_entry *
enter(struct handoff_peer *peer, int fd, const struct handoff_entry_opts *o,
	int *err)
{
	struct handoff__roster_entry *entry = handoff__pair_enter_with(
		&peer->pair, fd, (enum handoff__kind)o->kind,
		o->name ? o->name : "", o->with ? &o->with->entry : NULL, err);

	if (!entry && o->with && (*err == -EINVAL || *err == -ENOSPC)) {
		handoff__fail(&peer->error, *err,
			"deposit: a leader has no leader itself, and at most "
			"%d companions",
			HANDOFF__TOGETHER_MAX - 1);
		return NULL;
	}
	if (!entry) {
		handoff__fail(
			&peer->error, *err, "deposit: %s", strerror(-*err));
		return NULL;
	}
	if (entry->kind != HANDOFF__DATA)
		return handoff__public_entry(entry);
	*err = handoff__embed_data_map(handoff__public_entry(entry));
	if (*err == 0)
		return handoff__public_entry(entry);
	handoff__pair_end(&peer->pair, entry);
	handoff__fail(&peer->error, *err,
		"deposit: cannot map data of %zu bytes: %s", o->capacity,
		strerror(-*err));
	return NULL;
}

int
handoff_peer_deposit(struct handoff_peer *peer, struct handoff_entry **out,
	const struct handoff_entry_opts *opts)
{
	struct handoff_entry_opts o = {.size = 0};
	struct handoff_entry *entry;
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
	fd = make_descriptor(peer, &o);
	if (fd < 0)
		return fd;
	entry = enter(peer, fd, &o, &err);
	if (!entry)
		return err;
	*out = entry;
	entry->data = o.data;
	peer->late |= !peer->pair.serving || handoff__pair_moving(&peer->pair);
	handoff__operator_wake(&peer->op);
	return handoff_entry_update(entry, o.state, o.len);
}

/* Whether the program has the entry: it was deposited, or TAKEN was pulled, and
 * it was not released. */
static bool
is_given(const struct handoff_entry *e)
{
	return e->entry.mine && e->pending != HANDOFF__PENDING_TAKEN &&
	       e->pending != HANDOFF__PENDING_RELEASED;
}

struct handoff_entry *
handoff_peer_find(struct handoff_peer *peer, const char *name)
{
	struct handoff__roster_entry *e = NULL;

	while (peer && name &&
		(e = handoff__roster_next(&peer->pair.roster, e))) {
		struct handoff_entry *entry = handoff__public_entry(e);

		if (is_given(entry) && strcmp(entry->name, name) == 0)
			return entry;
	}
	return NULL;
}

void
handoff_entry_withdraw(struct handoff_entry *e)
{
	if (!handoff__embed_serves(e))
		return;
	if (e->entry.kind == HANDOFF__CONNECTION)
		shutdown(e->entry.fd, SHUT_RDWR);
	handoff__operator_wake(&e->peer->op);
	handoff__pair_end(&e->peer->pair, &e->entry);
}

int
handoff_entry_release(struct handoff_entry *e)
{
	if (!handoff__embed_serves(e) ||
		!(e->told || e->pending == HANDOFF__PENDING_RELEASE))
		return -EINVAL;
	e->told = false;
	e->data = NULL;
	/* its state has all input, so what was read is not needed */
	e->entry.view.rec->extra.inbox = 0;
	/* even if no give wants it any more: TAKEN follows */
	handoff__embed_pend(e, HANDOFF__PENDING_RELEASED);
	return 0;
}

uint64_t
handoff_entry_id(const struct handoff_entry *e)
{
	return e ? e->entry.id : 0;
}

struct handoff_entry *
handoff_entry_leader(const struct handoff_entry *e)
{
	struct handoff__roster_entry *leader =
		e ? handoff__pair_leader(&e->peer->pair, &e->entry) : NULL;

	return leader ? handoff__public_entry(leader) : NULL;
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
