/* SPDX-License-Identifier: MIT */
/*
 * The layer of TLS for clients, against OpenSSL as a server, both over memory:
 * whom it trusts, what it says where it does not, and that nothing comes or
 * goes before that.
 */
#include "tls/pki.h"

#include "tls/conversation.h"

#include <handoff/tls.h>

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENDPOINT "a.test:7000"

static struct pki ca, good;

/* One conversation, and the server's end of it. */
static struct both {
	struct handoff_client_layer layer;
	void *end;
	SSL_CTX *ctx;
	SSL *server;
	BIO *in, *out; /* the server's */
	char why[HANDOFF_TEXT_MAX];
} both;

static SSL_CTX *
server_ctx(const struct pki *own)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	assert_non_null(ctx);
	assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, own->cert), 1);
	assert_int_equal(
		SSL_CTX_use_PrivateKey_file(ctx, own->key, SSL_FILETYPE_PEM),
		1);
	return ctx;
}

/* The directory of the test before is gone, and its certificates. */
static struct handoff_tls_client_opts
options(void)
{
	if (access(good.cert, R_OK) != 0) {
		ca = pki_make("ca", PKI_ECDSA, NULL);
		good = pki_make_server("good", &ca,
			"DNS:a.test,DNS:b.test,IP:127.0.0.1,IP:::1", -60, 3600);
	}
	return (struct handoff_tls_client_opts){
		.size = sizeof(struct handoff_tls_client_opts),
		.ca_file = ca.cert,
		.errbuf = both.why,
		.errbuf_size = sizeof(both.why),
	};
}

/* The server has this certificate; the test may change its context before the
 * conversation begins. */
static void
prepare(const struct pki *own, const struct handoff_tls_client_opts *opts)
{
	memset(&both, 0, sizeof(both));
	if (handoff_tls_client(&both.layer, opts) < 0)
		fail_msg("%s", both.why);
	both.ctx = server_ctx(own);
}

static void
converse(const char *endpoint)
{
	both.server = SSL_new(both.ctx);
	both.in = BIO_new(BIO_s_mem());
	both.out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(both.in, -1);
	SSL_set_bio(both.server, both.in, both.out);
	SSL_set_accept_state(both.server);
	both.end = both.layer.begin(both.layer.arg, endpoint);
	assert_non_null(both.end);
}

static void
finish(void)
{
	both.layer.free(both.end);
	SSL_free(both.server);
	SSL_CTX_free(both.ctx);
	handoff_tls_client_free(&both.layer);
	assert_null(both.layer.begin);
	ERR_clear_error();
}

static enum handoff_client_layer_state
state_of(int *err, const char **text)
{
	return both.layer.state(both.end, err, text);
}

/* Carries bytes in both directions, `step` at a time, until none are left. */
static void
carry(size_t step)
{
	bool any = true;

	while (any) {
		unsigned char bytes[65536];
		const void *data;
		size_t n = both.layer.output(both.end, &data);
		int r;

		n = n < step ? n : step;
		any = n > 0;
		if (n > 0) {
			assert_int_equal(BIO_write(both.in, data, (int)n), n);
			both.layer.sent(both.end, n);
		}
		SSL_do_handshake(both.server);
		ERR_clear_error();
		r = BIO_read(both.out, bytes,
			step < sizeof(bytes) ? (int)step : (int)sizeof(bytes));
		if (r > 0) {
			any = true;
			both.layer.input(both.end, bytes, (size_t)r);
		}
	}
}

static void
expect_open(void)
{
	const char *text;
	int err;

	carry(65536);
	if (state_of(&err, &text) != HANDOFF_CLIENT_LAYER_OPEN)
		fail_msg("%s", text);
	assert_int_equal(err, 0);
	assert_non_null(strstr(text, "TLSv1.3, TLS_"));
	assert_int_equal(SSL_is_init_finished(both.server), 1);
}

/* The whole sentence is told in a RETRY, which has room for about 150 bytes. */
static void
expect_failed(int want, const char *sentence)
{
	const char *text;
	int err;

	carry(65536);
	assert_int_equal(state_of(&err, &text), HANDOFF_CLIENT_LAYER_FAILED);
	if (err != want || !strstr(text, sentence))
		fail_msg("%d: %s", err, text);
	assert_in_range(strlen(text), 10, 150);
}

static void
say(const char *text)
{
	both.layer.write(both.end, text, strlen(text));
	carry(65536);
}

static void
expect_said(const char *text)
{
	char data[1000] = "";
	size_t n = 0;

	assert_int_equal(SSL_read_ex(both.server, data, sizeof(data), &n), 1);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(data, text, n);
}

