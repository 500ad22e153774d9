/* SPDX-License-Identifier: MIT */
/*
 * The handle of a server: opened and freed. Assembles the parts in the other
 * files; everything in between is dispatch.c's.
 */
#include "server/worker.h"
#include "session/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Everything that involves no other process; undone by handoff_server_free. */
static int
open_server_loop(struct handoff_server *server)
{
	int err = handoff__loop_init(&server->loop);

	TAILQ_INIT(&server->kicks);
	TAILQ_INIT(&server->listeners);
	handoff__sweep_init(server);
	handoff__suspects_init(server);
	handoff__resume_init(server);
	handoff__deadlines_init(server);
	handoff__holds_init(server);
	handoff__addresses_open(server);
	server->accept_retry.fn = handoff__listen_on_retry;
	server->stop_deadline.fn = handoff__stop_on_deadline;
	server->spare_lent.fn = handoff__spare_on_return;
	server->accept_retry.arg = server->stop_deadline.arg =
		server->spare_lent.arg = server;
	if (err >= 0)
		err = handoff__sets_init(&server->sets, server->loop.epfd);
	if (err >= 0)
		err = server->model->start(server);
	handoff__shared_open(server);
	if (err < 0 && !server->error.text[0])
		handoff__fail(&server->error, err,
			"server: cannot create its event loop: %s",
			strerror(-err));
	return err;
}

/* Every epoll set of this server, to be lent to the other peer. */
static size_t
all_sets(const struct handoff_server *server, int fds[HANDOFF__LEND_MAX])
{
	size_t n = 0;

	fds[n++] = server->sets.ep[0];
	fds[n++] = server->sets.ep[1];
	for (uint32_t i = 0; i < server->nworkers; i++) {
		fds[n++] = server->workers[i].sets.ep[0];
		fds[n++] = server->workers[i].sets.ep[1];
	}
	return n;
}

/* Makes room for an operator or a standby. */
static void
lend_spare(void *arg)
{
	handoff__spare_lend(arg);
}

static int
open_server_peer(struct handoff_server *server)
{
	struct handoff__pair_config config = {
		.dir = server->opts.dir,
		.name = server->opts.name,
		.service = &server->service,
		.give_timeout_ms = server->opts.give_timeout_ms,
		.hang_timeout_ms = server->opts.hang_timeout_ms,
		.fence = server->opts.fence,
		.whole = server->opts.whole,
		.user = server->opts.user,
		.entry_size = sizeof(struct handoff__member),
		.own_fds = server->model->spare,
		.lend = server->lend,
		.nlend = all_sets(server, server->lend),
		.life = server->children.life[0],
		.config_hash = server->opts.config_hash,
		.config_strict = server->opts.config_strict,
		.origin = server->opts.origin,
		.model = server->model->name,
		.workers = server->nworkers,
		.trace = server->opts.trace,
		.lock_memory = server->opts.lock_memory,
		.lease = server->lease,
		.lease_host = server->lease_host,
		.lease_ttl_ms = server->opts.lease_ttl_s * 1000,
	};
	struct handoff__session_limits limits;
	int err;

	if (handoff__session_limits(&server->service, &limits))
		config.state_used = handoff__session_used;
	err = handoff__pair_open(&server->pair, &config, &server->loop,
		&server->log, &handoff__server_peer_ops, &server->op);

	if (err < 0) {
		server->error = server->pair.error;
		return err;
	}
	if (server->lease)
		server->pair.arena.above = &server->unguarded;
	handoff__posts_open(server);
	err = handoff__notices_open(server);
	if (err >= 0)
		err = handoff__operator_open(&server->op, &server->error);
	server->op.control.door.room = server->pair.door.room = lend_spare;
	server->op.control.door.room_arg = server->pair.door.room_arg = server;
	if (err >= 0)
		err = handoff__owner_begin(server);
	handoff__pair_loading(&server->pair, server->opts.loading);
	server->opts.loading = NULL;
	if (err >= 0)
		handoff__pair_started(&server->pair);
	return err;
}

static int
open_signals(struct handoff_server *server)
{
	int err = handoff_server_signals(server);

	return err < 0 ? handoff__fail(&server->error, err,
				 "server: cannot take signals: %s",
				 strerror(-err))
		       : 0;
}

static int
no_memory_for_server(const struct handoff_server_opts *opts)
{
	struct handoff_server_opts known = {.size = 0};

	handoff__opts_copy(&known, sizeof(known), opts,
		offsetof(struct handoff_server_opts, listen));
	return handoff__no_memory("server", known.errbuf, known.errbuf_size);
}

