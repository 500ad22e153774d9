/* SPDX-License-Identifier: MIT */
/* An operator's command that says whether a new program serves well. */
#ifndef HANDOFFCTL_CHECK_H
#define HANDOFFCTL_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct check {
	pid_t pid;     /* of the process between it and handoffctl */
	char how[120]; /* how it has ended, if that was not with status 0 */
};

/* Runs `command` by the shell, with HANDOFF_DIR in its environment and its
 * output on standard error. It ends with this process. False: there is no
 * process, `how` has the reason.
 */
bool check_start(struct check *check, const char *command, const char *dir);

/* Whether it has ended. */
bool check_ended(struct check *check);

/* Ends it and all that it has started in its session. */
void check_kill(struct check *check);

#endif
