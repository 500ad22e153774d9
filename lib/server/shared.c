/* SPDX-License-Identifier: MIT */
/*
 * The shared region for the program outside of its handlers, in any of its
 * threads. The arena may be unmapped while they use it only by the loop's
 * thread, which waits for them. Transactions of handlers are in conn.c.
 */
#include "server/internal.h"

#include "record/region.h"

#include <errno.h>

struct handoff_shared {
	const struct handoff__segment *commons;
};

void
handoff__shared_open(struct handoff_server *server)
{
	pthread_rwlock_init(&server->shared.lock, NULL);
}

void
handoff__shared_close(struct handoff_server *server)
{
	pthread_rwlock_destroy(&server->shared.lock);
}

void
handoff__shared_at(
	struct handoff_server *server, const struct handoff__segment *commons)
{
	/* no other thread changes it */
	if (server->shared.commons == commons)
		return;
	pthread_rwlock_wrlock(&server->shared.lock);
	server->shared.commons = commons;
	pthread_rwlock_unlock(&server->shared.lock);
}

static void
status_json(const struct handoff_server *server, const char *holder,
	uint32_t child, bool overdue, struct handoff__buf *buf)
{
	const struct handoff_service *service = &server->service;

	handoff__buf_add(buf,
		",\"shared\":{\"size\":%u,\"version\":%u,\"holder\":%s%s%s,"
		"\"holder_child\":%u,\"overdue\":%s}",
		service->shared_size, service->shared_version,
		holder ? "\"" : "", holder ? holder : "null",
		holder ? "\"" : "", child, overdue ? "true" : "false");
}

/* Names are checked where they come from: no quotes are in them. */
void
handoff__shared_status(const struct handoff_server *server, bool json,
	struct handoff__buf *buf)
{
	const struct handoff__pair *pair = &server->pair;
	const char *holder = NULL;
	bool overdue = false;
	uint32_t name = 0;

	if (server->service.shared_size == 0) {
		handoff__buf_add(buf, "%s", json ? ",\"shared\":null" : "");
		return;
	}
	if (server->shared.commons)
		name = handoff__region_holder(server->shared.commons, &overdue);
	if (name != 0)
		holder = handoff__lock_place(name) == (uint32_t)pair->place
				 ? pair->name
				 : pair->other.name;
	if (json)
		status_json(server, holder, handoff__lock_agent(name), overdue,
			buf);
	else if (overdue && handoff__lock_agent(name) != 0)
		handoff__buf_add(buf,
			"! %s: handlers wait for the shared region, which "
			"process %u of %s holds\n",
			pair->name, handoff__lock_agent(name), holder);
	else if (overdue)
		handoff__buf_add(buf,
			"! %s: handlers wait for the shared region, which %s "
			"holds\n",
			pair->name, holder);
}

static int
run_shared(struct handoff_shared *shared, handoff_shared_fn *fn, void *arg)
{
	int rc;

	if (!shared->commons)
		return -ENOTCONN;
	rc = handoff__region_enter(shared->commons);
	if (rc < 0)
		return rc;
	rc = fn(shared, arg);
	if (rc < 0)
		handoff__region_undo(shared->commons);
	else
		handoff__region_keep(shared->commons);
	return rc;
}

int
handoff_server_shared(
	struct handoff_server *server, handoff_shared_fn *fn, void *arg)
{
	struct handoff_shared shared;
	int rc;

	if (!server || !fn || server->service.shared_size == 0)
		return -EINVAL;
	pthread_rwlock_rdlock(&server->shared.lock);
	shared.commons = server->shared.commons;
	rc = run_shared(&shared, fn, arg);
	pthread_rwlock_unlock(&server->shared.lock);
	return rc;
}

int
handoff_shared_write(
	struct handoff_shared *shared, size_t offset, size_t len, void **at)
{
	if (!shared || !at)
		return -EINVAL;
	return handoff__region_save(shared->commons, offset, len, at);
}

int
handoff_shared_read(struct handoff_shared *shared, size_t offset, size_t len,
	const void **at)
{
	void *bytes;
	int err = shared && at ? handoff__region_at(
					 shared->commons, offset, len, &bytes)
			       : -EINVAL;

	if (err >= 0)
		*at = bytes;
	return err;
}
