/* SPDX-License-Identifier: MIT */
/*
 * Hashes what decides on the bytes of a handshake, each item with its length.
 * What a host has of its own, such as the abilities of its CPU or the names of
 * files, is not part of it. It changes nothing in the context.
 */
#include "tls/identity.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

/* Changes with the way in which this component makes handshakes: the stream of
 * random bytes, the order in which OpenSSL is called. */
#define METHOD "handoff-tls 1"

struct hashing {
	EVP_MD_CTX *md;
	bool good;
};

static void
put(struct hashing *h, const void *data, size_t len)
{
	unsigned char length[8];

	for (unsigned i = 0; i < sizeof(length); i++)
		length[i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
	h->good = h->good &&
		  EVP_DigestUpdate(h->md, length, sizeof(length)) == 1 &&
		  EVP_DigestUpdate(h->md, data, len) == 1;
}

static void
put_text(struct hashing *h, const char *text)
{
	put(h, text ? text : "", text ? strlen(text) : 0);
}

static void
put_number(struct hashing *h, uint64_t number)
{
	unsigned char bytes[8];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(number >> (56 - 8 * i));
	put(h, bytes, sizeof(bytes));
}

/* What i2d_... has made; frees it. */
static void
put_der(struct hashing *h, unsigned char *der, int len)
{
	h->good = h->good && len > 0;
	if (h->good)
		put(h, der, (size_t)len);
	OPENSSL_free(der);
}

static void
put_cert(struct hashing *h, X509 *cert)
{
	unsigned char *der = NULL;
	int len = i2d_X509(cert, &der);

	put_der(h, der, len);
}

static void
put_build(struct hashing *h)
{
	static const int parts[] = {OPENSSL_VERSION,
		OPENSSL_FULL_VERSION_STRING, OPENSSL_BUILT_ON, OPENSSL_CFLAGS,
		OPENSSL_PLATFORM};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		put_text(h, OpenSSL_version(parts[i]));
}

/* All, since `configure` may have loaded one of another type. */
static void
put_own_certs(struct hashing *h, SSL_CTX *ctx)
{
	STACK_OF(X509) * chain;
	long which = SSL_CERT_SET_FIRST;

	while (SSL_CTX_set_current_cert(ctx, which) == 1) {
		put_cert(h, SSL_CTX_get0_certificate(ctx));
		chain = NULL;
		SSL_CTX_get0_chain_certs(ctx, &chain);
		put_number(h, (uint64_t)(chain ? sk_X509_num(chain) : 0));
		for (int i = 0; chain && i < sk_X509_num(chain); i++)
			put_cert(h, sk_X509_value(chain, i));
		which = SSL_CERT_SET_NEXT;
	}
	SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_FIRST);
}

static void
put_client_cas(struct hashing *h, SSL_CTX *ctx)
{
	const STACK_OF(X509_NAME) *names = SSL_CTX_get_client_CA_list(ctx);
	const STACK_OF(X509_OBJECT) *objects =
		X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));

	for (int i = 0; names && i < sk_X509_NAME_num(names); i++) {
		unsigned char *der = NULL;
		int len = i2d_X509_NAME(sk_X509_NAME_value(names, i), &der);

		put_der(h, der, len);
	}
	for (int i = 0; objects && i < sk_X509_OBJECT_num(objects); i++) {
		X509 *cert =
			X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

		if (cert)
			put_cert(h, cert);
	}
}

static void
put_options(struct hashing *h, SSL_CTX *ctx)
{
	const STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);

	put_number(h, SSL_CTX_get_options(ctx));
	put_number(h, (uint64_t)SSL_CTX_get_security_level(ctx));
	put_number(h, (uint64_t)SSL_CTX_get_verify_mode(ctx));
	put_number(h, (uint64_t)SSL_CTX_get_verify_depth(ctx));
	for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++)
		put_number(h, SSL_CIPHER_get_protocol_id(
				      sk_SSL_CIPHER_value(ciphers, i)));
}

bool
handoff__tls_identity(uint8_t identity[HANDOFF__TLS_IDENTITY],
	OSSL_LIB_CTX *lib, SSL_CTX *ctx,
	const struct handoff__tls_settings *settings)
{
	EVP_MD *sha256 = EVP_MD_fetch(lib, "SHA256", NULL);
	struct hashing h = {.md = EVP_MD_CTX_new()};

	h.good = sha256 && h.md && EVP_DigestInit_ex2(h.md, sha256, NULL) == 1;
	put_text(&h, METHOD);
	put_build(&h);
	put_own_certs(&h, ctx);
	put_number(&h, settings->client);
	put_client_cas(&h, ctx);
	put(&h, settings->alpn ? settings->alpn : (const void *)"",
		settings->alpn_len);
	put_options(&h, ctx);
	put_text(&h, settings->version);
	h.good = h.good && EVP_DigestFinal_ex(h.md, identity, NULL) == 1;
	EVP_MD_CTX_free(h.md);
	EVP_MD_free(sha256);
	return h.good;
}
