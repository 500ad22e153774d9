/* SPDX-License-Identifier: MIT */
/*
 * failat: preloaded into a server, makes the n-th call from one call site
 * fail with a given errno, and the k - 1 calls after it from there.
 *
 * A call site is a function of libc and the return address in the program or in
 * a library of this project, less where that is mapped; so it has the same
 * number in every run. What libc itself calls is not counted. The file named by
 * HANDOFF_FAILAT_FILE is a struct failat_file: a test that maps it reads which
 * sites were reached and how often, arms and disarms. Forked children share it.
 * Not linked with the library.
 *
 * Calls that can't fail for a while are made as they are and not counted: an
 * EPOLL_CTL_DEL, most commands of fcntl(2). close(2) closes, then says EINTR,
 * as Linux does.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <link.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FUNCTIONS(X)                                                           \
	X(accept4)                                                             \
	X(asprintf)                                                            \
	X(bind)                                                                \
	X(calloc)                                                              \
	X(close)                                                               \
	X(connect)                                                             \
	X(dup2)                                                                \
	X(epoll_create1)                                                       \
	X(epoll_ctl)                                                           \
	X(epoll_wait)                                                          \
	X(eventfd)                                                             \
	X(fallocate)                                                           \
	X(fchmodat)                                                            \
	X(fcntl)                                                               \
	X(fdopendir)                                                           \
	X(flock)                                                               \
	X(fork)                                                                \
	X(fstat)                                                               \
	X(fsync)                                                               \
	X(ftruncate)                                                           \
	X(getaddrinfo)                                                         \
	X(getcwd)                                                              \
	X(getifaddrs)                                                          \
	X(getrandom)                                                           \
	X(getsockopt)                                                          \
	X(ioctl)                                                               \
	X(linkat)                                                              \
	X(listen)                                                              \
	X(lstat)                                                               \
	X(malloc)                                                              \
	X(memfd_create)                                                        \
	X(mkdir)                                                               \
	X(mkdirat)                                                             \
	X(mmap)                                                                \
	X(mq_open)                                                             \
	X(mq_receive)                                                          \
	X(mq_send)                                                             \
	X(open)                                                                \
	X(openat)                                                              \
	X(pidfd_open)                                                          \
	X(pidfd_send_signal)                                                   \
	X(pipe2)                                                               \
	X(poll)                                                                \
	X(pread)                                                               \
	X(pthread_create)                                                      \
	X(pwrite)                                                              \
	X(read)                                                                \
	X(realloc)                                                             \
	X(realpath)                                                            \
	X(recv)                                                                \
	X(recvmsg)                                                             \
	X(rename)                                                              \
	X(renameat)                                                            \
	X(send)                                                                \
	X(sendmsg)                                                             \
	X(setsockopt)                                                          \
	X(signalfd)                                                            \
	X(socket)                                                              \
	X(socketpair)                                                          \
	X(stat)                                                                \
	X(strdup)                                                              \
	X(strndup)                                                             \
	X(timerfd_create)                                                      \
	X(timerfd_settime)                                                     \
	X(unlink)                                                              \
	X(unlinkat)                                                            \
	X(vasprintf)                                                           \
	X(waitid)                                                              \
	X(waitpid)                                                             \
	X(write)                                                               \
	X(writev)

#include "preload.h"

#define OBJECTS 3 /* the program, libhandoff, libhandoff-systemd */
#define SITES   4096
#define NAMES   96 /* more than there are functions: see tests/fault/sites.py */
#define KEY(function, object, offset)                                          \
	((uint64_t)((function) + 1) << 56 | (uint64_t)(object) << 48 | (offset))

_Static_assert(COUNT <= NAMES, "a name for each function");

struct failat_file {
	_Atomic uint64_t armed; /* key of a site; 0: none. Set last */
	_Atomic int64_t left;   /* calls until the first that fails */
	_Atomic int32_t times;  /* how many fail */
	_Atomic int32_t error;
	_Atomic uint64_t hits; /* how many have failed */
	char function[NAMES][32];
	char object[OBJECTS][512]; /* their files */
	struct failat_site {
		_Atomic uint64_t key;
		_Atomic uint64_t calls;
	} sites[SITES];
};

