/* SPDX-License-Identifier: MIT */
/*
 * Entries as the server sees them: in a set, armed, moved, ended. What the
 * peer below tells about them arrives here.
 */
#include "server/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define SWEEP_US       1000000
#define SWEEP_SOON_US  50000
#define STALLED_US     100000
#define SWEEP_MOST     32 /* buffers given back at once: nobody waits long */
#define IDLE_SECONDS   3
#define LINGER_SECONDS 3

static struct handoff_server *
server_of(struct handoff__peer *peer)
{
	struct handoff__operator *op = peer->arg;

	return op->arg;
}

uint32_t
handoff__seconds(void)
{
	return (uint32_t)(handoff__now_us() / 1000000);
}

/* While nothing is swept the clock of idleness stands still. */
void
handoff__server_sweep_later(struct handoff_server *server)
{
	if (server->sweep.armed)
		return;
	server->tick = handoff__seconds();
	handoff__timer_arm(&server->loop, &server->sweep, SWEEP_US);
}

/* The events that an entry is watched for from its beginning. */
static uint32_t
first_events(const struct handoff__member *conn)
{
	switch (conn->entry.kind) {
	case HANDOFF__CONNECTION:
		return EPOLLIN | conn->server->model->flags;
	case HANDOFF__LISTENER:
		return EPOLLIN;
	default:
		return 0;
	}
}

/* Of `set`. */
struct handoff__sets *
handoff__member_sets(const struct handoff__member *conn)
{
	struct handoff_server *server = conn->server;

	return conn->sets == 0 ? &server->sets
			       : &server->workers[conn->sets - 1].sets;
}

/* Is it in the sets of somebody else? */
static bool
apart(const struct handoff__member *conn)
{
	return conn->server->model->enter &&
	       conn->entry.kind == HANDOFF__CONNECTION;
}

void
handoff__server_hold(struct handoff_server *server, bool hold)
{
	if (server->model->hold && server->holding != hold)
		server->model->hold(server, hold);
	server->holding = hold;
}

/* Once it is in a set of a worker's, that one may have a turn and end it: so
 * nothing of it is written after. */
static int
watch_new(struct handoff__member *conn)
{
	const struct handoff__entry *e = &conn->entry;
	int rc;

	if (apart(conn))
		conn->server->model->enter(conn);
	conn->set =
		(int8_t)handoff__sets_home(handoff__member_sets(conn), e->mine);
	rc = handoff__sets_add(
		handoff__member_sets(conn), e->fd, conn->armed, conn, e->mine);
	if (rc >= 0)
		return 0;
	conn->set = -1;
	/* A client that was let in waits until it can be watched. */
	if (e->mine && e->kind == HANDOFF__CONNECTION) {
		handoff__member_stall(conn, "cannot be watched", rc);
		return 0;
	}
	if (apart(conn))
		conn->server->model->leave(conn);
	return rc;
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
	conn->armed = first_events(conn);
	if (e->kind == HANDOFF__EXTRA)
		return 0;
	err = watch_new(conn);
	if (err == 0 && e->kind == HANDOFF__LISTENER)
		TAILQ_INSERT_TAIL(&server->listeners, conn, node);
	return err;
}

void
handoff__member_unkick(struct handoff__member *conn)
{
	if (!conn->kicked)
		return;
	conn->kicked = false;
	conn->server->nkicks--;
	TAILQ_REMOVE(&conn->server->kicks, conn, node);
}

static void
on_closing(struct handoff__peer *peer, struct handoff__entry *e)
{
	struct handoff_server *server = server_of(peer);
	struct handoff__member *conn = handoff__member_of(e);

	handoff__suspects_drop(conn);
	if (e->kind == HANDOFF__EXTRA)
		return;
	if (apart(conn))
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
	if (apart(conn))
		server->model->moved(conn);
	if (!e->mine)
		handoff__suspects_drop(conn);
	if (!e->mine || e->kind != HANDOFF__CONNECTION)
		return;
	conn->lingers = false;
	if (handoff__suspects_add(conn))
		return;
	/* Most are as quiet as they arrived; the others get a turn. */
	if (conn->armed != first_events(conn) ||
		handoff__record_activity(e->view.rec) != HANDOFF__AT_REST)
		handoff__member_kick(conn);
	if (e->view.rec->touched)
		handoff__server_sweep_later(server);
}

