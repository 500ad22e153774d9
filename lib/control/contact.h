/* SPDX-License-Identifier: MIT */
/*
 * A live peer as seen from outside: the holder of its lock, and its answers on
 * its control socket.
 */
#ifndef HANDOFF_CONTROL_CONTACT_H
#define HANDOFF_CONTROL_CONTACT_H

#include "base/dir.h"

#include <stdint.h>

#define HANDOFF__IDLE_MS 100

struct handoff__contact {
	int place;                   /* N of peer.N and control.N */
	char name[HANDOFF_NAME_MAX]; /* "?" if the lock file has none yet */
	long pid;                    /* 0 if the lock file has none yet */
	char service[HANDOFF_NAME_MAX];
	char role[16]; /* empty: no answer yet */
	char *answer;  /* the whole answer; `body` points into it */
	char *body;    /* the rest after the first line; for "error", its
			* sentence */
	/* Called while an answer is waited for, about every HANDOFF__IDLE_MS;
	 * NULL: nothing is. It may query other contacts. */
	void (*idle)(void *arg);
	void *idle_arg;
	int *pidfd; /* where to store a pidfd of the process queried last,
		     * owned by the caller; NULL: nowhere */
};

/* Returns 1 if a live peer holds this place, with its name; 0 if not; or a
 * negative errno if that cannot be determined. */
int handoff__contact_find(struct handoff__contact *contact,
	const struct handoff__dir *dir, int place);

/* The service name that the peers report; NULL if none has answered, or a ferry
 * that does not know it yet ("-"). */
const char *handoff__contacts_service(
	const struct handoff__contact *contacts, size_t count);

/* Returns the value of the next line "KEY VALUE" of a status after `from`
 * (NULL: from the first line), and its length; NULL if there is none. */
const char *handoff__contact_value(const struct handoff__contact *contact,
	const char *key, const char *from, size_t *len);

/* Whether it owns the service of a host that has no lease now, or one that is
 * not valid, by a status that it has given: "candidate" or "frozen"; NULL: it
 * does not, or no lease is needed. */
const char *handoff__contact_idle(const struct handoff__contact *contact);

/* Whether it is a ferry, by a status that it has given. */
bool handoff__contact_is_ferry(const struct handoff__contact *contact);

/* Frees the contact's memory. */
void handoff__contact_free(struct handoff__contact *contact);

/*
 * Sends one request line, with the descriptor `fd` (-1: none; it stays the
 * caller's) attached, and reads the answer. 0 for "ok"; -ECANCELED for "error";
 * -ESRCH the peer is gone; -ETIMEDOUT; -ECONNRESET it closed without an answer;
 * -EPROTO the answer is malformed; -EMSGSIZE it is too long; -EPERM the socket
 * is served by a user other than the directory's owner; and the errors of
 * connect(2).
 */
int handoff__contact_ask(struct handoff__contact *contact,
	const struct handoff__dir *dir, const char *request, int fd,
	int64_t deadline_us);

#endif