static struct failat_file own;
static struct failat_file *at = &own;
static struct object {
	uintptr_t base, start, end;
} objects[OBJECTS];

/* The site's entry, made if there is none; NULL: the table is full. */
static struct failat_site *
site(uint64_t key)
{
	uint64_t hash = key * 0x9e3779b97f4a7c15u >> 32;

	for (unsigned i = 0; i < SITES; i++) {
		struct failat_site *found = &at->sites[(hash + i) % SITES];
		uint64_t seen = 0;

		if (atomic_load(&found->key) == key ||
			atomic_compare_exchange_strong(
				&found->key, &seen, key) ||
			seen == key)
			return found;
	}
	return NULL;
}

static uint64_t
key_of(enum function f, const void *caller)
{
	uintptr_t address = (uintptr_t)caller;

	for (unsigned i = 0; i < OBJECTS; i++)
		if (address >= objects[i].start && address < objects[i].end)
			return KEY(f, i, address - objects[i].base);
	return 0;
}

/* Counts a call; what it is to fail with, or 0. */
static int
failure(enum function f, const void *caller)
{
	uint64_t key = key_of(f, caller);
	struct failat_site *called = key ? site(key) : NULL;
	int64_t left;

	if (!called)
		return 0;
	atomic_fetch_add_explicit(&called->calls, 1, memory_order_relaxed);
	if (atomic_load(&at->armed) != key)
		return 0;
	left = atomic_fetch_sub(&at->left, 1);
	if (left > 1 || left <= 1 - atomic_load(&at->times))
		return 0;
	atomic_fetch_add(&at->hits, 1);
	return errno = atomic_load(&at->error);
}

static int
note_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char *name = strrchr(info->dlpi_name, '/');
	bool *program = arg;
	unsigned i = 0;

	(void)size;
	if (name && strncmp(name, "/libhandoff-systemd.", 20) == 0)
		i = 2;
	else if (name && strncmp(name, "/libhandoff.", 12) == 0)
		i = 1;
	else if (*program)
		return 0;
	*program = true; /* it is the first */
	objects[i].base = info->dlpi_addr;
	objects[i].start = UINTPTR_MAX;
	for (unsigned k = 0; k < info->dlpi_phnum; k++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[k];
		uintptr_t start = info->dlpi_addr + part->p_vaddr;

		if (part->p_type != PT_LOAD)
			continue;
		if (start < objects[i].start)
			objects[i].start = start;
		if (start + part->p_memsz > objects[i].end)
			objects[i].end = start + part->p_memsz;
	}
	snprintf(at->object[i], sizeof(at->object[i]), "%s",
		*info->dlpi_name ? info->dlpi_name : "/proc/self/exe");
	return 0;
}

__attribute__((constructor)) static void
set_up(void)
{
	struct failat_file *shared;
	bool program = false;
	ssize_t len;

	/* Not at a moment when dlsym(3) may not be called: in a child. */
	for (unsigned f = 0; f < COUNT; f++) {
		void *fn;

		real(f, &fn);
	}
	shared = map_shared("HANDOFF_FAILAT_FILE", sizeof(*shared));
	if (shared)
		at = shared;
	for (unsigned f = 0; f < COUNT; f++)
		snprintf(at->function[f], sizeof(at->function[f]), "%s",
			names[f]);
	dl_iterate_phdr(note_object, &program);
	len = readlink(
		"/proc/self/exe", at->object[0], sizeof(at->object[0]) - 1);
	at->object[0][len > 0 ? len : 0] = '\0';
}

#define CALLER __builtin_return_address(0)

