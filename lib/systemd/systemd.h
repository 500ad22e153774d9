/* SPDX-License-Identifier: MIT */
/*
 * The systemd component from the inside: it knows the server only by its public
 * calls.
 *
 * Each file calls only those below it:
 *
 *   systemd.c  the handle, the descriptors passed, the timer's work
 *   notify.c   notifies systemd of the server's events
 *   timer.c    the timer
 *   unit.c     whether the other peer belongs to the same unit
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
	bool adopted; /* the server owns them */
	bool stored;  /* the descriptor store holds some of ours */

	bool enabled;                        /* NOTIFY_SOCKET is set */
	bool failing;                        /* the last notification failed */
	bool ready;                          /* READY=1 was sent */
	enum handoff_server_event_type role; /* OWNER, STANDBY, WAITING or 0 */
	bool shared; /* the other peer is in this unit */
	bool handed; /* it owns the service now, MAINPID not sent yet */
	char status[HANDOFF_TEXT_MAX];

	int timer_fd;
	uint64_t watchdog_us;              /* interval; 0: disabled */
	uint64_t watchdog_due, extend_due; /* 0: not due */
};

/* timer.c */
uint64_t handoff__systemd_now(void);
/* Arms the timer for the earlier of the two. */
void handoff__systemd_arm(struct handoff_systemd *sd);

/* notify.c */
void handoff__systemd_watchdog(struct handoff_systemd *sd);
void handoff__systemd_extend(struct handoff_systemd *sd);

/* unit.c */
/* False if that cannot be determined. */
bool handoff__systemd_same_unit(pid_t other);

#endif
