/* SPDX-License-Identifier: MIT */
/*
 * What the peer below tells about entries, roles and the other peer. Nothing
 * calls this but the peer.
 */
#include "server/worker.h"

#include <string.h>

static struct handoff_server *
server_of(struct handoff__peer *peer)
{
	struct handoff__operator *op = peer->arg;

	return op->arg;
}

static int
on_entered(struct handoff__peer *peer, struct handoff__entry *e)
{
	struct handoff_server *server = server_of(peer);
	struct handoff__member *conn = handoff__member_of(e);
	int err;

	memset(&conn->server, 0,
		offsetof(struct handoff__member, worker) -
			offsetof(struct handoff__member, server));
	conn->server = server;
	handoff__says_at(server, e->view.seg->bulletin);
	conn->tick = server->tick;
	conn->set = -1;
	conn->armed = handoff__member_first_events(conn);
	if (e->kind == HANDOFF__EXTRA)
		return 0;
	err = handoff__member_watch(conn);
	if (err == 0 && e->kind == HANDOFF__LISTENER)
		TAILQ_INSERT_TAIL(&server->listeners, conn, node);
	return err;
}

static void
on_closing(struct handoff__peer *peer, struct handoff__entry *e)
{
	struct handoff_server *server = server_of(peer);
	struct handoff__member *conn = handoff__member_of(e);

	handoff__suspects_drop(conn);
	if (e->kind == HANDOFF__EXTRA)
		return;
	if (handoff__member_apart(conn))
		server->model->leave(conn);
	else
		handoff__member_unkick(conn);
	if (conn->set >= 0)
		handoff__sets_del(
			handoff__member_sets(conn), conn->set, e->fd, e->mine);
	conn->set = -1;
	if (e->kind == HANDOFF__LISTENER)
		TAILQ_REMOVE(&server->listeners, conn, node);
}

static bool
on_quiesce(struct handoff__peer *peer, struct handoff__entry *e)
{
	struct handoff_server *server = server_of(peer);

	if (e->kind != HANDOFF__CONNECTION)
		return true;
	handoff__server_hold(server, true);
	return server->model->quiesce(handoff__member_of(e));
}

static void
on_pause(struct handoff__peer *peer, bool paused)
{
	struct handoff_server *server = server_of(peer);

	server->paused = paused;
	handoff__listen_update(server);
}

static void
on_moved(struct handoff__peer *peer, struct handoff__entry *e)
{
	struct handoff_server *server = server_of(peer);
	struct handoff__member *conn = handoff__member_of(e);

	handoff__server_hold(server, true);
	if (conn->set >= 0)
		handoff__sets_own(
			handoff__member_sets(conn), conn->set, e->mine);
	if (handoff__member_apart(conn))
		server->model->moved(conn);
	if (!e->mine)
		handoff__suspects_drop(conn);
	if (!e->mine || e->kind != HANDOFF__CONNECTION)
		return;
	conn->lingers = false;
	if (handoff__suspects_add(conn))
		return;
	/* Most are as quiet as they arrived; the others get a turn. */
	if (conn->armed != handoff__member_first_events(conn) ||
		handoff__record_activity(e->view.rec) != HANDOFF__AT_REST)
		handoff__member_kick(conn);
	if (e->view.rec->touched)
		handoff__server_sweep_later(server);
}

/* Every member in the wrong set is moved; after a whole give, none is. One
 * that is a worker's at this moment is when it comes back. */
static void
on_settle(struct handoff__peer *peer)
{
	struct handoff_server *server = server_of(peer);
	uint32_t wrong = handoff__sets_turn(&server->sets);
	struct handoff__entry *e = NULL;

	handoff__server_hold(server, true);
	for (uint32_t i = 0; i < server->nworkers; i++)
		wrong += handoff__sets_turn(&server->workers[i].sets);
	while (wrong > 0 && (e = handoff__roster_next(&peer->roster, e))) {
		struct handoff__member *conn = handoff__member_of(e);

		if (!handoff__member_misplaced(conn))
			continue;
		wrong--;
		if (!handoff__member_apart(conn) ||
			server->model->quiesce(conn))
			handoff__member_place(conn);
	}
	handoff__server_hold(server, false);
	if (server->sets.stale)
		handoff__server_stall(server);
	handoff__listen_update(server);
	if (handoff__says_pass(server))
		handoff__server_sweep_later(server);
}