static bool
misplaced(const struct handoff__member *conn)
{
	return conn->set >= 0 &&
	       conn->set != handoff__sets_home(handoff__member_sets(conn),
				    conn->entry.mine);
}

/* Puts it into the set where it belongs. */
void
handoff__member_place(struct handoff__member *conn)
{
	const struct handoff__entry *e = &conn->entry;
	int rc;

	if (!misplaced(conn))
		return;
	rc = handoff__sets_move(handoff__member_sets(conn), conn->set, e->fd,
		conn->armed, conn, e->mine);
	conn->set = (int8_t)(rc < 0 ? -1 : rc);
	if (rc < 0)
		handoff__member_stall(conn, "cannot be watched", rc);
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

		if (!misplaced(conn))
			continue;
		wrong--;
		if (!apart(conn) || server->model->quiesce(conn))
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
		"owner: took over from %s, %u connections (generation %llu)",
		who, peer->roster.connections, (unsigned long long)generation);
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
		"%s: the other peer died; took over %u of its entries in "
		"%u.%03u ms: %u were in a turn, %u repaired, %u closed "
		"(generation %llu)",
		s->serving ? "owner" : "left", s->entries, s->took_us / 1000,
		s->took_us % 1000, s->in_turn, s->repaired, s->closed,
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

void
handoff__member_kick(struct handoff__member *conn)
{
	if (conn->server->model->kick) {
		conn->server->model->kick(conn);
		return;
	}
	if (conn->kicked || conn->active)
		return;
	conn->kicked = true;
	conn->server->nkicks++;
	TAILQ_INSERT_TAIL(&conn->server->kicks, conn, node);
}

int
handoff__member_rearm(struct handoff__member *conn, uint32_t want)
{
	struct handoff_server *server = conn->server;
	int err;

	want |= server->model->flags;
	if (conn->set < 0 || (conn->armed == want && !(want & EPOLLONESHOT)))
		return 0;
	err = handoff__sets_arm(handoff__member_sets(conn), conn->set,
		conn->entry.fd, want, conn);
	if (err == 0)
		conn->armed = want;
	return err;
}

static void
wait_for(struct handoff__member *conn, uint32_t want)
{
	int err = handoff__member_rearm(conn, want);

	if (err < 0)
		handoff__member_stall(conn, "cannot be watched", err);
}

/* shutdown first: close alone sends no FIN while the standby has a copy. */
void
handoff__member_end(struct handoff__member *conn, enum handoff__end end)
{
	struct handoff_server *server = conn->server;

	/* A stop closes connections in the name of their services. */
	if (end == HANDOFF__END_SERVICE && server->closing)
		end = HANDOFF__END_STOP;
	if (conn->entry.kind == HANDOFF__CONNECTION)
		server->peer.tally.ends[end]++;
	shutdown(conn->entry.fd, SHUT_RDWR);
	handoff__peer_end(&server->peer, &conn->entry);
	server->closed += server->closing;
	if (server->full)
		handoff__listen_update(server);
}

void
handoff__member_tell_end(const struct handoff__member *conn,
	const struct handoff__turn_result *result)
{
	if (result->why)
		handoff__log(&conn->server->log, HANDOFF_LOG_INFO,
			"connection %llu: closed: %s%s%s",
			(unsigned long long)conn->entry.id, result->why,
			result->err ? ": " : "",
			result->err ? strerror(result->err) : "");
}

/* A turn is over; `conn` belongs to the loop again. */
void
handoff__member_done(
	struct handoff__member *conn, const struct handoff__turn_result *result)
{
	struct handoff_server *server = conn->server;

	/* That is all that the sweep looks after. */
	if (conn->entry.view.rec->touched ||
		result->turn == HANDOFF__TURN_LINGER)
		handoff__server_sweep_later(server);
	/* Who goes on talking after its service has closed does not live
	 * longer for it. */
	if (!conn->lingers)
		conn->tick = server->tick;
	switch (result->turn) {
	case HANDOFF__TURN_AGAIN:
		handoff__member_kick(conn);
		return;
	case HANDOFF__TURN_LINGER:
		conn->lingers = true;
		/* fall through */
	case HANDOFF__TURN_WAIT:
		wait_for(conn, result->want);
		return;
	case HANDOFF__TURN_RETRY:
		/* Silent meanwhile; an error is reported once all the same. */
		handoff__member_rearm(conn, EPOLLONESHOT);
		handoff__member_stall(conn,
			result->why ? result->why : "cannot go on",
			result->err ? -result->err : -ENOMEM);
		return;
	case HANDOFF__TURN_END:
		handoff__member_tell_end(conn, result);
		handoff__member_end(conn, result->end);
		return;
	}
}

