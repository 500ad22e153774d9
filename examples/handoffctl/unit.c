/* SPDX-License-Identifier: MIT */
/*
 * What the program that an ExecReload= starts does not get from systemd.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "WATCHDOG_USEC="

void
unit_watchdog(pid_t main_pid)
{
	char path[40], *entry = NULL;
	size_t size = 0;
	FILE *file;

	if (!getenv("NOTIFY_SOCKET") || getenv("WATCHDOG_USEC"))
		return;
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)main_pid);
	file = fopen(path, "re");
	while (file && getdelim(&entry, &size, '\0', file) > 0) {
		if (strncmp(entry, NAME, strlen(NAME)) == 0)
			setenv("WATCHDOG_USEC", entry + strlen(NAME), 1);
	}
	free(entry);
	if (file)
		fclose(file);
}
