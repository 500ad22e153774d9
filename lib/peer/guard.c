/* SPDX-License-Identifier: MIT */
/*
 * Drives the keeper of the lease in the peer that owns the board, and stores in
 * the arena what the other peer, and the next process, need. Decides nothing
 * about the lease (lib/lease), and accepts, publishes or ends nothing: the
 * layer above is told.
 */
#include "peer/guard.h"

#include "lease/keeper.h"
#include "peer/stand.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define AGAIN_US   1000000 /* until the engine is opened again */
#define RELEASE_US 2000000 /* how long a release is waited for */

/* A name for the host, of the characters that names have. */
static void
name_host(const struct handoff__pair *pair, char host[HANDOFF_NAME_MAX])
{
	char full[256] = "";

	if (pair->config.lease_host[0]) {
		handoff__copy(host, HANDOFF_NAME_MAX, pair->config.lease_host);
		return;
	}

	if (gethostname(full, sizeof(full) - 1) < 0)
		full[0] = '\0';
	handoff__copy(host, HANDOFF_NAME_MAX, full);
	for (char *c = host; *c; c++) {
		char one[2] = {*c, '\0'};

		if (!handoff__name_ok(one) && *c != '.')
			*c = '-';
	}
	if (!handoff__name_ok(host))
		handoff__copy(host, HANDOFF_NAME_MAX, "host");
}

/* Peers with different ones would each count validity by its own TTL, or take
 * part under two names: only one of them could go on with the session. */
uint64_t
handoff__guard_lease_id(const struct handoff__pair *pair)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
	char host[HANDOFF_NAME_MAX], ttl[16];
	const char *parts[] = {pair->config.lease, host, ttl};

	if (!handoff__pair_leased(pair))
		return 0;
	name_host(pair, host);
	snprintf(ttl, sizeof(ttl), "%u",
		handoff__opt_or(
			pair->config.lease_ttl_ms, HANDOFF_LEASE_TTL_MS));
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		const char *c = parts[i];

		/* with the end of each */
		do
			hash = (hash ^ (unsigned char)*c) *
			       UINT64_C(0x100000001b3);
		while (*c++);
	}
	return hash != 0 ? hash : 1;
}

static void
hook_store(void *arg, const struct handoff__lease_saved *saved, uint64_t ttl_ns)
{
	struct handoff__pair *pair = arg;
	struct handoff__tenure *tenure = handoff__stand_tenure(pair);
	struct handoff__tenure_kept kept = {
		.token = saved->token,
		.ttl_ns = ttl_ns,
		.valid_ns = saved->valid_until_ns,
		.session_len = saved->session_len,
	};

	static_assert(HANDOFF__TENURE_SESSION == HANDOFF_LEASE_SESSION_MAX,
		"a session fits");
	memcpy(kept.session, saved->session, sizeof(kept.session));
	if (tenure)
		handoff__tenure_keep(tenure, &kept);
}

static void
hook_valid(void *arg, uint64_t valid_until_ns)
{
	struct handoff__pair *pair = arg;
	struct handoff__tenure *tenure = handoff__stand_tenure(pair);

	if (!tenure)
		return;
	handoff__tenure_valid(tenure, valid_until_ns);
	handoff__stand(pair);
}

/* What the state machine is in: for the other peer, and the next process. */
static void
show_state(struct handoff__pair *pair)
{
	struct handoff__tenure *tenure = handoff__stand_tenure(pair);

	if (tenure && pair->guard.keeper)
		atomic_store(&tenure->state,
			handoff__keeper_lease(pair->guard.keeper)->state);
}

static void
hook_won(struct handoff__pair *pair)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);
	uint64_t token = handoff__keeper_lease(pair->guard.keeper)->token;
	struct handoff__keeper_view view;

	/* when the notice was read, that host may not have published any */
	handoff__keeper_view(pair->guard.keeper, &view);
	if (view.by[0])
		pair->guard.succeeds = true;
	atomic_store(&board->generation, token << 32);
	handoff__log(pair->log, HANDOFF_LOG_INFO,
		"lease: this host has it, token %llu",
		(unsigned long long)token);
}

static void
hook_act(void *arg, enum handoff__lease_action action)
{
	struct handoff__pair *pair = arg;
	struct handoff__guard *guard = &pair->guard;

	/* open calls hooks before it has returned the keeper */
	if (!guard->keeper) {
		guard->early |= (uint32_t)action;
		return;
	}
	show_state(pair);
	if (action == HANDOFF__LEASE_WON)
		hook_won(pair);
	if (action == HANDOFF__LEASE_RESET)
		guard->emptying = true;
	if (action == HANDOFF__LEASE_RELEASED)
		guard->released = true;
	handoff__stand(pair);
	if (pair->ops->leased)
		pair->ops->leased(pair, action);
	pair->noted = true;
}

