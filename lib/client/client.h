/* SPDX-License-Identifier: MIT */
/*
 * The inside of a client handle, shared by the files that drive it. Each calls
 * only those below it:
 *
 *   client.c   the public calls
 *   arguments.c
 *              options on a command line
 *   course.c   reacts to events of connections, attempts and timers
 *   session.c  reads the connection of a session, and ends the session
 *   homing.c   notices, and moving to another connection without a gap
 *   shake.c    the handshake of a layer on a new connection
 *   trial.c    asks for the session on a new connection
 *   ending.c   the connection is lost, or the client is done
 *   terms.c    whether a notice is of a later term than the connection
 *   attempt.c  connection attempts and retries
 *   sending.c  writes the outbox to the connection that may send
 *   inside.c   what a session carries: messages, or a layer's cipher text
 *
 * Below them are parts that do not know the client: talk.c, sealed.c, stream.c,
 * layer.c, dial.c, outbox.c, events.c, backoff.c, resolve.c.
 */
#ifndef HANDOFF_CLIENT_CLIENT_H
#define HANDOFF_CLIENT_CLIENT_H

#include "base/loop.h"
#include "base/text.h"
#include "client/backoff.h"
#include "client/dial.h"
#include "client/events.h"
#include "client/outbox.h"
#include "client/sealed.h"
#include "client/stream.h"
#include "client/talk.h"

#define HANDOFF__ENDPOINTS_MAX  16
#define HANDOFF__RECEIVE_BUFFER 65536

struct handoff__endpoint {
	char text[HANDOFF_ADDRESS_MAX];
	struct handoff__addr addr;
};

/* The attempt in progress beside the current connection: to get a connection,
 * if there is none; if there is one, to return to the home endpoint, or to
 * leave it for another one (`leaving`). REST with a connection is the normal
 * state. */
enum handoff__step {
	HANDOFF__STEP_REST,
	HANDOFF__STEP_WAIT, /* for the timer, or for the old connection's end */
	HANDOFF__STEP_DIAL,
	HANDOFF__STEP_END, /* CLOSED: final */
};

/* The answer to the request for a session, as far as it has come; or the
 * handshake of a layer. */
struct handoff__trial {
	unsigned char in[HANDOFF__FRAME_MAX];
	size_t len;
	struct handoff__timer timer;
	char address[HANDOFF_ADDRESS_MAX]; /* of the new connection */
};

struct handoff_client {
	struct handoff__loop loop;
	struct handoff__log log;
	struct handoff__error error;
	struct handoff__endpoint endpoints[HANDOFF__ENDPOINTS_MAX];
	size_t nendpoints;
	uint32_t drain_timeout_ms;
	uint64_t seed;

	enum handoff__step step;
	size_t next; /* the endpoint being dialled, or the next to dial */
	bool leaving;
	int64_t leave_us; /* since when */
	struct handoff__dial dial;
	struct handoff__timer timer;
	struct handoff__backoff backoff, home_backoff;

	/* After a move, `old` is open until it has been read to its end; `now`
	 * is read only after that. With sessions `old` is the new connection on
	 * which the session was asked for, until the answer has come; `now` is
	 * neither read nor written meanwhile. While `shaking` is set, `old` is
	 * the new connection, whose layer is not open yet; `now` goes on. */
	struct handoff__stream conns[2], *now, *old;
	struct handoff__timer drain_timer;

	struct handoff_client_layer layer; /* without `begin`: there is none */
	bool shaking;

	struct handoff__talk talk; /* the session */

	/* Its layer. While `owed` is set, CONNECTED or NEW has not been told,
	 * since the handshake in the session is not done. What has come with
	 * the last read is told when all of it was read. */
	struct handoff__sealed sealed;
	enum handoff_client_event_type owed;
	struct handoff__timer layer_timer, memory_timer;
	enum handoff__talk_news news;
	const char *news_why;
	struct handoff__trial trial;

	/* While `old_first` is set, the first `boundary` unsent bytes and then
	 * the half-close belong to `old`; `now` sends after that. */
	struct handoff__outbox outbox;
	bool old_first;
	size_t boundary;
	bool shut; /* the user has ended the sending direction */

	uint32_t heard; /* the latest term of a lease; 0: of none */
	uint32_t term;  /* that was the latest when `now` was made */
	bool old_ended; /* `old` is of a term that has ended */

	struct handoff_subscriber *sub;
	char sub_lacks[HANDOFF_TEXT_MAX]; /* its errmsg, as it was logged */
	struct handoff__watch sub_watch;
	struct handoff__timer sub_timer; /* checks the registration */