static void
answer(const char *text)
{
	size_t n;

	assert_int_equal(SSL_write_ex(both.server, text, strlen(text), &n), 1);
	carry(65536);
}

static void
expect_answer(const char *text)
{
	char data[1000] = "";

	assert_int_equal(
		both.layer.read(both.end, data, sizeof(data)), strlen(text));
	assert_string_equal(data, text);
}

static void
test_both_ways(void **state)
{
	struct handoff_tls_client_opts opts = options();
	const char *text;
	int err;

	(void)state;
	prepare(&good, &opts);
	converse(ENDPOINT);
	expect_open();
	assert_string_equal(
		SSL_get_servername(both.server, TLSEXT_NAMETYPE_host_name),
		"a.test");
	say("hello");
	expect_said("hello");
	answer("one");
	answer("two");
	expect_answer("onetwo");
	/* the server wants new keys of both */
	assert_int_equal(
		SSL_key_update(both.server, SSL_KEY_UPDATE_REQUESTED), 1);
	answer("three");
	expect_answer("three");
	carry(65536);
	say("four");
	expect_said("four");
	/* both ends */
	both.layer.end(both.end);
	carry(65536);
	assert_int_equal(SSL_read(both.server, both.why, 1), 0);
	assert_int_equal(SSL_get_error(both.server, 0), SSL_ERROR_ZERO_RETURN);
	answer("last");
	SSL_shutdown(both.server);
	carry(65536);
	expect_answer("last");
	assert_int_equal(state_of(&err, &text), HANDOFF_CLIENT_LAYER_CLOSED);
	finish();
}

static void
test_byte_by_byte(void **state)
{
	struct handoff_tls_client_opts opts = options();

	(void)state;
	prepare(&good, &opts);
	converse(ENDPOINT);
	carry(1);
	expect_open();
	finish();
}

/* One write is one TLS record, which the server cannot read in part. */
static void
test_one_record(void **state)
{
	static char data[HANDOFF_CLIENT_LAYER_MAX];
	struct handoff_tls_client_opts opts = options();
	const void *cipher;
	char byte;
	size_t n;

	(void)state;
	prepare(&good, &opts);
	converse(ENDPOINT);
	expect_open();
	both.layer.write(both.end, data, sizeof(data));
	n = both.layer.output(both.end, &cipher);
	assert_int_equal(n, sizeof(data) + 22);
	BIO_write(both.in, cipher, (int)n - 1);
	assert_true(SSL_read(both.server, &byte, 1) <= 0);
	ERR_clear_error();
	both.layer.sent(both.end, n - 1);
	carry(65536);
	assert_int_equal(SSL_read(both.server, &byte, 1), 1);
	finish();
}

static void
count_updates(int writes, int version, int type, const void *data, size_t len,
	SSL *ssl, void *arg)
{
	(void)version;
	(void)ssl;
	if (!writes && type == SSL3_RT_HANDSHAKE && len > 0 &&
		*(const unsigned char *)data == SSL3_MT_KEY_UPDATE)
		++*(int *)arg;
}

/* The client renews its key in time. */
static void
test_limit_of_a_key(void **state)
{
	struct handoff_tls_client_opts opts = options();
	uint32_t before = handoff__tls_client_records;
	int updates = 0;

	(void)state;
	prepare(&good, &opts);
	SSL_CTX_set_msg_callback(both.ctx, count_updates);
	SSL_CTX_set_msg_callback_arg(both.ctx, &updates);
	converse(ENDPOINT);
	expect_open();
	handoff__tls_client_records = 3;
	for (int i = 0; i < 10; i++) {
		say("text");
		expect_said("text");
	}
	handoff__tls_client_records = before;
	assert_int_equal(updates, 3);
	answer("still");
	expect_answer("still");
	finish();
}

static void
test_truncated(void **state)
{
	struct handoff_tls_client_opts opts = options();
	char data[10];

	(void)state;
	prepare(&good, &opts);
	converse(ENDPOINT);
	expect_open();
	answer("cut");
	both.layer.input(both.end, "", 0);
	expect_answer("cut");
	assert_int_equal(both.layer.read(both.end, data, sizeof(data)), 0);
	expect_failed(-ECONNABORTED, "without an end of TLS (close_notify)");
	finish();
	prepare(&good, &opts);
	converse(ENDPOINT);
	both.layer.input(both.end, "", 0);
	expect_failed(-ECONNABORTED, "in the middle of the handshake");
	finish();
}

