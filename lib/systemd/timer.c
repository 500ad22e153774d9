/* SPDX-License-Identifier: MIT */
/*
 * The component's only timer, for two deadlines. Does not know their meaning:
 * systemd.c checks what is due when it fires.
 */
#include "systemd/systemd.h"

#include <sys/timerfd.h>
#include <time.h>

uint64_t
handoff__systemd_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void
handoff__systemd_arm(struct handoff_systemd *sd)
{
	uint64_t due = sd->watchdog_due;
	struct itimerspec its = {0};

	if (sd->extend_due > 0 && (due == 0 || sd->extend_due < due))
		due = sd->extend_due;
	its.it_value.tv_sec = (time_t)(due / 1000000);
	its.it_value.tv_nsec = (long)(due % 1000000) * 1000;
	timerfd_settime(sd->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
}
