/* SPDX-License-Identifier: MIT */
/*
 * Two SSL objects of OpenSSL that have shaken hands over memory. Afterwards a
 * test takes the place of either of them, with the secrets from the key log;
 * the other one knows nothing of it.
 */
#ifndef TESTS_TLS_STOCK_H
#define TESTS_TLS_STOCK_H

#include "tls/update.h"

#include <openssl/ssl.h>

struct stock {
	SSL_CTX *ctx;
	SSL *client, *server;
	/* What they have written and the other one has not read. */
	BIO *to_server, *to_client;
	uint8_t client_secret[HANDOFF__TLS_SECRET_MAX];
	uint8_t server_secret[HANDOFF__TLS_SECRET_MAX];
};

/* `tune`, which may be NULL, is called before the handshake. */
void stock_open(
	struct stock *stock, const char *suite, void (*tune)(struct stock *));
void stock_close(struct stock *stock);

/* This side of the connection, for whose place the test takes. */
struct place {
	struct handoff__tls_suites suites;
	struct handoff__tls_dir read, write;
	struct handoff__tls_key read_key, write_key;
	struct handoff__tls_end r, w;
	struct handoff__tls_messages messages;
	SSL *other;
	BIO *in, *out;
};

void place_take(struct place *place, struct stock *stock, bool server);
void place_leave(struct place *place);

/* Reads one TLS record from the other side, which must be there, and receives
 * it: as handoff__tls_receive, with `*event` 99 after an error. */
int place_receive(
	struct place *place, uint8_t *out, enum handoff__tls_event *event);

#endif
