/* SPDX-License-Identifier: MIT */
/*
 * Editions of certificates, and the contexts of OpenSSL that threads have of
 * them. An edition is held by counting; the count is raised first and only
 * then is it checked that the edition is still the one, while a reload first
 * takes an edition out of use and then looks at its count: so one of the two
 * sees the other (all of these accesses are sequentially consistent).
 */
#include "tls/context.h"

#include "tls/material.h"
#include "tls/secrets.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SUITES                                                                 \
	"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"                 \
	"TLS_AES_128_GCM_SHA256"

/* Certificates are not compressed (OpenSSL >= 3.2): what a library for that
 * makes of them is not seen in the identity, and a short message of a client
 * could become a long one. Older versions ignore these bits. */
#ifndef SSL_OP_NO_TX_CERTIFICATE_COMPRESSION
#define SSL_OP_NO_TX_CERTIFICATE_COMPRESSION (UINT64_C(1) << 32)
#define SSL_OP_NO_RX_CERTIFICATE_COMPRESSION (UINT64_C(1) << 33)
#endif

struct handoff__tls_edition {
	struct handoff__tls_contexts *contexts;
	atomic_bool usable;
	atomic_uint holders;
	uint64_t number;
	uint8_t identity[HANDOFF__TLS_IDENTITY];
	struct handoff__tls_material material;
	_Atomic(SSL_CTX *) ctx[HANDOFF__TLS_LIBS];
};

struct handoff__tls_contexts {
	struct handoff__tls_settings settings;
	atomic_uint threads; /* that have a number */
	atomic_flag reloading;
	_Atomic(struct handoff__tls_lib *) lib[HANDOFF__TLS_LIBS];
	unsigned first; /* the number of the thread that has opened it */
	atomic_uint current;
	uint64_t reloads;
	struct handoff__tls_edition edition[HANDOFF__TLS_EDITIONS];
};

/* Which of the contexts a thread has: the number that it got at the first
 * `contexts` that it used serves for all. */
static unsigned
thread_number(struct handoff__tls_contexts *contexts)
{
	static _Thread_local unsigned number; /* one more; 0: none yet */

	if (number == 0)
		number = 1 + atomic_fetch_add(&contexts->threads, 1) %
				     HANDOFF__TLS_LIBS;
	return number - 1;
}

static const char *
openssl_reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "no reason given";
}

/* ---- one context ---- */

static int
choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *client, unsigned client_len, void *arg)
{
	const struct handoff__tls_settings *settings = arg;
	unsigned char *chosen;

	(void)ssl;
	if (SSL_select_next_proto(&chosen, out_len, settings->alpn,
		    settings->alpn_len, client,
		    client_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301, 3.2 */
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static bool
set_defaults(SSL_CTX *ctx)
{
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(ctx, SUITES) == 1;
}

/* Whatever `configure` has done: what a replay and the record layer rest on.
 * Nothing is drawn or sent after the server's Finished. */
static bool
set_rules(SSL_CTX *ctx, struct handoff__tls_settings *settings)
{
	static const unsigned char name[] = "handoff-tls";

	if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
		SSL_CTX_set_max_early_data(ctx, 0) != 1 ||
		SSL_CTX_set_session_id_context(ctx, name, sizeof(name) - 1) !=
			1)
		return false;
	SSL_CTX_clear_options(ctx, SSL_OP_COOKIE_EXCHANGE);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_NO_COMPRESSION |
					 SSL_OP_NO_TX_CERTIFICATE_COMPRESSION |
					 SSL_OP_NO_RX_CERTIFICATE_COMPRESSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_clear_mode(ctx, SSL_MODE_ASYNC);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 0);
	if (settings->alpn)
		SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, settings);
	return true;
}

static int
check_suites(SSL_CTX *ctx, struct handoff__error *error)
{
	const STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
	unsigned count = 0;

	for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
		const SSL_CIPHER *c = sk_SSL_CIPHER_value(ciphers, i);
		unsigned id = SSL_CIPHER_get_protocol_id(c);

		if (id >> 8 != 0x13)
			continue; /* of an older version of TLS */
		if (id < 0x1301 || id > 0x1303)
			return handoff__fail(error, -EINVAL,
				"TLS: configure allows %s, which has no "
				"record layer here: only " SUITES,
				SSL_CIPHER_get_name(c));
		count++;
	}
	if (count == 0)
		return handoff__fail(error, -EINVAL,
			"TLS: no cipher suite of TLS 1.3 is left: allow one "
			"of " SUITES);
	return 0;
}

static int
configure(struct handoff__tls_settings *settings, SSL_CTX *ctx,
	struct handoff__error *error)
{
	int err = settings->configure ? settings->configure(ctx, settings->arg)
				      : 0;

	if (err < 0)
		return handoff__fail(error, err,
			"TLS: the program's configure has failed: %s",
			strerror(-err));
	return 0;
}

