/* SPDX-License-Identifier: MIT */
/*
 * Clients that a handshake fails with: the wrong version, nothing in common,
 * the wrong certificate or none, bytes that are not TLS, too many of them,
 * changed ones. Each ends with an alert, within the limit, and is the same when
 * it is run again.
 */
#include "tls/tape.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

static struct tape tape, good;

struct scene {
	struct pki server, ca, client;
	struct handoff_tls_opts opts;
	struct handoff__tls_contexts *contexts;
	SSL_CTX *ctx; /* the client's */
};

static void
scene_make(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	s->server = pki_make("server", PKI_ECDSA, NULL);
	s->ca = pki_make("ca", PKI_ECDSA, NULL);
	s->client = pki_make("client", PKI_ECDSA, &s->ca);
	s->opts.cert_file = s->server.cert;
	s->opts.key_file = s->server.key;
	s->ctx = tape_client_ctx();
}

static void
scene_open(struct scene *s)
{
	scene_make(s);
	s->contexts = tape_contexts(&s->opts);
}

static void
scene_close(struct scene *s)
{
	handoff__tls_contexts_free(s->contexts);
	SSL_CTX_free(s->ctx);
}

/* The tape has failed with that alert, sent by the server, and these words; and
 * does it again. */
static void
failed(struct scene *s, int alert, const char *words)
{
	assert_int_equal(tape.progress, HANDOFF__TLS_FAILED);
	if (!strstr(tape.why, words))
		fail_msg("'%s' is not in '%s'", words, tape.why);
	assert_int_equal(tape.alert, alert);
	if (alert >= 0)
		assert_true(tape.output_len >= 7);
	tape_replay(&tape, s->contexts);
}

/* Feeds bytes in place of a client's, from an empty tape on. */
static void
feed_raw(struct scene *s, const void *data, size_t len)
{
	struct handoff__tls_handshake *hs;
	const uint8_t *output;
	bool received;

	memset(&tape, 0, sizeof(tape));
	assert_true(len <= sizeof(tape.input));
	memcpy(tape.input, data, len);
	tape.input_len = len;
	assert_int_equal(
		handoff__tls_handshake_new(&hs, s->contexts, NULL, tape.seed),
		0);
	tape.progress = handoff__tls_handshake_feed(hs, tape.input, len);
	tape.output_len = handoff__tls_handshake_output(hs, &output);
	if (tape.output_len > 0)
		memcpy(tape.output, output, tape.output_len);
	memcpy(tape.identity, handoff__tls_handshake_identity(hs),
		sizeof(tape.identity));
	snprintf(tape.why, sizeof(tape.why), "%s",
		handoff__tls_handshake_why(hs));
	tape.alert = handoff__tls_handshake_alert(hs, &received);
	handoff__tls_handshake_free(hs);
}

/* ---- nothing in common ---- */

static void
test_an_older_version_is_refused(void **state)
{
	static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, 70};
	struct scene s;

	(void)state;
	scene_open(&s);
	SSL_CTX_set_min_proto_version(s.ctx, TLS1_2_VERSION);
	SSL_CTX_set_max_proto_version(s.ctx, TLS1_2_VERSION);
	tape_record(&tape, s.contexts, s.ctx, 1);
	failed(&s, 70, "unsupported protocol");
	assert_int_equal(tape.output_len, sizeof(alert));
	assert_memory_equal(tape.output, alert, sizeof(alert));
	scene_close(&s);
}

static void
test_no_common_suite_is_refused(void **state)
{
	struct scene s;

	(void)state;
	scene_open(&s);
	SSL_CTX_set_ciphersuites(s.ctx, "TLS_AES_128_CCM_SHA256");
	tape_record(&tape, s.contexts, s.ctx, 1);
	failed(&s, 40, "no shared cipher");
	scene_close(&s);
}

static void
test_no_common_protocol_is_refused(void **state)
{
	static const char *const alpn[] = {"a", "b"};
	struct tape_client client;
	struct scene s;

	(void)state;
	scene_make(&s);
	s.opts.alpn = alpn;
	s.opts.nalpn = 2;
	s.contexts = tape_contexts(&s.opts);
	tape_client_open(&client, s.ctx);
	SSL_set_alpn_protos(client.ssl, (const unsigned char *)"\x01z", 2);
	tape_record_client(&tape, s.contexts, &client, 1);
	tape_client_close(&client);
	failed(&s, 120, "no application protocol");
	/* without ALPN there is nothing to agree on */
	tape_record(&tape, s.contexts, s.ctx, 1);
	assert_int_equal(tape.progress, HANDOFF__TLS_DONE);
	assert_string_equal(tape.outcome.alpn, "");
	scene_close(&s);
}

