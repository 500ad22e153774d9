/* SPDX-License-Identifier: MIT */
/*
 * A stack of duplicates of one descriptor.
 */
#include "base/reserve.h"

#include "base/high.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static bool
grow_reserve(struct handoff__reserve *reserve, uint32_t want)
{
	int *fds;

	if (want <= reserve->room)
		return true;
	fds = realloc(reserve->fds, 2 * (size_t)want * sizeof(*fds));
	if (!fds)
		return false;
	reserve->fds = fds;
	reserve->room = 2 * want;
	return true;
}

bool
handoff__reserve_fill(struct handoff__reserve *reserve, uint32_t want)
{
	if (reserve->count > want)
		handoff__reserve_release(reserve, reserve->count - want);
	if (!grow_reserve(reserve, want))
		return false;
	while (reserve->count < want) {
		int fd = reserve->count > 0
				 ? handoff__high_dup(reserve->fds[0])
				 : handoff__high_raise(eventfd(0, EFD_CLOEXEC));

		if (fd < 0)
			return false;
		reserve->fds[reserve->count++] = fd;
	}
	return true;
}

uint32_t
handoff__reserve_release(struct handoff__reserve *reserve, uint32_t n)
{
	uint32_t released = 0;

	for (; released < n && reserve->count > 0; released++)
		close(reserve->fds[--reserve->count]);
	return released;
}

void
handoff__reserve_fini(struct handoff__reserve *reserve)
{
	handoff__reserve_release(reserve, reserve->count);
	free(reserve->fds);
	memset(reserve, 0, sizeof(*reserve));
}
