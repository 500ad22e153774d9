/* SPDX-License-Identifier: MIT */
/*
 * Callbacks from the peer below about entries, roles and the other peer. Only
 * the peer calls these.
 */
#include "server/arrivals.h"
#include "server/worker.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* What is known of a new connection is in its record before anything can run
 * its first turn. */
static void
note_arrival(struct handoff_server *server, struct handoff__record *rec)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	atomic_store_explicit(&rec->extra.since_ms,
		(int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000,
		memory_order_relaxed);
	rec->extra.client = server->incoming;
}

/* Also copies: the limit is that of the service. */
static void
count_address(struct handoff_server *server, struct handoff__member *member)
{
	struct handoff__client client;

	if (server->opts.max_per_address == 0)
		return;
	handoff__client_of(&member->entry.view, member->entry.fd, &client);
	member->counted = handoff__limits_enter(&server->limits, &client) &
			  HANDOFF__COUNTED_MASK;
}

static int
on_entered(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	struct handoff_server *server = handoff__operator_arg(pair);
	struct handoff__member *member = handoff__member_of(e);
	int err;

	if (e->kind == HANDOFF__DATA)
		return -EBADMSG; /* a server has none */
	memset(&member->server, 0,
		offsetof(struct handoff__member, worker) -
			offsetof(struct handoff__member, server));
	member->server = server;
	if (e->view.seg->geo.pass_size > 0 && !server->paired)
		server->paired = true;
	handoff__shared_at(server, e->view.seg->commons);
	member->tick = server->tick;
	member->set = -1;
	member->armed = handoff__member_first_events(member);
	if (e->kind == HANDOFF__EXTRA)
		return 0;
	if (e->kind == HANDOFF__CONNECTION && e->mine) {
		note_arrival(server, e->view.rec);
		handoff__posts_awake(server);
	}
	if (e->kind == HANDOFF__CONNECTION)
		count_address(server, member);
	err = handoff__member_watch(member);
	if (err < 0)
		handoff__limits_leave(&server->limits, member->counted);
	if (err == 0 && server->paired)
		handoff__pairs_link(member);
	if (err == 0 && e->kind == HANDOFF__LISTENER) {
		TAILQ_INSERT_TAIL(&server->listeners, member, node);
		server->addresses.look = true;
		if (!e->mine)
			handoff__inherited_forget(server);
	}
	return err;
}

/* This process no longer serves it. */
static void
tell_left(const struct handoff_server *server,
	const struct handoff__roster_entry *e)
{
	const struct handoff_service *service = server->opts.service;

	if (e->kind == HANDOFF__CONNECTION && service->left)
		service->left(handoff__older(e->view.seg)
				      ? e->id
				      : handoff__record_number(e->view.rec),
			service->arg);
}

static void
on_closing(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	struct handoff_server *server = handoff__operator_arg(pair);
	struct handoff__member *member = handoff__member_of(e);

	handoff__suspects_drop(member);
	if (e->kind == HANDOFF__EXTRA)
		return;
	handoff__held_drop(member);
	handoff__resume_forget(member);
	handoff__outgoing_forget(member);
	handoff__pairs_unlink(member);
	server->noutgoing -= e->mine && handoff__pairs_outgoing(member);
	if (handoff__member_has_worker(member)) {
		server->model->leave(member);
	} else {
		handoff__member_unkick(member);
		handoff__deadlines_drop(&server->deadlines, member);
	}
	handoff__limits_leave(&server->limits, member->counted);
	member->counted = 0;
	if (e->mine)
		tell_left(server, e);
	if (member->set >= 0)
		handoff__sets_del(handoff__member_sets(member), member->set,
			e->fd, e->mine);
	member->set = -1;
	if (e->kind != HANDOFF__LISTENER)
		return;
	handoff__inherited_keep(member);
	TAILQ_REMOVE(&server->listeners, member, node);
	server->addresses.look = true;
}

static bool
on_quiesce(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	struct handoff_server *server = handoff__operator_arg(pair);

	if (e->kind != HANDOFF__CONNECTION)
		return true;
	if (handoff__held_keep(handoff__member_of(e)))
		return false;
	handoff__server_hold(server, true);
	return server->model->quiesce(handoff__member_of(e));
}

static void
on_resume(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	(void)pair;
	handoff__member_resume(handoff__member_of(e));
}

static void
on_pause(struct handoff__pair *pair, bool paused)
{
	struct handoff_server *server = handoff__operator_arg(pair);

	server->paused = paused;
	handoff__listen_update(server);
}

/* Few entries that move, such as sessions that are asked for one by one, must
 * not make anything look at all of them. */
