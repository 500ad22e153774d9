/* SPDX-License-Identifier: MIT */
/*
 * The handle of a peer for servers with a loop of their own: opened, polled,
 * dispatched. It serves no connections itself.
 */
#include "embed/embed.h"

#include "base/still.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEN_SIZE sizeof(uint64_t) /* stored before each state */

/* Bytes in use, with the length in front of the state. That length is checked:
 * another process may have written it. */
static size_t
state_used(const void *state, size_t size)
{
	uint64_t len;

	memcpy(&len, state, LEN_SIZE);
	return len <= size - LEN_SIZE ? (size_t)len + LEN_SIZE : LEN_SIZE;
}

/* The program's states without the length in front of them. */
static int
convert_program_state(uint32_t version, const void *old, size_t old_size,
	void *state, void *arg)
{
	const struct handoff_peer *peer = arg;
	size_t len = peer->service.state_size - LEN_SIZE;
	size_t old_len =
		old_size < LEN_SIZE ? 0 : state_used(old, old_size) - LEN_SIZE;
	uint64_t stored;
	int err = peer->convert(version, (const char *)old + LEN_SIZE, old_len,
		(char *)state + LEN_SIZE, &len, peer->convert_arg);

	if (err < 0)
		return err;
	if (len > peer->service.state_size - LEN_SIZE)
		return -EMSGSIZE;
	stored = len;
	memcpy(state, &stored, LEN_SIZE);
	return 0;
}

static void
on_peer_timer(struct handoff__timer *timer)
{
	struct handoff_peer *peer = timer->arg;

	/* beside that its only purpose is to make the loop run */
	peer->looks++;
}

static int
check_peer_opts(struct handoff_peer *peer, const struct handoff_peer_opts *o)
{
	int err =
		handoff__names_check(&peer->error, "peer", o->name, o->service);

	if (err < 0)
		return err;
	if (!o->dir || o->state_size > HANDOFF__STATE_PLAIN - LEN_SIZE)
		return handoff__fail(&peer->error, -EINVAL,
			"peer: opts.dir is needed, and state_size is at most "
			"%zu",
			HANDOFF__STATE_PLAIN - LEN_SIZE);
	return 0;
}

static int
take_role(struct handoff_peer *peer)
{
	if (peer->pair.partner != HANDOFF__PARTNER_NONE &&
		peer->pair.other.serving)
		return 0; /* STANDBY is reported once the arena has come */
	if (peer->may_own)
		return handoff__embed_own(peer);
	handoff__operator_waits(&peer->op);
	return 0;
}

static int
open_program_peer(struct handoff_peer *peer, const struct handoff_peer_opts *o)
{
	struct handoff__pair_config config = {
		.dir = o->dir,
		.name = o->name,
		.service = &peer->service,
		.give_timeout_ms = handoff__opt_or(
			o->give_timeout_ms, HANDOFF__GIVE_TIMEOUT_MS),
		.hang_timeout_ms = handoff__opt_or(
			o->hang_timeout_ms, HANDOFF__HANG_TIMEOUT_MS),
		.fence = o->fence,
		.whole = o->whole,
		.user = o->user,
		.entry_size = sizeof(struct handoff_entry),
		.own_fds = 1,
		.streamless = true,
		.state_used = state_used,
		.convert_data = o->convert ? handoff__embed_data_convert : NULL,
		.config_hash = o->config_hash,
		.config_strict = o->config_strict,
		.origin = o->origin,
		.lease = peer->lease,
		.lease_ttl_ms = o->lease_ttl_s * 1000,
		.lease_host = peer->lease_host,
	};
	int err = handoff__pair_open(&peer->pair, &config, &peer->loop,
		&peer->log, &handoff__embed_ops, &peer->op);

	if (err < 0) {
		peer->error = peer->pair.error;
		return err;
	}
	err = handoff__operator_open(&peer->op, &peer->error);
	if (err >= 0)
		err = take_role(peer);
	handoff__pair_loading(&peer->pair, o->loading);
	if (err >= 0)
		handoff__pair_started(&peer->pair);
	return err;
}

