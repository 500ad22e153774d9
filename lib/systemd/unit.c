/* SPDX-License-Identifier: MIT */
/*
 * Which unit a process is of. Two peers may be two units, or one for as long
 * as a hot upgrade lasts: the main process of a unit must be its own, or a
 * stop of the one would kill the other.
 */
#include "systemd/systemd.h"

#include <stdlib.h>
#include <string.h>
#include <systemd/sd-login.h>

/* All services of a user are in one unit of the system: the inner one counts.
 * Outside of units, a container say, a control group is as good. */
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