static void
note_moved(struct handoff_server *server, struct handoff__member *member)
{
	if (server->nmoved < HANDOFF__MOVED_MOST)
		server->moved[server->nmoved] = member;
	server->nmoved++;
}

static void
on_moved(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	struct handoff_server *server = handoff__operator_arg(pair);
	struct handoff__member *member = handoff__member_of(e);

	handoff__server_hold(server, true);
	note_moved(server, member);
	if (member->set >= 0)
		handoff__sets_own(
			handoff__member_sets(member), member->set, e->mine);
	if (handoff__member_has_worker(member))
		server->model->moved(member);
	if (handoff__pairs_outgoing(member))
		server->noutgoing += e->mine ? 1 : (uint32_t)-1;
	handoff__held_drop(member);
	if (!e->mine) {
		handoff__suspects_drop(member);
		handoff__resume_forget(member);
		handoff__outgoing_forget(member);
		member->active = false; /* if it was parked */
		tell_left(server, e);
	}
	if (!e->mine || e->kind != HANDOFF__CONNECTION)
		return;
	handoff__posts_awake(server);
	member->lingers = false;
	if (!handoff__older(e->view.seg)) {
		/* the previous owner's, which may have died in a handler */
		atomic_store_explicit(
			&e->view.rec->extra.hold_ms, 0, memory_order_relaxed);
		if (handoff__record_activity(e->view.rec) != HANDOFF__AT_REST)
			handoff__state_erase(&e->view);
	}
	/* what the previous owner had asked it will not be told */
	if (handoff__record_activity(e->view.rec) != HANDOFF__AT_REST)
		handoff__record_unflag(&e->view, HANDOFF__WAITING);
	handoff__outgoing_look(member);
	handoff__resume_arrived(member);
	handoff__arrivals_begin(member);
}

/* Moves the member if it is in the wrong set; one that is with a worker is
 * moved when it comes back. True if it was. */
static bool
settle_one(struct handoff__member *member)
{
	if (!handoff__member_misplaced(member))
		return false;
	if (!handoff__member_has_worker(member) ||
		member->server->model->quiesce(member))
		handoff__member_place(member);
	return true;
}

/* Moves every member that is in the wrong set; after a whole give there is
 * none. */
static void
settle_sets(struct handoff_server *server)
{
	uint32_t wrong = handoff__sets_exchange(&server->sets);
	uint32_t few = server->nmoved < HANDOFF__MOVED_MOST
			       ? server->nmoved
			       : HANDOFF__MOVED_MOST;
	struct handoff__roster_entry *e = NULL;

	for (uint32_t i = 0; i < server->nworkers; i++)
		wrong += handoff__sets_exchange(&server->workers[i].sets);
	for (uint32_t i = 0; i < few && wrong > 0; i++)
		wrong -= settle_one(server->moved[i]);
	while (wrong > 0 && (e = handoff__roster_next(&server->pair.roster, e)))
		wrong -= settle_one(handoff__member_of(e));
}

/* Posts may wait for what has come. */
static bool
settle_posts(struct handoff_server *server)
{
	bool any = false;

	if (server->nmoved > HANDOFF__MOVED_MOST)
		return handoff__posts_pass(server);
	for (uint32_t i = 0; i < server->nmoved; i++)
		any |= handoff__posts_look(server->moved[i]);
	return any;
}

static void
on_settle(struct handoff__pair *pair)
{
	struct handoff_server *server = handoff__operator_arg(pair);

	handoff__server_hold(server, true);
	settle_sets(server);
	handoff__server_hold(server, false);
	if (server->sets.stale)
		handoff__server_stall(server);
	handoff__listen_update(server);
	if (settle_posts(server))
		handoff__server_sweep_later(server);
	server->nmoved = 0;
}

static void
on_role(struct handoff__pair *pair, enum handoff__cause cause)
{
	struct handoff_server *server = handoff__operator_arg(pair);
	uint64_t generation = handoff__pair_generation(pair);
	char who[64];

	handoff__pair_partner_text(pair, who);
	handoff__addresses_changed(server);
	if (!pair->serving) {
		handoff__operator_standby(&server->op, "");
		return;
	}
	handoff__operator_emit(&server->op, HANDOFF_SERVER_OWNER,
		"owner: took over from %s (generation %llu)", who,
		(unsigned long long)generation);
	if (cause == HANDOFF__MAINTENANCE)
		handoff__notices_publish(server, HANDOFF_NOTICE_MAINTENANCE);
	else if (cause == HANDOFF__HOME)
		handoff__notices_publish(server, HANDOFF_NOTICE_READY);
	else
		handoff__notices_supersede(server);
}

