/* SPDX-License-Identifier: MIT */
/*
 * The client's side from the inside: what all conversations of a layer share,
 * and one conversation.
 */
#ifndef HANDOFF_TLS_CONVERSATION_H
#define HANDOFF_TLS_CONVERSATION_H

#include "base/text.h"

#include <handoff/tls.h>
#include <openssl/ssl.h>

#define HANDOFF__TLS_PIN_LEN  32
#define HANDOFF__TLS_ALPN_MAX 256 /* bytes of the list as it is sent */

/* Of a layer. */
struct handoff__tls_client {
	SSL_CTX *ctx;
	char name[256];     /* "": the host of the endpoint */
	char ca_file[256];  /* for sentences; "": the system's */
	bool by_ca, by_pin; /* how the server's certificate is checked */
	unsigned char pin[HANDOFF__TLS_PIN_LEN];
	bool certified; /* it has a certificate of its own */
	unsigned char alpn[HANDOFF__TLS_ALPN_MAX];
	unsigned alpn_len;
};

/* One conversation. */
struct handoff__tls_end {
	struct handoff__tls_client *client;
	SSL *ssl;
	BIO *in, *out;   /* the SSL's */
	uint32_t sealed; /* TLS records with this key */
	size_t sent;     /* bytes of `out` that are gone */
	char name[256];
	enum handoff_client_layer_state state;
	bool cut; /* no more will come */
	int err;
	char text[HANDOFF_TEXT_MAX];
	unsigned char seen[HANDOFF__TLS_PIN_LEN]; /* the server's key */
	X509 *suspect; /* the certificate that was found wrong, or NULL */
	int depth;     /* 0: it is the server's own */
};

/* client_end.c */
/* TLS records of one key of the client's, at most; a variable for tests. Below
 * what RFC 8446, section 5.5, allows. */
extern uint32_t handoff__tls_client_records;
/* The calls of the layer; `arg` is missing. */
extern const struct handoff_client_layer handoff__tls_client_calls;

/* client_trust.c */
/* Sets how the certificate of a server is checked. */
void handoff__tls_client_trust(struct handoff__tls_client *client);
/* What is checked in this conversation: its name. -EINVAL and a sentence if
 * that is not one. */
int handoff__tls_end_expect(struct handoff__tls_end *end, const char *endpoint);
/* Why the handshake, or a read, has failed: sets `err` and `text`. */
void handoff__tls_end_explain(struct handoff__tls_end *end);

#endif