#define WRAP(type, name, bad, params, args)                                    \
	type name params                                                       \
	{                                                                      \
		int error = failure(AT_##name, CALLER);                        \
		type(*fn) params;                                              \
                                                                               \
		if (error != 0)                                                \
			return bad;                                            \
		real(AT_##name, &fn);                                          \
		return fn args;                                                \
	}

/* Memory. dlsym(3) itself may allocate when it is asked for these first: a
 * little is there for it, which is never freed. A sanitizer has allocators of
 * its own that must come first. */
#ifndef FAILAT_SANITIZED

static _Thread_local bool resolving;
static _Alignas(16) char spare[8192];
static _Atomic size_t spare_used;

static void *
spare_alloc(size_t size)
{
	size_t from = atomic_fetch_add(&spare_used, (size + 15) / 16 * 16);

	if (from > sizeof(spare) || size > sizeof(spare) - from)
		abort();
	return spare + from;
}

static bool
is_spare(const void *p)
{
	return (const char *)p >= spare &&
	       (const char *)p < spare + sizeof(spare);
}

static void
real_memory(enum function f, void *fn)
{
	resolving = true;
	real(f, fn);
	resolving = false;
}

void *
malloc(size_t size)
{
	void *(*fn)(size_t);

	if (resolving)
		return spare_alloc(size);
	if (failure(AT_malloc, CALLER))
		return NULL;
	real_memory(AT_malloc, &fn);
	return fn(size);
}

void *
calloc(size_t n, size_t size)
{
	void *(*fn)(size_t, size_t);

	if (resolving)
		return spare_alloc(n * size);
	if (failure(AT_calloc, CALLER))
		return NULL;
	real_memory(AT_calloc, &fn);
	return fn(n, size);
}

void *
realloc(void *old, size_t size)
{
	void *(*fn)(void *, size_t);

	if (resolving || is_spare(old))
		abort();
	if (failure(AT_realloc, CALLER))
		return NULL;
	real_memory(AT_realloc, &fn);
	return fn(old, size);
}

void
free(void *p)
{
	static void (*fn)(void *);

	if (is_spare(p))
		return;
	if (!fn) {
		void *address = dlsym(RTLD_NEXT, "free");

		memcpy(&fn, &address, sizeof(address));
	}
	fn(p);
}

#endif

WRAP(char *, strdup, NULL, (const char *s), (s))
WRAP(char *, strndup, NULL, (const char *s, size_t n), (s, n))
WRAP(char *, realpath, NULL, (const char *path, char *out), (path, out))
WRAP(char *, getcwd, NULL, (char *buf, size_t size), (buf, size))
WRAP(DIR *, fdopendir, NULL, (int fd), (fd))

int
vasprintf(char **out, const char *format, va_list args)
{
	int (*fn)(char **, const char *, va_list);

	if (failure(AT_vasprintf, CALLER))
		return -1;
	real(AT_vasprintf, &fn);
	return fn(out, format, args);
}

int
asprintf(char **out, const char *format, ...)
{
	int (*fn)(char **, const char *, va_list);
	va_list args;
	int rc;

	if (failure(AT_asprintf, CALLER))
		return -1;
	real(AT_vasprintf, &fn);
	va_start(args, format);
	rc = fn(out, format, args);
	va_end(args);
	return rc;
}

/* Of any number of arguments. */

#define NEXT(type, last)                                                       \
	__extension__({                                                        \
		va_list args;                                                  \
		type arg;                                                      \
		va_start(args, last);                                          \
		arg = va_arg(args, type);                                      \
		va_end(args);                                                  \
		arg;                                                           \
	})
#define MODE(flags)                                                            \
	((flags) & (O_CREAT | O_TMPFILE) ? NEXT(unsigned, flags) : 0)

int
open(const char *path, int flags, ...)
{
	int (*fn)(const char *, int, ...);

	if (failure(AT_open, CALLER))
		return -1;
	real(AT_open, &fn);
	return fn(path, flags, MODE(flags));
}

int
openat(int dir, const char *path, int flags, ...)
{
	int (*fn)(int, const char *, int, ...);

	if (failure(AT_openat, CALLER))
		return -1;
	real(AT_openat, &fn);
	return fn(dir, path, flags, MODE(flags));
}

mqd_t
mq_open(const char *name, int flags, ...)
{
	mqd_t (*fn)(const char *, int, ...);
	struct mq_attr *attr = NULL;
	mode_t mode = 0;
	va_list args;

	if (failure(AT_mq_open, CALLER))
		return -1;
	if (flags & O_CREAT) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		attr = va_arg(args, struct mq_attr *);
		va_end(args);
	}
	real(AT_mq_open, &fn);
	return fn(name, flags, mode, attr);
}

/* A copy needs a free number, a lock the kernel's memory; the rest nothing. */
static bool
may_fail(int cmd)
{
	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return true;
	default:
		return false;
	}
}