/* ---- certificates of clients ---- */

static void
check_client(enum handoff_tls_client_cert client, bool has_one, bool of_ca,
	int alert, const char *words)
{
	struct scene s;
	struct pki stranger;

	scene_make(&s);
	stranger = pki_make("stranger", PKI_ECDSA, NULL);
	s.opts.client = client;
	s.opts.client_ca_file = s.ca.cert;
	s.contexts = tape_contexts(&s.opts);
	if (has_one)
		tape_client_cert(s.ctx, of_ca ? &s.client : &stranger);
	tape_record(&tape, s.contexts, s.ctx, 1);
	if (alert >= 0) {
		failed(&s, alert, words);
	} else {
		assert_int_equal(tape.progress, HANDOFF__TLS_DONE);
		assert_string_equal(tape.outcome.peer, words);
		tape_replay(&tape, s.contexts);
	}
	scene_close(&s);
}

static void
test_certificates_of_clients(void **state)
{
	const enum handoff_tls_client_cert asked = HANDOFF_TLS_CLIENT_ASKED,
					   required =
						   HANDOFF_TLS_CLIENT_REQUIRED;

	(void)state;
	check_client(required, true, true, -1, "CN=client,O=Test");
	check_client(required, false, false, 116, "did not return a cert");
	check_client(required, true, false, 48, "verify failed");
	check_client(asked, true, true, -1, "CN=client,O=Test");
	check_client(asked, false, false, -1, "");
	check_client(asked, true, false, 48, "verify failed");
	/* the default with a CA */
	check_client(HANDOFF_TLS_CLIENT_NONE, false, false, 116, "");
}

/* ---- not TLS, or not all of it ---- */

static void
test_what_is_not_tls_fails(void **state)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char zeros[64];
	struct scene s;

	(void)state;
	scene_open(&s);
	feed_raw(&s, http, sizeof(http) - 1);
	failed(&s, -1, "http request");
	feed_raw(&s, zeros, sizeof(zeros));
	assert_int_equal(tape.progress, HANDOFF__TLS_FAILED);
	feed_raw(&s, "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", 11);
	assert_int_not_equal(tape.progress, HANDOFF__TLS_DONE);
	assert_in_range(tape.output_len, 0, 7);
	scene_close(&s);
}

static void
test_a_part_of_a_handshake_waits(void **state)
{
	struct handoff__tls_handshake *hs;
	struct scene s;

	(void)state;
	scene_open(&s);
	tape_record(&good, s.contexts, s.ctx, 1);
	for (size_t n = 0; n < good.input_len; n += 1 + n / 16) {
		hs = tape_begin(&good, s.contexts);
		for (int i = 0; i < 3; i++)
			assert_int_equal(
				handoff__tls_handshake_feed(hs, good.input, n),
				HANDOFF__TLS_WANT_INPUT);
		tape_is_prefix(&good, hs);
		handoff__tls_handshake_free(hs);
	}
	scene_close(&s);
}

/* ---- too much ---- */

/* A hello that says that it is longer than any may be here. */
static void
test_an_endless_hello_ends(void **state)
{
	static uint8_t hello[65536];
	struct scene s;
	size_t at = 0;

	(void)state;
	scene_open(&s);
	while (at + 5 + 16384 <= sizeof(hello)) {
		static const uint8_t header[] = {22, 3, 1, 0x40, 0};

		memcpy(hello + at, header, sizeof(header));
		at += 5 + 16384;
	}
	memcpy(hello + 5, (const uint8_t[]){1, 1, 0x80, 0, 3, 3}, 6);
	feed_raw(&s, hello, at);
	assert_int_equal(tape.progress, HANDOFF__TLS_WANT_INPUT);
	memcpy(hello + at, (const uint8_t[]){22, 3, 1, 0x40, 0}, 5);
	feed_raw(&s, hello, at + 5);
	failed(&s, 22, "");
	scene_close(&s);
}

