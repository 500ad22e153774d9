/* SPDX-License-Identifier: MIT */
/*
 * The traffic secrets of a handshake, noted where OpenSSL derives them. No call
 * tells them, and its key log costs a sixth of a handshake: it is text, written
 * digit by digit. So a provider that is built in has the KDF of TLS 1.3's key
 * schedule, EVP_KDF-TLS13_KDF(7): it calls the one of OpenSSL's default
 * provider, and looks at the labels (RFC 8446, 7.1).
 */
#ifndef HANDOFF_TLS_SECRETS_H
#define HANDOFF_TLS_SECRETS_H

#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <stdbool.h>
#include <stdint.h>

#define HANDOFF__TLS_SECRET_BYTES 48
#define HANDOFF__TLS_KEY_BYTES    32
#define HANDOFF__TLS_IV_BYTES     12

/* For SSL_CTX_new_ex: with these properties its handshakes use this KDF. */
#define HANDOFF__TLS_SECRETS_PROPERTIES "?provider=handoff-secrets"

/* Of a traffic secret, RFC 8446, 7.3. */
struct handoff__tls_keys {
	uint8_t key_len, iv_len; /* 0: not derived yet */
	uint8_t key[HANDOFF__TLS_KEY_BYTES];
	uint8_t iv[HANDOFF__TLS_IV_BYTES];
};

struct handoff__tls_secrets {
	uint16_t client_len, server_len; /* 0: not derived yet */
	uint8_t client[HANDOFF__TLS_SECRET_BYTES];
	uint8_t server[HANDOFF__TLS_SECRET_BYTES];
	struct handoff__tls_keys client_keys, server_keys;
};

/* The provider in a library context; it stays where it is. All zero is one
 * that was not opened. */
struct handoff__tls_tap {
	OSSL_PROVIDER *provider;
	EVP_KDF *kdf; /* of the default provider */
};

/* In a context that has the default provider. False, with OpenSSL's error; to
 * be closed in either case, before the context is freed. */
bool handoff__tls_tap_open(struct handoff__tls_tap *tap, OSSL_LIB_CTX *ctx);
void handoff__tls_tap_close(struct handoff__tls_tap *tap);

/* Where the secrets go that this thread derives from now on; NULL: nowhere. */
void handoff__tls_secrets_note(struct handoff__tls_secrets *to);

#endif