static int
take_lease(struct handoff_peer *peer, const struct handoff_peer_opts *o)
{
	if (!o->lease && (o->lease_ttl_s > 0 || o->lease_host))
		return handoff__fail(&peer->error, -EINVAL,
			"peer: opts.%s without opts.lease: set that too, or "
			"leave it out",
			o->lease_host ? "lease_host" : "lease_ttl_s");
	if (!o->lease)
		return 0;
	if (o->lease_ttl_s > HANDOFF_LEASE_TTL_MAX_MS / 1000)
		return handoff__fail(&peer->error, -EINVAL,
			"peer: opts.lease_ttl_s is %u: at most %d",
			o->lease_ttl_s, HANDOFF_LEASE_TTL_MAX_MS / 1000);
	peer->lease = strdup(o->lease);
	handoff__copy(peer->lease_host, sizeof(peer->lease_host),
		o->lease_host ? o->lease_host : "");
	return peer->lease ? 0
			   : handoff__fail(&peer->error, -ENOMEM,
				     "peer: out of memory");
}

static int
start(struct handoff_peer *peer, const struct handoff_peer_opts *o)
{
	int err = check_peer_opts(peer, o);

	if (err >= 0)
		err = take_lease(peer, o);
	if (err < 0)
		return err;
	handoff__copy(
		peer->service_name, sizeof(peer->service_name), o->service);
	/* The records' buffers are unused: as small as possible. */
	peer->service = (struct handoff_service){
		.size = sizeof(peer->service),
		.name = peer->service_name,
		.state_version = o->state_version,
		.state_size = (uint32_t)(o->state_size + LEN_SIZE),
		.input_size = 1,
		.output_size = 1,
		.convert = o->convert ? convert_program_state : NULL,
		.convert_from = o->convert_from,
		.arg = peer,
	};
	peer->convert = o->convert;
	peer->convert_arg = o->convert_arg;
	peer->log.fn = o->log;
	peer->log.arg = o->log_arg;
	peer->may_own = o->may_own;
	peer->starved.fn = on_peer_timer;
	peer->starved.arg = peer;
	peer->looks = 1;
	err = handoff__loop_init(&peer->loop);
	if (err < 0)
		return handoff__fail(&peer->error, err,
			"peer: cannot create its event loop: %s",
			strerror(-err));
	return open_program_peer(peer, o);
}

int
handoff_peer_open(
	struct handoff_peer **out, const struct handoff_peer_opts *opts)
{
	struct handoff_peer_opts known = {.size = 0};
	struct handoff_peer *peer;
	int err;

	if (!out || !opts)
		return -EINVAL;
	err = handoff__opts_copy(&known, sizeof(known), opts,
		offsetof(struct handoff_peer_opts, state_version));
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return handoff__no_memory(
			"peer", known.errbuf, known.errbuf_size);
	peer->pid = getpid();
	handoff__embed_set_thread(peer);
	peer->loop.epfd = peer->loop.timerfd = -1;
	handoff__operator_init(&peer->op, &handoff__embed_operator_ops, peer,
		&peer->pair, &peer->loop, &peer->log);
	TAILQ_INIT(&peer->pending);
	TAILQ_INIT(&peer->released);
	if (err == -E2BIG)
		handoff__fail(&peer->error, err,
			"peer: an option that this library does not know is "
			"set");
	if (err >= 0)
		err = start(peer, &known);
	if (err < 0) {
		if (err != -EINVAL || known.size > 0)
			handoff__error_copy(
				&peer->error, opts->errbuf, opts->errbuf_size);
		handoff_peer_free(peer);
		return err;
	}
	*out = peer;
	return 0;
}

/* In a child: nothing is removed or said, for the parent goes on with all of
 * it. */
static void
abandon(struct handoff_peer *peer)
{
	handoff__control_forked(&peer->op.control);
	handoff__embed_data_release(peer);
	handoff__pair_abandon(&peer->pair);
	close(peer->loop.epfd);
	close(peer->loop.timerfd);
	free(peer->lease);
	free(peer);
}

/* What the program was never given ends with this peer, if no other one has it:
 * a stream that lacks bytes has no end in order. */
static void
reset_unfinished(struct handoff__pair *below)
{
	struct handoff__roster_entry *e = NULL;

	if (below->partner != HANDOFF__PARTNER_NONE)
		return;
	while ((e = handoff__roster_next(&below->roster, e))) {
		if (e->mine && e->fd >= 0 && handoff__entry_unfinished(e))
			handoff__still_reset(e->fd);
	}
}

