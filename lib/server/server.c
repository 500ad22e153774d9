/* SPDX-License-Identifier: MIT */
/*
 * The handle of a server: options, the turn of the loop, events. Waits on the
 * set of what this peer owns; everything else is one descriptor in that set.
 */
#include "server/worker.h"

#include "base/addr.h"
#include "base/high.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BATCH       64
#define RELISTEN_US 1000000

static uint32_t
or_default(uint32_t value, uint32_t otherwise)
{
	return value ? value : otherwise;
}

static const struct handoff__model *const models[] = {
	[HANDOFF_MODEL_LOOP] = &handoff__model_loop,
	[HANDOFF_MODEL_THREAD] = &handoff__model_thread,
	[HANDOFF_MODEL_ITERATIVE] = &handoff__model_iterative,
	[HANDOFF_MODEL_FORK] = &handoff__model_fork,
};

#define MODELS (sizeof(models) / sizeof(models[0]))

int
handoff_model_parse(const char *text)
{
	for (size_t i = 0; text && i < MODELS; i++) {
		if (strcmp(text, models[i]->name) == 0)
			return (int)i;
	}
	return -EINVAL;
}

int
handoff_server_next(
	struct handoff_server *server, struct handoff_server_event *event)
{
	const struct handoff__happening *told;
	int err = handoff__server_check(server);

	if (err < 0 || !event)
		return err < 0 ? err : -EINVAL;
	if (server->op.ring.count == 0)
		return 0;
	told = handoff__ring_take(&server->op.ring);
	event->type = (enum handoff_server_event_type)told->type;
	event->generation = told->generation;
	memcpy(event->text, told->text, sizeof(event->text));
	if (server->op.ring.count == 0)
		handoff__timer_disarm(&server->loop, &server->op.news);
	return 1;
}

static int
check_opts(struct handoff_server *server, struct handoff_service *service)
{
	const struct handoff_server_opts *o = &server->opts;
	int err = handoff__opts_copy(service, sizeof(*service), o->service,
		offsetof(struct handoff_service, open));

	if (err < 0)
		return handoff__fail(&server->error, err,
			"server: opts.service is missing or of another size");
	if (!handoff__name_ok(o->name) || !handoff__name_ok(service->name))
		return handoff__fail(&server->error, -EINVAL,
			"server: names of peer and service must be 1 to %d "
			"characters of A-Z a-z 0-9 . _ - (got '%.40s' and "
			"'%.40s')",
			HANDOFF_NAME_MAX - 1, o->name ? o->name : "",
			service->name ? service->name : "");
	if (!service->handle)
		return handoff__fail(&server->error, -EINVAL,
			"server: service %s has no handler", service->name);
	if (o->nlisten > HANDOFF__LISTEN_MAX ||
		(o->nlisten > 0 && !o->listen) ||
		o->nextras > HANDOFF__LISTEN_MAX ||
		(o->nextras > 0 && !o->extras) ||
		o->nlisten_fds > HANDOFF__LISTEN_MAX ||
		(o->nlisten_fds > 0 && !o->listen_fds))
		return handoff__fail(&server->error, -EINVAL,
			"server: at most %d addresses, listening sockets and "
			"extra descriptors",
			HANDOFF__LISTEN_MAX);
	if ((size_t)o->model >= MODELS)
		return handoff__fail(
			&server->error, -EINVAL, "server: unknown model");
	if (o->workers > HANDOFF__WORKERS_MAX ||
		(o->workers > 1 && o->model != HANDOFF_MODEL_LOOP))
		return handoff__fail(&server->error, -EINVAL,
			"server: %u workers: model loop has up to %d, the "
			"others none",
			o->workers, HANDOFF__WORKERS_MAX);
	return 0;
}

static void
apply_defaults(
	struct handoff_server *server, const struct handoff_service *service)
{
	struct handoff_server_opts *o = &server->opts;

	server->service = *service;
	server->service.input_size = or_default(service->input_size, 65536);
	server->service.output_size = or_default(service->output_size, 65536);
	o->service = &server->service;
	server->model = models[o->model];
	o->max_connections = or_default(o->max_connections, 16384);
	if (o->workers > 1)
		server->model = &handoff__model_workers;
	if (server->model->connections > 0)
		o->max_connections = server->model->connections;
	o->give_timeout_ms = or_default(o->give_timeout_ms, 5000);
	o->hang_timeout_ms = or_default(o->hang_timeout_ms, 5000);
	o->stop_timeout_ms = or_default(o->stop_timeout_ms, 1000);
	o->suspect_wait_ms = or_default(o->suspect_wait_ms, 30000);
	o->grace_ms = or_default(o->grace_ms, 60000);
	o->spread_ms = or_default(o->spread_ms, 2000);
	server->log.fn = o->log;
	server->log.arg = o->log_arg;
}

