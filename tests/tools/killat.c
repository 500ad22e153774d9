/* SPDX-License-Identifier: MIT */
/*
 * killat: preloaded into a server, ends its process by SIGKILL at the n-th call
 * of a given function, before or after the real call. HANDOFF_KILLAT
 * ("recv:17:after") counts from the start of the process; HANDOFF_KILLAT_FILE
 * names a file whose first bytes are a struct killat_file: a test that maps it
 * can arm and disarm at any moment, and reads how often each function was
 * called. Not linked with the library.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* The order is that of the counts in the file. `point` is no call of libc: see
 * killat_point. pthread_mutex_lock stands for futex(2). The last ones are
 * OpenSSL's: a handshake goes on, a TLS record is sealed, or opened. */
#define FUNCTIONS(X)                                                           \
	X(recv)                                                                \
	X(recvmsg)                                                             \
	X(send)                                                                \
	X(sendmsg)                                                             \
	X(epoll_wait)                                                          \
	X(accept4)                                                             \
	X(shutdown)                                                            \
	X(close)                                                               \
	X(poll)                                                                \
	X(epoll_ctl)                                                           \
	X(pthread_mutex_lock)                                                  \
	X(eventfd_write)                                                       \
	X(write)                                                               \
	X(point)                                                               \
	X(fsync)                                                               \
	X(renameat)                                                            \
	X(pwrite)                                                              \
	X(ftruncate)                                                           \
	X(SSL_accept)                                                          \
	X(EVP_EncryptFinal_ex)                                                 \
	X(EVP_DecryptFinal_ex)

#include "preload.h"

struct killat_file {
	_Atomic uint32_t armed; /* index of the function plus 1; 0: none */
	_Atomic uint32_t after; /* 1: after the real call */
	_Atomic int64_t left;   /* calls until the end; armed is set last */
	_Atomic uint64_t calls[COUNT];
};

/* What the program calls in the midst of its own work, if it finds it with
 * dlsym(3): a place to die between two calls of libc. */
void killat_point(void);

static struct killat_file own;
static struct killat_file *at = &own;

static void
end_process(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* Counts a call before it is made; true if the process ends after it. */
static bool
enter(enum function f)
{
	atomic_fetch_add_explicit(&at->calls[f], 1, memory_order_relaxed);
	if (atomic_load(&at->armed) != (uint32_t)f + 1 ||
		atomic_fetch_sub(&at->left, 1) != 1)
		return false;
	if (!atomic_load(&at->after))
		end_process();
	return true;
}

static void
leave(bool last)
{
	if (last)
		end_process();
}

static void
arm(const char *text)
{
	char name[32], when[8] = "after";
	long n;

	if (sscanf(text, "%31[^:]:%ld:%7s", name, &n, when) < 2 || n < 1)
		goto bad;
	for (uint32_t f = 0; f < COUNT; f++) {
		if (strcmp(names[f], name) != 0)
			continue;
		atomic_store(&at->after, strcmp(when, "after") == 0);
		atomic_store(&at->left, n);
		atomic_store(&at->armed, f + 1);
		return;
	}
bad:
	fprintf(stderr, "killat: HANDOFF_KILLAT=%s makes no sense\n", text);
	_exit(125);
}

__attribute__((constructor)) static void
set_up(void)
{
	const char *text = getenv("HANDOFF_KILLAT");
	struct killat_file *shared =
		map_shared("HANDOFF_KILLAT_FILE", sizeof(*shared));

	if (shared)
		at = shared;
	if (text)
		arm(text);
}

void
killat_point(void)
{
	leave(enter(AT_point));
}

#define WRAP(type, name, params, args)                                         \
	type name params                                                       \
	{                                                                      \
		type(*fn) params;                                              \
		bool last = enter(AT_##name);                                  \
		type rc;                                                       \
                                                                               \
		real(AT_##name, &fn);                                          \
		rc = fn args;                                                  \
		leave(last);                                                   \
		return rc;                                                     \
	}

WRAP(ssize_t, recv, (int fd, void *buf, size_t len, int flags),
	(fd, buf, len, flags))
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags),
	(fd, msg, flags))
WRAP(ssize_t, send, (int fd, const void *buf, size_t len, int flags),
	(fd, buf, len, flags))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags),
	(fd, msg, flags))
WRAP(int, epoll_wait, (int epfd, struct epoll_event *ev, int max, int timeout),
	(epfd, ev, max, timeout))
WRAP(int, accept4, (int fd, __SOCKADDR_ARG sa, socklen_t *len, int flags),
	(fd, sa, len, flags))
WRAP(int, shutdown, (int fd, int how), (fd, how))
WRAP(int, close, (int fd), (fd))
WRAP(int, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))
WRAP(int, epoll_ctl, (int epfd, int op, int fd, struct epoll_event *ev),
	(epfd, op, fd, ev))
WRAP(int, pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex))
WRAP(int, eventfd_write, (int fd, eventfd_t value), (fd, value))
WRAP(ssize_t, write, (int fd, const void *buf, size_t len), (fd, buf, len))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, renameat, (int from, const char *old, int to, const char *name),
	(from, old, to, name))
WRAP(ssize_t, pwrite, (int fd, const void *buf, size_t len, off_t off),
	(fd, buf, len, off))
WRAP(int, ftruncate, (int fd, off_t len), (fd, len))

/* Without OpenSSL's headers, since most programs have nothing of it. */
int SSL_accept(void *ssl);
int EVP_EncryptFinal_ex(void *ctx, unsigned char *out, int *len);
int EVP_DecryptFinal_ex(void *ctx, unsigned char *out, int *len);

WRAP(int, SSL_accept, (void *ssl), (ssl))
WRAP(int, EVP_EncryptFinal_ex, (void *ctx, unsigned char *out, int *len),
	(ctx, out, len))
WRAP(int, EVP_DecryptFinal_ex, (void *ctx, unsigned char *out, int *len),
	(ctx, out, len))
