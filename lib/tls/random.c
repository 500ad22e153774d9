/* SPDX-License-Identifier: MIT */
/*
 * The random provider. A stream is the keystream of AES-256 in counter mode
 * with the seed as its key, so that where it stands is all its state; each
 * request takes exactly its bytes. OpenSSL's own generators are not on top of
 * it: they would keep state beyond one handshake. It has no lock, since a
 * stream belongs to a thread, and the kernel needs none.
 */
#include "tls/random.h"

#include "tls/secrets.h"

#include <assert.h>
#include <errno.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define PROVIDER  "handoff"
#define ALGORITHM "HANDOFF-STREAM"

/* OpenSSL divides longer requests. */
#define REQUEST_MAX ((size_t)65536)

struct handoff__tls_lib {
	OSSL_LIB_CTX *ctx;
	OSSL_PROVIDER *standard, *own;
	EVP_CIPHER *cipher;
	struct handoff__tls_tap tap;
};

struct handoff__tls_stream {
	EVP_CIPHER_CTX *keystream;
	uint64_t drawn;
};

static _Thread_local struct handoff__tls_stream *playing;
/* that provider_init is called for */
static _Thread_local struct handoff__tls_lib *opening;

/* ---- the provider ---- */

static bool
draw_from_kernel(unsigned char *out, size_t len)
{
	while (len > 0) {
		ssize_t n = getrandom(out, len, 0);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			out += n;
			len -= (size_t)n;
		}
	}
	return true;
}

static bool
draw_from_stream(
	struct handoff__tls_stream *stream, unsigned char *out, size_t len)
{
	int n;

	if (len > REQUEST_MAX)
		return false;
	memset(out, 0, len);
	if (EVP_EncryptUpdate(stream->keystream, out, &n, out, (int)len) != 1)
		return false;
	stream->drawn += len;
	return true;
}

static int
random_generate(void *vctx, unsigned char *out, size_t len, unsigned strength,
	int prediction_resistance, const unsigned char *input, size_t input_len)
{
	(void)vctx;
	(void)strength;
	(void)prediction_resistance;
	(void)input;
	(void)input_len;
	return playing ? draw_from_stream(playing, out, len)
		       : draw_from_kernel(out, len);
}

/* An instance has no state, so all are the provider itself. */
static void *
random_new(void *provider, void *parent, const OSSL_DISPATCH *parent_functions)
{
	(void)parent;
	(void)parent_functions;
	return provider;
}

static void
random_free(void *vctx)
{
	(void)vctx;
}

static int
random_instantiate(void *vctx, unsigned strength, int prediction_resistance,
	const unsigned char *text, size_t text_len, const OSSL_PARAM params[])
{
	(void)vctx;
	(void)strength;
	(void)prediction_resistance;
	(void)text;
	(void)text_len;
	(void)params;
	return 1;
}

static int
random_uninstantiate(void *vctx)
{
	(void)vctx;
	return 1;
}

static int
random_enable_locking(void *vctx)
{
	(void)vctx;
	return 1;
}

static int
random_lock(void *vctx)
{
	(void)vctx;
	return 1;
}

static void
random_unlock(void *vctx)
{
	(void)vctx;
}

static const OSSL_PARAM *
random_gettable(void *vctx, void *provider)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_int(OSSL_RAND_PARAM_STATE, NULL),
		OSSL_PARAM_uint(OSSL_RAND_PARAM_STRENGTH, NULL),
		OSSL_PARAM_size_t(OSSL_RAND_PARAM_MAX_REQUEST, NULL),
		OSSL_PARAM_END};

	(void)vctx;
	(void)provider;
	return params;
}

static int
random_get(void *vctx, OSSL_PARAM params[])
{
	OSSL_PARAM *p;

	(void)vctx;
	p = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_STATE);
	if (p && !OSSL_PARAM_set_int(p, EVP_RAND_STATE_READY))
		return 0;
	p = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_STRENGTH);
	if (p && !OSSL_PARAM_set_uint(p, 256))
		return 0;
	p = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_MAX_REQUEST);
	return !p || OSSL_PARAM_set_size_t(p, REQUEST_MAX);
}

#define FUNCTION(f) ((void (*)(void))(f))

static const OSSL_DISPATCH random_functions[] = {
	{OSSL_FUNC_RAND_NEWCTX, FUNCTION(random_new)},
	{OSSL_FUNC_RAND_FREECTX, FUNCTION(random_free)},
	{OSSL_FUNC_RAND_INSTANTIATE, FUNCTION(random_instantiate)},
	{OSSL_FUNC_RAND_UNINSTANTIATE, FUNCTION(random_uninstantiate)},
	{OSSL_FUNC_RAND_GENERATE, FUNCTION(random_generate)},
	{OSSL_FUNC_RAND_ENABLE_LOCKING, FUNCTION(random_enable_locking)},
	{OSSL_FUNC_RAND_LOCK, FUNCTION(random_lock)},
	{OSSL_FUNC_RAND_UNLOCK, FUNCTION(random_unlock)},
	{OSSL_FUNC_RAND_GETTABLE_CTX_PARAMS, FUNCTION(random_gettable)},
	{OSSL_FUNC_RAND_GET_CTX_PARAMS, FUNCTION(random_get)},
	{0, NULL},
};

static const OSSL_ALGORITHM *
provider_query(void *provider, int operation, int *no_cache)
{
	static const OSSL_ALGORITHM random[] = {
		{ALGORITHM, "provider=" PROVIDER, random_functions,
			"a function of a seed while one is set"},
		{NULL, NULL, NULL, NULL},
	};
	static const OSSL_ALGORITHM kdf[] = {
		{OSSL_KDF_NAME_TLS1_3_KDF, "provider=" PROVIDER,
			handoff__tls_secrets_kdf,
			"OpenSSL's own, and secrets are noted"},
		{NULL, NULL, NULL, NULL},
	};

	(void)provider;
	*no_cache = 0;
	return operation == OSSL_OP_RAND  ? random
	       : operation == OSSL_OP_KDF ? kdf
					  : NULL;
}