void
handoff_peer_free(struct handoff_peer *peer)
{
	if (!peer)
		return;
	if (peer->pid != getpid()) {
		abandon(peer);
		return;
	}
	handoff__operator_close(&peer->op);
	if (peer->pair.loop) {
		handoff__embed_flush(peer);
		handoff__embed_release(peer);
		handoff__embed_data_release(peer);
		reset_unfinished(&peer->pair);
		/* the program may go on using its entries */
		handoff__pair_close(&peer->pair, peer->pair.roster.owned == 0);
	}
	handoff__loop_fini(&peer->loop);
	free(peer->lease);
	free(peer);
}

int
handoff_peer_fd(struct handoff_peer *peer)
{
	return peer ? peer->loop.epfd : -EINVAL;
}

int
handoff_peer_wait(struct handoff_peer *peer, int timeout_ms)
{
	int rc;

	if (!peer)
		return -EINVAL;
	if (peer->pid != getpid())
		return handoff__fail(&peer->error, -ECHILD,
			"peer: opened by process %d, of which this is a child: "
			"open it after daemon(3), or free it here",
			(int)peer->pid);
	handoff__embed_set_thread(peer);
	handoff__embed_flush(peer);
	rc = handoff__loop_dispatch(&peer->loop, timeout_ms);
	handoff__embed_flush(peer);
	/* The descriptor stays readable while there is anything to pull. */
	if ((!TAILQ_EMPTY(&peer->pending) && !peer->starved.armed) ||
		peer->op.ring.count > 0)
		handoff__operator_wake(&peer->op);
	if (rc < 0)
		return handoff__fail(&peer->error, rc, "peer: epoll_wait: %s",
			strerror(-rc));
	return 0;
}

int
handoff_peer_dispatch(struct handoff_peer *peer)
{
	return handoff_peer_wait(peer, 0);
}

/* Pulls an event of the peer as a whole; false if there is none. */
static bool
next_queued(struct handoff_peer *peer)
{
	const struct handoff__operator_event *queued =
		handoff__operator_pull(&peer->op);
	const struct handoff__facts *facts;

	if (!queued)
		return false;
	facts = &queued->facts;
	peer->event = (struct handoff_peer_event){
		.type = (enum handoff_peer_event_type)queued->type,
		.reason = facts->reason,
		.generation = queued->generation,
		.text = queued->text,
		.outcome = handoff__facts_outcome(facts),
		.fd = -1,
		.moved = facts->moved,
		.kept = facts->passing,
		.died = facts->died,
		.over = facts->over,
	};
	return true;
}

int
handoff_peer_next(
	struct handoff_peer *peer, const struct handoff_peer_event **event)
{
	if (!peer || !event)
		return -EINVAL;
	if (!handoff__embed_next(peer) && !next_queued(peer)) {
		handoff__embed_flush(peer);
		return 0;
	}
	*event = &peer->event;
	return 1;
}

int
handoff_peer_left(struct handoff_peer *peer, const struct handoff_left **left)
{
	const struct handoff__roster_entry *entry;
	int rc;

	if (!peer || !left)
		return -EINVAL;
	rc = handoff__operator_left(&peer->op, &entry);
	if (rc <= 0)
		return rc;
	/* its first member */
	peer->op.left.entry = (struct handoff_entry *)(uintptr_t)entry;
	*left = &peer->op.left;
	return 1;
}

int
handoff_peer_give(struct handoff_peer *peer)
{
	int err;

	if (!peer)
		return -EINVAL;
	err = handoff__pair_give(&peer->pair, HANDOFF__MAINTENANCE);
	if (err < 0)
		peer->error = peer->pair.error;
	return err;
}

int
handoff_peer_take(struct handoff_peer *peer)
{
	int err;

	if (!peer)
		return -EINVAL;
	err = handoff__pair_home(&peer->pair, true);
	if (err < 0)
		peer->error = peer->pair.error;
	return err;
}

int
handoff_peer_loading(struct handoff_peer *peer, const char *why)
{
	if (!peer)
		return -EINVAL;
	handoff__pair_loading(&peer->pair, why);
	return 0;
}

const char *
handoff_peer_errmsg(const struct handoff_peer *peer)
{
	return peer ? peer->error.text : "";
}
