/* SPDX-License-Identifier: MIT */
/*
 * Starts the command and notes its end. How long that may take is its caller's
 * matter.
 */
#include "check.h"

#include "child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

bool
check_start(struct check *check, const char *command, const char *dir)
{
	char *text = strdup(command);
	char *const argv[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, text, NULL};
	int err;

	memset(check, 0, sizeof(*check));
	setenv("HANDOFF_DIR", dir, 1);
	check->pid = text ? fork() : -1;
	err = errno;
	if (check->pid == 0)
		child_exec(argv, STDERR_FILENO, -1);
	free(text);
	if (check->pid < 0)
		snprintf(check->how, sizeof(check->how),
			"could not be started: %s", strerror(err));
	return check->pid > 0;
}

bool
check_ended(struct check *check)
{
	int status;

	if (check->pid <= 0)
		return true;
	if (waitpid(check->pid, &status, WNOHANG) == 0)
		return false;
	check->pid = 0;
	if (WIFSIGNALED(status))
		snprintf(check->how, sizeof(check->how),
			"was killed by signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		snprintf(check->how, sizeof(check->how),
			"ended with exit status %d", WEXITSTATUS(status));
	return true;
}

void
check_kill(struct check *check)
{
	if (check->pid <= 0)
		return;
	/* it may not have called setsid(2) yet, and then is alone */
	if (kill(-check->pid, SIGKILL) < 0)
		kill(check->pid, SIGKILL);
	waitpid(check->pid, NULL, 0);
	check->pid = 0;
}