static void
test_a_record_that_is_too_long_ends(void **state)
{
	static const uint8_t header[] = {22, 3, 1, 0x48, 0x01};
	struct scene s;

	(void)state;
	scene_open(&s);
	feed_raw(&s, header, sizeof(header));
	failed(&s, 22, "");
	scene_close(&s);
}

/* Records that change nothing, after the server's flight. */
static void
test_a_flood_of_records_ends(void **state)
{
	static const uint8_t change[] = {20, 3, 3, 0, 1, 1};
	struct handoff__tls_handshake *hs;
	struct scene s;
	size_t hello, n;

	(void)state;
	scene_open(&s);
	tape_record(&good, s.contexts, s.ctx, 1);
	hello = 5 + (size_t)(good.input[3] << 8 | good.input[4]);
	n = hello;
	memcpy(tape.input, good.input, hello);
	while (n + sizeof(change) <= sizeof(tape.input)) {
		memcpy(tape.input + n, change, sizeof(change));
		n += sizeof(change);
	}
	hs = tape_begin(&good, s.contexts);
	assert_int_equal(handoff__tls_handshake_feed(hs, tape.input, n),
		HANDOFF__TLS_FAILED);
	handoff__tls_handshake_free(hs);
	scene_close(&s);
}

/* A chain of certificates that does not fit into the limit: the alert comes
 * under the keys of the handshake, so that the client can read it. */
static void
test_too_many_client_certificates_end_with_an_alert(void **state)
{
	static const uint8_t *output;
	struct handoff__tls_handshake *hs;
	struct tape_client client;
	struct scene s;
	const char *chain;
	size_t len, seen;

	(void)state;
	scene_make(&s);
	s.opts.client_ca_file = s.ca.cert;
	s.contexts = tape_contexts(&s.opts);
	chain = pki_path("chain.crt");
	pki_write(chain, "");
	pki_append(chain, s.client.cert);
	for (int i = 0; i < 240; i++)
		pki_append(chain, s.ca.cert);
	assert_int_equal(SSL_CTX_use_certificate_chain_file(s.ctx, chain), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(
				 s.ctx, s.client.key, SSL_FILETYPE_PEM),
		1);
	tape_client_open(&client, s.ctx);
	memset(&tape, 0, sizeof(tape));
	assert_int_equal(
		handoff__tls_handshake_new(&hs, s.contexts, NULL, tape.seed),
		0);
	tape_client_step(&client, &tape, NULL, 0);
	handoff__tls_handshake_feed(hs, tape.input, tape.input_len);
	seen = handoff__tls_handshake_output(hs, &output);
	tape_client_step(&client, &tape, output, seen);
	assert_true(tape.input_len > 40000);
	assert_int_equal(
		handoff__tls_handshake_feed(hs, tape.input, tape.input_len),
		HANDOFF__TLS_FAILED);
	len = handoff__tls_handshake_output(hs, &output);
	assert_true(len > seen);
	assert_int_equal(BIO_write(client.in, output + seen, (int)(len - seen)),
		len - seen);
	assert_true(SSL_read(client.ssl, &tape, 1) <= 0);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()),
		SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER);
	tape_client_close(&client);
	handoff__tls_handshake_free(hs);
	scene_close(&s);
}

/* ---- changed on the way ---- */

/* A handshake with a changed byte is done only if that byte means nothing. */
static void
test_changed_bytes_are_seen(void **state)
{
	struct handoff__tls_handshake *hs;
	size_t stride = support_in_valgrind() ? 37 : 1;
	unsigned done = 0, failures = 0;
	struct scene s;

	(void)state;
	scene_make(&s);
	s.opts.client_ca_file = s.ca.cert;
	s.contexts = tape_contexts(&s.opts);
	tape_client_cert(s.ctx, &s.client);
	tape_record(&good, s.contexts, s.ctx, 1);
	assert_int_equal(good.progress, HANDOFF__TLS_DONE);
	for (size_t n = 0; n < good.input_len; n += stride) {
		memcpy(tape.input, good.input, good.input_len);
		tape.input[n] ^= (uint8_t)(1u << n % 8);
		hs = tape_begin(&good, s.contexts);
		switch (handoff__tls_handshake_feed(
			hs, tape.input, good.input_len)) {
		case HANDOFF__TLS_DONE:
			done++;
			assert_true(
				tape_same(handoff__tls_handshake_outcome(hs),
					&good.outcome));
			break;
		case HANDOFF__TLS_FAILED:
			failures++;
			assert_true(handoff__tls_handshake_why(hs)[0]);
			break;
		default:
			break;
		}
		handoff__tls_handshake_free(hs);
	}
	/* the version of the hello's TLS record and the like */
	assert_in_range(done, 0, 6);
	assert_true(failures > good.input_len / stride / 2);
	scene_close(&s);
}

