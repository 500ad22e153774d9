/* SPDX-License-Identifier: MIT */
/*
 * Shared by the tests of sessions: one connection at a time of a service with
 * sessions, without a server, and its client, which speaks frames with the
 * state machine of the library. The test plays the loop: it cuts the
 * connection, and resumes the session on another record.
 */
#ifndef TESTS_SESSION_USER_H
#define TESTS_SESSION_USER_H

#include "server/solo.h"

#include "session/flow.h"
#include "session/session.h"
#include "session/state.h"

#define STREAM_MOST (1u << 20)

struct user {
	struct fixture f;
	struct handoff_service inner;
	struct handoff_session session;
	struct handoff_session_opts opts;
	/* the client's side */
	struct handoff__flow flow;
	struct handoff__flow_limits limits;
	uint64_t number;
	unsigned char token[HANDOFF__FRAME_TOKEN];
	unsigned char raw[65536]; /* what has come of frames */
	size_t raw_len;
	unsigned char *got; /* the server's stream */
	size_t got_len;
	unsigned char *said; /* the client's own, as far as it goes */
	size_t said_len;
	bool ended, aborted, closed;
	unsigned refused; /* reason of the last REFUSED */
	unsigned welcomes, acks;
};

/* A service with that handler, 32 bytes of state, and the user as its
 * argument; the test may change `inner` and `opts` before the next call. */
void user_init(struct user *u, handoff_handle_fn *handle);
void user_open(struct user *u);
void user_close(struct user *u);

/* The client's bytes as they are. */
void user_sends(struct user *u, const void *bytes, size_t len);
void user_sends_frame(struct user *u, const struct handoff__frame *frame);

/* Preface and NEW, answered. */
void user_begins(struct user *u);
/* Stream bytes in DATA of at most `piece` bytes, as far as the window goes:
 * returns how many; turns follow. */
size_t user_says(struct user *u, const void *bytes, size_t len, size_t piece);
void user_says_text(struct user *u, const char *text);
/* The same, with bytes of no meaning and acknowledgements, as far as the server
 * lets it. */
size_t user_fills(struct user *u, size_t most);
void user_ends(struct user *u);
/* Takes what has come, and acknowledges as the protocol wants it. */
void user_reads(struct user *u);
/* The server's stream since the last call is exactly this. */
void user_hears(struct user *u, const char *text);

/* The socket has ended: the session is absent. */
void user_is_cut(struct user *u);
/* A new connection, on another record, with a RESUME: the record has the wish
 * now. The old record is `from`. */
void user_returns(struct user *u, struct handoff__view *from);
/* The loop's part of that: 0, or what _check said, which is refused. */
int user_resumes(struct user *u, struct handoff__view *from);

/* What the inner service of a test has seen. */
struct user_seen {
	unsigned calls, opens, ended, farewells, posts;
	enum handoff_conn_reason last;
	enum handoff_end_reason why;
	uint64_t id, request;
};
extern struct user_seen seen;

/* Forgets what was seen, and initialises the user of a test. */
struct user *user_of(handoff_handle_fn *handle);

/* Sends back whole lines, one a call, and counts them in the first byte of the
 * state. "quit" ends the connection, "abort" at once, "post" posts to itself,
 * "fail" fails. */
int user_line(struct handoff_conn *conn, void *arg);

/* That byte. */
unsigned user_count(const struct user *u);

const struct handoff__session_head *user_head(const struct user *u);
uint32_t user_flags(const struct user *u);

#endif