static const char *
what_is_given(enum handoff__cause cause)
{
	switch (cause) {
	case HANDOFF__HOME:
		return "the listeners";
	case HANDOFF__REST:
		return "what is left";
	default:
		return "everything";
	}
}

static void
on_giving(struct handoff__pair *pair)
{
	struct handoff_server *server = handoff__operator_arg(pair);
	char who[64];

	handoff__operator_emit(&server->op, HANDOFF_SERVER_GIVING,
		"giving: %s to %s", what_is_given(pair->give.cause),
		handoff__pair_partner_text(pair, who));
}

static void
on_given(struct handoff__pair *pair, enum handoff__way way,
	const struct handoff__report *report)
{
	handoff__operator_given(pair->arg, way, report);
}

static void
on_partner(struct handoff__pair *pair, bool here)
{
	struct handoff_server *server = handoff__operator_arg(pair);

	handoff__operator_partner(&server->op, here,
		server->opts.nlisten > 0 ? "; nothing is bound here" : "");
	if (here)
		handoff__shared_at(
			server, handoff__arena_commons(&pair->arena));
	else
		handoff__server_alone(server);
}

static void
on_expelled(struct handoff__pair *pair, const char *text)
{
	handoff__stop_now(handoff__operator_arg(pair), text);
}

static void
on_discard(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	(void)pair;
	handoff__member_end(handoff__member_of(e),
		handoff__entry_poisoned(e) ? HANDOFF__END_POISON
					   : HANDOFF__END_DEATH);
}

static void
on_orphan(struct handoff__pair *pair, const struct handoff__view *view)
{
	struct handoff_server *server = handoff__operator_arg(pair);

	server->handling = true;
	handoff__conn_ended(view, -1, server->opts.service, HANDOFF__END_LOST,
		HANDOFF__ENDED_AT_ONCE);
	server->handling = false;
}

static void
on_failover(struct handoff__pair *pair)
{
	struct handoff_server *server = handoff__operator_arg(pair);
	const struct handoff__survival *s = &pair->survival;
	struct handoff__facts facts = {.end = 0};
	char loading[HANDOFF_TEXT_MAX];

	handoff__outcome_of_death(s, &facts);
	handoff__operator_emit_with(&server->op,
		s->serving ? HANDOFF_SERVER_OWNER : HANDOFF_SERVER_LEFT, &facts,
		"%s: the other peer %s; took over %u of its entries in "
		"%u.%03u ms: %u in a turn, %u repaired, %u closed "
		"(generation %llu)%s",
		s->serving ? "owner" : "left", s->bye ? "left" : "died",
		s->entries, s->took_us / 1000, s->took_us % 1000, s->in_turn,
		s->repaired, s->closed,
		(unsigned long long)handoff__pair_generation(pair),
		s->serving ? handoff__pair_loading_text(pair, loading) : "");
	if (s->serving)
		handoff__addresses_changed(server);
	handoff__suspects_report(server, s->in_handler);
	if (s->serving)
		handoff__notices_publish(server, HANDOFF_NOTICE_FAILOVER);
}

static void
on_said(struct handoff__pair *pair)
{
	handoff__posts_said(handoff__operator_arg(pair));
}

static void
on_kept(struct handoff__pair *pair)
{
	struct handoff_server *server = handoff__operator_arg(pair);

	handoff__control_keep(&server->op.control);
	handoff__notices_keep(server);
	/* the other peer's ring may have been lost */
	handoff__posts_said(server);
}

static void
on_leased(struct handoff__pair *pair, enum handoff__lease_action action)
{
	handoff__owner_leased(handoff__operator_arg(pair), action);
}

static uint32_t
on_retained(struct handoff__pair *pair, const void *data, size_t len)
{
	return handoff__owner_token(handoff__operator_arg(pair), data, len);
}

static void
on_unmapping(struct handoff__pair *pair)
{
	struct handoff_server *server = handoff__operator_arg(pair);

	handoff__shared_at(server, NULL);
}

const struct handoff__pair_ops handoff__server_peer_ops = {
	.entered = on_entered,
	.closing = on_closing,
	.quiesce = on_quiesce,
	.resume = on_resume,
	.pause = on_pause,
	.moved = on_moved,
	.settle = on_settle,
	.role = on_role,
	.giving = on_giving,
	.given = on_given,
	.unmapping = on_unmapping,
	.partner = on_partner,
	.discard = on_discard,
	.orphan = on_orphan,
	.failover = on_failover,
	.hung = handoff__operator_hung,
	.lagging = handoff__operator_lagging,
	.refused = handoff__operator_refused,
	.apart = handoff__operator_apart,
	.expelled = on_expelled,
	.said = on_said,
	.kept = on_kept,
	.leased = on_leased,
	.retained = on_retained,
};
