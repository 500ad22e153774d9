/* SPDX-License-Identifier: MIT */
/*
 * What a session has in the state of its record:
 *
 *   head | kept output | pending input | to a multiple of 16 | inner state
 *
 * Kept output: what was framed and is not acknowledged; pending input: what has
 * come and the inner service has not consumed. Both are plain bytes, from
 * flow.tx_acked and flow.rx_read on. The inner state is last, so that it can
 * grow. A new connection has none of this: it begins with its first bytes.
 */
#ifndef HANDOFF_SESSION_STATE_H
#define HANDOFF_SESSION_STATE_H

#include "record/record.h"
#include "session/flow.h"

#define HANDOFF__SESSION_LAYOUT 1u

enum handoff__session_mode {
	HANDOFF__SESSION_UNDECIDED = 0, /* nothing is known of the client */
	HANDOFF__SESSION_PLAIN = 1,     /* it has no session */
	HANDOFF__SESSION_HELLO = 2,     /* it has sent the preface */
	HANDOFF__SESSION_WISH = 3,      /* and wants to resume */
	HANDOFF__SESSION_ON = 4,        /* it has one */
};

#define HANDOFF__SESSION_ONLY   1u /* its listener is for sessions only */
#define HANDOFF__SESSION_SERVED 2u /* the inner service has begun with it */
#define HANDOFF__SESSION_EOF    4u /* and knows that its input has ended */
#define HANDOFF__SESSION_CLOSED 8u /* and is not called any more */
/* closed by the service itself, not because its input has ended */
#define HANDOFF__SESSION_BY_SERVICE 16u

/* So long a connection may take until it is known what its client is, and then
 * until it has asked for a session; and so long after each REFUSED. They are
 * the connection's deadline, which is the inner service's from then on. */
#define HANDOFF__SESSION_DECIDE_MS  5000
#define HANDOFF__SESSION_REFUSED_MS 60000

struct handoff__session_head {
	uint32_t layout;
	uint32_t mode;  /* enum handoff__session_mode */
	uint32_t flags; /* HANDOFF__SESSION_* */
	uint32_t kept_len, pending_len, inner_len;
	uint32_t resumed;  /* so many times */
	uint32_t wish_ack; /* WISH: the client's positions */
	uint64_t number;   /* of the session; WISH: that is wanted */
	unsigned char token[HANDOFF__FRAME_TOKEN]; /* likewise */
	uint64_t wish_received, wish_sent;         /* likewise */
	struct handoff__flow flow;
	uint32_t timeout_ms; /* as the client was told */
	uint32_t unused;
	uint64_t unused2;
};

static_assert(sizeof(struct handoff__session_head) % 16 == 0,
	"what follows is aligned");

/* The head of a state; NULL if there is none yet, or it is damaged, which
 * `*damaged` (may be NULL) tells apart. */
const struct handoff__session_head *handoff__session_head(
	const void *state, size_t len, bool *damaged);

/* That of a transaction, made if there is none. NULL if it is damaged. */
struct handoff__session_head *handoff__session_begin(struct handoff_conn *conn);

/* Offsets in the state, and its whole length. */
size_t handoff__session_pending_at(const struct handoff__session_head *head);
size_t handoff__session_inner_at(const struct handoff__session_head *head);
size_t handoff__session_len(const struct handoff__session_head *head);

/* The bytes of a state that are in use; 0 if it has no head. */
size_t handoff__session_used(const void *state, size_t size);

/* Gives the inner state its first length, zeroed. -EMSGSIZE if it does not
 * fit. */
int handoff__session_give_state(struct handoff_conn *conn, size_t len);

/* Append bytes to what is kept, or pending: -EMSGSIZE if they do not fit. Drop
 * the first bytes of it. Move what is behind it. */
int handoff__session_keep(
	struct handoff_conn *conn, const struct iovec *pieces, int count);
void handoff__session_unkeep(struct handoff_conn *conn, size_t len);
int handoff__session_hold(
	struct handoff_conn *conn, const void *data, size_t len);
void handoff__session_unhold(struct handoff_conn *conn, size_t len);

/* Whether the handler is to be called for pending input; part of the
 * transaction, and to be said last. */
void handoff__session_set_held(struct handoff_conn *conn);

/* For handoff_print_fn: about the session, then what the inner service's
 * function writes; never the token. */
int handoff__session_print(const struct handoff_service *inner,
	const void *state, char *text, size_t size);

/* For handoff_convert_fn, also of a plain connection's state. */
int handoff__session_convert(const struct handoff_service *inner,
	uint32_t version, const void *old, size_t old_size, void *state,
	size_t size);

#endif
