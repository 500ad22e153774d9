/* SPDX-License-Identifier: MIT */
/*
 * The systemd component from the inside: it knows the server by its public
 * calls alone.
 *
 * Each file calls only those below it:
 *
 *   systemd.c  the handle, what systemd passed, what is due by the timer
 *   tell.c     what it is told, and when
 *   timer.c    the timer
 *   unit.c     whether the other peer is of the same unit
 */
#ifndef HANDOFF_SYSTEMD_SYSTEMD_H
#define HANDOFF_SYSTEMD_SYSTEMD_H

#include "base/text.h"

#include <handoff/systemd.h>

#include <sys/types.h>

#define HANDOFF__PASSED_MAX 64

struct handoff_systemd {
	struct handoff_systemd_opts opts;
	char fdname[256], store[HANDOFF_NAME_MAX];
	struct handoff__log log;
	struct handoff__error error;
	struct handoff_server *server;

	struct handoff_listen_fd passed[HANDOFF__PASSED_MAX];
	uint64_t cookies[HANDOFF__PASSED_MAX]; /* of the same sockets */
	size_t npassed;
	bool adopted; /* they are the server's */
	bool stored;  /* the store has some of ours */

	bool enabled; /* there is somebody to tell */
	bool unheard; /* the last message did not get there */
	bool ready;   /* was told */
	enum handoff_server_event_type role; /* OWNER, STANDBY, WAITING or 0 */
	bool shared; /* the other peer is of this unit */
	bool handed; /* it serves now, and nobody was told */
	char status[HANDOFF_TEXT_MAX];

	int timer_fd;
	uint64_t watchdog_us;              /* between two; 0: none is wanted */
	uint64_t watchdog_due, extend_due; /* 0: not */
};

/* timer.c */
uint64_t handoff__systemd_now(void);
/* For what is due first. */
void handoff__systemd_arm(struct handoff_systemd *sd);

/* tell.c */
void handoff__systemd_watchdog(struct handoff_systemd *sd);
void handoff__systemd_extend(struct handoff_systemd *sd);

/* unit.c */
/* If it can't be known, it is not. */
bool handoff__systemd_same_unit(pid_t other);

#endif
