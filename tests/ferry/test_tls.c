/* SPDX-License-Identifier: MIT */
/* Files of certificates and keys, and sessions in memory. */
#include "ferry/certs.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[128];

/* Opens with these files, expects that error and those words. */
static void
refused(const char *cert, const char *key, const char *peer, int err,
	const char *words)
{
	struct handoff__tls_files files = {cert, key, peer};
	struct handoff__error error = {""};
	struct handoff__tls *tls = NULL;

	assert_int_equal(handoff__tls_open(&tls, &files, &error), err);
	assert_null(tls);
	if (!strstr(error.text, words))
		fail_msg("'%s' is not in '%s'", words, error.text);
}

static void
test_files_that_cannot_be_used_are_named(void **state)
{
	struct credentials a = certs_make("a", 60), b = certs_make("b", 60);

	(void)state;
	refused("/nowhere/x", a.key, b.cert, -ENOENT, "'/nowhere/x'");
	refused(a.cert, "/nowhere/x", b.cert, -ENOENT, "key file");
	refused(a.cert, a.key, "/nowhere/x", -ENOENT, "'/nowhere/x'");
	refused(support_dir(), a.key, b.cert, -EINVAL, "not a file");
	refused(NULL, a.key, b.cert, -EINVAL, "not a file");
	refused(a.cert, b.key, b.cert, -EINVAL, "not the key of");
	refused(a.key, a.key, b.cert, -EINVAL, "no certificate in PEM");
	assert_int_equal(chmod(b.cert, 0600), 0);
	refused(a.cert, b.cert, b.cert, -EINVAL, "no private key");
	refused(a.cert, a.key, a.key, -EINVAL, "certificate 1 is not");
}

static void
test_a_key_that_all_may_read_is_refused(void **state)
{
	struct credentials a = certs_make("a", 60);

	(void)state;
	assert_int_equal(chmod(a.key, 0640), 0);
	handoff__tls_free(certs_open(&a, a.cert));
	assert_int_equal(chmod(a.key, 0644), 0);
	refused(a.cert, a.key, a.cert, -EPERM, "chmod o-rwx");
}

static void
test_a_key_with_a_passphrase_asks_nobody(void **state)
{
	struct credentials a = certs_make("a", 60);
	FILE *file = fopen(a.key, "re");
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);

	(void)state;
	fclose(file);
	file = fopen(a.key, "we");
	assert_int_equal(
		PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(),
			(const unsigned char *)"secret", 6, NULL, NULL),
		1);
	fclose(file);
	EVP_PKEY_free(key);
	refused(a.cert, a.key, a.cert, -EINVAL, "passphrase");
}

static void
test_pins_are_counted_and_all_whole(void **state)
{
	struct credentials a = certs_make("a", 60), b = certs_make("b", 60);
	struct stat st;

	(void)state;
	certs_write(certs_path(path, "pins"), "# the ferries of host B\n");
	for (int i = 0; i < HANDOFF__PINS; i++)
		certs_append(path, b.cert);
	handoff__tls_free(certs_open(&a, path));
	certs_append(path, b.cert);
	refused(a.cert, a.key, path, -EINVAL, "more than 16");
	certs_write(path, "");
	refused(a.cert, a.key, path, -EINVAL, "certificate 1 is not");
	certs_append(path, b.cert);
	assert_int_equal(truncate(path, 200), 0);
	refused(a.cert, a.key, path, -EINVAL, "certificate 1 is not");
	certs_write(path, "");
	certs_append(path, b.cert);
	certs_append(path, b.cert);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size - 60), 0);
	refused(a.cert, a.key, path, -EINVAL, "certificate 2 is not");
}

