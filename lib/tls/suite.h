/* SPDX-License-Identifier: MIT */
/*
 * The cipher suites of TLS 1.3 that this component has, and the key schedule
 * after the handshake (RFC 8446, 7.1 to 7.3). Pure: no connection, no thread,
 * no memory but what OpenSSL takes.
 */
#ifndef HANDOFF_TLS_SUITE_H
#define HANDOFF_TLS_SUITE_H

#include "tls/secrets.h"

#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#define HANDOFF__TLS_SUITES     3
#define HANDOFF__TLS_SECRET_MAX 48
#define HANDOFF__TLS_KEY_MAX    32
#define HANDOFF__TLS_IV         12

/* How many TLS records are sealed with one key, by default: half of what RFC
 * 8446, 5.5 allows AES-GCM (2^24.5), and then some. */
#define HANDOFF__TLS_RECORDS_A_KEY (UINT64_C(1) << 23)

struct handoff__tls_suite {
	uint16_t id;      /* 0x1301 to 0x1303 */
	uint8_t key_len;  /* 16, 32 */
	uint8_t hash_len; /* 32, 48: of the secret, too */
	const char *name; /* as OpenSSL and IANA call it */
	const char *md;   /* "SHA256", "SHA384" */
	EVP_CIPHER *cipher;
	EVP_MAC *hmac; /* the same one for all */
};

/* What is fetched once. Read-only afterwards, so for all threads. */
struct handoff__tls_suites {
	struct handoff__tls_suite suite[HANDOFF__TLS_SUITES];
	/* An own KeyUpdate is due after so many TLS records. To be set after
	 * _init only, and other than the default by tests only. */
	uint64_t records_a_key;
};

/*
 * One direction of a connection: all that a record layer has to know. Plain
 * data, without pointers: it lies in the state of a connection, in shared
 * memory, and another process goes on with it. All of it but `seq` and
 * `updates` is secret: erase it with OPENSSL_cleanse.
 */
struct handoff__tls_dir {
	uint64_t seq;     /* of the next TLS record, 0 after each new key */
	uint32_t updates; /* KeyUpdates so far */
	uint8_t secret[HANDOFF__TLS_SECRET_MAX]; /* ..._traffic_secret_N */
	uint8_t key[HANDOFF__TLS_KEY_MAX];
	uint8_t iv[HANDOFF__TLS_IV];
};

/* Fetches them from `libctx` (NULL: the default one of the process). 0, or
 * -ENOTSUP if OpenSSL has not got one of them: `*missing`, which may be NULL,
 * is then what it is called. `suites` is to be freed in either case. */
int handoff__tls_suites_init(struct handoff__tls_suites *suites,
	OSSL_LIB_CTX *libctx, const char **missing);

/* All zero is fine, too. */
void handoff__tls_suites_free(struct handoff__tls_suites *suites);

/* By its number on the wire; NULL: none of them. */
const struct handoff__tls_suite *handoff__tls_suite_find(
	const struct handoff__tls_suites *suites, unsigned id);

/* Sets `dir` to the beginning: key and iv of a traffic secret of hash_len
 * bytes, sequence number 0. `keys` is what is derived of it already, of use if
 * it is complete; NULL: nothing. 0 or -ENOMEM (OpenSSL failed; `dir` is
 * erased). */
int handoff__tls_dir_init(const struct handoff__tls_suite *suite,
	struct handoff__tls_dir *dir, const uint8_t *secret,
	const struct handoff__tls_keys *keys);

/* The next generation of keys (RFC 8446, 7.2): the old ones are gone. 0, or
 * -ENOMEM: `dir` is erased, and the connection can only end. */
int handoff__tls_dir_update(
	const struct handoff__tls_suite *suite, struct handoff__tls_dir *dir);

/* HKDF-Expand-Label with an empty context; `len` at most hash_len. 0 or
 * -ENOMEM. */
int handoff__tls_expand_label(const struct handoff__tls_suite *suite,
	const uint8_t *secret, const char *label, uint8_t *out, size_t len);

#endif
