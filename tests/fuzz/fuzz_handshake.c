/* SPDX-License-Identifier: MIT */
/*
 * Handshakes of TLS with a hostile client, that are run again: whatever comes,
 * in whatever pieces, one that begins anew from the same seed makes the same
 * bytes and comes to the same end. One that is done has the secrets that the
 * client has.
 *
 * The input: a byte of flags, a byte for the sizes of pieces, and then either
 * what the client sends (RAW), or changes to what a real client sends: where
 * (2 bytes; from LATER on in its second flight), what kind, a byte. The client
 * draws from a stream of the same kind, so all of it can be repeated.
 */
#include "fuzz.h"

#include "tls/handshake.h"
#include "tls/keylog.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RAW   1u /* flags */
#define CERT  2u /* the client is asked for a certificate, and has one */
#define RETRY 4u /* the client has to begin again, with another group */
#define LATER 0x8000u

#define INPUT_MAX ((size_t)131072)

static struct {
	struct handoff__tls_lib *lib; /* the client's */
	struct handoff__tls_contexts *contexts[4];
	SSL_CTX *client[4];
	char cert[32], key[32]; /* names of files */
} all;

static const uint8_t seed[HANDOFF__TLS_SEED] = "handshakes";

/* ---- once ---- */

static FILE *
new_file(char name[32])
{
	int fd = memfd_create("fuzz", 0);

	check(fd >= 0 && fchmod(fd, 0600) == 0);
	snprintf(name, 32, "/proc/self/fd/%d", fd);
	return fdopen(fd, "w");
}

static X509 *
new_cert(EVP_PKEY *key, OSSL_LIB_CTX *ctx)
{
	X509 *cert = X509_new_ex(ctx, NULL);
	X509_NAME *name = X509_get_subject_name(cert);
	EVP_MD *md = EVP_MD_fetch(ctx, "SHA256", NULL);

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	ASN1_TIME_set_string(X509_getm_notBefore(cert), "20200101000000Z");
	ASN1_TIME_set_string(X509_getm_notAfter(cert), "20991231235959Z");
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
		(const unsigned char *)"fuzz", -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, key);
	check(X509_sign(cert, key, md) > 0);
	EVP_MD_free(md);
	return cert;
}