/* It trusts nobody. */
static void
test_an_alert_of_the_client_ends_it(void **state)
{
	struct handoff__tls_handshake *hs;
	bool received;
	struct scene s;

	(void)state;
	scene_open(&s);
	SSL_CTX_set_verify(s.ctx, SSL_VERIFY_PEER, NULL);
	tape_record(&tape, s.contexts, s.ctx, 1);
	failed(&s, 48, "received");
	hs = tape_begin(&tape, s.contexts);
	handoff__tls_handshake_feed(hs, tape.input, tape.input_len);
	assert_int_equal(handoff__tls_handshake_alert(hs, &received), 48);
	assert_true(received);
	handoff__tls_handshake_free(hs);
	scene_close(&s);
}

/* ---- a session of another server ---- */

static SSL_SESSION *kept;

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(kept);
	kept = session;
	return 1;
}

/* Makes a session with a plain server of OpenSSL that allows early data. */
static void
get_session(struct scene *s)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct tape_client client;
	BIO *pair[2];
	SSL *ssl;
	char byte;

	SSL_CTX_use_certificate_chain_file(ctx, s->server.cert);
	SSL_CTX_use_PrivateKey_file(ctx, s->server.key, SSL_FILETYPE_PEM);
	SSL_CTX_set_max_early_data(ctx, 1000);
	SSL_CTX_set_session_cache_mode(s->ctx, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(s->ctx, keep_session);
	tape_client_open(&client, s->ctx);
	ssl = SSL_new(ctx);
	assert_int_equal(BIO_new_bio_pair(&pair[0], 0, &pair[1], 0), 1);
	SSL_set_bio(client.ssl, pair[0], pair[0]);
	SSL_set_bio(ssl, pair[1], pair[1]);
	for (int i = 0; i < 4; i++) {
		SSL_connect(client.ssl);
		SSL_accept(ssl);
	}
	SSL_read(client.ssl, &byte, 1);
	assert_non_null(kept);
	SSL_shutdown(client.ssl); /* else it is not resumed */
	SSL_free(ssl);
	tape_client_close(&client);
	SSL_CTX_free(ctx);
}

static void
test_a_session_of_another_server_is_not_resumed(void **state)
{
	struct tape_client client;
	struct scene s;
	size_t n;

	(void)state;
	scene_open(&s);
	get_session(&s);
	tape_client_open(&client, s.ctx);
	assert_int_equal(SSL_set_session(client.ssl, kept), 1);
	assert_int_equal(
		SSL_write_early_data(client.ssl, "too early", 9, &n), 1);
	tape_record_client(&tape, s.contexts, &client, 1);
	if (tape.progress != HANDOFF__TLS_DONE)
		fail_msg("%s", tape.why);
	assert_true(client.done);
	assert_int_equal(SSL_session_reused(client.ssl), 0);
	assert_int_equal(
		SSL_get_early_data_status(client.ssl), SSL_EARLY_DATA_REJECTED);
	assert_int_equal(tape.outcome.used, tape.input_len);
	tape_replay(&tape, s.contexts);
	tape_client_close(&client);
	SSL_SESSION_free(kept);
	kept = NULL;
	scene_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_an_older_version_is_refused),
		handoff_test(test_no_common_suite_is_refused),
		handoff_test(test_no_common_protocol_is_refused),
		handoff_test(test_certificates_of_clients),
		handoff_test(test_what_is_not_tls_fails),
		handoff_test(test_a_part_of_a_handshake_waits),
		handoff_test(test_an_endless_hello_ends),
		handoff_test(test_a_record_that_is_too_long_ends),
		handoff_test(test_a_flood_of_records_ends),
		handoff_test(
			test_too_many_client_certificates_end_with_an_alert),
		handoff_test(test_changed_bytes_are_seen),
		handoff_test(test_an_alert_of_the_client_ends_it),
		handoff_test(test_a_session_of_another_server_is_not_resumed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
