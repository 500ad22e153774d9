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
