/* SPDX-License-Identifier: MIT */
/*
 * One detached thread per name. It shares only the request with the handle;
 * whichever drops the last reference frees it. The descriptor belongs to the
 * handle: the thread touches it only under the lock and while the handle still
 * holds the request.
 */
#include "client/resolve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct handoff__resolve {
	pthread_mutex_t lock;
	int refs;
	int fd; /* an eventfd; -1 once the handle has let go */
	struct handoff__addr addr;
	struct handoff__resolved addresses;
};

/* No AI_ADDRCONFIG: it hides "localhost" on a host without a network, and an
 * address of an unreachable family fails at once anyway. */
static void
look_up_host(const struct handoff__addr *addr, int flags,
	struct handoff__resolved *out)
{
	struct addrinfo hints = {
		.ai_flags = AI_NUMERICSERV | flags,
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *list = NULL;

	memset(out, 0, sizeof(*out));
	out->err = getaddrinfo(addr->host, addr->port, &hints, &list);
	if (out->err != 0)
		return;
	for (struct addrinfo *ai = list;
		ai && out->count < HANDOFF__RESOLVED_MAX; ai = ai->ai_next) {
		struct handoff__address *address = &out->list[out->count];

		if (ai->ai_addrlen > sizeof(address->u))
			continue;
		memcpy(&address->u, ai->ai_addr, ai->ai_addrlen);
		address->len = ai->ai_addrlen;
		out->count++;
	}
	freeaddrinfo(list);
}

static void
local_address(const struct handoff__addr *addr, struct handoff__resolved *out)
{
	struct sockaddr_un *un = &out->list[0].u.un;

	memset(out, 0, sizeof(*out));
	un->sun_family = AF_UNIX;
	handoff__copy(un->sun_path, sizeof(un->sun_path), addr->path);
	out->list[0].len = sizeof(*un);
	out->count = 1;
}

bool
handoff__resolve_at_once(
	const struct handoff__addr *addr, struct handoff__resolved *addresses)
{
	if (addr->local)
		local_address(addr, addresses);
	else
		look_up_host(addr, AI_NUMERICHOST, addresses);
	return addresses->err == 0;
}

/* Drops a reference. Called with the lock held; releases it. */
static void
drop_resolve(struct handoff__resolve *r)
{
	bool last = --r->refs == 0;

	pthread_mutex_unlock(&r->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void *
run_lookup(void *arg)
{
	struct handoff__resolve *r = arg;
	struct handoff__resolved addresses;
	uint64_t one = 1;

	look_up_host(&r->addr, 0, &addresses);
	pthread_mutex_lock(&r->lock);
	r->addresses = addresses;
	if (r->fd >= 0)
		(void)!write(r->fd, &one, sizeof(one));
	drop_resolve(r);
	return NULL;
}

/* Blocks all signals in the thread: handlers belong to the program's
 * threads. */
static int
start_thread(struct handoff__resolve *r)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int err = pthread_attr_init(&attr);

	if (err != 0)
		return -err;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, &attr, run_lookup, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}

int
handoff__resolve_start(
	struct handoff__resolve **out, const struct handoff__addr *addr)
{
	struct handoff__resolve *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->addr = *addr;
	r->refs = 2;
	r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->fd < 0) {
		err = -errno;
		free(r);
		return err;
	}
	pthread_mutex_init(&r->lock, NULL);
	err = start_thread(r);
	if (err < 0) {
		r->refs = 1;
		handoff__resolve_free(r);
		return err;
	}
	*out = r;
	return r->fd;
}

void
handoff__resolve_take(
	struct handoff__resolve *resolve, struct handoff__resolved *addresses)
{
	pthread_mutex_lock(&resolve->lock);
	*addresses = resolve->addresses;
	pthread_mutex_unlock(&resolve->lock);
}

void
handoff__resolve_free(struct handoff__resolve *resolve)
{
	if (!resolve)
		return;
	pthread_mutex_lock(&resolve->lock);
	close(resolve->fd);
	resolve->fd = -1;
	drop_resolve(resolve);
}
