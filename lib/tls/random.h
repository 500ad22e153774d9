/* SPDX-License-Identifier: MIT */
/*
 * Randomness for handshakes that can be run again. An OSSL_LIB_CTX of the
 * component's own has a random provider that is built in: while a stream is
 * played in a thread, all that OpenSSL draws there through this context is a
 * function of the stream's seed and of what was drawn before; otherwise it
 * comes from getrandom(2), and no two processes can draw the same. The default
 * context of the process is not touched.
 */
#ifndef HANDOFF_TLS_RANDOM_H
#define HANDOFF_TLS_RANDOM_H

#include "base/text.h"

#include <openssl/crypto.h>

#define HANDOFF__TLS_SEED 32 /* bytes */

struct handoff__tls_lib;
struct handoff__tls_stream;

/* For SSL_CTX_new_ex: handshakes tell their secrets, see secrets.h. */
#define HANDOFF__TLS_PROPERTIES "?provider=handoff"

/* A context with OpenSSL's default provider and this one, checked: it gives
 * what a seed says. -ENOTSUP or -ENOMEM, with a sentence. */
int handoff__tls_lib_open(
	struct handoff__tls_lib **out, struct handoff__error *error);

/* Once no other thread that has used it is still running. NULL is fine. */
void handoff__tls_lib_free(struct handoff__tls_lib *lib);

OSSL_LIB_CTX *handoff__tls_lib_ctx(const struct handoff__tls_lib *lib);

/* At its beginning. NULL: no memory. */
struct handoff__tls_stream *handoff__tls_stream_new(
	const struct handoff__tls_lib *lib,
	const uint8_t seed[HANDOFF__TLS_SEED]);

/* Erases its key. NULL is fine. */
void handoff__tls_stream_free(struct handoff__tls_stream *stream);

/* Plays it in this thread, from where it was stopped, until _stop. One at a
 * time in a thread. */
void handoff__tls_stream_play(struct handoff__tls_stream *stream);
void handoff__tls_stream_stop(void);

/* Bytes drawn from it. */
uint64_t handoff__tls_stream_drawn(const struct handoff__tls_stream *stream);

#endif