static void
test_the_fingerprint_is_that_of_openssl(void **state)
{
	struct credentials a = certs_make("a", 60);
	struct handoff__tls *tls = certs_open(&a, a.cert);
	char command[256], line[256] = "";
	FILE *pipe;

	(void)state;
	snprintf(command, sizeof(command),
		"openssl x509 -noout -fingerprint -sha256 -in %s 2>/dev/null",
		a.cert);
	pipe = popen(command, "re");
	assert_non_null(pipe);
	if (!fgets(line, sizeof(line), pipe)) {
		pclose(pipe);
		handoff__tls_free(tls);
		print_message("SKIP: needs openssl(1)\n");
		skip();
	}
	pclose(pipe);
	assert_int_equal(strlen(handoff__tls_fingerprint(tls)),
		HANDOFF__FINGERPRINT - 1);
	assert_non_null(strstr(line, handoff__tls_fingerprint(tls)));
	handoff__tls_free(tls);
}

/* Two ends in memory. */
struct two {
	struct handoff__tls_session *end[2]; /* 0: it dialled */
	struct handoff__error error[2];
	int rc[2];
};

static bool
carry(struct handoff__tls_session *from, struct handoff__tls_session *to,
	size_t most)
{
	char *out, *in;
	size_t len = handoff__tls_output(from, &out);
	size_t space = handoff__tls_space(to, &in);

	len = len < space ? len : space;
	len = len < most ? len : most;
	if (len == 0)
		return false;
	memcpy(in, out, len);
	handoff__tls_sent(from, len);
	handoff__tls_came(to, len);
	return true;
}

static void
shake(struct two *t, size_t most)
{
	bool moved = true;

	while (moved) {
		for (int i = 0; i < 2; i++) {
			if (t->rc[i] == 0)
				t->rc[i] = handoff__tls_handshake(
					t->end[i], &t->error[i]);
		}
		moved = carry(t->end[0], t->end[1], most);
		moved |= carry(t->end[1], t->end[0], most);
	}
}

static void
meet(struct two *t, const struct handoff__tls *dialler,
	const struct handoff__tls *listener)
{
	memset(t, 0, sizeof(*t));
	assert_int_equal(handoff__tls_session_open(
				 &t->end[0], dialler, true, &t->error[0]),
		0);
	assert_int_equal(handoff__tls_session_open(
				 &t->end[1], listener, false, &t->error[1]),
		0);
}

static void
part(struct two *t)
{
	for (int i = 0; i < 2; i++)
		handoff__tls_session_free(t->end[i]);
}

static void
pass_some(struct two *t, int from)
{
	char got[16] = "";

	assert_int_equal(
		handoff__tls_write(t->end[from], "parcel", 6, &t->error[from]),
		6);
	assert_int_equal(handoff__tls_read(t->end[!from], got, sizeof(got),
				 &t->error[!from]),
		-EAGAIN);
	while (carry(t->end[from], t->end[!from], 1))
		;
	assert_int_equal(handoff__tls_read(t->end[!from], got, sizeof(got),
				 &t->error[!from]),
		6);
	assert_string_equal(got, "parcel");
}

static void
test_pinned_ones_meet_and_see_each_other(void **state)
{
	struct credentials a = certs_make("a", 60), b = certs_make("b", 60);
	struct handoff__tls *ta = certs_open(&a, b.cert);
	struct handoff__tls *tb = certs_open(&b, a.cert);
	char got[8];
	struct two t;

	(void)state;
	for (size_t most = 1; most < 100000; most *= 300) {
		meet(&t, ta, tb);
		assert_string_equal(handoff__tls_peer(t.end[0]), "");
		shake(&t, most);
		assert_int_equal(t.rc[0], 1);
		assert_int_equal(t.rc[1], 1);
		assert_string_equal(handoff__tls_peer(t.end[0]),
			handoff__tls_fingerprint(tb));
		assert_string_equal(handoff__tls_peer(t.end[1]),
			handoff__tls_fingerprint(ta));
		pass_some(&t, 0);
		pass_some(&t, 1);
		handoff__tls_end(t.end[0]);
		while (carry(t.end[0], t.end[1], 5))
			;
		assert_int_equal(
			handoff__tls_read(t.end[1], got, 8, &t.error[1]),
			-EPIPE);
		part(&t);
	}
	handoff__tls_free(ta);
	handoff__tls_free(tb);
}