int
fcntl(int fd, int cmd, ...)
{
	int (*fn)(int, int, ...);

	if (may_fail(cmd) && failure(AT_fcntl, CALLER))
		return -1;
	real(AT_fcntl, &fn);
	return fn(fd, cmd, NEXT(void *, cmd));
}

int
ioctl(int fd, unsigned long cmd, ...)
{
	int (*fn)(int, unsigned long, ...);

	if (failure(AT_ioctl, CALLER))
		return -1;
	real(AT_ioctl, &fn);
	return fn(fd, cmd, NEXT(void *, cmd));
}

/* With a rule of their own. */

int
close(int fd)
{
	int (*fn)(int);
	int error = failure(AT_close, CALLER), rc;

	real(AT_close, &fn);
	rc = fn(fd);
	if (error == 0)
		return rc;
	errno = error;
	return -1;
}

int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int (*fn)(int, int, int, struct epoll_event *);

	if (op != EPOLL_CTL_DEL && failure(AT_epoll_ctl, CALLER))
		return -1;
	real(AT_epoll_ctl, &fn);
	return fn(epfd, op, fd, event);
}

WRAP(int, pthread_create, error,
	(pthread_t * thread, const pthread_attr_t *attr, void *(*start)(void *),
		void *arg),
	(thread, attr, start, arg))
WRAP(int, getaddrinfo, error,
	(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **out),
	(host, port, hints, out))
WRAP(void *, mmap, MAP_FAILED,
	(void *addr, size_t len, int prot, int flags, int fd, off_t offset),
	(addr, len, prot, flags, fd, offset))

/* All others. */

WRAP(int, accept4, -1, (int fd, __SOCKADDR_ARG sa, socklen_t *len, int flags),
	(fd, sa, len, flags))
WRAP(int, bind, -1, (int fd, __CONST_SOCKADDR_ARG sa, socklen_t len),
	(fd, sa, len))
WRAP(int, connect, -1, (int fd, __CONST_SOCKADDR_ARG sa, socklen_t len),
	(fd, sa, len))
WRAP(int, dup2, -1, (int from, int to), (from, to))
WRAP(int, epoll_create1, -1, (int flags), (flags))
WRAP(int, epoll_wait, -1,
	(int epfd, struct epoll_event *events, int max, int timeout),
	(epfd, events, max, timeout))
WRAP(int, eventfd, -1, (unsigned value, int flags), (value, flags))
WRAP(int, fallocate, -1, (int fd, int mode, off_t offset, off_t len),
	(fd, mode, offset, len))
WRAP(int, fchmodat, -1, (int dir, const char *path, mode_t mode, int flags),
	(dir, path, mode, flags))
WRAP(int, flock, -1, (int fd, int op), (fd, op))
WRAP(pid_t, fork, -1, (void), ())
WRAP(int, fstat, -1, (int fd, struct stat *st), (fd, st))
WRAP(int, fsync, -1, (int fd), (fd))
WRAP(int, ftruncate, -1, (int fd, off_t len), (fd, len))
WRAP(int, getifaddrs, -1, (struct ifaddrs * *out), (out))
WRAP(ssize_t, getrandom, -1, (void *buf, size_t len, unsigned flags),
	(buf, len, flags))
