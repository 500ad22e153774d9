/* SPDX-License-Identifier: MIT */
/*
 * Moves descriptors with F_DUPFD. Caches nothing: the limit may change while
 * the process runs (prlimit(2)).
 */
#include "base/high.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

#define FITS_MOST 64
/* poll(2) on so many numbers takes 11 us, and 52 us if all are open: once for
 * each batch of copies that a standby gets. */
#define EXACT_MOST 1024

/* clamped, since descriptors are ints */
static int
soft_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
		return INT_MAX;
	return (int)limit.rlim_cur;
}

static int
floor_of(int limit)
{
	return limit / 2 < FD_SETSIZE ? limit / 2 : FD_SETSIZE;
}

int
handoff__high_floor(void)
{
	return floor_of(soft_limit());
}

/* ThreadSanitizer tracks dup3 but not F_DUPFD_CLOEXEC. */
static int
dup_from(int fd, int from)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, from);

#ifdef __SANITIZE_THREAD__
	if (copy >= 0)
		dup3(fd, copy, O_CLOEXEC);
#endif
	return copy;
}

int
handoff__high_raise(int fd)
{
	int err = errno, lowest, high;

	if (fd < 0)
		return fd;
	lowest = handoff__high_floor();
	if (fd >= lowest)
		return fd;
	high = dup_from(fd, lowest);
	if (high >= 0)
		close(fd);
	errno = err;
	return high >= 0 ? high : fd;
}

int
handoff__high_dup(int fd)
{
	int high = dup_from(fd, handoff__high_floor());

	return high >= 0 ? high : dup_from(fd, 3);
}

/* The lowest free number from `from` on; -1: none. */
static int
lowest_free(int fd, int from)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, from);

	if (copy >= 0)
		close(copy);
	return copy;
}

/* The numbers below a small limit that are free; -1 if that is not known. */
static int
count_free(int limit)
{
	struct pollfd set[EXACT_MOST];
	int count = 0;

	if (limit > EXACT_MOST)
		return -1;
	for (int i = 0; i < limit; i++)
		set[i] = (struct pollfd){.fd = i};
	if (poll(set, (nfds_t)limit, 0) < 0)
		return -1;
	for (int i = 0; i < limit; i++)
		count += (set[i].revents & POLLNVAL) != 0;
	return count;
}

size_t
handoff__high_room(int fd)
{
	int limit = soft_limit(), boundary = floor_of(limit);
	int low, high, exact = count_free(limit);
	size_t room = 0;

	if (exact >= 0)
		return (size_t)exact;
	low = lowest_free(fd, 0);
	high = lowest_free(fd, boundary);
	if (low >= 0 && low < boundary)
		room += (size_t)(boundary - low);
	if (high >= 0 && high < limit)
		room += (size_t)(limit - high);
	return room;
}

bool
handoff__high_fits(int fd, size_t n)
{
	int copies[FITS_MOST];
	size_t got = 0;

	while (got < n && got < FITS_MOST &&
		(copies[got] = handoff__high_dup(fd)) >= 0)
		got++;
	for (size_t i = 0; i < got; i++)
		close(copies[i]);
	return got == n;
}