int
handoff_server_open(
	struct handoff_server **out, const struct handoff_server_opts *opts)
{
	struct handoff_server *server;
	int err;

	if (!out || !opts)
		return -EINVAL;
	server = calloc(1, sizeof(*server));
	if (!server)
		return no_memory_for_server(opts);
	server->sets.ep[0] = server->sets.ep[1] = server->sets.outer = -1;
	server->loop.epfd = server->loop.timerfd = -1;
	TAILQ_INIT(&server->children.list);
	TAILQ_INIT(&server->attempts);
	server->signal_fd = -1;
	handoff__operator_init(&server->op, &handoff__server_operator_ops,
		server, &server->pair, &server->loop, &server->log);
	err = handoff__opts_take(server, opts);
	if (err >= 0)
		err = handoff__opts_resolve(server);
	if (err >= 0)
		err = handoff__adopted_open(server);
	if (err >= 0)
		err = open_server_loop(server);
	/* before its sockets become visible, since a process may then send
	 * signals */
	if (err >= 0 && server->opts.signals)
		err = open_signals(server);
	if (err >= 0)
		err = open_server_peer(server);
	if (err < 0) {
		handoff__signals_restore(server);
		if (!server->error.text[0])
			handoff__fail(&server->error, err,
				"server: cannot be opened: %s", strerror(-err));
		handoff__error_copy(&server->error, server->opts.errbuf,
			server->opts.errbuf_size);
		handoff_server_free(server);
		return err;
	}
	handoff__addresses_warn(server);
	handoff__spare_warn(server);
	/* only valid during this call */
	server->opts.extras = NULL;
	server->opts.listen_fds = NULL;
	server->opts.notices = NULL;
	server->opts.dir = server->opts.name = NULL;
	server->opts.errbuf = NULL;
	*out = server;
	return 0;
}

/* Connections that end with this process, and were not closed by a stop. */
static void
end_what_is_left(struct handoff_server *server)
{
	struct handoff__roster_entry *e = NULL;

	if (!server->pair.loop || handoff__closing_survived(server))
		return;
	server->handling = true;
	while ((e = handoff__roster_next(&server->pair.roster, e))) {
		if (e->mine && e->kind == HANDOFF__CONNECTION)
			handoff__conn_ended(&e->view, e->fd,
				server->opts.service, HANDOFF__END_STOP,
				HANDOFF__ENDED_AT_ONCE);
	}
	server->handling = false;
}

void
handoff_server_free(struct handoff_server *server)
{
	uint32_t left = 0;

	if (!server || handoff__within(server))
		return;
	handoff__dump_close(server);
	if (server->model && server->sets.ep[1] >= 0)
		left = server->model->stop(server);
	if (left > 0) {
		/* A handler still uses this memory, and the connections pass to
		 * the other peer at the end of the process. */
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"server: %u handler%s: not freed before the process "
			"ends",
			left, left == 1 ? " still runs" : "s still run");
		handoff__suspects_absolve(server);
		handoff__control_flush(&server->op.control);
		return;
	}
	end_what_is_left(server);
	handoff__operator_close(&server->op);
	handoff__notices_close(server);
	handoff__console_close(server);
	handoff__listen_unlink(server);
	handoff__outgoing_close(server);
	handoff__resume_close(server);
	if (server->pair.loop) {
		handoff__shared_at(server, NULL);
		handoff__pair_close(&server->pair, true);
		handoff__shared_close(server);
	}
	handoff__sets_fini(&server->sets);
	handoff__loop_fini(&server->loop);
	if (server->signal_fd >= 0)
		close(server->signal_fd);
	for (size_t i = 0; i < HANDOFF__LISTEN_MAX; i++) {
		free(server->listen[i]);
		free(server->unresolved[i]);
	}
	free(server->lease);
	handoff__adopted_close(server);
	handoff__reserve_fini(&server->reserve);
	handoff__addresses_close(server);
	handoff__deadlines_free(&server->deadlines);
	handoff__held_free(server);
	handoff__limits_free(&server->limits);
	handoff__pairs_close(server);
	free(server);
}

int
handoff_server_fd(struct handoff_server *server)
{
	int fd = handoff__server_check(server);

	if (fd < 0)
		return fd;
	fd = handoff__sets_outer(&server->sets);
	return fd < 0 ? handoff__fail(&server->error, fd,
				"server: cannot create its descriptor: %s",
				strerror(-fd))
		      : fd;
}