static void
test_damaged(void **state)
{
	struct handoff_tls_client_opts opts = options();
	unsigned char bytes[100];
	char data[10];
	size_t n;

	(void)state;
	prepare(&good, &opts);
	converse(ENDPOINT);
	expect_open();
	assert_int_equal(SSL_write_ex(both.server, "text", 4, &n), 1);
	n = (size_t)BIO_read(both.out, bytes, sizeof(bytes));
	bytes[n - 1] ^= 1;
	both.layer.input(both.end, bytes, n);
	assert_int_equal(both.layer.read(both.end, data, sizeof(data)), 0);
	expect_failed(-EPROTO, "somebody on the way");
	/* it can be asked to end all the same */
	both.layer.end(both.end);
	both.layer.write(both.end, "x", 1);
	finish();
}

static void
test_names(void **state)
{
	static const char *const matching[] = {
		"a.test:1", "A.TEST:1", "b.test:1", "127.0.0.1:1", "[::1]:1"};
	struct handoff_tls_client_opts opts = options();

	(void)state;
	for (size_t i = 0; i < sizeof(matching) / sizeof(matching[0]); i++) {
		prepare(&good, &opts);
		converse(matching[i]);
		expect_open();
		finish();
	}
	prepare(&good, &opts);
	converse("c.test:1");
	expect_failed(-EACCES,
		"not for c.test, but for DNS:a.test, DNS:b.test, IP Address:");
	finish();
	prepare(&good, &opts);
	converse("127.0.0.2:1");
	expect_failed(-EACCES, "not for 127.0.0.2, but for DNS:a.test");
	finish();
	prepare(&good, &opts);
	converse("unix:/tmp/x");
	expect_failed(-EINVAL, "give the name");
	finish();
	/* the program's name counts, whatever the endpoint */
	opts.name = "b.test";
	prepare(&good, &opts);
	converse("unix:/tmp/x");
	expect_open();
	assert_string_equal(
		SSL_get_servername(both.server, TLSEXT_NAMETYPE_host_name),
		"b.test");
	finish();
	opts.name = "c.test";
	prepare(&good, &opts);
	converse(ENDPOINT);
	expect_failed(-EACCES, "not for c.test");
	finish();
}

static void
test_times(void **state)
{
	struct handoff_tls_client_opts opts = options();
	struct pki expired =
		pki_make_server("expired", &ca, "DNS:a.test", -200, -100);
	struct pki early =
		pki_make_server("early", &ca, "DNS:a.test", 1000, 2000);

	(void)state;
	prepare(&expired, &opts);
	converse(ENDPOINT);
	expect_failed(-EACCES, "the server's certificate has expired: ");
	finish();
	prepare(&early, &opts);
	converse(ENDPOINT);
	expect_failed(-EACCES, "certificate is not valid yet: ");
	finish();
}

static void
test_other_ca(void **state)
{
	struct pki other = pki_make("other", PKI_ECDSA, NULL);
	struct handoff_tls_client_opts opts = options();
	char want[300];

	(void)state;
	opts.ca_file = other.cert;
	prepare(&good, &opts);
	converse(ENDPOINT);
	snprintf(want, sizeof(want), "is not by a CA of %.60s", other.cert);
	expect_failed(-EACCES, want);
	finish();
	/* the system's: nothing of this test can be in there */
	opts.ca_file = NULL;
	prepare(&good, &opts);
	converse(ENDPOINT);
	expect_failed(-EACCES, "is not by a CA of this system");
	/* and the server hears why */
	assert_int_not_equal(SSL_is_init_finished(both.server), 1);
	finish();
}

static void
pin_of(const struct pki *pki, char hex[65])
{
	FILE *file = fopen(pki->cert, "re");
	X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
	unsigned char hash[32], *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

	EVP_Digest(der, (size_t)len, hash, NULL, EVP_sha256(), NULL);
	for (size_t i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, i % 2 ? "%02x" : "%02X", hash[i]);
	OPENSSL_free(der);
	X509_free(cert);
	fclose(file);
}

