/* SPDX-License-Identifier: MIT */
/*
 * A session with an ensemble, behind one descriptor that stays the same while
 * sockets come and go. Knows nothing of nodes.
 *
 * What the client waits for in vain is cut off by the session after a sixth of
 * its timeout, so that another server is tried while the session lives.
 *
 * A server refuses a client that has seen later changes than it has itself. So
 * when the session must have ended for want of contact, it is asked for with a
 * new handle, which has seen none: a server that has lost its data then says
 * EXPIRED, and one that has the session yet goes on with it.
 */
#ifndef HANDOFF_ZOOKEEPER_SESSION_H
#define HANDOFF_ZOOKEEPER_SESSION_H

#include "base/text.h"

#include <sys/types.h>
#include <zookeeper/zookeeper.h>

/* Told from within handoff__zk_pump. */
enum handoff__zk_change {
	HANDOFF__ZK_CONNECTED,
	HANDOFF__ZK_SUSPENDED,
	HANDOFF__ZK_EXPIRED, /* a new session is begun */
};

struct handoff__zk_session {
	/* set by the owner, before open */
	void (*changed)(void *owner, enum handoff__zk_change change);
	void *owner;
	const char *hosts;   /* numeric; must stay */
	const char *auth;    /* NAME:PASSWORD or ""; must stay */
	uint32_t timeout_ms; /* to ask for */

	zhandle_t *zh; /* for requests while connected */
	bool connected;
	bool woken; /* by the owner: the descriptor is readable until it is not
		     */

	/* its own */
	pid_t pid; /* of the process that has opened it */
	int epfd, timer;
	int sock;    /* a duplicate of the client's; -1: none */
	int client;  /* the client's descriptor of it */
	ino_t inode; /* of that socket */
	bool moved;  /* the client may have another one by now */
	int interest;
	int64_t armed_ms;      /* when the timer fires; 0: it is not armed */
	bool lost;             /* the session: another handle is needed */
	clientid_t id;         /* the session that a handle goes on with */
	int64_t life_ms;       /* the timeout that was granted, or is asked */
	int64_t contact_ms;    /* CLOCK_BOOTTIME: the end of the connection, or
				* the last new handle; while not connected */
	unsigned asked;        /* requests without an answer */
	int64_t since_ms;      /* the oldest of them, or to connect, is awaited;
				* 0: nothing is */
	int64_t not_before_ms; /* it connects again */
	bool closing;
};

/* Begins to connect; with `saved` to a session that exists. */
int handoff__zk_open(struct handoff__zk_session *s, const clientid_t *saved,
	struct handoff__error *error);

/* Does what is due, and takes a message if there is one. Never called by what
 * it calls; handoff__zk_arm is called after it. */
void handoff__zk_pump(struct handoff__zk_session *s);

/* Around each request: `rc` is what the client said of making it, and the
 * answer's handler calls the second one. 0 or a negative errno. */
int handoff__zk_asked(struct handoff__zk_session *s, int rc);
void handoff__zk_answered(struct handoff__zk_session *s);

/* After all else that is done with the session: has the descriptor readable
 * when there is something to do, or at once if it was `woken`. */
void handoff__zk_arm(struct handoff__zk_session *s);

/* The server that it is connected to, or tries. */
const char *handoff__zk_server(const struct handoff__zk_session *s);

/* Ends the session (`end`), or only lets go of it. In a child of the process
 * that has opened it nothing is sent. */
void handoff__zk_close(struct handoff__zk_session *s, bool end);

/* CLOCK_MONOTONIC */
int64_t handoff__zk_now_ms(void);

#endif