static uint32_t
hook_retained(void *arg, const void *data, size_t len)
{
	struct handoff__pair *pair = arg;
	uint64_t used = handoff__pair_generation(pair) >> 32;
	uint32_t other =
		pair->ops->retained ? pair->ops->retained(pair, data, len) : 0;

	pair->guard.succeeds = len > 0;
	return used > other ? (uint32_t)used : other;
}

static const struct handoff__keeper_hooks hooks = {
	.store = hook_store,
	.valid = hook_valid,
	.act = hook_act,
	.retained = hook_retained,
};

static void
close_keeper(struct handoff__pair *pair)
{
	struct handoff__guard *guard = &pair->guard;

	if (!guard->keeper)
		return;
	handoff__watch_del(pair->loop, &guard->watch);
	handoff__keeper_close(guard->keeper);
	guard->keeper = NULL;
}

static void
open_later(struct handoff__pair *pair)
{
	handoff__timer_arm(pair->loop, &pair->guard.again, AGAIN_US);
}

static void
on_keeper(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__pair *pair = watch->arg;
	int err = handoff__keeper_dispatch(pair->guard.keeper);

	(void)events;
	show_state(pair);
	if (err >= 0)
		return;
	handoff__log(pair->log, HANDOFF_LOG_ERROR,
		"lease: %s cannot be asked: %s: it is opened anew",
		pair->config.lease, strerror(-err));
	close_keeper(pair);
	open_later(pair);
}

/* What is kept from the process that had it before, if there is any. */
static bool
read_saved(const struct handoff__pair *pair, struct handoff__lease_saved *saved)
{
	struct handoff__tenure_kept kept;

	handoff__tenure_read(handoff__stand_tenure(pair), &kept);
	*saved = (struct handoff__lease_saved){.token = kept.token,
		.valid_until_ns = kept.valid_ns,
		.session_len = kept.session_len};
	memcpy(saved->session, kept.session, sizeof(saved->session));
	return kept.token != 0 || kept.session_len > 0;
}

static void
make_keeper_opts(const struct handoff__pair *pair,
	struct handoff__keeper_opts *opts, const char *host)
{
	*opts = (struct handoff__keeper_opts){
		.address = pair->config.lease,
		.host = host,
		.user = pair->config.user,
		.ttl_ms = pair->config.lease_ttl_ms,
		.hooks = &hooks,
		.arg = (void *)(uintptr_t)pair,
		.log = *pair->log,
	};
}

/* The hooks that were called by open, now that there is a keeper. */
static void
catch_up(struct handoff__pair *pair)
{
	uint32_t early = pair->guard.early;

	pair->guard.early = 0;
	for (uint32_t bit = 1; bit != 0 && early != 0; bit <<= 1) {
		if (early & bit)
			hook_act(pair, (enum handoff__lease_action)bit);
		early &= ~bit;
	}
}

/* The same sentence once, not every second. */
static void
note_trouble(struct handoff__pair *pair, const struct handoff__error *error)
{
	char *trouble = pair->guard.trouble;

	if (strcmp(trouble, error->text) != 0)
		handoff__log(pair->log, HANDOFF_LOG_ERROR,
			"lease: %s: tried again every second", error->text);
	handoff__copy(trouble, sizeof(pair->guard.trouble), error->text);
}

static void
open_keeper(struct handoff__pair *pair)
{
	struct handoff__guard *guard = &pair->guard;
	struct handoff__keeper_opts opts;
	struct handoff__lease_saved saved;
	struct handoff__error error;
	struct handoff__keeper *keeper;
	char host[HANDOFF_NAME_MAX];
	int err;

	name_host(pair, host);
	make_keeper_opts(pair, &opts, host);
	if (read_saved(pair, &saved))
		opts.saved = &saved;
	guard->early = 0;
	err = handoff__keeper_open(&keeper, &opts, &error);
	if (err >= 0) {
		guard->keeper = keeper;
		guard->watch.fn = on_keeper;
		guard->watch.arg = pair;
		err = handoff__watch_add(pair->loop, &guard->watch,
			handoff__keeper_fd(keeper), EPOLLIN);
		if (err < 0)
			handoff__fail(
				&error, err, "epoll_ctl: %s", strerror(-err));
	}
	if (err < 0) {
		if (guard->keeper)
			handoff__keeper_close(guard->keeper);
		guard->keeper = NULL;
		note_trouble(pair, &error);
		open_later(pair);
		return;
	}
	guard->trouble[0] = '\0';
	show_state(pair);
	/* the process before has died between storing a token and serving */
	if (opts.saved && saved.token > handoff__pair_generation(pair) >> 32)
		guard->early |= HANDOFF__LEASE_WON;
	catch_up(pair);
}

