/* SPDX-License-Identifier: MIT */
/*
 * One TLS record at a time, by OpenSSL's AEADs. It owns the cipher contexts in
 * struct handoff__tls_key and changes nothing of a direction but its sequence
 * number. It neither allocates nor derives keys while they stay the same.
 */
#include "tls/layer.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

/* What is bytes of inner plain text at most: the content and its type (RFC
 * 8446, 5.4). */
#define INNER_MAX (HANDOFF__TLS_CONTENT_MAX + 1)
/* A copy of so many bytes costs less than to encrypt the type on its own. */
#define COPY_MAX 1024

enum { UNUSED, SEALS, OPENS };

void
handoff__tls_key_drop(struct handoff__tls_key *key)
{
	if (!key)
		return;
	EVP_CIPHER_CTX_free(key->ctx); /* and it erases the key schedule */
	OPENSSL_cleanse(key, sizeof(*key));
}

/* An iv is as random as its key, and comes from the same secret: another key
 * has another one. */
static bool
is_for(const struct handoff__tls_end *end, uint8_t use)
{
	const struct handoff__tls_key *key = end->key;

	return key->ready == use && key->suite == end->suite->id &&
	       memcmp(key->iv, end->dir->iv, sizeof(key->iv)) == 0;
}

/* Only the first time, or for another suite, does it take memory. */
static int
set_key(const struct handoff__tls_end *end, uint8_t use)
{
	struct handoff__tls_key *key = end->key;
	const EVP_CIPHER *cipher = NULL;

	if (!key->ctx || key->suite != end->suite->id)
		cipher = end->suite->cipher;
	key->ready = UNUSED;
	if (!key->ctx)
		key->ctx = EVP_CIPHER_CTX_new();
	if (!key->ctx || EVP_CipherInit_ex(key->ctx, cipher, NULL,
				 end->dir->key, NULL, use == SEALS) != 1) {
		handoff__tls_key_drop(key);
		return -ENOMEM;
	}
	memcpy(key->iv, end->dir->iv, sizeof(key->iv));
	key->suite = end->suite->id;
	key->ready = use;
	return 0;
}

/* Ready for the TLS record with the number dir->seq (RFC 8446, 5.3). */
static int
begin(const struct handoff__tls_end *end, uint8_t use)
{
	const struct handoff__tls_dir *dir = end->dir;
	uint8_t nonce[HANDOFF__TLS_IV];
	int err, i;

	if (dir->seq == UINT64_MAX)
		return -EOVERFLOW;
	if (!is_for(end, use)) {
		err = set_key(end, use);
		if (err < 0)
			return err;
	}
	memcpy(nonce, dir->iv, sizeof(nonce));
	for (i = 0; i < 8; i++)
		nonce[4 + i] ^= (uint8_t)(dir->seq >> (56 - 8 * i));
	if (EVP_CipherInit_ex(end->key->ctx, NULL, NULL, NULL, nonce, -1) != 1)
		return -ENOMEM;
	return 0;
}

static void
put_header(uint8_t *out, size_t body)
{
	out[0] = HANDOFF__TLS_APPLICATION;
	out[1] = out[2] = 3; /* TLS 1.2, for ever */
	out[3] = (uint8_t)(body >> 8);
	out[4] = (uint8_t)body;
}

/* The content and the type, behind the header. */
static int
encrypt(EVP_CIPHER_CTX *ctx, uint8_t type, const uint8_t *content, size_t len,
	uint8_t *at)
{
	int n;

	if (content != at && len > COPY_MAX) {
		if (EVP_EncryptUpdate(ctx, at, &n, content, (int)len) != 1)
			return -ENOMEM;
		return EVP_EncryptUpdate(ctx, at + len, &n, &type, 1) == 1
			       ? 0
			       : -ENOMEM;
	}
	if (content != at && len > 0)
		memcpy(at, content, len);
	at[len] = type;
	return EVP_EncryptUpdate(ctx, at, &n, at, (int)len + 1) == 1 ? 0
								     : -ENOMEM;
}

int
handoff__tls_seal(const struct handoff__tls_end *end,
	enum handoff__tls_type type, const void *content, size_t len,
	uint8_t *out)
{
	uint8_t *at = out + HANDOFF__TLS_HEADER, *tag = at + len + 1;
	EVP_CIPHER_CTX *ctx;
	int err, n;

	if (len > HANDOFF__TLS_CONTENT_MAX)
		return -EMSGSIZE;
	err = begin(end, SEALS);
	if (err < 0)
		return err;
	ctx = end->key->ctx;
	put_header(out, len + 1 + HANDOFF__TLS_TAG);
	if (EVP_EncryptUpdate(ctx, NULL, &n, out, HANDOFF__TLS_HEADER) != 1 ||
		encrypt(ctx, (uint8_t)type, content, len, at) < 0 ||
		EVP_EncryptFinal_ex(ctx, tag, &n) != 1 ||
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG,
			HANDOFF__TLS_TAG, tag) != 1) {
		OPENSSL_cleanse(at, len + 1);
		return -ENOMEM;
	}
	end->dir->seq++;
	return (int)(len + HANDOFF__TLS_OVERHEAD);
}

