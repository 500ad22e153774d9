/* SPDX-License-Identifier: MIT */
/* An upgrade within a unit of systemd. */
#ifndef HANDOFFCTL_UNIT_H
#define HANDOFFCTL_UNIT_H

#include <sys/types.h>

/* systemd gives the time of its watchdog to the main process alone: passes it
 * on to what this process starts, by the environment. Nothing without
 * systemd. */
void unit_watchdog(pid_t main_pid);

#endif