/* Whether this peer is the one to keep the lease. */
static bool
is_keeper(const struct handoff__pair *pair)
{
	const struct handoff__board *board = handoff__arena_board(&pair->arena);

	return pair->serving && (!pair->left || pair->guard.lingers) &&
	       !pair->guard.released &&
	       handoff__owner_word(&board->owner) == (uint32_t)pair->place;
}

/* The engine gets it when the lease is certain. */
static void
push_notice(struct handoff__pair *pair)
{
	struct handoff__guard *guard = &pair->guard;

	if (guard->notice_len > 0 &&
		handoff__keeper_publish(guard->keeper, guard->notice,
			guard->notice_len) != -ENOLCK)
		guard->notice_len = 0;
}

/* Whether no socket is left, here or in the other peer. */
static bool
is_empty(const struct handoff__pair *pair)
{
	const struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (handoff__stand_socket(e))
			return false;
	}
	return true;
}

void
handoff__guard_proceed(struct handoff__pair *pair)
{
	struct handoff__guard *guard = &pair->guard;

	if (!handoff__stand_tenure(pair))
		return;
	if (!is_keeper(pair))
		close_keeper(pair);
	else if (!guard->keeper && !guard->again.armed)
		open_keeper(pair);
	if (guard->keeper && guard->emptying && is_empty(pair)) {
		guard->emptying = false;
		handoff__keeper_emptied(guard->keeper);
	}
	if (guard->keeper) {
		push_notice(pair);
		show_state(pair);
	}
	handoff__stand(pair);
}

void
handoff__guard_let_go(struct handoff__pair *pair)
{
	close_keeper(pair);
}

void
handoff__pair_linger(struct handoff__pair *pair)
{
	pair->guard.lingers = handoff__pair_leased(pair);
}

void
handoff__guard_retire(struct handoff__pair *pair)
{
	if (pair->guard.lingers)
		return;
	close_keeper(pair);
	if (pair->guard.again.armed)
		handoff__timer_disarm(pair->loop, &pair->guard.again);
	handoff__stand_close(pair);
}

void
handoff__guard_claim(struct handoff__pair *pair)
{
	struct handoff__tenure *tenure = handoff__stand_tenure(pair);

	if (!tenure)
		return;
	atomic_store(&tenure->state, HANDOFF_LEASE_CANDIDATE);
	atomic_store(&tenure->leased, 1);
	handoff__timer_arm(pair->loop, &pair->guard.again, 0);
}

void
handoff__pair_retain(struct handoff__pair *pair, const void *data, size_t len)
{
	struct handoff__guard *guard = &pair->guard;

	if (!handoff__pair_leased(pair) || len > sizeof(guard->notice))
		return;
	memcpy(guard->notice, data, len);
	guard->notice_len = len;
	pair->noted = true;
}

bool
handoff__pair_release(struct handoff__pair *pair)
{
	struct handoff__guard *guard = &pair->guard;

	if (!guard->keeper || guard->released)
		return true;
	if (guard->releasing)
		return !guard->again.armed;
	guard->releasing = true;
	push_notice(pair);
	handoff__keeper_release(guard->keeper);
	if (!guard->released)
		handoff__timer_arm(pair->loop, &guard->again, RELEASE_US);
	return guard->released;
}

/* Something that waits is tried again after this iteration. */
static void
on_again(struct handoff__timer *timer)
{
	struct handoff__pair *pair = timer->arg;

	pair->noted = true;
}

void
handoff__guard_init(struct handoff__pair *pair)
{
	struct handoff__guard *guard = &pair->guard;

	guard->timerfd = guard->watch.fd = guard->timer_watch.fd = -1;
	guard->again.fn = on_again;
	guard->again.arg = pair;
}