/* One for both sides, which it certifies itself. */
static void
make_files(void)
{
	OSSL_LIB_CTX *ctx = handoff__tls_lib_ctx(all.lib);
	EVP_PKEY *key = EVP_PKEY_Q_keygen(ctx, NULL, "EC", "P-256");
	X509 *cert = new_cert(key, ctx);
	FILE *file = new_file(all.cert);

	check(PEM_write_X509(file, cert) == 1 && fflush(file) == 0);
	file = new_file(all.key);
	check(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 &&
		fflush(file) == 0);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int
set_group(SSL_CTX *ctx, void *arg)
{
	(void)arg;
	return SSL_CTX_set1_groups_list(ctx, "P-256") == 1 ? 0 : -1;
}

static void
make_side(unsigned flags)
{
	struct handoff_tls_opts opts = {
		.cert_file = all.cert,
		.key_file = all.key,
		.client_ca_file = flags & CERT ? all.cert : NULL,
		.configure = flags & RETRY ? set_group : NULL,
	};
	SSL_CTX *ctx = SSL_CTX_new_ex(
		handoff__tls_lib_ctx(all.lib), NULL, TLS_client_method());

	check(handoff__tls_contexts_open(
		      &all.contexts[flags / 2], &opts, NULL) == 0);
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set1_groups_list(ctx, flags & RETRY ? "X25519:P-256" : "P-256");
	SSL_CTX_set_keylog_callback(ctx, keylog_read);
	if (flags & CERT)
		check(SSL_CTX_use_certificate_chain_file(ctx, all.cert) == 1 &&
			SSL_CTX_use_PrivateKey_file(
				ctx, all.key, SSL_FILETYPE_PEM) == 1);
	all.client[flags / 2] = ctx;
}

static void
make_all(void)
{
	struct handoff__tls_stream *stream;

	check(handoff__tls_lib_open(&all.lib, NULL) == 0);
	stream = handoff__tls_stream_new(all.lib, seed);
	handoff__tls_stream_play(stream);
	make_files();
	handoff__tls_stream_stop();
	handoff__tls_stream_free(stream);
	for (unsigned flags = 0; flags < 8; flags += 2)
		make_side(flags);
}

/* ---- a client ---- */

struct client {
	SSL *ssl;
	BIO *in, *out;
	struct handoff__tls_stream *stream;
	struct handoff__tls_secrets secrets;
};

static void
client_open(struct client *c, SSL_CTX *ctx)
{
	c->stream = handoff__tls_stream_new(all.lib, seed);
	handoff__tls_stream_play(c->stream);
	c->ssl = SSL_new(ctx);
	handoff__tls_stream_stop();
	c->in = BIO_new(BIO_s_mem());
	c->out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(c->in, -1);
	SSL_set_bio(c->ssl, c->in, c->out);
	SSL_set_app_data(c->ssl, &c->secrets);
	SSL_set_connect_state(c->ssl);
}

static void
client_close(struct client *c)
{
	SSL_free(c->ssl);
	handoff__tls_stream_free(c->stream);
	ERR_clear_error();
}

/* What the client sends next, at the end of what it has sent. */
static size_t
client_step(struct client *c, const uint8_t *data, size_t len, uint8_t *to,
	size_t size)
{
	int n;

	handoff__tls_stream_play(c->stream);
	if (len > 0)
		BIO_write(c->in, data, (int)len);
	SSL_do_handshake(c->ssl);
	handoff__tls_stream_stop();
	n = BIO_read(c->out, to, (int)size);
	return n > 0 ? (size_t)n : 0;
}

/* ---- what it sends ---- */

struct course {
	uint8_t input[INPUT_MAX];
	size_t len;
	const uint8_t *changes;
	size_t changes_len;
	unsigned pieces;
	struct handoff__tls_handshake *hs;
	enum handoff__tls_progress progress;
};

/* Changes one byte, leaves some out, or repeats some. */
static void
change(struct course *course, size_t at, unsigned kind, uint8_t value)
{
	uint8_t *p = course->input + at;
	size_t rest = course->len - at, n = value < rest ? value : rest;

	if (rest == 0)
		return;
	switch (kind % 4) {
	case 0:
		*p ^= value;
		break;
	case 1:
		*p = value;
		break;
	case 2:
		memmove(p, p + n, rest - n);
		course->len -= n;
		break;
	default:
		if (course->len + n > INPUT_MAX)
			return;
		memmove(p + n, p, rest);
		course->len += n;
	}
}

static void
apply(struct course *course, size_t from, bool later)
{
	const uint8_t *c = course->changes;

	for (size_t i = 0; i + 4 <= course->changes_len; i += 4) {
		unsigned at = (unsigned)(c[i] << 8 | c[i + 1]);

		if ((at >= LATER) == later && course->len > from)
			change(course, from + at % LATER % (course->len - from),
				c[i + 2], c[i + 3]);
	}
}

static void
feed(struct course *course, size_t from)
{
	size_t piece = course->pieces ? course->pieces : course->len;

	for (size_t n = from; n < course->len;) {
		n = n + piece < course->len ? n + piece : course->len;
		course->progress = handoff__tls_handshake_feed(
			course->hs, course->input, n);
	}
}

static void
talk(struct course *course, struct client *client)
{
	const uint8_t *output = NULL;
	size_t seen = 0, len = 0;

	for (unsigned flight = 0; flight < 3; flight++) {
		size_t from = course->len;

		course->len += client_step(client,
			len > seen ? output + seen : NULL, len - seen,
			course->input + from, INPUT_MAX - from);
		apply(course, from, flight > 0);
		feed(course, from);
		seen = len;
		len = handoff__tls_handshake_output(course->hs, &output);
	}
}

/* ---- the checks ---- */

static void
check_done(const struct course *course, const struct client *client)
{
	const struct handoff__tls_outcome *outcome =
		handoff__tls_handshake_outcome(course->hs);

	check((outcome != NULL) == (course->progress == HANDOFF__TLS_DONE));
	if (!outcome)
		return;
	check(outcome->used <= course->len && outcome->sent == 0);
	check(outcome->used <= HANDOFF__TLS_HANDSHAKE_MAX);
	if (client->secrets.client_len > 0)
		check(memcmp(outcome->client_secret, client->secrets.client,
			      outcome->secret_len) == 0);
}

static void
check_same(const struct handoff__tls_outcome *a,
	const struct handoff__tls_outcome *b)
{
	if (!a || !b) {
		check(!a && !b);
		return;
	}
	check(a->used == b->used && a->suite == b->suite);
	check(memcmp(a->client_secret, b->client_secret, a->secret_len) == 0);
	check(memcmp(a->server_secret, b->server_secret, a->secret_len) == 0);
	check(strcmp(a->peer, b->peer) == 0);
}

/* With so many bytes first, and then all. */
static void
check_again(const struct course *course, size_t first,
	struct handoff__tls_contexts *contexts)
{
	struct handoff__tls_handshake *again;
	uint8_t *copy = exact_copy(course->input, course->len);
	const uint8_t *a, *b;
	size_t len = handoff__tls_handshake_output(course->hs, &a);

	check(handoff__tls_handshake_new(&again, contexts,
		      handoff__tls_handshake_identity(course->hs), seed) == 0);
	handoff__tls_handshake_feed(again, copy, first);
	check(handoff__tls_handshake_output(again, &b) <= len);
	check(handoff__tls_handshake_feed(again, copy, course->len) ==
		course->progress);
	check(handoff__tls_handshake_output(again, &b) == len);
	check(len == 0 || memcmp(a, b, len) == 0);
	check_same(handoff__tls_handshake_outcome(again),
		handoff__tls_handshake_outcome(course->hs));
	handoff__tls_handshake_free(again);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct course course;
	struct client client = {.ssl = NULL};
	unsigned side;

	if (!all.lib)
		make_all();
	if (size < 2)
		return 0;
	memset(&course, 0, sizeof(course));
	side = data[0] / 2 % 4;
	course.pieces = data[1];
	course.changes = data + 2;
	course.changes_len = size - 2;
	check(handoff__tls_handshake_new(
		      &course.hs, all.contexts[side], NULL, seed) == 0);
	if (data[0] & RAW) {
		memcpy(course.input, data + 2, size - 2);
		course.len = size - 2;
		feed(&course, 0);
	} else {
		client_open(&client, all.client[side]);
		talk(&course, &client);
	}
	check_done(&course, &client);
	check_again(&course, course.len / 2, all.contexts[side]);
	if (client.ssl)
		client_close(&client);
	handoff__tls_handshake_free(course.hs);
	return 0;
}
