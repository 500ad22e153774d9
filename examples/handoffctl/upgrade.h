/* SPDX-License-Identifier: MIT */
/* An upgrade: a new program in place of the one that serves. */
#ifndef HANDOFFCTL_UPGRADE_H
#define HANDOFFCTL_UPGRADE_H

struct upgrade_opts {
	char *const *argv; /* the new program */
	const char *check; /* a command for the shell, or NULL */
	const char *log;   /* where its output goes, or NULL */
	int timeout_ms;    /* until it is ready, and again for the check */
};

#define UPGRADE_MS 60000 /* the default */

/* Starts the program, waits until it is ready, moves everything to it, and ends
 * the one that served; after any failure that serves on. Returns the exit
 * status. */
int run_upgrade(const char *dir, const struct upgrade_opts *opts);

#endif
