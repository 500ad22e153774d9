/* SPDX-License-Identifier: MIT */
/*
 * The KDF. Its contexts are those of OpenSSL's own one, so that each function
 * is a call of that.
 */
#include "tls/secrets.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <string.h>

static _Thread_local struct handoff__tls_secrets *noted;

void
handoff__tls_secrets_note(struct handoff__tls_secrets *to)
{
	noted = to;
}

static bool
is_bytes(const OSSL_PARAM *param, const void *bytes, size_t len)
{
	return param && param->data_type == OSSL_PARAM_OCTET_STRING &&
	       param->data_size == len && len > 0 &&
	       memcmp(param->data, bytes, len) == 0;
}

static bool
is_label(const OSSL_PARAM *label, const char *text)
{
	return is_bytes(label, text, strlen(text));
}

/* What is derived of a traffic secret goes with it. */
static struct handoff__tls_keys *
keys_of(const OSSL_PARAM params[])
{
	const OSSL_PARAM *key =
		OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_KEY);

	if (is_bytes(key, noted->client, noted->client_len))
		return &noted->client_keys;
	if (is_bytes(key, noted->server, noted->server_len))
		return &noted->server_keys;
	return NULL;
}

static void
note_keys(struct handoff__tls_keys *keys, bool iv, const unsigned char *out,
	size_t len)
{
	if (iv && len <= sizeof(keys->iv)) {
		memcpy(keys->iv, out, len);
		keys->iv_len = (uint8_t)len;
	} else if (!iv && len <= sizeof(keys->key)) {
		memcpy(keys->key, out, len);
		keys->key_len = (uint8_t)len;
	}
}

static void
note(const OSSL_PARAM params[], const unsigned char *out, size_t len)
{
	const OSSL_PARAM *label =
		OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_LABEL);
	bool iv = is_label(label, "iv");
	struct handoff__tls_keys *keys =
		iv || is_label(label, "key") ? keys_of(params) : NULL;

	if (keys) {
		note_keys(keys, iv, out, len);
	} else if (len > HANDOFF__TLS_SECRET_BYTES) {
		return;
	} else if (is_label(label, "c ap traffic")) {
		memcpy(noted->client, out, len);
		noted->client_len = (uint16_t)len;
	} else if (is_label(label, "s ap traffic")) {
		memcpy(noted->server, out, len);
		noted->server_len = (uint16_t)len;
	}
}

static int
kdf_derive(void *ctx, unsigned char *out, size_t len, const OSSL_PARAM params[])
{
	if (EVP_KDF_derive(ctx, out, len, params) != 1)
		return 0;
	if (noted)
		note(params, out, len);
	return 1;
}

static void *
kdf_new(void *provider)
{
	const struct handoff__tls_tap *tap = provider;

	return EVP_KDF_CTX_new(tap->kdf);
}

static void *
kdf_copy(void *ctx)
{
	return EVP_KDF_CTX_dup(ctx);
}

static void
kdf_free(void *ctx)
{
	EVP_KDF_CTX_free(ctx);
}

static void
kdf_reset(void *ctx)
{
	EVP_KDF_CTX_reset(ctx);
}

static const OSSL_PARAM *
kdf_settable(void *ctx, void *provider)
{
	const struct handoff__tls_tap *tap = provider;

	(void)ctx;
	return EVP_KDF_settable_ctx_params(tap->kdf);
}

static int
kdf_set(void *ctx, const OSSL_PARAM params[])
{
	return EVP_KDF_CTX_set_params(ctx, params);
}

static const OSSL_PARAM *
kdf_gettable(void *ctx, void *provider)
{
	const struct handoff__tls_tap *tap = provider;

	(void)ctx;
	return EVP_KDF_gettable_ctx_params(tap->kdf);
}

static int
kdf_get(void *ctx, OSSL_PARAM params[])
{
	return EVP_KDF_CTX_get_params(ctx, params);
}

#define FUNCTION(f) ((void (*)(void))(f))

const OSSL_DISPATCH handoff__tls_secrets_kdf[] = {
	{OSSL_FUNC_KDF_NEWCTX, FUNCTION(kdf_new)},
	{OSSL_FUNC_KDF_DUPCTX, FUNCTION(kdf_copy)},
	{OSSL_FUNC_KDF_FREECTX, FUNCTION(kdf_free)},
	{OSSL_FUNC_KDF_RESET, FUNCTION(kdf_reset)},
	{OSSL_FUNC_KDF_DERIVE, FUNCTION(kdf_derive)},
	{OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, FUNCTION(kdf_settable)},
	{OSSL_FUNC_KDF_SET_CTX_PARAMS, FUNCTION(kdf_set)},
	{OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS, FUNCTION(kdf_gettable)},
	{OSSL_FUNC_KDF_GET_CTX_PARAMS, FUNCTION(kdf_get)},
	{0, NULL},
};