/* A thread or child gives the connection back, with its result. */
void
handoff__member_back(struct handoff__member *conn)
{
	struct handoff_server *server = conn->server;

	conn->active = false;
	handoff__suspects_tried(conn);
	if (conn->result.turn != HANDOFF__TURN_END &&
		handoff__server_ends(server, &conn->entry))
		handoff__record_flag(&conn->entry.view, HANDOFF__CLOSING);
	if (conn->entry.leaving && conn->result.turn != HANDOFF__TURN_END)
		handoff__peer_quiet(&server->peer, &conn->entry);
	if (conn->result.turn != HANDOFF__TURN_END &&
		handoff__suspects_add(conn))
		return;
	if (conn->entry.mine && conn->result.turn == HANDOFF__TURN_WAIT)
		handoff__member_kick(conn);
	else if (conn->entry.mine)
		handoff__member_done(conn, &conn->result);
}

/* Something is to be tried again soon. */
void
handoff__server_stall(struct handoff_server *server)
{
	if (!server->stalls.armed)
		handoff__timer_arm(&server->loop, &server->stalls, STALLED_US);
}

/* Something failed that may work in a moment: the connection waits. Told once,
 * until nothing waits any more. */
void
handoff__member_stall(struct handoff__member *conn, const char *what, int err)
{
	struct handoff_server *server = conn->server;

	if (!server->stall_told)
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"entry %llu: %s: %s: it waits, and others like it",
			(unsigned long long)conn->entry.id, what,
			strerror(-err));
	server->stall_told = true;
	conn->stalled = true;
	handoff__server_stall(server);
}

static void
retry_one(struct handoff__member *conn)
{
	const struct handoff__entry *e = &conn->entry;

	if (conn->set < 0) {
		int set = handoff__sets_add(handoff__member_sets(conn), e->fd,
			conn->armed, conn, e->mine);

		if (set < 0)
			return;
		conn->set = (int8_t)set;
	}
	conn->stalled = false;
	if (e->mine && e->kind == HANDOFF__CONNECTION)
		handoff__member_kick(conn);
}

/* Once more what has stalled. What stalls again does so within this turn, and
 * the next look finds it. */
void
handoff__server_on_stalls(struct handoff__timer *timer)
{
	struct handoff_server *server = timer->arg;
	struct handoff__entry *e = NULL;
	bool any = false;

	atomic_store(&server->stall_wanted, false);
	handoff__server_hold(server, true);
	while ((e = handoff__roster_next(&server->peer.roster, e))) {
		struct handoff__member *conn = handoff__member_of(e);

		/* One that is busy says so itself if it stalls. */
		if ((apart(conn) && server->model->busy(conn)) ||
			!conn->stalled)
			continue;
		any = true;
		retry_one(conn);
	}
	handoff__server_hold(server, false);
	any |= !handoff__sets_mend(&server->sets);
	server->stall_told &= any;
	if (any)
		handoff__server_stall(server);
	handoff__listen_update(server);
}

/* No handler runs in this turn: it needs no thread or child. */
bool
handoff__member_simple(const struct handoff__member *conn, uint32_t events)
{
	const struct handoff__view *view = &conn->entry.view;

	return (handoff__current(view->rec)->flags & HANDOFF__CLOSING) ||
	       (events == 0 &&
		       !handoff__conn_due(view, conn->server->opts.service));
}

void
handoff__entry_event(struct handoff__member *conn, uint32_t events)
{
	if (conn->entry.id == 0 || conn->entry.fd < 0)
		return; /* closed earlier in this batch */
	/* The batch may hold events from before a give. With EPOLLONESHOT the
	 * kernel has disarmed the descriptor all the same. */
	if (!conn->entry.mine || conn->active) {
		if (conn->server->model->flags & EPOLLONESHOT)
			conn->armed = 0;
		return;
	}
	if (conn->entry.kind == HANDOFF__LISTENER)
		handoff__listen_event(conn);
	else
		conn->server->model->event(conn, events);
}