/* Leaves room for what is around the content of each TLS record, from the last
 * one on. */
static void
spread(uint8_t *out, size_t len, size_t fragment)
{
	for (size_t i = (len - 1) / fragment; i > 0; i--) {
		size_t n = len - i * fragment;

		memmove(out + i * (fragment + HANDOFF__TLS_OVERHEAD) +
				HANDOFF__TLS_HEADER,
			out + i * fragment + HANDOFF__TLS_HEADER,
			n < fragment ? n : fragment);
	}
}

int
handoff__tls_seal_data(const struct handoff__tls_end *end, uint8_t *out,
	size_t len, size_t fragment)
{
	size_t whole = handoff__tls_sealed_len(len, fragment), at = 0;

	if (len > fragment)
		spread(out, len, fragment);
	while (len > 0) {
		size_t n = len < fragment ? len : fragment;
		int rc = handoff__tls_seal(end, HANDOFF__TLS_APPLICATION,
			out + at + HANDOFF__TLS_HEADER, n, out + at);

		if (rc < 0) {
			OPENSSL_cleanse(out, whole);
			return rc;
		}
		at += (size_t)rc;
		len -= n;
	}
	return (int)whole;
}

size_t
handoff__tls_sealed_len(size_t len, size_t fragment)
{
	return len + (len + fragment - 1) / fragment * HANDOFF__TLS_OVERHEAD;
}

size_t
handoff__tls_data_room(size_t room, size_t fragment)
{
	size_t full = room / (fragment + HANDOFF__TLS_OVERHEAD);
	size_t rest = room % (fragment + HANDOFF__TLS_OVERHEAD);

	return full * fragment + (rest > HANDOFF__TLS_OVERHEAD
						 ? rest - HANDOFF__TLS_OVERHEAD
						 : 0);
}

int
handoff__tls_record_len(const void *data, size_t len)
{
	const uint8_t *header = data;
	size_t body;

	if (len > 0 && header[0] != HANDOFF__TLS_APPLICATION)
		return -EPROTO;
	if (len < HANDOFF__TLS_HEADER)
		return 0;
	/* The version is not looked at, but authenticated. */
	body = (size_t)header[3] << 8 | header[4];
	if (body > HANDOFF__TLS_RECORD_MAX - HANDOFF__TLS_HEADER)
		return -EMSGSIZE;
	if (body < 1 + HANDOFF__TLS_TAG)
		return -EBADMSG;
	return (int)(HANDOFF__TLS_HEADER + body);
}

/* 0: authentic; `n` bytes of inner plain text are at `out`. */
static int
decrypt(const struct handoff__tls_end *end, const uint8_t *record, size_t n,
	uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = end->key->ctx;
	const uint8_t *at = record + HANDOFF__TLS_HEADER;
	uint8_t tag[HANDOFF__TLS_TAG];
	int done;

	memcpy(tag, at + n, sizeof(tag));
	if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) !=
			1 ||
		EVP_DecryptUpdate(
			ctx, NULL, &done, record, HANDOFF__TLS_HEADER) != 1 ||
		EVP_DecryptUpdate(ctx, out, &done, at, (int)n) != 1)
		return -ENOMEM;
	return EVP_DecryptFinal_ex(ctx, tag, &done) == 1 ? 0 : -EBADMSG;
}

/* The length without the zeros at its end. */
static size_t
without_padding(const uint8_t *p, size_t n)
{
	uint64_t word;

	while (n >= sizeof(word)) {
		memcpy(&word, p + n - sizeof(word), sizeof(word));
		if (word != 0)
			break;
		n -= sizeof(word);
	}
	while (n > 0 && p[n - 1] == 0)
		n--;
	return n;
}

/* The length of the content, or what is wrong with it. */
static int
check_inner(const uint8_t *p, size_t n, size_t limit, uint8_t *type)
{
	size_t end = without_padding(p, n), len;

	if (end == 0)
		return -EPROTO; /* zeros only: there is no type */
	*type = p[end - 1];
	len = end - 1;
	if (*type < HANDOFF__TLS_ALERT || *type > HANDOFF__TLS_APPLICATION)
		return -EPROTO;
	if (len == 0 && *type != HANDOFF__TLS_APPLICATION)
		return -EPROTO;
	if (n > INNER_MAX || len > limit)
		return -EMSGSIZE;
	return (int)len;
}

int
handoff__tls_open(const struct handoff__tls_end *end, const uint8_t *record,
	size_t len, size_t limit, uint8_t *out, enum handoff__tls_type *type)
{
	size_t n = len - HANDOFF__TLS_HEADER - HANDOFF__TLS_TAG;
	int rc = handoff__tls_record_len(record, len);
	uint8_t t = 0;

	if (rc < 0)
		return rc;
	if (rc == 0 || (size_t)rc != len)
		return -EBADMSG;
	rc = begin(end, OPENS);
	if (rc == 0)
		rc = decrypt(end, record, n, out);
	if (rc == 0)
		rc = check_inner(out, n, limit, &t);
	if (rc < 0) {
		OPENSSL_cleanse(out, n);
		return rc;
	}
	end->dir->seq++;
	*type = t;
	return rc;
}