static void
on_relisten(struct handoff__timer *timer)
{
	(void)timer; /* it is looked at after the turn */
}

static void
on_sweep(struct handoff__timer *timer)
{
	handoff__server_sweeps(timer->arg);
}

/* What needs nobody else: can be undone by close_all_of. */
static int
open_loop(struct handoff_server *server)
{
	int err = handoff__loop_init(&server->loop);

	TAILQ_INIT(&server->kicks);
	TAILQ_INIT(&server->listeners);
	server->sweep.fn = on_sweep;
	server->relisten.fn = on_relisten;
	handoff__suspects_init(server);
	server->accept_retry.fn = handoff__listen_on_retry;
	server->stop_deadline.fn = handoff__stop_on_deadline;
	server->stalls.fn = handoff__server_on_stalls;
	server->stalls.arg = server;
	server->spare_lent.fn = handoff__spare_on_return;
	server->sweep.arg = server->accept_retry.arg =
		server->stop_deadline.arg = server->spare_lent.arg = server;
	if (err >= 0)
		err = handoff__sets_init(&server->sets, server->loop.epfd);
	if (err >= 0)
		err = server->model->start(server);
	if (err >= 0)
		err = handoff__says_open(server);
	if (err < 0 && !server->error.text[0])
		handoff__fail(&server->error, err,
			"server: cannot make its event loop: %s",
			strerror(-err));
	return err;
}

static int
enter_extras(struct handoff_server *server)
{
	for (size_t i = 0; i < server->opts.nextras; i++) {
		const struct handoff_extra *extra = &server->opts.extras[i];
		int err = -EINVAL;
		int fd = handoff__name_ok(extra->name)
				 ? handoff__high_dup(extra->fd)
				 : -1;

		if (fd < 0 || !handoff__peer_enter(&server->peer, fd,
				      HANDOFF__EXTRA, extra->name, &err))
			return handoff__fail(&server->error, err,
				"extra descriptor %zu: bad name or descriptor",
				i);
	}
	return 0;
}

/* A service that has no owner gets one. */
static int
become_owner(struct handoff_server *server)
{
	struct handoff_notice last;
	uint64_t generation = 1;
	int err;

	/* Notices are ordered by generation: go on where the last left off.
	 * From 1 on, clients would take all that is to come for old. */
	err = handoff__publisher_retained(&server->publisher, &last);
	if (err < 0 && err != -EBADMSG)
		return handoff__fail(&server->error, err,
			"service directory %s: cannot read the notice that is "
			"kept there: %s",
			server->peer.dir.path, strerror(-err));
	if (err > 0)
		generation = last.generation + 1;
	err = handoff__peer_own(&server->peer, generation);
	if (err < 0) {
		server->error = server->peer.error;
		return err;
	}
	err = handoff__listen_open(server);
	if (err >= 0)
		err = enter_extras(server);
	if (err < 0)
		return err;
	handoff__notices_supersede(server);
	handoff__operator_tell(&server->op, HANDOFF_SERVER_OWNER,
		"owner: serves %s (generation %llu)", server->service.name,
		(unsigned long long)generation);
	return 0;
}

void
handoff__server_alone(struct handoff_server *server)
{
	if (server->peer.serving || server->peer.arena.count > 0 ||
		!handoff__server_listens(server) || server->op.stopping)
		return;
	if (become_owner(server) < 0)
		handoff__log(&server->log, HANDOFF_LOG_ERROR, "%s",
			server->error.text);
}

/* The listeners were closed by a peer that stopped, or died with it before
 * this one had copies of them. */
void
handoff__server_relisten(struct handoff_server *server)
{
	if (!server->peer.serving || server->op.stopping ||
		!TAILQ_EMPTY(&server->listeners) || server->relisten.armed ||
		!handoff__server_listens(server))
		return;
	if (handoff__listen_open(server) >= 0)
		return;
	handoff__log(&server->log, HANDOFF_LOG_ERROR,
		"%s: tried again each second", server->error.text);
	handoff__timer_arm(&server->loop, &server->relisten, RELISTEN_US);
}

/* The addresses outlive the call: this peer may have to bind them later, when
 * the working directory may be another. */
static int
copy_addresses(struct handoff_server *server)
{
	struct handoff_server_opts *o = &server->opts;

	for (size_t i = 0; i < o->nlisten; i++) {
		int err = handoff__addr_absolute(&server->listen[i],
			o->listen[i] ? o->listen[i] : "", &server->error);

		if (err < 0)
			return err;
	}
	o->listen = (const char *const *)server->listen;
	return 0;
}

static int
take_role(struct handoff_server *server)
{
	const struct handoff__peer *peer = &server->peer;

	if (peer->partner != HANDOFF__PARTNER_NONE && peer->other.serving)
		return 0; /* STANDBY is told once the arena has come */
	if (handoff__server_listens(server))
		return become_owner(server);
	handoff__operator_waits(&server->op);
	return 0;
}

