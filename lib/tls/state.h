/* SPDX-License-Identifier: MIT */
/*
 * What a connection has in its state:
 *
 *   head | texts | pending plain text | to a multiple of 16 | inner state
 *
 * Texts: ALPN, server name and peer, each with its zero, once the handshake is
 * done. Pending: what has been opened and the inner service has not consumed.
 * The inner state is last, so that it can grow. Nearly all of it is secret.
 */
#ifndef HANDOFF_TLS_STATE_H
#define HANDOFF_TLS_STATE_H

#include "tls/identity.h"
#include "tls/random.h"
#include "tls/suite.h"
#include "tls/update.h"

#include <handoff/service.h>

#define HANDOFF__TLS_LAYOUT 1u

enum handoff__tls_phase {
	HANDOFF__TLS_NEW = 0, /* nothing has come */
	HANDOFF__TLS_HANDSHAKE_ON =
		1, /* its input is still in the connection */
	HANDOFF__TLS_OPEN = 2,
	HANDOFF__TLS_ENDING = 3, /* the inner service has closed; close_notify
				  * waits for room */
	HANDOFF__TLS_OVER = 4,   /* no keys any more */
};

#define HANDOFF__TLS_SERVED    1u  /* the inner service has begun with it */
#define HANDOFF__TLS_EOF       2u  /* close_notify has come */
#define HANDOFF__TLS_TOLD      4u  /* and the inner service has seen that */
#define HANDOFF__TLS_STALLED   8u  /* it has seen all of `pending`, and waits */
#define HANDOFF__TLS_TRUNCATED 16u /* the client has left without that */
#define HANDOFF__TLS_PEER_CUT  32u /* the subject is longer */

struct handoff__tls_head {
	uint32_t layout;
	uint8_t phase; /* enum handoff__tls_phase */
	uint8_t flags; /* HANDOFF__TLS_SERVED to _PEER_CUT */
	uint16_t suite;
	uint32_t pending_len, inner_len;
	uint32_t fragment; /* bytes of content that the client wants at most */
	uint32_t texts_len;
	uint64_t position; /* of `pending` in the client's plain text */
	struct handoff__tls_messages messages;
	union {
		struct {
			uint8_t seed[HANDOFF__TLS_SEED];
			uint8_t identity[HANDOFF__TLS_IDENTITY];
			/* of the output that was written so far */
			uint8_t out_hash[32];
			uint32_t out_done;
			/* so much input has it seen, and all its output was
			 * written: it waits for the client. 0: not so */
			uint32_t rests_at;
		} begin; /* NEW and HANDSHAKE_ON */
		struct {
			struct handoff__tls_dir read, write;
		} open; /* OPEN and ENDING */
	} u;
	uint64_t unused;
};

/* The head of a state; NULL if it is not there, or damaged. */
const struct handoff__tls_head *handoff__tls_head(
	const void *state, size_t len);

/* That of a transaction, made if there is none. NULL if it is damaged. */
struct handoff__tls_head *handoff__tls_begin(struct handoff_conn *conn);

/* Where its parts are, and its whole length. */
const char *handoff__tls_texts(const struct handoff__tls_head *head);
size_t handoff__tls_pending_at(const struct handoff__tls_head *head);
size_t handoff__tls_inner_at(const struct handoff__tls_head *head);
size_t handoff__tls_len(const struct handoff__tls_head *head);

/* Set them: texts while there is nothing behind them. The inner state's first
 * bytes are zero. -EMSGSIZE if they do not fit. */
int handoff__tls_set_texts(struct handoff_conn *conn, const char *alpn,
	const char *server_name, const char *peer);
int handoff__tls_set_inner(struct handoff_conn *conn, size_t len);

/* Replaces what is pending by bytes that are not in the state. */
int handoff__tls_set_pending(
	struct handoff_conn *conn, const void *data, size_t len);

/* Erases seed and keys: it is OVER. */
void handoff__tls_erase(struct handoff__tls_head *head);

/* For handoff_print_fn: about the connection, nothing that is secret, and then
 * what the inner service's function writes. */
int handoff__tls_print(const struct handoff_service *inner, const void *state,
	char *text, size_t size);

/* For handoff_convert_fn; `version` and `size` are those of the service. */
int handoff__tls_convert(const struct handoff_service *inner, uint32_t version,
	const void *old, size_t old_size, void *state, size_t size);

#endif
