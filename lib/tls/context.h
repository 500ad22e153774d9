/* SPDX-License-Identifier: MIT */
/*
 * Certificates and options as OpenSSL has them, in editions: a reload makes
 * a new one, and handshakes under way keep theirs. Threads share no context of
 * OpenSSL (up to HANDOFF__TLS_LIBS of them): each makes its own when it first
 * needs one, of the bytes that were loaded with the edition.
 *
 * No locks: a child in model `fork` could inherit one that is held.
 */
#ifndef HANDOFF_TLS_CONTEXT_H
#define HANDOFF_TLS_CONTEXT_H

#include "base/text.h"
#include "tls/identity.h"
#include "tls/random.h"

#include <handoff/tls.h>

#define HANDOFF__TLS_LIBS     8
#define HANDOFF__TLS_EDITIONS 4 /* the current one and some before it */

struct handoff__tls_contexts;
struct handoff__tls_edition;

/* Reads the files and makes the first edition, and of it the context of this
 * thread, so that children have it. Of `opts`, which is complete (its `size` is
 * not looked at), all is copied but for the `arg` of `configure`. -errno with a
 * sentence that names the file: that of open(2); -EINVAL what it has in it, or
 * an option; -EPERM for a key that all users may read; -ENOTSUP what OpenSSL
 * lacks; what `configure` returned. */
int handoff__tls_contexts_open(struct handoff__tls_contexts **out,
	const struct handoff_tls_opts *opts, struct handoff__error *error);

/* Reads the files again, for handshakes that begin from now on. Errors as
 * above, and then all stays as it was; -EBUSY: handshakes under way need all
 * HANDOFF__TLS_EDITIONS. From any thread, one at a time. */
int handoff__tls_contexts_reload(
	struct handoff__tls_contexts *contexts, struct handoff__error *error);

/* Once no other thread that has used it is still running, and after its
 * handshakes. NULL is fine. */
void handoff__tls_contexts_free(struct handoff__tls_contexts *contexts);

/* That of a handshake that begins now. From any thread. */
void handoff__tls_contexts_identity(struct handoff__tls_contexts *contexts,
	uint8_t identity[HANDOFF__TLS_IDENTITY]);

/* A context to fetch algorithms from; it lives as long as `contexts`. */
OSSL_LIB_CTX *handoff__tls_contexts_lib(struct handoff__tls_contexts *contexts);

/* ---- for handshakes ---- */

/* Holds the edition with this identity (NULL: the current one). NULL: there
 * is none. */
struct handoff__tls_edition *handoff__tls_edition_hold(
	struct handoff__tls_contexts *contexts, const uint8_t *identity);
void handoff__tls_edition_release(struct handoff__tls_edition *edition);

const uint8_t *handoff__tls_edition_identity(
	const struct handoff__tls_edition *edition);

/* This thread's context of it, and the library context that it is in, made if
 * there is none. NULL: no memory, or `configure` has failed. */
SSL_CTX *handoff__tls_edition_ctx(struct handoff__tls_edition *edition,
	const struct handoff__tls_lib **lib);

#endif