static int
make_ctx(struct handoff__tls_settings *settings,
	const struct handoff__tls_material *material, OSSL_LIB_CTX *lib,
	SSL_CTX **out, struct handoff__error *error)
{
	SSL_CTX *ctx;
	int err = 0;

	ERR_clear_error();
	ctx = SSL_CTX_new_ex(lib, HANDOFF__TLS_PROPERTIES, TLS_server_method());
	if (!ctx || !set_defaults(ctx))
		err = handoff__fail(error, -ENOTSUP,
			"TLS: OpenSSL cannot set up TLS 1.3: %s",
			openssl_reason());
	if (err == 0)
		err = configure(settings, ctx, error);
	if (err == 0)
		err = handoff__tls_material_install(
			material, settings, lib, ctx, error);
	if (err == 0 && !set_rules(ctx, settings))
		err = handoff__fail(error, -ENOTSUP,
			"TLS: OpenSSL cannot set up TLS 1.3: %s",
			openssl_reason());
	if (err == 0)
		err = check_suites(ctx, error);
	ERR_clear_error();
	if (err < 0) {
		SSL_CTX_free(ctx);
		return err;
	}
	*out = ctx;
	return 0;
}

/* ---- those of a thread ---- */

static int
thread_lib(struct handoff__tls_contexts *contexts,
	struct handoff__tls_lib **out, struct handoff__error *error)
{
	unsigned i = thread_number(contexts);
	struct handoff__tls_lib *none = NULL, *lib;
	int err;

	*out = atomic_load(&contexts->lib[i]);
	if (*out)
		return 0;
	err = handoff__tls_lib_open(&lib, error);
	if (err < 0)
		return err;
	if (atomic_compare_exchange_strong(&contexts->lib[i], &none, lib)) {
		*out = lib;
		return 0;
	}
	handoff__tls_lib_free(lib); /* another thread with that number */
	*out = none;
	return 0;
}

static int
thread_ctx(struct handoff__tls_edition *g, SSL_CTX **out,
	const struct handoff__tls_lib **out_lib, struct handoff__error *error)
{
	struct handoff__tls_contexts *contexts = g->contexts;
	struct handoff__tls_lib *lib;
	SSL_CTX *none = NULL, *ctx;
	unsigned i = thread_number(contexts);
	int err = thread_lib(contexts, &lib, error);

	if (err < 0)
		return err;
	*out_lib = lib;
	*out = atomic_load(&g->ctx[i]);
	if (*out)
		return 0;
	err = make_ctx(&contexts->settings, &g->material,
		handoff__tls_lib_ctx(lib), &ctx, error);
	if (err < 0)
		return err;
	*out = ctx;
	if (!atomic_compare_exchange_strong(&g->ctx[i], &none, ctx)) {
		SSL_CTX_free(ctx);
		*out = none;
	}
	return 0;
}

SSL_CTX *
handoff__tls_edition_ctx(struct handoff__tls_edition *edition,
	const struct handoff__tls_lib **lib)
{
	SSL_CTX *ctx;

	return thread_ctx(edition, &ctx, lib, NULL) < 0 ? NULL : ctx;
}

/* ---- editions ---- */

static void
edition_clear(struct handoff__tls_edition *g)
{
	for (unsigned i = 0; i < HANDOFF__TLS_LIBS; i++)
		SSL_CTX_free(atomic_exchange(&g->ctx[i], NULL));
	handoff__tls_material_free(&g->material);
	g->number = 0;
}

/* Fills one that is not in use. */
static int
edition_load(struct handoff__tls_edition *g, struct handoff__error *error)
{
	struct handoff__tls_contexts *contexts = g->contexts;
	const struct handoff__tls_lib *lib;
	SSL_CTX *ctx;
	int err = handoff__tls_material_read(
		&g->material, &contexts->settings, error);

	if (err == 0)
		err = thread_ctx(g, &ctx, &lib, error);
	if (err == 0 &&
		!handoff__tls_identity(g->identity, handoff__tls_lib_ctx(lib),
			ctx, &contexts->settings))
		err = handoff__fail(error, -ENOMEM, "TLS: out of memory");
	if (err < 0)
		edition_clear(g);
	return err;
}

/* Begins to serve with it. */
static void
edition_publish(struct handoff__tls_edition *g)
{
	struct handoff__tls_contexts *contexts = g->contexts;

	g->number = ++contexts->reloads;
	atomic_store(&g->usable, true);
	atomic_store(&contexts->current, (unsigned)(g - contexts->edition));
}

/* The oldest that is neither current nor held; those never used are first. */
static struct handoff__tls_edition *
edition_oldest(struct handoff__tls_contexts *contexts)
{
	unsigned current = atomic_load(&contexts->current);
	struct handoff__tls_edition *found = NULL;

	for (unsigned i = 0; i < HANDOFF__TLS_EDITIONS; i++) {
		struct handoff__tls_edition *g = &contexts->edition[i];

		if (i != current && atomic_load(&g->holders) == 0 &&
			(!found || g->number < found->number))
			found = g;
	}
	return found;
}