WRAP(int, getsockopt, -1,
	(int fd, int level, int name, void *value, socklen_t *len),
	(fd, level, name, value, len))
WRAP(int, linkat, -1,
	(int from, const char *old, int to, const char *new, int flags),
	(from, old, to, new, flags))
WRAP(int, listen, -1, (int fd, int backlog), (fd, backlog))
WRAP(int, lstat, -1, (const char *path, struct stat *st), (path, st))
WRAP(int, memfd_create, -1, (const char *name, unsigned flags), (name, flags))
WRAP(int, mkdir, -1, (const char *path, mode_t mode), (path, mode))
WRAP(int, mkdirat, -1, (int dir, const char *path, mode_t mode),
	(dir, path, mode))
WRAP(ssize_t, mq_receive, -1,
	(mqd_t queue, char *buf, size_t len, unsigned *priority),
	(queue, buf, len, priority))
WRAP(int, mq_send, -1,
	(mqd_t queue, const char *buf, size_t len, unsigned priority),
	(queue, buf, len, priority))
WRAP(int, pidfd_open, -1, (pid_t pid, unsigned flags), (pid, flags))
WRAP(int, pidfd_send_signal, -1,
	(int pidfd, int sig, siginfo_t *info, unsigned flags),
	(pidfd, sig, info, flags))
WRAP(int, pipe2, -1, (int fds[2], int flags), (fds, flags))
WRAP(int, poll, -1, (struct pollfd * fds, nfds_t n, int timeout),
	(fds, n, timeout))
WRAP(ssize_t, pread, -1, (int fd, void *buf, size_t len, off_t offset),
	(fd, buf, len, offset))
WRAP(ssize_t, pwrite, -1, (int fd, const void *buf, size_t len, off_t offset),
	(fd, buf, len, offset))
WRAP(ssize_t, read, -1, (int fd, void *buf, size_t len), (fd, buf, len))
WRAP(ssize_t, recv, -1, (int fd, void *buf, size_t len, int flags),
	(fd, buf, len, flags))
WRAP(ssize_t, recvmsg, -1, (int fd, struct msghdr *msg, int flags),
	(fd, msg, flags))
WRAP(int, rename, -1, (const char *old, const char *new), (old, new))
WRAP(int, renameat, -1, (int from, const char *old, int to, const char *new),
	(from, old, to, new))
WRAP(ssize_t, send, -1, (int fd, const void *buf, size_t len, int flags),
	(fd, buf, len, flags))
WRAP(ssize_t, sendmsg, -1, (int fd, const struct msghdr *msg, int flags),
	(fd, msg, flags))
WRAP(int, setsockopt, -1,
	(int fd, int level, int name, const void *value, socklen_t len),
	(fd, level, name, value, len))
WRAP(int, signalfd, -1, (int fd, const sigset_t *mask, int flags),
	(fd, mask, flags))
WRAP(int, socket, -1, (int domain, int type, int protocol),
	(domain, type, protocol))
WRAP(int, socketpair, -1, (int domain, int type, int protocol, int fds[2]),
	(domain, type, protocol, fds))
WRAP(int, stat, -1, (const char *path, struct stat *st), (path, st))
WRAP(int, timerfd_create, -1, (clockid_t clock, int flags), (clock, flags))
WRAP(int, timerfd_settime, -1,
	(int fd, int flags, const struct itimerspec *value,
		struct itimerspec *old),
	(fd, flags, value, old))
WRAP(int, unlink, -1, (const char *path), (path))
WRAP(int, unlinkat, -1, (int dir, const char *path, int flags),
	(dir, path, flags))
WRAP(int, waitid, -1, (idtype_t type, id_t id, siginfo_t *info, int options),
	(type, id, info, options))
WRAP(pid_t, waitpid, -1, (pid_t pid, int *status, int options),
	(pid, status, options))
WRAP(ssize_t, write, -1, (int fd, const void *buf, size_t len), (fd, buf, len))
WRAP(ssize_t, writev, -1, (int fd, const struct iovec *iov, int n),
	(fd, iov, n))