/* Every set of epoll that this server has, for the other peer to keep. */
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

/* An operator or a standby comes. */
static void
make_room(void *arg)
{
	handoff__spare_lend(arg);
}

static int
open_peer(struct handoff_server *server)
{
	struct handoff__peer_config config = {
		.dir = server->opts.dir,
		.name = server->opts.name,
		.service = &server->service,
		.give_timeout_ms = server->opts.give_timeout_ms,
		.hang_timeout_ms = server->opts.hang_timeout_ms,
		.fence = server->opts.fence,
		.user = server->opts.user,
		.cell_size = sizeof(struct handoff__member),
		.own_fds = server->model->spare,
		.lend = server->lend,
		.nlend = all_sets(server, server->lend),
		.life = server->children.life[0],
		.config_hash = server->opts.config_hash,
		.config_strict = server->opts.config_strict,
		.model = server->model->name,
		.workers = server->nworkers,
		.trace = server->opts.trace,
	};
	int err = handoff__peer_open(&server->peer, &config, &server->loop,
		&server->log, &handoff__server_peer_ops, &server->op);

	if (err < 0) {
		server->error = server->peer.error;
		return err;
	}
	handoff__publisher_open(&server->publisher, &server->peer.dir);
	err = handoff__operator_open(&server->op, &server->error);
	server->op.control.door.room = server->peer.door.room = make_room;
	server->op.control.door.room_arg = server->peer.door.room_arg = server;
	if (err >= 0)
		err = take_role(server);
	if (err >= 0)
		handoff__peer_started(&server->peer);
	return err;
}

static int
take_signals(struct handoff_server *server)
{
	int err = handoff_server_signals(server);

	return err < 0 ? handoff__fail(&server->error, err,
				 "server: cannot take signals: %s",
				 strerror(-err))
		       : 0;
}

static int
no_memory(const struct handoff_server_opts *opts)
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
	struct handoff_service service;
	int err;

	if (!out || !opts)
		return -EINVAL;
	server = calloc(1, sizeof(*server));
	if (!server)
		return no_memory(opts);
	server->sets.ep[0] = server->sets.ep[1] = server->sets.outer = -1;
	server->loop.epfd = server->loop.timerfd = -1;
	TAILQ_INIT(&server->children.list);
	server->signal_fd = -1;
	handoff__operator_init(&server->op, &handoff__server_orders, server,
		&server->peer, &server->loop, &server->log);
	err = handoff__opts_copy(&server->opts, sizeof(server->opts), opts,
		offsetof(struct handoff_server_opts, listen));
	if (err == -E2BIG) {
		/* It is longer than ours, so these are there. */
		server->opts.errbuf = opts->errbuf;
		server->opts.errbuf_size = opts->errbuf_size;
		handoff__fail(&server->error, err,
			"server: an option that this library does not know is "
			"set");
	}
	if (err >= 0)
		err = check_opts(server, &service);
	if (err >= 0) {
		apply_defaults(server, &service);
		err = copy_addresses(server);
		if (err >= 0)
			err = handoff__adopted_open(server);
		if (err >= 0)
			err = open_loop(server);
		/* Before others can see that it is there, and send some. */
		if (err >= 0 && server->opts.signals)
			err = take_signals(server);
		if (err >= 0)
			err = open_peer(server);
	}
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
	/* They were only needed here. */
	server->opts.extras = NULL;
	server->opts.listen_fds = NULL;
	server->opts.dir = server->opts.name = NULL;
	server->opts.errbuf = NULL;
	*out = server;
	return 0;
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
		/* A handler still runs on this memory, and the connections
		 * pass to the other peer with the end of the process. */
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"server: %u handlers still run: left to the end of "
			"the process",
			left);
		handoff__suspects_absolve(server);
		handoff__control_flush(&server->op.control);
		return;
	}
	handoff__operator_close(&server->op);
	handoff__publisher_close(&server->publisher);
	handoff__console_close(server);
	handoff__listen_unlink(server);
	if (server->peer.loop)
		handoff__peer_close(&server->peer, true);
	handoff__sets_fini(&server->sets);
	handoff__loop_fini(&server->loop);
	if (server->signal_fd >= 0)
		close(server->signal_fd);
	for (size_t i = 0; i < HANDOFF__LISTEN_MAX; i++)
		free(server->listen[i]);
	handoff__adopted_close(server);
	handoff__reserve_fini(&server->reserve);
	handoff__says_close(server);
	free(server);
}

int
handoff_server_fd(struct handoff_server *server)
{
	int err = handoff__server_check(server);

	return err < 0 ? err : handoff__sets_outer(&server->sets);
}