/* A pin alone replaces CA and name; with a CA it is added to them. */
static void
test_pins(void **state)
{
	struct pki stranger = pki_make("stranger", PKI_ECDSA, NULL);
	struct handoff_tls_client_opts opts = options();
	char pin[65], other[65];

	(void)state;
	pin_of(&stranger, pin);
	pin_of(&good, other);
	opts.pin = pin;
	opts.ca_file = NULL;
	prepare(&stranger, &opts);
	converse("unix:/tmp/x");
	expect_open();
	finish();
	prepare(&good, &opts);
	converse(ENDPOINT);
	expect_failed(-EACCES, "is not the pinned one: its pin is ");
	finish();
	opts.ca_file = ca.cert;
	prepare(&stranger, &opts);
	converse(ENDPOINT);
	expect_failed(-EACCES, "is not by a CA of");
	finish();
	prepare(&good, &opts);
	converse(ENDPOINT);
	expect_failed(-EACCES, "is not the pinned one");
	finish();
	opts.pin = other;
	prepare(&good, &opts);
	converse(ENDPOINT);
	expect_open();
	finish();
}

static void
demand_certificate(void)
{
	assert_int_equal(SSL_CTX_load_verify_file(both.ctx, ca.cert), 1);
	SSL_CTX_set_verify(both.ctx,
		SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

/* The alert comes when the client is through with its handshake. */
static void
test_client_certificates(void **state)
{
	struct handoff_tls_client_opts opts = options();
	struct pki own = pki_make("me", PKI_ED25519, &ca);
	struct pki self = pki_make("self", PKI_ECDSA, NULL);
	char byte;

	(void)state;
	prepare(&good, &opts);
	demand_certificate();
	converse(ENDPOINT);
	carry(65536);
	assert_int_equal(both.layer.read(both.end, &byte, 1), 0);
	expect_failed(-ECONNABORTED,
		"alert 116, certificate required: does it want a certificate");
	finish();
	opts.cert_file = self.cert;
	opts.key_file = self.key;
	prepare(&good, &opts);
	demand_certificate();
	converse(ENDPOINT);
	carry(65536);
	assert_int_equal(both.layer.read(both.end, &byte, 1), 0);
	expect_failed(-ECONNABORTED,
		"unknown CA: it does not accept the client's certificate");
	finish();
	opts.cert_file = own.cert;
	opts.key_file = own.key;
	prepare(&good, &opts);
	demand_certificate();
	converse(ENDPOINT);
	expect_open();
	assert_non_null(SSL_get0_peer_certificate(both.server));
	finish();
}

static int
choose_b(SSL *ssl, const unsigned char **out, unsigned char *len,
	const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char own[] = {1, 'b'};

	(void)ssl;
	if (arg)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_select_next_proto((unsigned char **)(uintptr_t)out, len, own,
		       sizeof(own), in, in_len) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void
test_alpn(void **state)
{
	static const char *const protocols[] = {"a", "b"};
	struct handoff_tls_client_opts opts = options();
	const char *text;
	int err;

	(void)state;
	opts.alpn = protocols;
	opts.nalpn = 2;
	prepare(&good, &opts);
	SSL_CTX_set_alpn_select_cb(both.ctx, choose_b, NULL);
	converse(ENDPOINT);
	expect_open();
	state_of(&err, &text);
	assert_string_equal(text + strlen(text) - 3, ", b");
	finish();
	prepare(&good, &opts);
	SSL_CTX_set_alpn_select_cb(both.ctx, choose_b, &both);
	converse(ENDPOINT);
	expect_failed(-EPROTO, "none of the protocols");
	finish();
	opts.nalpn = 1;
	prepare(&good, &opts);
	SSL_CTX_set_alpn_select_cb(both.ctx, choose_b, NULL);
	converse(ENDPOINT);
	expect_failed(-ECONNABORTED, "it has none of the protocols (ALPN)");
	finish();
}

static void
test_no_tls13(void **state)
{
	struct handoff_tls_client_opts opts = options();

	(void)state;
	prepare(&good, &opts);
	SSL_CTX_set_max_proto_version(both.ctx, TLS1_2_VERSION);
	converse(ENDPOINT);
	expect_failed(-ECONNABORTED, "alert 70, protocol version: it has no "
				     "TLS 1.3");
	finish();
	prepare(&good, &opts);
	converse(ENDPOINT);
	both.layer.input(both.end, "220 mail.test ESMTP\r\n", 21);
	expect_failed(-EPROTO, "is it a server with TLS?");
	finish();
}

static int
only_chacha(SSL_CTX *ctx, void *arg)
{
	if (arg)
		return -EIO;
	return SSL_CTX_set_ciphersuites(ctx, "TLS_CHACHA20_POLY1305_SHA256") ==
			       1
		       ? 0
		       : -EINVAL;
}

static void
test_configure(void **state)
{
	struct handoff_tls_client_opts opts = options();

	(void)state;
	opts.configure = only_chacha;
	prepare(&good, &opts);
	converse(ENDPOINT);
	expect_open();
	assert_string_equal(SSL_get_cipher_name(both.server),
		"TLS_CHACHA20_POLY1305_SHA256");
	finish();
}

static void
refused(const struct handoff_tls_client_opts *opts, int err, const char *why)
{
	struct handoff_client_layer layer;

	both.why[0] = '\0';
	assert_int_equal(handoff_tls_client(&layer, opts), err);
	if (!strstr(both.why, why))
		fail_msg("%s", both.why);
	assert_null(layer.begin);
	handoff_tls_client_free(&layer);
}

static void
test_refused(void **state)
{
	static const char *const empty[] = {""};
	struct handoff_tls_client_opts opts = options();

	(void)state;
	opts.ca_file = "/nonexistent";
	refused(&opts, -ENOENT, "CA file '/nonexistent' cannot be read: No ");
	opts.ca_file = good.key;
	refused(&opts, -EINVAL, "must have certificates in PEM");
	opts = options();
	opts.cert_file = good.cert;
	refused(&opts, -EINVAL, "the key file is missing");
	opts.key_file = ca.key;
	refused(&opts, -EINVAL, "key values mismatch");
	opts.cert_file = good.key;
	refused(&opts, -EINVAL, "certificate '");
	opts.cert_file = NULL;
	refused(&opts, -EINVAL, "the certificate file is missing");
	opts.cert_file = good.cert;
	opts.key_file = good.key;
	assert_int_equal(chmod(good.key, 0644), 0);
	refused(&opts, -EPERM, "all users may read the key");
	assert_int_equal(chmod(good.key, 0600), 0);
	opts = options();
	opts.pin = "abc";
	refused(&opts, -EINVAL, "'abc' is not 64 hexadecimal digits");
	opts.pin = "0123456789abcdef0123456789abcdef"
		   "0123456789abcdef0123456789abcdefa";
	refused(&opts, -EINVAL, "is not 64 hexadecimal digits");
	opts = options();
	opts.alpn = empty;
	opts.nalpn = 1;
	refused(&opts, -EINVAL, "ALPN has 1 to 255 bytes");
	opts = options();
	opts.configure = only_chacha;
	opts.arg = &both;
	refused(&opts, -EIO, "configuration has failed");
	assert_int_equal(handoff_tls_client(NULL, &opts), -EINVAL);
	handoff_tls_client_free(NULL);
}

static void
test_arguments(void **state)
{
	struct handoff_tls_client_opts opts = options();
	char *argv[] = {"client", "--tls", "--name", "x", "--ca", "f",
		"--tls-alpn=a", "--tls-name", "n", "--tls-alpn", "b", NULL};
	int argc = 11;

	(void)state;
	opts.ca_file = NULL;
	assert_int_equal(handoff_tls_client_opts_read(&opts, &argc, argv,
				 both.why, sizeof(both.why)),
		1);
	assert_int_equal(argc, 3);
	assert_string_equal(argv[1], "--name");
	assert_string_equal(opts.ca_file, "f");
	assert_string_equal(opts.name, "n");
	assert_int_equal(opts.nalpn, 2);
	assert_string_equal(opts.alpn[1], "b");
	assert_ptr_equal(opts.errbuf, both.why);
	opts = options();
	opts.ca_file = NULL;
	argc = 3;
	assert_int_equal(handoff_tls_client_opts_read(&opts, &argc, argv,
				 both.why, sizeof(both.why)),
		0);
	argv[1] = "--ca";
	argc = 2;
	assert_int_equal(handoff_tls_client_opts_read(&opts, &argc, argv,
				 both.why, sizeof(both.why)),
		-EINVAL);
	assert_non_null(strstr(both.why, "--ca"));
	argv[1] = "--tls-key";
	argv[2] = "k";
	argc = 3;
	assert_int_equal(handoff_tls_client_opts_read(&opts, &argc, argv,
				 both.why, sizeof(both.why)),
		-EINVAL);
	assert_non_null(strstr(both.why, "belong together"));
	assert_non_null(strstr(handoff_tls_client_opts_help(), "--tls-pin"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_both_ways),
		handoff_test(test_byte_by_byte),
		handoff_test(test_one_record),
		handoff_test(test_limit_of_a_key),
		handoff_test(test_truncated),
		handoff_test(test_damaged),
		handoff_test(test_names),
		handoff_test(test_times),
		handoff_test(test_other_ca),
		handoff_test(test_pins),
		handoff_test(test_client_certificates),
		handoff_test(test_alpn),
		handoff_test(test_no_tls13),
		handoff_test(test_configure),
		handoff_test(test_refused),
		handoff_test(test_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