	/* always readable; watched only while events are queued */
	int signal_fd;
	struct handoff__watch signal;
	struct handoff__events events;
	struct handoff_client_event event; /* that the user looks at */
	unsigned char buffer[HANDOFF__RECEIVE_BUFFER];
};

/* attempt.c */
/* The endpoint after that one, but not the one that is connected to. */
size_t handoff__client_other(const struct handoff_client *client, size_t after);
void handoff__client_attempt(struct handoff_client *client);
/* Arms the timer with the delay of `backoff`, which it returns; the timer dials
 * `client->next`. */
uint32_t handoff__client_attempt_later(
	struct handoff_client *client, struct handoff__backoff *backoff);
void handoff__client_attempt_failed(
	struct handoff_client *client, int err, const char *why);

/* terms.c */
/* A message of this generation has come, delivered or not. */
void handoff__client_heard(struct handoff_client *client, uint64_t generation);
/* Whether a later term than any before has begun. */
bool handoff__client_begins_term(const struct handoff_client *client,
	const struct handoff_notice *notice);
/* Whether the term in which the current connection was made has ended. */
bool handoff__client_outlived(
	struct handoff_client *client, const struct handoff_notice *notice);
/* Whether the server's host has acknowledged something since the client wants
 * to leave: then its term is the present one. */
bool handoff__client_answers(const struct handoff_client *client);

/* inside.c */
bool handoff__client_has_layer(const struct handoff_client *client);
/* The outbox of what the session carries. */
struct handoff__outbox *handoff__client_carried(struct handoff_client *client);
/* More of it was acknowledged or sent, or it is sent again. */
void handoff__client_follow(struct handoff_client *client);
/* Seals what is to be sent. True if all that the session will carry is there,
 * so that its end may follow. */
bool handoff__client_fill(struct handoff_client *client);
/* Like handoff__talk_close. */
void handoff__client_close_session(struct handoff_client *client, bool told);

/* sending.c */
void handoff__client_flush(struct handoff_client *client);

/* ending.c */
void handoff__client_lost_event(struct handoff_client *client, int err,
	const char *why, const struct handoff__fate *fate);
/* The connection is gone: the next attempt follows. `fate` is NULL unless the
 * session has ended with it. */
void handoff__client_lost(struct handoff_client *client, int err,
	const char *why, const struct handoff__fate *fate);
/* Both directions have ended: the client is done. */
void handoff__client_closed(struct handoff_client *client);

/* trial.c */
void handoff__client_trial_init(struct handoff_client *client);
/* Asks for the session on a new connection; takes the socket. */
void handoff__client_try(
	struct handoff_client *client, int fd, const char *address);
/* The handshake in the session is done: tells what is owed. */
void handoff__client_tell(struct handoff_client *client);
/* Whether an answer is due, or the end of a handshake. */
bool handoff__client_is_trying(const struct handoff_client *client);
/* Something has come on that connection. */
void handoff__client_trial_event(struct handoff_client *client);
/* Closes it; what there was before goes on. */
void handoff__client_trial_cancel(struct handoff_client *client);

/* shake.c */
/* The handshake of the new connection, which is `old`, begins, and goes on when
 * something has come. True when it is done. */
bool handoff__client_begin_shake(struct handoff_client *client);
bool handoff__client_shake(struct handoff_client *client);

/* session.c */
void handoff__client_session_init(struct handoff_client *client);
/* Like handoff__client_read, with a session. */
const char *handoff__client_hear(struct handoff_client *client, size_t *len);
/* Something of the session's layer waits to be read. */
bool handoff__client_session_holds(const struct handoff_client *client);
/* Everything is written, perhaps the last that there was to write. */
void handoff__client_settle(struct handoff_client *client);
/* The program closes the handle: the session ends with what was sent. */
void handoff__client_let_go(struct handoff_client *client);

/* homing.c */
void handoff__client_homing_init(struct handoff_client *client);
void handoff__client_notice(
	struct handoff_client *client, const struct handoff_notice *notice);
/* Keeps the current connection. True if a move was planned. */
bool handoff__client_stay(struct handoff_client *client);
/* Makes the new connection, which is `old`, the current one, and starts
 * draining the previous one. */
void handoff__client_switch(struct handoff_client *client);
/* The old connection has ended: `err` is 0 or a negative errno. */
void handoff__client_drained(struct handoff_client *client, int err);

/* course.c */
void handoff__client_course_init(struct handoff_client *client);
/* Something of a layer waits to be read. */
bool handoff__client_holds(const struct handoff_client *client);
/* Reads the connection that is due. Returns the endpoint that the data in
 * `buffer` came from, or NULL if there is none. */
const char *handoff__client_read(struct handoff_client *client, size_t *len);
void handoff__client_conn_event(struct handoff__watch *watch, uint32_t events);

#endif
