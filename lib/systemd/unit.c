/* SPDX-License-Identifier: MIT */
/*
 * Determines the unit of a process. Two peers may be two units, or one during a
 * hot upgrade. A unit's main process must be its own, or stopping one unit
 * would kill the other's process.
 */
#include "systemd/systemd.h"

#include <stdlib.h>
#include <string.h>
#include <systemd/sd-login.h>

/* All services of a user are in one system unit, so the user unit comes first.
 * Outside of units, as in a container, the control group will do. */
static char *
place_of(pid_t pid)
{
	char *name;

	if (sd_pid_get_user_unit(pid, &name) >= 0 ||
		sd_pid_get_unit(pid, &name) >= 0 ||
		sd_pid_get_cgroup(pid, &name) >= 0)
		return name;
	return NULL;
}

bool
handoff__systemd_same_unit(pid_t other)
{
	char *mine = place_of(0), *theirs = place_of(other);
	bool same = mine && theirs && strcmp(mine, theirs) == 0;

	free(mine);
	free(theirs);
	return same;
}
