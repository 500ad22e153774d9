/* SPDX-License-Identifier: MIT */
/*
 * awake: keeps the core it is pinned to from falling asleep, at the lowest
 * priority there is (sched(7), SCHED_IDLE), until it is killed. Waking a core
 * of a virtual machine costs the waking or the woken process ten times as much
 * as an echo, and varies.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

int
main(void)
{
	struct sched_param none = {0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sched_setscheduler(0, SCHED_IDLE, &none) < 0) {
		perror("awake: sched_setscheduler");
		return 1;
	}
	for (;;)
		;
}
