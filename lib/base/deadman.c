/* SPDX-License-Identifier: MIT */
/*
 * A timer of POSIX whose signal is SIGKILL. It fires by the clock that leases
 * are counted by, and is the process's: any thread may set it, one at a time.
 */
#include "base/deadman.h"

#include <errno.h>
#include <signal.h>

#define NS_PER_S UINT64_C(1000000000)

static int
make_timer(struct handoff__deadman *deadman)
{
	struct sigevent kill = {
		.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};

	if (timer_create(CLOCK_BOOTTIME, &kill, &deadman->timer) < 0)
		return -errno;
	deadman->made = true;
	return 0;
}

int
handoff__deadman_set(struct handoff__deadman *deadman, uint64_t at_ns)
{
	struct itimerspec at = {.it_value.tv_sec = (time_t)(at_ns / NS_PER_S),
		.it_value.tv_nsec = (long)(at_ns % NS_PER_S)};
	int err = 0;

	if (at_ns == deadman->at_ns)
		return 0;
	if (!deadman->made)
		err = make_timer(deadman);
	if (err == 0 &&
		timer_settime(deadman->timer, TIMER_ABSTIME, &at, NULL) < 0)
		err = -errno;
	if (err == 0)
		deadman->at_ns = at_ns;
	return err;
}

void
handoff__deadman_fini(struct handoff__deadman *deadman)
{
	if (deadman->made)
		timer_delete(deadman->timer);
	*deadman = (struct handoff__deadman){.made = false};
}