static int
provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core,
	const OSSL_DISPATCH **functions, void **provider)
{
	static const OSSL_DISPATCH provider_functions[] = {
		{OSSL_FUNC_PROVIDER_QUERY_OPERATION, FUNCTION(provider_query)},
		{0, NULL},
	};

	(void)handle;
	(void)core;
	if (!opening)
		return 0;
	*functions = provider_functions;
	*provider = &opening->tap;
	return 1;
}

/* ---- the context ---- */

static bool
set_up(struct handoff__tls_lib *lib)
{
	lib->ctx = OSSL_LIB_CTX_new();
	if (!lib->ctx || OSSL_PROVIDER_add_builtin(
				 lib->ctx, PROVIDER, provider_init) != 1)
		return false;
	opening = lib;
	lib->own = OSSL_PROVIDER_load(lib->ctx, PROVIDER);
	opening = NULL;
	lib->standard = OSSL_PROVIDER_load(lib->ctx, "default");
	if (!lib->own || !lib->standard)
		return false;
	lib->cipher = EVP_CIPHER_fetch(lib->ctx, "AES-256-CTR", NULL);
	lib->tap.kdf = EVP_KDF_fetch(
		lib->ctx, OSSL_KDF_NAME_TLS1_3_KDF, "provider=default");
	return lib->cipher && lib->tap.kdf &&
	       RAND_set_DRBG_type(lib->ctx, ALGORITHM, "provider=" PROVIDER,
		       NULL, NULL) == 1;
}

/* Both generators that OpenSSL has in a thread draw from the stream. Neither
 * does if the program has replaced the random source of the whole process. */
static bool
check(const struct handoff__tls_lib *lib)
{
	static const uint8_t seed[HANDOFF__TLS_SEED] = "check";
	struct handoff__tls_stream *stream = handoff__tls_stream_new(lib, seed);
	struct handoff__tls_stream *copy = handoff__tls_stream_new(lib, seed);
	unsigned char drawn[96] = {0}, expected[96];
	bool good = stream && copy &&
		    draw_from_stream(copy, expected, sizeof(expected));

	if (good) {
		handoff__tls_stream_play(stream);
		good = RAND_bytes_ex(lib->ctx, drawn, 48, 0) == 1 &&
		       RAND_priv_bytes_ex(lib->ctx, drawn + 48, 48, 0) == 1;
		handoff__tls_stream_stop();
	}
	good = good && memcmp(drawn, expected, sizeof(drawn)) == 0;
	handoff__tls_stream_free(stream);
	handoff__tls_stream_free(copy);
	return good;
}

int
handoff__tls_lib_open(
	struct handoff__tls_lib **out, struct handoff__error *error)
{
	struct handoff__tls_lib *lib = calloc(1, sizeof(*lib));
	const char *reason;
	int err = 0;

	if (!lib)
		return handoff__fail(error, -ENOMEM, "TLS: out of memory");
	if (!set_up(lib)) {
		reason = ERR_reason_error_string(ERR_peek_last_error());
		err = handoff__fail(error, -ENOTSUP,
			"TLS: OpenSSL cannot set up a context with a random "
			"source of its own: %s",
			reason ? reason : "no reason given");
	} else if (!check(lib)) {
		err = handoff__fail(error, -ENOTSUP,
			"TLS: OpenSSL draws from another random source than "
			"its context has: does the program call "
			"RAND_set_rand_method, or use an engine for it?");
	}
	ERR_clear_error();
	if (err < 0) {
		handoff__tls_lib_free(lib);
		return err;
	}
	*out = lib;
	return 0;
}

void
handoff__tls_lib_free(struct handoff__tls_lib *lib)
{
	if (!lib)
		return;
	EVP_CIPHER_free(lib->cipher);
	EVP_KDF_free(lib->tap.kdf);
	if (lib->standard)
		OSSL_PROVIDER_unload(lib->standard);
	if (lib->own)
		OSSL_PROVIDER_unload(lib->own);
	OSSL_LIB_CTX_free(lib->ctx);
	free(lib);
}

OSSL_LIB_CTX *
handoff__tls_lib_ctx(const struct handoff__tls_lib *lib)
{
	return lib->ctx;
}

/* ---- streams ---- */

struct handoff__tls_stream *
handoff__tls_stream_new(const struct handoff__tls_lib *lib,
	const uint8_t seed[HANDOFF__TLS_SEED])
{
	static const unsigned char zero[16];
	struct handoff__tls_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->keystream = EVP_CIPHER_CTX_new();
	if (!stream->keystream || EVP_EncryptInit_ex2(stream->keystream,
					  lib->cipher, seed, zero, NULL) != 1) {
		handoff__tls_stream_free(stream);
		return NULL;
	}
	return stream;
}

void
handoff__tls_stream_free(struct handoff__tls_stream *stream)
{
	if (!stream)
		return;
	assert(playing != stream);
	EVP_CIPHER_CTX_free(stream->keystream);
	free(stream);
}

void
handoff__tls_stream_play(struct handoff__tls_stream *stream)
{
	assert(!playing);
	playing = stream;
}

void
handoff__tls_stream_stop(void)
{
	playing = NULL;
}

uint64_t
handoff__tls_stream_drawn(const struct handoff__tls_stream *stream)
{
	return stream->drawn;
}