int
handoff__guard_open(struct handoff__pair *pair)
{
	struct handoff__keeper_opts opts;
	char host[HANDOFF_NAME_MAX];
	int err;

	if (!handoff__pair_leased(pair))
		return 0;
	name_host(pair, host);
	make_keeper_opts(pair, &opts, host);
	err = handoff__keeper_try(&opts, &pair->error);
	if (err < 0)
		return err;
	err = handoff__stand_open(pair);
	return err < 0 ? handoff__fail(&pair->error, err,
				 "lease: cannot create its timer: %s",
				 strerror(-err))
		       : 0;
}

void
handoff__guard_forked(struct handoff__pair *pair)
{
	struct handoff__guard *guard = &pair->guard;

	if (guard->keeper)
		handoff__keeper_close(guard->keeper);
	guard->keeper = NULL;
	if (guard->timerfd >= 0)
		close(guard->timerfd);
	guard->timerfd = -1;
}

/* How long it is valid, in milliseconds. */
static uint64_t
valid_ms(const struct handoff__tenure *tenure)
{
	uint64_t now = handoff__boot_ns(),
		 until = atomic_load(&tenure->until_ns);

	return handoff__stand_holds(tenure) && until > now
		       ? (until - now) / 1000000
		       : 0;
}

bool
handoff__pair_lease_seen(
	struct handoff__pair *pair, struct handoff__leased *seen)
{
	const struct handoff__tenure *tenure = handoff__stand_tenure(pair);
	struct handoff__keeper_view view = {.connected = false};
	struct handoff__tenure_kept kept;

	if (!tenure)
		return false;
	if (pair->guard.keeper)
		handoff__keeper_view(pair->guard.keeper, &view);
	handoff__tenure_read(tenure, &kept);
	*seen = (struct handoff__leased){
		.state = handoff__stand_state(tenure),
		.token = kept.token,
		.valid_ms = valid_ms(tenure),
		.frozen = pair->guard.frozen,
		.kept = pair->guard.keeper != NULL,
		.connected = view.connected,
	};
	return true;
}

/* A line for the status of a program that reads it, and one for people, of the
 * peer that keeps the lease. */
void
handoff__pair_lease_text(struct handoff__pair *pair, struct handoff__buf *buf)
{
	struct handoff__keeper_view view;
	struct handoff__leased seen;

	if (!handoff__pair_lease_seen(pair, &seen))
		return;
	handoff__buf_add(buf, "lease %s token %llu valid_ms %llu%s\n",
		handoff_lease_state_name(seen.state),
		(unsigned long long)seen.token,
		(unsigned long long)seen.valid_ms,
		seen.frozen ? " frozen" : "");
	if (!seen.kept && pair->guard.trouble[0]) {
		handoff__buf_add(buf, "! %s: lease: ", pair->name);
		handoff__buf_escaped(buf, pair->guard.trouble);
		handoff__buf_add(buf, ": tried again every second\n");
	}
	if (!seen.kept)
		return;
	handoff__keeper_view(pair->guard.keeper, &view);
	handoff__buf_add(buf, "! %s: lease: ", pair->name);
	handoff__buf_escaped(buf, view.address);
	handoff__buf_add(buf, ": %s, token %llu, valid for %llu.%03llu s%s%s",
		handoff_lease_state_name(seen.state),
		(unsigned long long)seen.token,
		(unsigned long long)(seen.valid_ms / 1000),
		(unsigned long long)(seen.valid_ms % 1000),
		seen.frozen ? ": everything stands still" : "",
		seen.connected ? "" : "; not connected");
	if (view.engine[0])
		handoff__buf_add(buf, "; %s", view.engine);
	if (view.by[0] && !handoff__stand_holds(handoff__stand_tenure(pair)))
		handoff__buf_add(buf, "; another host had it: %s", view.by);
	handoff__buf_add(buf, "\n");
}

void
handoff__pair_lease_json(struct handoff__pair *pair, struct handoff__buf *buf)
{
	struct handoff__leased seen;

	if (!handoff__pair_lease_seen(pair, &seen)) {
		handoff__buf_add(buf, "null");
		return;
	}
	handoff__buf_add(buf,
		"{\"state\":\"%s\",\"token\":%llu,\"valid_ms\":%llu,"
		"\"frozen\":%s,\"kept\":%s,\"connected\":%s,\"address\":",
		handoff_lease_state_name(seen.state),
		(unsigned long long)seen.token,
		(unsigned long long)seen.valid_ms,
		seen.frozen ? "true" : "false", seen.kept ? "true" : "false",
		seen.connected ? "true" : "false");
	handoff__buf_json(buf, pair->config.lease);
	handoff__buf_add(buf, "}");
}