/* What follows from the loop, where also the workers ring. */
static void
after_loop(struct handoff_server *server)
{
	handoff__peer_after_turn(&server->peer);
	handoff__server_relisten(server);
	if (atomic_load(&server->sweep_wanted))
		handoff__server_sweep_later(server);
	if (atomic_load(&server->stall_wanted))
		handoff__server_stall(server);
}

/* What follows from a batch of events. */
static void
after_batch(struct handoff_server *server)
{
	if (server->peer.noted)
		after_loop(server);
	if (server->nkicks > 0)
		handoff__server_kicks(server);
	if (server->publishing)
		handoff__notices_step(server);
	if (server->op.stopping) {
		handoff__stop_proceed(server);
		server->told_end = server->op.ended;
	}
}

/* The first turn after the end returns, so that its event is pulled. */
static int
after_end(struct handoff_server *server)
{
	if (!server->told_end && server->op.ring.count > 0) {
		server->told_end = true;
		return 0;
	}
	return handoff__fail(&server->error, -ESHUTDOWN,
		"server: it has stopped: free the handle");
}

static int
turn(struct handoff_server *server, int timeout_ms)
{
	struct epoll_event batch[BATCH];
	int n;

	if (server->op.ended)
		return after_end(server);
	if (server->nkicks > 0 || server->publishing)
		timeout_ms = 0; /* there is more to do already */
	n = epoll_wait(
		server->sets.ep[server->sets.mine], batch, BATCH, timeout_ms);
	if (n < 0 && errno != EINTR)
		return handoff__fail(&server->error, -errno, "epoll_wait: %s",
			strerror(errno));
	/* The link first: a handoff must not wait for a batch of turns. */
	for (int i = 0; i < n; i++) {
		if (!batch[i].data.ptr) {
			handoff__loop_dispatch(&server->loop, 0);
			server->peer.noted = true;
		}
	}
	for (int i = 0; i < n; i++) {
		if (batch[i].data.ptr)
			handoff__entry_event(
				batch[i].data.ptr, batch[i].events);
	}
	after_batch(server);
	return n > 0 ? n : 0;
}

int
handoff_server_wait(struct handoff_server *server, int timeout_ms)
{
	int err = handoff__server_check(server);

	return err < 0 ? err : turn(server, timeout_ms);
}

int
handoff_server_dispatch(struct handoff_server *server)
{
	int err = handoff__server_check(server);

	if (err < 0)
		return err;
	do {
		err = turn(server, 0);
		/* An outside loop only hears of descriptors. */
	} while (err >= 0 && !server->op.ended &&
		 (server->nkicks > 0 || server->publishing));
	return err < 0 ? err : 0;
}

static void
on_user_watch(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__user_watch *user = watch->arg;

	(void)events;
	user->fn(user->arg, watch->fd);
}

int
handoff_server_watch(
	struct handoff_server *server, int fd, handoff_watch_fn *fn, void *arg)
{
	struct handoff__user_watch *user;
	int err = handoff__server_check(server);

	if (err < 0)
		return err;
	if (fd < 0 || !fn)
		return -EINVAL;
	if (server->nwatches == HANDOFF__WATCHES)
		return -ENOSPC;
	user = &server->watches[server->nwatches];
	user->fn = fn;
	user->arg = arg;
	user->watch.fn = on_user_watch;
	user->watch.arg = user;
	err = handoff__watch_add(&server->loop, &user->watch, fd, EPOLLIN);
	if (err < 0)
		return handoff__fail(&server->error, err,
			"server: cannot watch descriptor %d: %s", fd,
			strerror(-err));
	server->nwatches++;
	return 0;
}

int
handoff_server_extra(const struct handoff_server *server, const char *name)
{
	struct handoff__entry *e = NULL;
	struct handoff__roster *roster;

	if (handoff__server_check(server) < 0 || !name)
		return name && server ? -EDEADLK : -EINVAL;
	roster = (struct handoff__roster *)(uintptr_t)&server->peer.roster;
	while ((e = handoff__roster_next(roster, e))) {
		char text[HANDOFF_ADDRESS_MAX];

		if (e->kind == HANDOFF__EXTRA &&
			handoff__record_name(&e->view, text) == 0 &&
			strcmp(text, name) == 0)
			return e->fd;
	}
	return -ENOENT;
}

int
handoff_server_partner(const struct handoff_server *server)
{
	int err = handoff__server_check(server);

	if (err < 0)
		return err;
	return server->peer.partner == HANDOFF__PARTNER_NONE ||
			       server->peer.partner == HANDOFF__PARTNER_APART
		       ? -ENOTCONN
		       : (int)server->peer.other.pid;
}

const char *
handoff_server_errmsg(const struct handoff_server *server)
{
	if (!server)
		return "";
	return handoff__within(server) ? "a handler may only say lines"
				       : server->error.text;
}
