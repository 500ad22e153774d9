/* SPDX-License-Identifier: MIT */
/*
 * awake: keeps the core it is pinned to from falling asleep, at the lowest
 * priority there is (sched(7), SCHED_IDLE), until it is killed. To wake a
 * core of a virtual machine costs the process that does it, or is woken, ten
 * times what an echo costs, and not always the same.
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