/* Takes one out of use. */
static struct handoff__tls_edition *
edition_reuse(struct handoff__tls_contexts *contexts)
{
	struct handoff__tls_edition *g;

	while ((g = edition_oldest(contexts))) {
		atomic_store(&g->usable, false);
		if (atomic_load(&g->holders) == 0) {
			edition_clear(g);
			return g;
		}
		/* held, or looked at, at this very moment */
		atomic_store(&g->usable, g->number > 0);
	}
	return NULL;
}

/* The count comes first: see above. */
static bool
try_hold(struct handoff__tls_edition *g, const uint8_t *identity)
{
	atomic_fetch_add(&g->holders, 1);
	if (identity ? atomic_load(&g->usable) &&
				memcmp(g->identity, identity,
					HANDOFF__TLS_IDENTITY) == 0
		     : g == &g->contexts->edition[atomic_load(
				    &g->contexts->current)])
		return true;
	atomic_fetch_sub(&g->holders, 1);
	return false;
}

struct handoff__tls_edition *
handoff__tls_edition_hold(
	struct handoff__tls_contexts *contexts, const uint8_t *identity)
{
	unsigned current;

	do {
		current = atomic_load(&contexts->current);
		if (try_hold(&contexts->edition[current], identity))
			return &contexts->edition[current];
	} while (!identity);
	for (unsigned i = 0; i < HANDOFF__TLS_EDITIONS; i++) {
		if (i != current && try_hold(&contexts->edition[i], identity))
			return &contexts->edition[i];
	}
	return NULL;
}

void
handoff__tls_edition_release(struct handoff__tls_edition *edition)
{
	atomic_fetch_sub(&edition->holders, 1);
}

const uint8_t *
handoff__tls_edition_identity(const struct handoff__tls_edition *edition)
{
	return edition->identity;
}

/* ---- all of them ---- */

int
handoff__tls_contexts_open(struct handoff__tls_contexts **out,
	const struct handoff_tls_opts *opts, struct handoff__error *error)
{
	struct handoff__tls_contexts *contexts = calloc(1, sizeof(*contexts));
	int err;

	if (!contexts)
		return handoff__fail(error, -ENOMEM, "TLS: out of memory");
	for (unsigned i = 0; i < HANDOFF__TLS_EDITIONS; i++)
		contexts->edition[i].contexts = contexts;
	contexts->first = thread_number(contexts);
	err = handoff__tls_settings_init(&contexts->settings, opts, error);
	if (err == 0)
		err = edition_load(&contexts->edition[0], error);
	if (err < 0) {
		handoff__tls_contexts_free(contexts);
		return err;
	}
	edition_publish(&contexts->edition[0]);
	*out = contexts;
	return 0;
}

int
handoff__tls_contexts_reload(
	struct handoff__tls_contexts *contexts, struct handoff__error *error)
{
	struct handoff__tls_edition *g;
	int err;

	if (atomic_flag_test_and_set(&contexts->reloading))
		return handoff__fail(error, -EBUSY,
			"TLS: a reload is under way in another thread");
	g = edition_reuse(contexts);
	if (!g)
		err = handoff__fail(error, -EBUSY,
			"TLS: handshakes that are under way need the %d "
			"latest certificates: reload again when they have "
			"ended",
			HANDOFF__TLS_EDITIONS);
	else
		err = edition_load(g, error);
	if (err == 0)
		edition_publish(g);
	atomic_flag_clear(&contexts->reloading);
	return err;
}

void
handoff__tls_contexts_free(struct handoff__tls_contexts *contexts)
{
	if (!contexts)
		return;
	for (unsigned i = 0; i < HANDOFF__TLS_EDITIONS; i++)
		edition_clear(&contexts->edition[i]);
	for (unsigned i = 0; i < HANDOFF__TLS_LIBS; i++)
		handoff__tls_lib_free(atomic_load(&contexts->lib[i]));
	handoff__tls_settings_free(&contexts->settings);
	free(contexts);
}

void
handoff__tls_contexts_identity(struct handoff__tls_contexts *contexts,
	uint8_t identity[HANDOFF__TLS_IDENTITY])
{
	struct handoff__tls_edition *g =
		handoff__tls_edition_hold(contexts, NULL);

	memcpy(identity, g->identity, HANDOFF__TLS_IDENTITY);
	handoff__tls_edition_release(g);
}

OSSL_LIB_CTX *
handoff__tls_contexts_lib(struct handoff__tls_contexts *contexts)
{
	return handoff__tls_lib_ctx(
		atomic_load(&contexts->lib[contexts->first]));
}
