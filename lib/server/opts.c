/* SPDX-License-Identifier: MIT */
/*
 * The options of a server: checked, completed, copied. Opens nothing.
 */
#include "server/internal.h"

#include "base/addr.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* defaults of options that are not set */
#define BUFFER_SIZE        65536u /* bytes, of input and of output */
#define POST_SIZE_LEAST    65536  /* a line fits into it */
#define CONNECTIONS        16384u
#define STOP_TIMEOUT_MS    1000u
#define SUSPECT_WAIT_MS    30000u
#define GRACE_MS           60000u
#define CONNECT_TIMEOUT_MS 10000u
#define SPREAD_MS          2000u

static const struct handoff__model_ops *const models[] = {
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

/* An array has structures of the size that the caller was compiled with. */
static int
bad_element(struct handoff_server *server, int err, const char *what,
	const char *size_name, size_t size)
{
	if (err == -E2BIG)
		return handoff__fail(&server->error, err,
			"server: opts.%s set what this library does not know",
			what);
	return handoff__fail(&server->error, err,
		"server: opts.%s is %zu: it must be the size of the structures "
		"in opts.%s",
		size_name, size, what);
}

static int
check_arrays(struct handoff_server *server)
{
	const struct handoff_server_opts *o = &server->opts;
	struct handoff_extra extra;
	struct handoff_listen_fd given;
	int err = 0;

	for (size_t i = 0; i < o->nextras && err >= 0; i++)
		err = handoff__opts_extra(o, i, &extra);
	if (err < 0)
		return bad_element(
			server, err, "extras", "extra_size", o->extra_size);
	for (size_t i = 0; i < o->nlisten_fds && err >= 0; i++)
		err = handoff__opts_listen_fd(o, i, &given);
	if (err < 0)
		return bad_element(server, err, "listen_fds", "listen_fd_size",
			o->listen_fd_size);
	return 0;
}

/* A service that wraps another one has its state too. */
static int
check_wrapping(
	struct handoff_server *server, const struct handoff_service *service)
{
	const struct handoff_service *inner = service->inner;

	if (!inner && service->state_size > HANDOFF__STATE_PLAIN)
		return handoff__fail(&server->error, -EINVAL,
			"server: service %s: state_size is at most %u bytes, "
			"not %u",
			service->name, HANDOFF__STATE_PLAIN,
			service->state_size);
	if (!inner)
		return 0;
	if (service->pass_size > 0 || inner->pass_size > 0)
		return handoff__fail(&server->error, -EINVAL,
			"server: service %s wraps service %s, which has pairs "
			"(pass_size): a wrapped service cannot have them",
			service->name, inner->name);
	if (inner->state_size > service->state_size)
		return handoff__fail(&server->error, -EINVAL,
			"server: service %s has a state_size of %u, and wraps "
			"one that has %u: it needs at least as much",
			service->name, service->state_size, inner->state_size);
	return 0;
}

static int
check_server_opts(
	struct handoff_server *server, struct handoff_service *service)
{
	const struct handoff_server_opts *o = &server->opts;
	int err = handoff__opts_copy(service, sizeof(*service), o->service,
		offsetof(struct handoff_service, open));

	if (err < 0)
		return handoff__fail(&server->error, err,
			"server: opts.service is missing or of another size");
	if (!o->dir)
		return handoff__fail(&server->error, -EINVAL,
			"server: there is no service directory: opts.dir is "
			"not set (--dir DIR, or HANDOFF_DIR, sets it where "
			"the program reads options)");
	err = handoff__names_check(
		&server->error, "server", o->name, service->name);
	if (err < 0)
		return err;
	if (!service->handle)
		return handoff__fail(&server->error, -EINVAL,
			"server: service %s has no handler", service->name);
	if (service->shared_size > HANDOFF_SHARED_MAX)
		return handoff__fail(&server->error, -EINVAL,
			"server: shared_size of service %s is %u: at most %u",
			service->name, service->shared_size,
			HANDOFF_SHARED_MAX);
	err = check_wrapping(server, service);
	if (err < 0)
		return err;
	if (o->nlisten + (o->session_listen ? 1 : 0) > HANDOFF__LISTEN_MAX ||
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
			"%u workers: model loop has up to %d, the others have "
			"none",
			o->workers, HANDOFF__WORKERS_MAX);
	return check_arrays(server);
}

/* Options of sessions without sessions, or that make none. */
static int
check_sessions(struct handoff_server *server)
{
	const struct handoff_server_opts *o = &server->opts;
	const char *set = o->session_timeout_ms > 0 ? "timeout"
			  : o->session_max > 0      ? "max"
			  : o->session_listen       ? "listen"
						    : NULL;

	if (set && !o->sessions)
		return handoff__fail(&server->error, -EINVAL,
			"server: session_%s (--session-%s) without sessions: "
			"set opts.sessions (--sessions) too, or leave it out",
			set, set);
	return 0;
}

/* The service with sessions takes the place of the one that has none. */
static int
wrap_sessions(struct handoff_server *server, struct handoff_service *service)
{
	const struct handoff_server_opts *o = &server->opts;
	struct handoff_session_opts opts = {
		.size = sizeof(opts),
		.timeout_ms = o->session_timeout_ms,
		.max_absent = o->session_max,
		.listen = o->session_listen,
	};
	int err = check_sessions(server);

	if (err < 0 || !o->sessions)
		return err;
	err = handoff_session_service(&server->session, service, &opts);
	if (err == -EOPNOTSUPP)
		return handoff__fail(&server->error, err,
			"server: service %s has pairs (pass_size): they have "
			"no sessions",
			service->name);
	if (err < 0)
		return handoff__fail(&server->error, err,
			"server: session_listen is '%.100s': want an address "
			"with a port that is not 0, or an absolute path",
			o->session_listen ? o->session_listen : "");
	*service = server->session.service;
	return 0;
}

static void
apply_defaults(
	struct handoff_server *server, const struct handoff_service *service)
{
	struct handoff_server_opts *o = &server->opts;

	server->service = *service;
	server->service.input_size =
		handoff__opt_or(service->input_size, BUFFER_SIZE);
	server->service.output_size =
		handoff__opt_or(service->output_size, BUFFER_SIZE);
	if (service->post_size > 0 && service->post_size < POST_SIZE_LEAST)
		server->service.post_size = POST_SIZE_LEAST;
	o->service = &server->service;
	server->model = models[o->model];
	o->max_connections = handoff__opt_or(o->max_connections, CONNECTIONS);
	if (o->workers > 1)
		server->model = &handoff__model_workers;
	if (server->model->connections > 0)
		o->max_connections = server->model->connections;
	o->give_timeout_ms =
		handoff__opt_or(o->give_timeout_ms, HANDOFF__GIVE_TIMEOUT_MS);
	o->hang_timeout_ms =
		handoff__opt_or(o->hang_timeout_ms, HANDOFF__HANG_TIMEOUT_MS);
	o->stop_timeout_ms =
		handoff__opt_or(o->stop_timeout_ms, STOP_TIMEOUT_MS);
	o->suspect_wait_ms =
		handoff__opt_or(o->suspect_wait_ms, SUSPECT_WAIT_MS);
	o->connect_timeout_ms =
		handoff__opt_or(o->connect_timeout_ms, CONNECT_TIMEOUT_MS);
	o->grace_ms = handoff__opt_or(o->grace_ms, GRACE_MS);
	o->spread_ms = handoff__opt_or(o->spread_ms, SPREAD_MS);
	if (o->lease)
		handoff__guarded_wrap(server);
	server->log.fn = o->log;
	server->log.arg = o->log_arg;
}

/* The addresses outlive the call: this peer may have to bind them later, when
 * the working directory may have changed. */
static int
copy_addresses(struct handoff_server *server)
{
	struct handoff_server_opts *o = &server->opts;

	for (size_t i = 0; i < o->nlisten; i++) {
		const char *text = o->listen[i] ? o->listen[i] : "";
		struct handoff__addr addr;
		int err = handoff__addr_parse(&addr, text, &server->error);

		if (err >= 0)
			err = handoff__addr_absolute(
				&server->listen[i], text, &server->error);
		if (err < 0)
			return err;
	}
	if (o->session_listen) {
		int err = handoff__addr_absolute(&server->listen[o->nlisten],
			o->session_listen, &server->error);

		if (err < 0)
			return err;
		o->nlisten++;
	}
	o->listen = (const char *const *)server->listen;
	return 0;
}

/* A listening socket that another process has opened would be connected to
 * before this host has the lease. */
static int
take_lease(struct handoff_server *server)
{
	struct handoff_server_opts *o = &server->opts;

	if (!o->lease && (o->lease_ttl_s > 0 || o->lease_host))
		return handoff__fail(&server->error, -EINVAL,
			"server: lease_%s (--lease-%s) without a lease: set "
			"opts.lease (--lease) too, or leave it out",
			o->lease_host ? "host" : "ttl_s",
			o->lease_host ? "host" : "ttl");
	if (!o->lease)
		return 0;
	if (o->lease_ttl_s > HANDOFF_LEASE_TTL_MAX_MS / 1000)
		return handoff__fail(&server->error, -EINVAL,
			"server: opts.lease_ttl_s is %u: at most %d",
			o->lease_ttl_s, HANDOFF_LEASE_TTL_MAX_MS / 1000);
	if (o->nlisten_fds > 0)
		return handoff__fail(&server->error, -EINVAL,
			"server: a lease and listening sockets that are "
			"passed in exclude each other: a host that waits for "
			"its lease must not listen");
	server->lease = strdup(o->lease);
	handoff__copy(server->lease_host, sizeof(server->lease_host),
		o->lease_host ? o->lease_host : "");
	if (!server->lease)
		return handoff__fail(
			&server->error, -ENOMEM, "server: out of memory");
	o->lease = server->lease;
	o->lease_host = server->lease_host;
	return 0;
}

/* Two addresses of which only one can ever be listened on. */
static int
refuse_pair(struct handoff_server *server, const char *one, const char *other)
{
	if (strcmp(one, other) == 0)
		return handoff__fail(&server->error, -EINVAL,
			"address '%.120s' is given twice", one);
	return handoff__fail(&server->error, -EINVAL,
		"addresses '%.80s' and '%.80s' exclude each other: "
		"leave one out",
		one, other);
}

/* Names that are not resolved cannot be compared. Port 0 differs each time. */
static int
check_exclusions(struct handoff_server *server)
{
	for (size_t i = 0; i < server->opts.nlisten; i++) {
		for (size_t k = 0; k < i; k++) {
			if (!server->unresolved[i] && !server->unresolved[k] &&
				handoff__addr_excludes(
					server->listen[k], server->listen[i]))
				return refuse_pair(server, server->listen[k],
					server->listen[i]);
		}
	}
	return 0;
}

/* A peer that joins must answer the other one, and a serving loop its clients:
 * neither may wait for a name server. A standby may run without an address that
 * cannot be resolved, so the failure is kept as a sentence. */
int
handoff__opts_resolve(struct handoff_server *server)
{
	for (size_t i = 0; i < server->opts.nlisten; i++) {
		char numeric[HANDOFF_ADDRESS_MAX], **text = &server->listen[i];
		struct handoff__error error;

		if (handoff__addr_resolve(*text, numeric, &error) < 0) {
			text = &server->unresolved[i];
			*text = strdup(error.text);
		} else if (strcmp(*text, numeric) != 0) {
			free(*text);
			*text = strdup(numeric);
		}
		if (!*text)
			return handoff__fail(&server->error, -ENOMEM,
				"server: out of memory");
	}
	if (server->opts.session_listen)
		handoff__session_listen(&server->session,
			server->listen[server->opts.nlisten - 1]);
	return check_exclusions(server);
}

int
handoff__opts_take(
	struct handoff_server *server, const struct handoff_server_opts *opts)
{
	struct handoff_service service;
	int err = handoff__opts_copy(&server->opts, sizeof(server->opts), opts,
		offsetof(struct handoff_server_opts, listen));

	if (err == -E2BIG) {
		/* the caller's structure is longer, so these fields exist */
		server->opts.errbuf = opts->errbuf;
		server->opts.errbuf_size = opts->errbuf_size;
		return handoff__fail(&server->error, err,
			"server: an option that this library does not know is "
			"set");
	}
	if (err >= 0)
		err = check_server_opts(server, &service);
	if (err >= 0)
		err = wrap_sessions(server, &service);
	if (err < 0)
		return err;
	apply_defaults(server, &service);
	err = take_lease(server);
	return err < 0 ? err : copy_addresses(server);
}