static void
run_kicked(struct handoff__member *conn)
{
	const struct handoff__view *view = &conn->entry.view;

	handoff__member_unkick(conn);
	/* An event of the same batch may have given it to a thread. */
	if (!conn->entry.mine || conn->active)
		return;
	if (handoff__conn_pending(view, conn->server->opts.service))
		conn->server->model->event(conn, 0);
	else
		wait_for(conn, handoff__conn_want(view));
}

/* Gives a turn to each that was kicked before this call. True if more are. */
bool
handoff__server_kicks(struct handoff_server *server)
{
	struct handoff__member *conn;

	for (unsigned n = server->nkicks; n > 0; n--) {
		conn = TAILQ_FIRST(&server->kicks);
		if (conn)
			run_kicked(conn);
	}
	return server->nkicks > 0;
}

/* Looks after one connection; true if it must be looked at again later. */
static bool
sweep_one(struct handoff__member *conn, unsigned *trimmed)
{
	struct handoff_server *server = conn->server;
	const struct handoff__view *view = &conn->entry.view;
	int32_t idle;

	if (server->model->busy ? server->model->busy(conn) : conn->active)
		return false;
	/* A worker's while it is busy; perhaps later than this sweep began. */
	idle = (int32_t)(server->tick - conn->tick);
	if (conn->lingers && idle > LINGER_SECONDS) {
		handoff__member_end(conn, HANDOFF__END_SERVICE);
		return false;
	}
	if (!view->rec->touched)
		return conn->lingers;
	if (idle <= IDLE_SECONDS || *trimmed == SWEEP_MOST ||
		handoff__record_unsent(view->rec) > 0 ||
		handoff__record_unread(view->rec) > 0)
		return true;
	handoff__arena_trim(
		&server->peer.arena, conn->entry.segment, conn->entry.slot);
	view->rec->touched = 0;
	++*trimmed;
	return conn->lingers;
}

/* While there is something to give back or to end: once a second, or at once
 * when there was more than can be done without holding anyone up. */
void
handoff__server_sweeps(struct handoff_server *server)
{
	struct handoff__roster *roster = &server->peer.roster;
	struct handoff__entry *e = NULL;
	unsigned trimmed = 0;
	bool again = false;

	/* Before the pass, so that nothing is missed that happens after it. */
	atomic_store(&server->sweep_wanted, false);
	handoff__server_hold(server, true);
	server->tick = handoff__seconds();
	while ((e = handoff__roster_next(roster, e))) {
		if (e->mine && e->kind == HANDOFF__CONNECTION)
			again |= sweep_one(handoff__member_of(e), &trimmed);
	}
	handoff__server_hold(server, false);
	again |= handoff__says_pass(server);
	if (again)
		handoff__timer_arm(&server->loop, &server->sweep,
			trimmed == SWEEP_MOST ? SWEEP_SOON_US : SWEEP_US);
}

/* In a stop that goes on without a handover: what the other peer has a copy
 * of it takes when this process is gone, a handler that hangs included. */
bool
handoff__server_ends(
	const struct handoff_server *server, const struct handoff__entry *e)
{
	if (!server->closing || e->kind != HANDOFF__CONNECTION || !e->mine)
		return false;
	return !handoff__stop_survived(server) ||
	       (server->peer.partner == HANDOFF__PARTNER_READY &&
		       e->copy != HANDOFF__COPY_HELD);
}

/* Asks the connections that end with this server to end after their output. */
void
handoff__server_close_all(struct handoff_server *server)
{
	struct handoff__roster *roster = &server->peer.roster;
	struct handoff__entry *e = NULL;

	handoff__server_hold(server, true);
	while ((e = handoff__roster_next(roster, e))) {
		struct handoff__member *conn = handoff__member_of(e);

		if (!handoff__server_ends(server, e))
			continue;
		handoff__suspects_release(conn);
		if (!server->model->quiesce(conn))
			continue; /* marked when it comes back */
		if (handoff__current(e->view.rec)->flags & HANDOFF__CLOSING)
			continue;
		handoff__record_flag(&e->view, HANDOFF__CLOSING);
		handoff__member_kick(conn);
	}
	handoff__server_hold(server, false);
}
