/* SPDX-License-Identifier: MIT */
/*
 * A service manager for tests: a notify socket, and the environment and
 * descriptors that it passes to a process.
 */
#ifndef TESTS_SYSTEMD_MANAGER_H
#define TESTS_SYSTEMD_MANAGER_H

#include "server/duo.h"

#include <handoff/systemd.h>

#define MESSAGE_MAX 1024
#define PASS_MAX    4
#define PASS_START  3 /* sd_listen_fds(3) */

struct manager {
	int fd;
	char path[HANDOFF_TEXT_MAX]; /* of its socket */
	char text[MESSAGE_MAX];      /* of the last message */
	int fds[PASS_MAX];           /* that came with it */
	int nfds;
	int saved[PASS_MAX]; /* what was in place of what is passed */
	int npassed;
};

/* The environment of a process that no manager has started. */
void manager_none(void);

void manager_open(struct manager *manager, const char *dir, const char *name);
void manager_close(struct manager *manager);

/* What this process says goes to that manager now. */
void manager_hears(const struct manager *manager);

/* Takes the next message if there is one; closes what came with the last. */
bool manager_next(struct manager *manager);

/* The next message is there and is this one. */
void manager_expect(struct manager *manager, const char *text);

/* There is none. */
void manager_silence(struct manager *manager);

/* Puts the sockets where a process that is started finds them, with these
 * names; takes them. Undone by manager_unpass. */
void manager_pass(
	struct manager *manager, int n, const int *fds, const char *names);
void manager_unpass(struct manager *manager);

/* Which unit processes are of: this one, and all others. */
extern const char *manager_unit, *manager_other_unit;
/* By which of the three ways it is known: 0 user unit, 1 unit, 2 group. */
extern int manager_unit_way;

#endif
