/* SPDX-License-Identifier: MIT */
/*
 * The traffic secrets of a handshake, noted where OpenSSL derives them. No call
 * tells them, and its key log costs a tenth of a handshake: it is text, written
 * digit by digit. So the provider of random.h has the KDF of TLS 1.3's key
 * schedule, too, EVP_KDF-TLS13_KDF(7): it calls the one of OpenSSL's default
 * provider, and looks at the labels (RFC 8446, 7.1).
 */
#ifndef HANDOFF_TLS_SECRETS_H
#define HANDOFF_TLS_SECRETS_H

#include <openssl/core.h>
#include <openssl/kdf.h>
#include <stdint.h>

#define HANDOFF__TLS_SECRET_BYTES 48
#define HANDOFF__TLS_KEY_BYTES    32
#define HANDOFF__TLS_IV_BYTES     12

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

/* What an instance of that KDF needs, as the provider's own context. */
struct handoff__tls_tap {
	EVP_KDF *kdf; /* of the default provider */
};

/* For a provider that has such a context. */
extern const OSSL_DISPATCH handoff__tls_secrets_kdf[];

/* Where the secrets go that this thread derives from now on; NULL: nowhere. */
void handoff__tls_secrets_note(struct handoff__tls_secrets *to);

#endif
