/* SPDX-License-Identifier: MIT */
/*
 * The traffic secrets of a handshake. OpenSSL tells them only as lines of the
 * SSLKEYLOGFILE format, to a function of the context.
 */
#ifndef HANDOFF_TLS_SECRETS_H
#define HANDOFF_TLS_SECRETS_H

#include <openssl/ssl.h>
#include <stdint.h>

#define HANDOFF__TLS_SECRET_BYTES 48

struct handoff__tls_secrets {
	uint16_t client_len, server_len; /* 0: not told yet */
	uint8_t client[HANDOFF__TLS_SECRET_BYTES];
	uint8_t server[HANDOFF__TLS_SECRET_BYTES];
};

/* For SSL_CTX_set_keylog_callback; the secrets of a connection are what its
 * SSL_get_app_data points to. */
void handoff__tls_secrets_log(const SSL *ssl, const char *line);

#endif
