/* SPDX-License-Identifier: MIT */
/*
 * The handlers of a service with a lease: each runs only while that is valid,
 * and what it has done is committed only if it still is. They stand in for the
 * service's own, so that a service without a lease pays nothing. Knows neither
 * the engine nor the peers.
 */
#include "server/internal.h"
#include "server/turn.h"

static const struct handoff_service *
service_of(const struct handoff_conn *conn)
{
	return conn->view.seg->arena->above;
}

static bool
is_barred(const struct handoff_conn *conn)
{
	return handoff__tenure_over(
		handoff__tenure_of(conn->view.seg->arena), handoff__boot_ns());
}

static int
run_guarded(struct handoff_conn *conn, handoff_handle_fn *fn, void *arg)
{
	int rc;

	if (is_barred(conn))
		return HANDOFF__NOT_NOW;
	rc = fn(conn, arg);
	return is_barred(conn) ? HANDOFF__NOT_NOW : rc;
}

static int
guarded_open(struct handoff_conn *conn, void *arg)
{
	return run_guarded(conn, service_of(conn)->open, arg);
}

static int
guarded_handle(struct handoff_conn *conn, void *arg)
{
	return run_guarded(conn, service_of(conn)->handle, arg);
}

static int
guarded_posted(struct handoff_conn *conn, void *arg)
{
	return run_guarded(conn, service_of(conn)->posted, arg);
}

static int
guarded_farewell(struct handoff_conn *conn, void *arg)
{
	return run_guarded(conn, service_of(conn)->farewell, arg);
}

void
handoff__guarded_wrap(struct handoff_server *server)
{
	struct handoff_service *service = &server->service;

	server->unguarded = *service;
	service->handle = guarded_handle;
	if (service->open)
		service->open = guarded_open;
	if (service->posted)
		service->posted = guarded_posted;
	if (service->farewell)
		service->farewell = guarded_farewell;
}
