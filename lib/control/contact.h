/* SPDX-License-Identifier: MIT */
/*
 * A live peer as it is seen from outside: the holder of its lock, and what it
 * answers on its control socket.
 */
#ifndef HANDOFF_CONTROL_CONTACT_H
#define HANDOFF_CONTROL_CONTACT_H

#include "base/dir.h"

#include <stdint.h>

struct handoff__contact {
	int place;                   /* N of peer.N and control.N */
	char name[HANDOFF_NAME_MAX]; /* "?" while the lock file says none */
	long pid;                    /* 0 likewise */
	char service[HANDOFF_NAME_MAX];
	char role[16]; /* empty: it has not answered */
	char *answer;  /* all of it; `body` points into it */
	char *body;    /* what follows the first line, or its sentence if that
			  was an "error" */
	int *pidfd;    /* where to put that of the process that was last asked,
			  for the caller to close; NULL: nowhere */
};

/* Is there a live peer in this place? 1, and what it says it is called; 0; or a
 * negative errno if that can't be told. */
int handoff__contact_find(struct handoff__contact *contact,
	const struct handoff__dir *dir, int place);

/* Frees what the contact holds. */
void handoff__contact_free(struct handoff__contact *contact);

/*
 * Sends one request line, with the descriptor `fd` (-1: none; the caller's)
 * beside it, and takes the answer. 0 for "ok"; -ECANCELED for
 * "error"; -ESRCH the peer is gone; -ETIMEDOUT; -ECONNRESET it closed without
 * an answer; -EPROTO the answer is not understood; -EMSGSIZE it is too long;
 * -EPERM the socket belongs to a user other than the directory; and errors of
 * connect(2).
 */
int handoff__contact_ask(struct handoff__contact *contact,
	const struct handoff__dir *dir, const char *request, int fd,
	int64_t deadline_us);

#endif
