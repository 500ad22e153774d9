/* SPDX-License-Identifier: MIT */
/*
 * A client of TLS in memory, and handshakes with it that are written down: what
 * the client sent, what the server's side made of it, and from which seed.
 */
#ifndef TESTS_TLS_TAPE_H
#define TESTS_TLS_TAPE_H

#include "tls/pki.h"

#include "tls/handshake.h"
#include "tls/secrets.h"

#define TAPE_MAX 65536u

struct tape_client {
	SSL *ssl;
	BIO *in, *out; /* of ssl */
	struct handoff__tls_secrets secrets;
	bool done;
};

struct tape {
	uint8_t seed[HANDOFF__TLS_SEED], identity[HANDOFF__TLS_IDENTITY];
	uint8_t input[TAPE_MAX], output[TAPE_MAX];
	size_t input_len, output_len;
	enum handoff__tls_progress progress;
	struct handoff__tls_outcome outcome; /* if it is DONE */
	char why[256];                       /* if it has FAILED */
	int alert;
};

/* For clients that trust anything; TLS 1.3 only. */
SSL_CTX *tape_client_ctx(void);
void tape_client_cert(SSL_CTX *ctx, const struct pki *pki);

void tape_client_open(struct tape_client *client, SSL_CTX *ctx);
void tape_client_close(struct tape_client *client);

/* Gives it bytes, and appends what it sends to the tape's input. */
void tape_client_step(struct tape_client *client, struct tape *tape,
	const uint8_t *data, size_t len);

/* One with these options, or fails the test. */
struct handoff__tls_contexts *tape_contexts(
	const struct handoff_tls_opts *opts);

/* A handshake to its end, from a seed of that number. */
void tape_record(struct tape *tape, struct handoff__tls_contexts *contexts,
	SSL_CTX *client, unsigned seed);

/* The same with the client's object, which stays open. */
void tape_record_client(struct tape *tape,
	struct handoff__tls_contexts *contexts, struct tape_client *client,
	unsigned seed);

/* Two outcomes in all their members. */
bool tape_same(const struct handoff__tls_outcome *a,
	const struct handoff__tls_outcome *b);

/* A new one of the tape, without input. */
struct handoff__tls_handshake *tape_begin(
	const struct tape *tape, struct handoff__tls_contexts *contexts);

/* Asserts that its output so far is the beginning of the tape's. Returns its
 * length. */
size_t tape_is_prefix(
	const struct tape *tape, const struct handoff__tls_handshake *hs);

/* Feeds it all of the tape and asserts that everything is as on the tape; frees
 * it. */
void tape_finish(const struct tape *tape, struct handoff__tls_handshake *hs);

/* Begins and finishes one. */
void tape_replay(
	const struct tape *tape, struct handoff__tls_contexts *contexts);

#endif