static void
on_role(struct handoff__peer *peer, enum handoff__cause cause)
{
	struct handoff_server *server = server_of(peer);
	uint64_t generation = handoff__peer_generation(peer);
	char who[64];

	handoff__peer_partner_text(peer, who);
	if (!peer->serving) {
		handoff__operator_standby(&server->op, "");
		return;
	}
	handoff__operator_tell(&server->op, HANDOFF_SERVER_OWNER,
		"owner: took over from %s, %u connection%s (generation %llu)",
		who, peer->roster.connections,
		peer->roster.connections == 1 ? "" : "s",
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
on_giving(struct handoff__peer *peer)
{
	char who[64];

	handoff__operator_tell(&server_of(peer)->op, HANDOFF_SERVER_GIVING,
		"giving: %s to %s", what_is_given(peer->give.cause),
		handoff__peer_partner_text(peer, who));
}

static void
on_given(struct handoff__peer *peer, const struct handoff__report *report)
{
	handoff__operator_given(&server_of(peer)->op, report);
}

static void
on_partner(struct handoff__peer *peer, bool here)
{
	struct handoff_server *server = server_of(peer);

	handoff__operator_partner(&server->op, here,
		server->opts.nlisten > 0 ? "; nothing is bound here" : "");
	if (!here)
		handoff__server_alone(server);
}

static void
on_expelled(struct handoff__peer *peer, const char *text)
{
	handoff__stop_now(server_of(peer), text);
}

static void
on_discard(struct handoff__peer *peer, struct handoff__entry *e)
{
	(void)peer;
	handoff__member_end(handoff__member_of(e),
		handoff__entry_poisoned(e) ? HANDOFF__END_POISON
					   : HANDOFF__END_DEATH);
}

static void
on_failover(struct handoff__peer *peer)
{
	struct handoff_server *server = server_of(peer);
	const struct handoff__survival *s = &peer->survival;

	handoff__operator_tell(&server->op,
		s->serving ? HANDOFF_SERVER_OWNER : HANDOFF_SERVER_LEFT,
		"%s: the other peer %s; took over %u of its entries in "
		"%u.%03u ms: %u were in a turn, %u repaired, %u closed "
		"(generation %llu)",
		s->serving ? "owner" : "left", s->bye ? "left" : "died",
		s->entries, s->took_us / 1000, s->took_us % 1000, s->in_turn,
		s->repaired, s->closed,
		(unsigned long long)handoff__peer_generation(peer));
	handoff__suspects_tell(server, s->in_handler);
	if (s->serving)
		handoff__notices_publish(server, HANDOFF_NOTICE_FAILOVER);
}

static void
on_said(struct handoff__peer *peer)
{
	struct handoff_server *server = server_of(peer);

	if (handoff__says_pass(server))
		handoff__server_sweep_later(server);
}

static void
on_kept(struct handoff__peer *peer)
{
	struct handoff_server *server = server_of(peer);

	handoff__control_keep(&server->op.control);
	handoff__notices_keep(server);
}

const struct handoff__peer_ops handoff__server_peer_ops = {
	.entered = on_entered,
	.closing = on_closing,
	.quiesce = on_quiesce,
	.pause = on_pause,
	.moved = on_moved,
	.settle = on_settle,
	.role = on_role,
	.giving = on_giving,
	.given = on_given,
	.partner = on_partner,
	.discard = on_discard,
	.failover = on_failover,
	.hung = handoff__operator_hung,
	.lagging = handoff__operator_lagging,
	.refused = handoff__operator_refused,
	.apart = handoff__operator_apart,
	.expelled = on_expelled,
	.said = on_said,
	.kept = on_kept,
};