/* The end that sees the wrong certificate names it; the other one hears of it
 * when it reads. */
static void
test_any_other_certificate_is_refused_by_name(void **state)
{
	struct credentials a = certs_make("a", 60), b = certs_make("b", 60);
	struct credentials c = certs_make("a", 60); /* the name is the same */
	struct handoff__tls *tc = certs_open(&c, b.cert);
	struct handoff__tls *tb, *tb_wrong;
	char got[8];
	struct two t;

	(void)state;
	a = certs_make("real_a", 60);
	tb = certs_open(&b, a.cert);
	meet(&t, tc, tb);
	shake(&t, 1000);
	assert_int_equal(t.rc[1], -EACCES);
	assert_non_null(strstr(t.error[1].text, handoff__tls_fingerprint(tc)));
	assert_int_equal(t.rc[0], 1);
	assert_int_equal(
		handoff__tls_read(t.end[0], got, 8, &t.error[0]), -EACCES);
	assert_non_null(strstr(t.error[0].text, handoff__tls_fingerprint(tc)));
	assert_non_null(strstr(t.error[0].text, "--peer-cert"));
	part(&t);

	tb_wrong = certs_open(&a, c.cert);
	meet(&t, tc, tb_wrong); /* it is the listener that is not pinned */
	shake(&t, 1000);
	assert_int_equal(t.rc[0], -EACCES);
	assert_non_null(
		strstr(t.error[0].text, handoff__tls_fingerprint(tb_wrong)));
	assert_int_equal(t.rc[1], -EACCES);
	part(&t);
	handoff__tls_free(tb_wrong);
	handoff__tls_free(tb);
	handoff__tls_free(tc);
}

static void
test_one_of_several_pins_is_enough_and_dates_do_not_count(void **state)
{
	struct credentials a = certs_make("a", -60), b = certs_make("b", 60);
	struct credentials old = certs_make("old", 60);
	struct handoff__tls *ta, *tb;
	struct two t;

	(void)state;
	certs_write(certs_path(path, "pins"), "");
	certs_append(path, old.cert);
	certs_append(path, a.cert);
	ta = certs_open(&a, b.cert);
	tb = certs_open(&b, path);
	meet(&t, ta, tb);
	shake(&t, 1000);
	assert_int_equal(t.rc[0], 1);
	assert_int_equal(t.rc[1], 1);
	part(&t);
	handoff__tls_free(ta);
	handoff__tls_free(tb);
}

/* A client of plain OpenSSL against a listener. */
static void
meet_client(SSL_CTX *ctx, const struct handoff__tls *tls, int err,
	const char *words)
{
	struct handoff__tls_session *session;
	struct handoff__error error = {""};
	BIO *inner, *outer;
	SSL *ssl = SSL_new(ctx);
	char data[4096], *at;
	int rc = 0, n = 1;

	assert_int_equal(BIO_new_bio_pair(&inner, 0, &outer, 0), 1);
	SSL_set_bio(ssl, inner, inner);
	SSL_set_connect_state(ssl);
	assert_int_equal(
		handoff__tls_session_open(&session, tls, false, &error), 0);
	while (rc == 0 && n > 0) {
		SSL_do_handshake(ssl);
		n = BIO_read(outer, data, sizeof(data));
		if (n <= 0)
			break;
		assert_true((int)handoff__tls_space(session, &at) >= n);
		memcpy(at, data, (size_t)n);
		handoff__tls_came(session, (size_t)n);
		rc = handoff__tls_handshake(session, &error);
		n = (int)handoff__tls_output(session, &at);
		n = BIO_write(outer, at, n);
		handoff__tls_sent(session, n > 0 ? (size_t)n : 0);
	}
	assert_int_equal(rc, err);
	if (!strstr(error.text, words))
		fail_msg("'%s' is not in '%s'", words, error.text);
	handoff__tls_session_free(session);
	SSL_free(ssl);
	BIO_free(outer);
	SSL_CTX_free(ctx);
}

