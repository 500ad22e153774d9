/* SPDX-License-Identifier: MIT */
/*
 * The two ends and the foreign way to seal. Its EVP calls are not those of the
 * layer under test: an encryption in one piece into memory of its own.
 */
#include "tls/ends.h"

#include "support/support.h"

#include <stdlib.h>
#include <string.h>

void
ends_open(struct ends *ends, unsigned which)
{
	uint8_t secret[HANDOFF__TLS_SECRET_MAX];
	const struct handoff__tls_suite *suite;

	memset(ends, 0, sizeof(*ends));
	assert_int_equal(
		handoff__tls_suites_init(&ends->suites, NULL, NULL), 0);
	suite = &ends->suites.suite[which];
	ends_fill(secret, sizeof(secret), 7 + which);
	assert_int_equal(
		handoff__tls_dir_init(suite, &ends->write, secret, NULL), 0);
	ends->read = ends->write;
	ends->w = (struct handoff__tls_end){
		suite, &ends->write, &ends->write_key};
	ends->r =
		(struct handoff__tls_end){suite, &ends->read, &ends->read_key};
}

void
ends_close(struct ends *ends)
{
	handoff__tls_key_drop(&ends->write_key);
	handoff__tls_key_drop(&ends->read_key);
	handoff__tls_suites_free(&ends->suites);
}

size_t
ends_seal_inner(const struct handoff__tls_suite *suite,
	struct handoff__tls_dir *dir, const uint8_t *inner, size_t n,
	uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	size_t body = n + HANDOFF__TLS_TAG;
	uint8_t nonce[HANDOFF__TLS_IV];
	int done, i;

	out[0] = 23;
	out[1] = out[2] = 3;
	out[3] = (uint8_t)(body >> 8);
	out[4] = (uint8_t)body;
	memcpy(nonce, dir->iv, sizeof(nonce));
	for (i = 0; i < 8; i++)
		nonce[11 - i] ^= (uint8_t)(dir->seq >> 8 * i);
	assert_int_equal(
		EVP_EncryptInit_ex(ctx, suite->cipher, NULL, dir->key, nonce),
		1);
	assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &done, out, 5), 1);
	if (n > 0)
		assert_int_equal(
			EVP_EncryptUpdate(ctx, out + 5, &done, inner, (int)n),
			1);
	assert_int_equal(EVP_EncryptFinal_ex(ctx, out + 5 + n, &done), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG,
				 HANDOFF__TLS_TAG, out + 5 + n),
		1);
	EVP_CIPHER_CTX_free(ctx);
	dir->seq++;
	return 5 + body;
}

size_t
ends_seal(struct ends *ends, unsigned type, const void *content, size_t len,
	uint8_t *out)
{
	uint8_t *inner = malloc(len + 1);
	size_t n;

	assert_non_null(inner);
	if (len > 0)
		memcpy(inner, content, len);
	inner[len] = (uint8_t)type;
	n = ends_seal_inner(ends->w.suite, &ends->write, inner, len + 1, out);
	free(inner);
	return n;
}

void
ends_expect(struct ends *ends, const uint8_t *record, size_t len, unsigned type,
	const void *content, size_t content_len)
{
	uint8_t *out = malloc(len - HANDOFF__TLS_HEADER - HANDOFF__TLS_TAG);
	uint64_t seq = ends->read.seq;
	enum handoff__tls_type t = 0;
	int n = handoff__tls_open(
		&ends->r, record, len, HANDOFF__TLS_CONTENT_MAX, out, &t);

	assert_int_equal(n, content_len);
	assert_int_equal(t, type);
	if (content_len > 0)
		assert_memory_equal(out, content, content_len);
	assert_int_equal(ends->read.seq, seq + 1);
	free(out);
}

void
ends_refuse(struct ends *ends, const uint8_t *record, size_t len, int err)
{
	static const uint8_t zeros[HANDOFF__TLS_RECORD_MAX];
	size_t room = len > 21 ? len - 21 : 0;
	uint8_t *out = calloc(1, room + 1);
	struct handoff__tls_dir before = ends->read;
	enum handoff__tls_type t = 99;

	assert_int_equal(handoff__tls_open(&ends->r, record, len,
				 HANDOFF__TLS_CONTENT_MAX, out, &t),
		err);
	assert_int_equal(t, 99);
	assert_memory_equal(&ends->read, &before, sizeof(before));
	assert_memory_equal(out, zeros, room < sizeof(zeros) ? room : 1);
	free(out);
}

void
ends_fill(uint8_t *p, size_t len, unsigned seed)
{
	uint32_t x = seed * 2654435761u + 1;
	size_t i;

	for (i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		p[i] = (uint8_t)(x >> 8);
	}
}

static unsigned
digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

size_t
ends_hex(const char *digits, uint8_t *out)
{
	size_t n = 0;

	for (; digits[0]; digits += 2)
		out[n++] = (uint8_t)(digit(digits[0]) << 4 | digit(digits[1]));
	return n;
}
