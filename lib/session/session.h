/* SPDX-License-Identifier: MIT */
/*
 * Sessions on the server, for the layers above. The wrapping service is a
 * service like any other: bytes, state, transactions. What it cannot do is to
 * reach another record: a client that wants to resume leaves its wish in the
 * state of its new connection, with the flag RESUMING, and the loop of the
 * server finds the session's record and calls the functions below.
 *
 * The files of this folder, each of which calls those below it only:
 *   service.c  the hooks of the wrapping service; how it is made
 *   greet.c    the first bytes, and a client without a session
 *   serve.c    a session in course: a transaction of it
 *   session.c  for the loop of the server: resume, refuse, absent
 *   state.c    the layout of a session's state in its record
 *   guesses.c  wrong tokens, counted by address
 *   flow.c     positions, what is sent and kept: both ends, no memory
 *   frame.c    frames as bytes
 *
 * Part of a transaction means: between handoff__txn_begin and _commit of the
 * caller, without a handler.
 */
#ifndef HANDOFF_SESSION_SESSION_H
#define HANDOFF_SESSION_SESSION_H

#include "record/record.h"
#include "session/frame.h"

#include <handoff/session.h>

/* What the client of a connection with the flag RESUMING has asked for. */
struct handoff__session_wish {
	uint64_t number;         /* of the session: extra.session */
	uint64_t received, sent; /* the client's positions */
	uint32_t ack;
	unsigned char token[HANDOFF__FRAME_TOKEN];
};

/* The address for sessions, as it was resolved; it must outlive the server. */
void handoff__session_listen(
	struct handoff_session *session, const char *listen);

/* The limits of a session service, also when its handlers are guarded by a
 * lease; false: the service has no sessions. */
struct handoff__session_limits {
	uint32_t timeout_ms, max_absent;
};
bool handoff__session_limits(const struct handoff_service *service,
	struct handoff__session_limits *limits);

/* The wish of a connection, from its valid state; false if it has none. */
bool handoff__session_wish(
	const struct handoff__view *view, struct handoff__session_wish *wish);

/* Whether the session in `from` may be resumed with that: 0; -ENOENT: it is
 * another one, has ended or the token is wrong (compared in constant time);
 * -ERANGE: the positions cannot be. Changes nothing. */
int handoff__session_check(const struct handoff__view *from,
	const struct handoff__session_wish *wish);

/*
 * Part of a transaction of `to`, which had the wish, after a successful check:
 * gives it the valid state of `from`, its length too, and WELCOME with all that
 * the client has not received as output. Sets SESSION and OPENED and clears
 * RESUMING in its flags, and sets extra.session; positions of posts, deadline,
 * tag and label are the caller's. 0; -ENOBUFS: the output has no room yet, or
 * the state is longer than `to` can have (another geometry), -EBADMSG: the
 * state is damaged; then the transaction is to be dropped.
 */
int handoff__session_resume(struct handoff_conn *to,
	const struct handoff__view *from,
	const struct handoff__session_wish *wish);

/* Part of a transaction of `to`, which had the wish: answers REFUSED, and
 * clears RESUMING; the client may ask for something else on the same
 * connection, for which it has some time. -ENOBUFS: no room for the answer. */
int handoff__session_refuse(struct handoff_conn *to, enum handoff__refusal why);

/* Part of a transaction of a session whose socket has ended: drops raw input
 * and raw output that is not sent, of which everything that counts is kept, and
 * the beginning of a frame. Sets GONE; extra.absent_ms is the caller's. */
void handoff__session_absent(struct handoff_conn *conn);

/* Part of a transaction that ends the connection because its client does not
 * keep to the protocol: notes that as the reason of the end, and the sentence
 * as the connection's label, for people and the log. */
void handoff__session_blame(struct handoff_conn *conn, const char *why);

/* A transaction of its own, after one that has failed for good: ends the
 * session with ABORT, or its client would come back and send the same again.
 * False: its state is damaged. */
bool handoff__session_failed(struct handoff_conn *conn);

/* Wrong tokens, by the client's address (of IPv6: by its /64). Each peer counts
 * for itself, in its memory, in the loop of the server: one thread at a time.
 * `admit` is asked before a session is looked for: false: refuse with LIMIT;
 * `guessed` counts a wrong token for a session that is there. Unix sockets are
 * not counted. */
bool handoff__session_admit(const struct handoff_service *service,
	const struct handoff__view *view);
void handoff__session_guessed(const struct handoff_service *service,
	const struct handoff__view *view);

#endif