static void
test_a_client_without_a_certificate_or_of_old_tls_is_refused(void **state)
{
	struct credentials a = certs_make("a", 60);
	struct handoff__tls *tls = certs_open(&a, a.cert);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	(void)state;
	meet_client(ctx, tls, -EACCES, "shown no certificate");
	ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	meet_client(ctx, tls, -EPROTONOSUPPORT, "TLS 1.3");
	handoff__tls_free(tls);
}

static void
test_what_is_not_tls_is_called_so(void **state)
{
	static const char *const texts[] = {"GET / HTTP/1.1\r\n\r\n",
		"SSH-2.0-OpenSSH_9.2p1\r\n", "\0\0\0\0\0\0\0\0\0\0\0\0"};
	struct credentials a = certs_make("a", 60);
	struct handoff__tls *tls = certs_open(&a, a.cert);
	struct handoff__error error;
	struct two t;
	char *at;

	(void)state;
	for (int i = 0; i < 3; i++) {
		meet(&t, tls, tls);
		assert_true(handoff__tls_space(t.end[1], &at) >= 64);
		memcpy(at, texts[i], 12);
		handoff__tls_came(t.end[1], 12);
		assert_int_equal(handoff__tls_handshake(t.end[1], &error),
			-EPROTONOSUPPORT);
		assert_non_null(strstr(error.text, "not TLS"));
		part(&t);
	}
	handoff__tls_free(tls);
}

/* Whatever bit is flipped after the handshake, it does not go through. */
static void
test_changed_bytes_end_the_session(void **state)
{
	struct credentials a = certs_make("a", 60);
	struct handoff__tls *tls = certs_open(&a, a.cert);
	char *at, got[16];
	struct two t;

	(void)state;
	for (size_t i = 0; i < 27; i++) {
		meet(&t, tls, tls);
		shake(&t, 5000);
		assert_int_equal(
			handoff__tls_write(t.end[0], "parcel", 6, &t.error[0]),
			6);
		assert_int_equal(handoff__tls_output(t.end[0], &at), 28);
		at[i] ^= 1;
		while (carry(t.end[0], t.end[1], 100))
			;
		assert_true(handoff__tls_read(t.end[1], got, sizeof(got),
				    &t.error[1]) < 0);
		part(&t);
	}
	handoff__tls_free(tls);
}

static void
test_no_ticket_is_given(void **state)
{
	struct credentials a = certs_make("a", 60);
	struct handoff__tls *tls = certs_open(&a, a.cert);
	struct two t;
	char *at;

	(void)state;
	meet(&t, tls, tls);
	shake(&t, 5000);
	/* the listener has spoken last in the handshake if it gives one */
	assert_int_equal(t.rc[1], 1);
	assert_int_equal(handoff__tls_output(t.end[1], &at), 0);
	assert_int_equal(
		handoff__tls_read(t.end[0], path, sizeof(path), &t.error[0]),
		-EAGAIN);
	part(&t);
	handoff__tls_free(tls);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_files_that_cannot_be_used_are_named),
		handoff_test(test_a_key_that_all_may_read_is_refused),
		handoff_test(test_a_key_with_a_passphrase_asks_nobody),
		handoff_test(test_pins_are_counted_and_all_whole),
		handoff_test(test_the_fingerprint_is_that_of_openssl),
		handoff_test(test_pinned_ones_meet_and_see_each_other),
		handoff_test(test_any_other_certificate_is_refused_by_name),
		handoff_test(
			test_one_of_several_pins_is_enough_and_dates_do_not_count),
		handoff_test(
			test_a_client_without_a_certificate_or_of_old_tls_is_refused),
		handoff_test(test_what_is_not_tls_is_called_so),
		handoff_test(test_changed_bytes_end_the_session),
		handoff_test(test_no_ticket_is_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
