/* SPDX-License-Identifier: MIT */
/*
 * Each call of OpenSSL fails once while a connection is set up and talks: it
 * ends with -ENOMEM, nothing leaks, no plain text is left, and a sequence
 * number is never used for two TLS records that could both leave.
 */
#include "support/support.h"

#include "support/fault.h"
#include "tls/ends.h"

#include <string.h>

FAULT(ENOMEM, NULL, EVP_MAC *, EVP_MAC_fetch,
	(OSSL_LIB_CTX * libctx, const char *name, const char *properties),
	(libctx, name, properties));
FAULT(ENOMEM, NULL, EVP_CIPHER *, EVP_CIPHER_fetch,
	(OSSL_LIB_CTX * libctx, const char *name, const char *properties),
	(libctx, name, properties));
FAULT(ENOMEM, NULL, EVP_MAC_CTX *, EVP_MAC_CTX_new, (EVP_MAC * mac), (mac));
FAULT(ENOMEM, 0, int, EVP_MAC_init,
	(EVP_MAC_CTX * ctx, const unsigned char *key, size_t len,
		const OSSL_PARAM params[]),
	(ctx, key, len, params));
FAULT(ENOMEM, 0, int, EVP_MAC_update,
	(EVP_MAC_CTX * ctx, const unsigned char *data, size_t len),
	(ctx, data, len));
FAULT(ENOMEM, 0, int, EVP_MAC_final,
	(EVP_MAC_CTX * ctx, unsigned char *out, size_t *len, size_t size),
	(ctx, out, len, size));
FAULT(ENOMEM, NULL, EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, (void), ());
FAULT(ENOMEM, 0, int, EVP_CipherInit_ex,
	(EVP_CIPHER_CTX * ctx, const EVP_CIPHER *cipher, ENGINE *engine,
		const unsigned char *key, const unsigned char *iv, int enc),
	(ctx, cipher, engine, key, iv, enc));
FAULT(ENOMEM, 0, int, EVP_EncryptUpdate,
	(EVP_CIPHER_CTX * ctx, unsigned char *out, int *n,
		const unsigned char *in, int len),
	(ctx, out, n, in, len));
FAULT(ENOMEM, 0, int, EVP_EncryptFinal_ex,
	(EVP_CIPHER_CTX * ctx, unsigned char *out, int *n), (ctx, out, n));
FAULT(ENOMEM, 0, int, EVP_DecryptUpdate,
	(EVP_CIPHER_CTX * ctx, unsigned char *out, int *n,
		const unsigned char *in, int len),
	(ctx, out, n, in, len));
FAULT(ENOMEM, 0, int, EVP_CIPHER_CTX_ctrl,
	(EVP_CIPHER_CTX * ctx, int type, int arg, void *ptr),
	(ctx, type, arg, ptr));

static uint8_t content[3000], sealed[4000], out[4000];

static void
must_be_without_plain_text(const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i + 8 <= len; i++)
		assert_memory_not_equal(p + i, content, 8);
}

static int
seal(struct ends *e, size_t len)
{
	uint64_t seq = e->write.seq;
	int n;

	memset(sealed, 0, sizeof(sealed));
	inside = true;
	n = handoff__tls_seal(
		&e->w, HANDOFF__TLS_APPLICATION, content, len, sealed);
	inside = false;
	must_be_without_plain_text(sealed, sizeof(sealed));
	assert_int_equal(e->write.seq, n < 0 ? seq : seq + 1);
	return n;
}

static int
receive(struct ends *e, int n)
{
	struct handoff__tls_dir before = e->read;
	enum handoff__tls_event event;
	int rc;

	memset(out, 0, sizeof(out));
	inside = true;
	rc = handoff__tls_receive(&e->r, &e->messages, sealed, (size_t)n,
		HANDOFF__TLS_CONTENT_MAX, out, &event);
	inside = false;
	if (rc < 0)
		must_be_without_plain_text(out, sizeof(out));
	if (rc < 0 && e->read.updates == before.updates)
		assert_true(e->read.seq <= before.seq + 1);
	return rc;
}

static int
update(struct ends *e)
{
	int n;

	inside = true;
	n = handoff__tls_send_update(&e->w, &e->messages, false, sealed);
	inside = false;
	return n < 0 ? n : receive(e, n);
}

static int
talk(struct ends *e)
{
	static const size_t lengths[] = {64, 3000, 0};
	unsigned i;
	int rc;

	for (i = 0; i < 6; i++) {
		rc = seal(e, lengths[i % 3]);
		if (rc >= 0)
			rc = receive(e, rc);
		if (rc >= 0 && i == 2)
			rc = update(e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
live(struct ends *e)
{
	static const uint8_t secret[HANDOFF__TLS_SECRET_MAX] = {1, 2, 3};
	const struct handoff__tls_suite *suite = &e->suites.suite[1];
	int err;

	inside = true;
	err = handoff__tls_suites_init(&e->suites, NULL, NULL);
	inside = false;
	if (err < 0) {
		assert_int_equal(err, -ENOTSUP);
		return -ENOMEM;
	}
	inside = true;
	err = handoff__tls_dir_init(suite, &e->write, secret, NULL);
	inside = false;
	if (err < 0)
		return err;
	e->read = e->write;
	e->w = (struct handoff__tls_end){suite, &e->write, &e->write_key};
	e->r = (struct handoff__tls_end){suite, &e->read, &e->read_key};
	return talk(e);
}

static void
each_call_fails_once(void **state)
{
	struct ends e;
	int err;

	(void)state;
	ends_fill(content, sizeof(content), 5);
	for (fail_at = 1;; fail_at++) {
		memset(&e, 0, sizeof(e));
		calls = 0;
		err = live(&e);
		ends_close(&e);
		if (calls < fail_at)
			break;
		assert_int_equal(err, -ENOMEM);
	}
	assert_int_equal(err, 0);
	assert_true(fail_at > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(each_call_fails_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
