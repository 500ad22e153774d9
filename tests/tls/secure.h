/* SPDX-License-Identifier: MIT */
/*
 * One connection of a service with TLS, without a server, and its client:
 * OpenSSL in memory, whose bytes the test moves. Buffers are small.
 */
#ifndef TESTS_TLS_SECURE_H
#define TESTS_TLS_SECURE_H

#include "server/solo.h"
#include "tls/pki.h"

#include "tls/component.h"
#include "tls/state.h"

#include <openssl/ssl.h>

/* What the inner service has seen, and does. */
struct secure_seen {
	unsigned calls, opens, ended;
	enum handoff_conn_reason last;
	bool eof;
	size_t room;
	int returns; /* of the next call; then 0 */
	uint64_t request;
	char alpn[32], name[64];
};

struct secure {
	struct fixture f;
	struct handoff_service inner;
	struct handoff_tls tls;
	struct pki pki;
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *in, *out;   /* of ssl */
	bool ended;      /* the client has seen the end of the stream */
	unsigned nlines; /* of the log, */
	char line[HANDOFF_TEXT_MAX]; /* and the last one */
};

extern struct secure_seen secure_seen;

/* A service of lines with 32 bytes of state, which counts them in the first:
 * "N: LINE". "quit", "abort", "fail", "later" do that. */
void secure_init(struct secure *s);
/* Opens the connection, after what the test has changed in `inner`. */
void secure_open(struct secure *s);
void secure_close(struct secure *s);

/* The component, and the state of the connection as it was committed. */
struct handoff__tls *secure_component(struct secure *s);
const struct handoff__tls_head *secure_head(struct secure *s);

/* What the client has written goes to the connection. False: nothing. */
bool secure_flush(struct secure *s);
/* What the connection has sent comes to the client. False: nothing. */
bool secure_fetch(struct secure *s);

/* The client's handshake, to its end, with turns. */
void secure_handshake(struct secure *s);

/* The process that serves the connection loses all that it may lose. */
void secure_forget(struct secure *s);

/* The client says something, in one TLS record, and there are turns. */
void secure_says(struct secure *s, const char *text);
/* Exactly this has come. */
void secure_hears(struct secure *s, const char *text);
/* close_notify has, and nothing else. */
void secure_hears_end(struct secure *s);

#endif
