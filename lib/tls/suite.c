/* SPDX-License-Identifier: MIT */
/*
 * The suites of TLS 1.3 that this component has, and HKDF-Expand-Label. No
 * output is longer than one hash, so that each is one HMAC (RFC 5869, 2.3). It
 * knows no TLS record and keeps nothing but what it has fetched.
 */
#include "tls/suite.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#define PREFIX     "tls13 "
#define PREFIX_LEN 6
#define LABEL_MAX  12 /* of those used here; RFC 8446 allows 249 bytes */

static const struct handoff__tls_suite table[HANDOFF__TLS_SUITES] = {
	{.id = 0x1301,
		.key_len = 16,
		.hash_len = 32,
		.name = "TLS_AES_128_GCM_SHA256",
		.md = "SHA256"},
	{.id = 0x1302,
		.key_len = 32,
		.hash_len = 48,
		.name = "TLS_AES_256_GCM_SHA384",
		.md = "SHA384"},
	{.id = 0x1303,
		.key_len = 32,
		.hash_len = 32,
		.name = "TLS_CHACHA20_POLY1305_SHA256",
		.md = "SHA256"},
};

static const char *const ciphers[HANDOFF__TLS_SUITES] = {
	"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"};

/* That a hash is there shows only when it is used. */
static int
try_hash(const struct handoff__tls_suite *suite)
{
	uint8_t secret[HANDOFF__TLS_SECRET_MAX] = {0}, out[1];

	return handoff__tls_expand_label(suite, secret, "key", out, 1);
}

int
handoff__tls_suites_init(struct handoff__tls_suites *suites,
	OSSL_LIB_CTX *libctx, const char **missing)
{
	const char *what = "HMAC";
	EVP_MAC *hmac = EVP_MAC_fetch(libctx, what, NULL);
	unsigned i;

	memcpy(suites->suite, table, sizeof(table));
	suites->records_a_key = HANDOFF__TLS_RECORDS_A_KEY;
	suites->suite[0].hmac = hmac;
	for (i = 0; hmac && i < HANDOFF__TLS_SUITES; i++) {
		struct handoff__tls_suite *suite = &suites->suite[i];

		suite->hmac = hmac;
		what = ciphers[i];
		suite->cipher = EVP_CIPHER_fetch(libctx, what, NULL);
		if (!suite->cipher)
			break;
		what = suite->md;
		if (try_hash(suite) < 0)
			break;
	}
	if (i == HANDOFF__TLS_SUITES)
		return 0;
	if (missing)
		*missing = what;
	return -ENOTSUP;
}

void
handoff__tls_suites_free(struct handoff__tls_suites *suites)
{
	unsigned i;

	if (!suites)
		return;
	EVP_MAC_free(suites->suite[0].hmac);
	for (i = 0; i < HANDOFF__TLS_SUITES; i++)
		EVP_CIPHER_free(suites->suite[i].cipher);
	memset(suites, 0, sizeof(*suites));
}

const struct handoff__tls_suite *
handoff__tls_suite_find(const struct handoff__tls_suites *suites, unsigned id)
{
	unsigned i;

	for (i = 0; i < HANDOFF__TLS_SUITES; i++)
		if (suites->suite[i].id == id)
			return &suites->suite[i];
	return NULL;
}

static int
hmac(const struct handoff__tls_suite *suite, const uint8_t *secret,
	const uint8_t *data, size_t len, uint8_t *out)
{
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(suite->hmac);
	char md[16];
	OSSL_PARAM params[2];
	size_t done = 0;
	int ok;

	strcpy(md, suite->md);
	params[0] =
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, md, 0);
	params[1] = OSSL_PARAM_construct_end();
	ok = ctx && EVP_MAC_init(ctx, secret, suite->hash_len, params) == 1 &&
	     EVP_MAC_update(ctx, data, len) == 1 &&
	     EVP_MAC_final(ctx, out, &done, EVP_MAX_MD_SIZE) == 1 &&
	     done == suite->hash_len;
	EVP_MAC_CTX_free(ctx);
	return ok ? 0 : -ENOMEM;
}

int
handoff__tls_expand_label(const struct handoff__tls_suite *suite,
	const uint8_t *secret, const char *label, uint8_t *out, size_t len)
{
	uint8_t info[4 + PREFIX_LEN + LABEL_MAX + 1], hash[EVP_MAX_MD_SIZE];
	size_t label_len = strlen(label), n = 0;
	int err;

	assert(label_len <= LABEL_MAX && len <= suite->hash_len);
	info[n++] = (uint8_t)(len >> 8);
	info[n++] = (uint8_t)len;
	info[n++] = (uint8_t)(PREFIX_LEN + label_len);
	memcpy(info + n, PREFIX, PREFIX_LEN);
	n += PREFIX_LEN;
	memcpy(info + n, label, label_len);
	n += label_len;
	info[n++] = 0; /* no context */
	info[n++] = 1; /* the number of the only block */
	err = hmac(suite, secret, info, n, hash);
	if (err == 0)
		memcpy(out, hash, len);
	OPENSSL_cleanse(hash, sizeof(hash));
	return err;
}

/* Key and iv of dir->secret. */
static int
set_keys(const struct handoff__tls_suite *suite, struct handoff__tls_dir *dir)
{
	int err = handoff__tls_expand_label(
		suite, dir->secret, "key", dir->key, suite->key_len);

	if (err == 0)
		err = handoff__tls_expand_label(
			suite, dir->secret, "iv", dir->iv, sizeof(dir->iv));
	dir->seq = 0;
	if (err < 0)
		OPENSSL_cleanse(dir, sizeof(*dir));
	return err;
}

int
handoff__tls_dir_init(const struct handoff__tls_suite *suite,
	struct handoff__tls_dir *dir, const uint8_t *secret,
	const struct handoff__tls_keys *keys)
{
	memset(dir, 0, sizeof(*dir));
	memcpy(dir->secret, secret, suite->hash_len);
	if (!keys || keys->key_len != suite->key_len ||
		keys->iv_len != sizeof(dir->iv))
		return set_keys(suite, dir);
	memcpy(dir->key, keys->key, suite->key_len);
	memcpy(dir->iv, keys->iv, sizeof(dir->iv));
	return 0;
}

int
handoff__tls_dir_update(
	const struct handoff__tls_suite *suite, struct handoff__tls_dir *dir)
{
	uint8_t next[HANDOFF__TLS_SECRET_MAX];
	int err = handoff__tls_expand_label(
		suite, dir->secret, "traffic upd", next, suite->hash_len);

	if (err < 0) {
		OPENSSL_cleanse(dir, sizeof(*dir));
		return err;
	}
	memcpy(dir->secret, next, suite->hash_len);
	OPENSSL_cleanse(next, sizeof(next));
	dir->updates++;
	return set_keys(suite, dir);
}
