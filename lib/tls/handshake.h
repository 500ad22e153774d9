/* SPDX-License-Identifier: MIT */
/*
 * The server's side of one handshake, by OpenSSL, in memory. What it sends is a
 * function of its seed, of the bytes that came and of the edition of
 * certificates (see identity.h): so one that is lost at any instant is made
 * again, in any process with the same identity, from the seed and from the
 * input, which stays where it is until the handshake is done.
 *
 * It knows no connection and sends nothing: its owner gives it the input and
 * takes the output.
 */
#ifndef HANDOFF_TLS_HANDSHAKE_H
#define HANDOFF_TLS_HANDSHAKE_H

#include "tls/context.h"
#include "tls/random.h"
#include "tls/secrets.h"

/* The input of a handshake is at most so long; a TLS record that would go
 * beyond that is answered with an alert. */
#define HANDOFF__TLS_HANDSHAKE_MAX 65536u

#define HANDOFF__TLS_HANDSHAKE_SECRET 48

enum handoff__tls_progress {
	HANDOFF__TLS_WANT_INPUT = 0, /* more has to come */
	HANDOFF__TLS_DONE = 1,       /* once the output has been sent */
	HANDOFF__TLS_FAILED = 2,     /* its output ends with the alert, if there
				      * is one to be sent */
};

/* What a handshake has agreed on. Plain data. */
struct handoff__tls_outcome {
	size_t used;           /* bytes of input: what follows is sealed with
				* the client's traffic secret */
	uint64_t sent;         /* TLS records of the output that are sealed
				* with the server's: its next number */
	uint32_t max_fragment; /* bytes of content of a TLS record, that the
				* client wants at most */
	uint16_t suite;        /* 0x1301 to 0x1303 */
	uint16_t secret_len;   /* 32, 48 */
	uint8_t client_secret[HANDOFF__TLS_HANDSHAKE_SECRET];
	uint8_t server_secret[HANDOFF__TLS_HANDSHAKE_SECRET];
	struct handoff__tls_keys client_keys, server_keys; /* if known */
	char alpn[HANDOFF_TLS_ALPN_MAX];
	char server_name[HANDOFF_TLS_SERVER_NAME_MAX];
	char peer[HANDOFF_TLS_PEER_MAX]; /* one line of RFC 2253 */
	bool peer_cut;                   /* the subject is longer */
};

struct handoff__tls_handshake;

/* At its beginning, without any input. `identity`: where it began (NULL: here
 * and now). -ESTALE: there is no such edition in this process; -ENOMEM. */
int handoff__tls_handshake_new(struct handoff__tls_handshake **out,
	struct handoff__tls_contexts *contexts, const uint8_t *identity,
	const uint8_t seed[HANDOFF__TLS_SEED]);

/* Erases what is secret in it. NULL is fine. */
void handoff__tls_handshake_free(struct handoff__tls_handshake *hs);

/*
 * Goes on with all the input that has come since the connection began: `len`
 * bytes, of which the first ones are those of the calls before; only what is
 * new is looked at. After DONE and FAILED it changes nothing more. From any
 * thread, one at a time. Neither blocks nor draws from any source but the seed.
 */
enum handoff__tls_progress handoff__tls_handshake_feed(
	struct handoff__tls_handshake *hs, const void *input, size_t len);

/* All the output from its first byte; valid until the next call. */
size_t handoff__tls_handshake_output(
	const struct handoff__tls_handshake *hs, const uint8_t **output);

/* Of the edition that it has. */
const uint8_t *handoff__tls_handshake_identity(
	const struct handoff__tls_handshake *hs);

/* After DONE; NULL before. Erased by _free. */
const struct handoff__tls_outcome *handoff__tls_handshake_outcome(
	const struct handoff__tls_handshake *hs);

/* After FAILED: a sentence; and the alert that was sent or received, -1 if
 * there was none. */
const char *handoff__tls_handshake_why(const struct handoff__tls_handshake *hs);
int handoff__tls_handshake_alert(
	const struct handoff__tls_handshake *hs, bool *received);

#endif
