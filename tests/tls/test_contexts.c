/* SPDX-License-Identifier: MIT */
/* Files, options and editions: what is refused and why, what a reload does,
 * and what the identity depends on. */
#include "tls/tape.h"

#include <errno.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tape tape, other;

/* Expects that error and those words. */
static void
refused(const struct handoff_tls_opts *opts, int err, const char *words)
{
	struct handoff__tls_contexts *contexts = NULL;
	struct handoff__error error = {""};

	assert_int_equal(
		handoff__tls_contexts_open(&contexts, opts, &error), err);
	assert_null(contexts);
	if (!strstr(error.text, words))
		fail_msg("'%s' is not in '%s'", words, error.text);
}

static void
refused_files(const char *cert, const char *key, const char *ca, int err,
	const char *words)
{
	const struct handoff_tls_opts opts = {
		.cert_file = cert, .key_file = key, .client_ca_file = ca};

	refused(&opts, err, words);
}

static void
test_files_that_cannot_be_used_are_named(void **state)
{
	struct pki a = pki_make("a", PKI_ECDSA, NULL);
	struct pki b = pki_make("b", PKI_ECDSA, NULL);
	const char *empty = pki_path("empty"), *broken = pki_path("broken");

	(void)state;
	pki_write(empty, "");
	pki_write(broken, "");
	pki_append(broken, a.cert);
	pki_append(broken, a.cert);
	assert_int_equal(truncate(broken, 900), 0);
	refused_files(NULL, a.key, NULL, -EINVAL, "no cert_file");
	refused_files(a.cert, NULL, NULL, -EINVAL, "no key_file");
	refused_files("/nowhere/x", a.key, NULL, -ENOENT, "'/nowhere/x'");
	refused_files(a.cert, "/nowhere/x", NULL, -ENOENT, "key file");
	refused_files(a.cert, a.key, "/nowhere/x", -ENOENT, "client CA file");
	refused_files(support_dir(), a.key, NULL, -EINVAL, "not a file");
	refused_files("/dev/zero", a.key, NULL, -EINVAL, "not a file");
	refused_files(empty, a.key, NULL, -EINVAL, "empty");
	refused_files(broken, a.key, NULL, -EINVAL, "certificate 2 is not");
	refused_files(a.cert, b.key, NULL, -EINVAL, "not the key of");
	refused_files(a.key, a.key, NULL, -EINVAL, "certificate 1 is not");
	refused_files(a.cert, a.key, a.key, -EINVAL, "client CA file");
	assert_int_equal(chmod(b.cert, 0600), 0);
	refused_files(a.cert, b.cert, NULL, -EINVAL, "no private key");
	assert_int_equal(chmod(a.key, 0644), 0);
	refused_files(a.cert, a.key, NULL, -EPERM, "chmod o-rwx");
}

static void
test_a_key_with_a_passphrase_asks_nobody(void **state)
{
	struct pki a = pki_make("a", PKI_ECDSA, NULL);
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
	refused_files(a.cert, a.key, NULL, -EINVAL, "passphrase");
}

/* ---- options ---- */

static int
only_ccm(SSL_CTX *ctx, void *arg)
{
	return SSL_CTX_set_ciphersuites(ctx, arg) == 1 ? 0 : -EINVAL;
}

static int
does_not_work(SSL_CTX *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	return -EIO;
}

/* All that a replay cannot have. */
static int
allows_everything(SSL_CTX *ctx, void *arg)
{
	(void)arg;
	SSL_CTX_set_num_tickets(ctx, 4);
	SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
	SSL_CTX_set_max_early_data(ctx, 1000);
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	SSL_CTX_set_read_ahead(ctx, 1);
	return 0;
}

static void
test_options_that_cannot_be_are_refused(void **state)
{
	struct pki a = pki_make("a", PKI_ECDSA, NULL);
	const char *const empty[] = {"h2", ""};
	const char *const longer[] = {"0123456789012345678901234567890x"};
	struct handoff_tls_opts opts = {.cert_file = a.cert, .key_file = a.key};

	(void)state;
	opts.client = HANDOFF_TLS_CLIENT_ASKED;
	refused(&opts, -EINVAL, "client_ca_file");
	opts.client_ca_file = a.cert;
	opts.client = (enum handoff_tls_client_cert)3;
	refused(&opts, -EINVAL, "client 3");
	opts.client = HANDOFF_TLS_CLIENT_REQUIRED;
	opts.alpn = empty;
	opts.nalpn = 2;
	refused(&opts, -EINVAL, "protocol 2 of alpn");
	opts.alpn = longer;
	opts.nalpn = 1;
	refused(&opts, -EINVAL, "protocol 1 of alpn has 32 bytes");
	opts.nalpn = 0;
	opts.configure = only_ccm;
	opts.arg = (void *)(uintptr_t) "TLS_AES_128_CCM_SHA256";
	refused(&opts, -EINVAL, "TLS_AES_128_CCM_SHA256, which has no");
	opts.arg = (void *)(uintptr_t) "";
	refused(&opts, -EINVAL, "no cipher suite of TLS 1.3 is left");
	opts.configure = does_not_work;
	refused(&opts, -EIO, "configure has failed");
}

static void
test_what_replays_need_is_not_up_to_configure(void **state)
{
	struct pki a = pki_make("a", PKI_ECDSA, NULL);
	struct handoff_tls_opts opts = {.cert_file = a.cert,
		.key_file = a.key,
		.configure = allows_everything};
	struct handoff__tls_contexts *contexts = tape_contexts(&opts);
	SSL_CTX *client = tape_client_ctx();

	(void)state;
	tape_record(&tape, contexts, client, 1);
	assert_int_equal(tape.progress, HANDOFF__TLS_DONE);
	assert_int_equal(tape.outcome.sent, 0);
	tape_replay(&tape, contexts);
	SSL_CTX_set_min_proto_version(client, TLS1_2_VERSION);
	SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION);
	tape_record(&tape, contexts, client, 1);
	assert_int_equal(tape.progress, HANDOFF__TLS_FAILED);
	SSL_CTX_free(client);
	handoff__tls_contexts_free(contexts);
}

/* ---- identities ---- */

static void
identity_of(const struct handoff_tls_opts *opts,
	uint8_t identity[HANDOFF__TLS_IDENTITY])
{
	struct handoff__tls_contexts *contexts = tape_contexts(opts);

	handoff__tls_contexts_identity(contexts, identity);
	handoff__tls_contexts_free(contexts);
}

static void
differs(const struct handoff_tls_opts *opts, const uint8_t *identity)
{
	uint8_t now[HANDOFF__TLS_IDENTITY];

	identity_of(opts, now);
	assert_memory_not_equal(now, identity, sizeof(now));
}

static void
is_same(const struct handoff_tls_opts *opts, const uint8_t *identity)
{
	uint8_t now[HANDOFF__TLS_IDENTITY];

	identity_of(opts, now);
	assert_memory_equal(now, identity, sizeof(now));
}

static void
test_the_identity_is_of_all_that_matters(void **state)
{
	struct pki a = pki_make("a", PKI_ECDSA, NULL);
	struct pki b = pki_make("b", PKI_ECDSA, NULL);
	const char *const alpn[] = {"h2", "x"}, *const alpn2[] = {"x", "h2"};
	const struct handoff_tls_opts opts = {
		.cert_file = a.cert, .key_file = a.key};
	struct handoff_tls_opts o = opts;
	uint8_t identity[HANDOFF__TLS_IDENTITY], with[HANDOFF__TLS_IDENTITY];
	const char *copy = pki_path("copy");

	(void)state;
	identity_of(&opts, identity);
	is_same(&opts, identity);
	pki_write(copy, "a comment, and a certificate:\n");
	pki_append(copy, a.cert);
	o.cert_file = copy;
	is_same(&o, identity);
	pki_append(copy, b.cert);
	differs(&o, identity);

	o = (struct handoff_tls_opts){.cert_file = b.cert, .key_file = b.key};
	differs(&o, identity);
	o = opts;
	o.version = "2";
	differs(&o, identity);
	o = opts;
	o.configure = only_ccm;
	o.arg = (void *)(uintptr_t) "TLS_AES_128_GCM_SHA256";
	differs(&o, identity);
	o = opts;
	o.alpn = alpn;
	o.nalpn = 2;
	differs(&o, identity);
	identity_of(&o, with);
	o.alpn = alpn2;
	differs(&o, with);
	o = opts;
	o.client_ca_file = a.cert;
	differs(&o, identity);
	identity_of(&o, with);
	o.client = HANDOFF_TLS_CLIENT_ASKED;
	differs(&o, with);
	o.client = HANDOFF_TLS_CLIENT_REQUIRED;
	is_same(&o, with);
	o.client_ca_file = b.cert;
	differs(&o, with);
}

/* ---- reload ---- */

struct files {
	struct pki now; /* what the options name */
	struct handoff_tls_opts opts;
};

static void
replace_file(const char *to, const char *from)
{
	assert_int_equal(unlink(to), 0);
	pki_append(to, from);
	assert_int_equal(chmod(to, 0600), 0);
}

static void
replace(struct files *f, const struct pki *by)
{
	replace_file(f->now.cert, by->cert);
	replace_file(f->now.key, by->key);
}

static struct handoff__tls_contexts *
files_open(struct files *f)
{
	f->now = pki_make("now", PKI_ECDSA, NULL);
	f->opts = (struct handoff_tls_opts){
		.cert_file = f->now.cert, .key_file = f->now.key};
	return tape_contexts(&f->opts);
}

static void
reload(struct handoff__tls_contexts *contexts)
{
	struct handoff__error error = {""};

	if (handoff__tls_contexts_reload(contexts, &error) < 0)
		fail_msg("%s", error.text);
}

static void
test_a_reload_leaves_handshakes_alone(void **state)
{
	struct pki next = pki_make("next", PKI_RSA, NULL);
	struct handoff__tls_contexts *contexts;
	struct handoff__tls_handshake *begun;
	SSL_CTX *client = tape_client_ctx();
	struct files f;

	(void)state;
	contexts = files_open(&f);
	tape_record(&tape, contexts, client, 1);
	begun = tape_begin(&tape, contexts);
	handoff__tls_handshake_feed(begun, tape.input, tape.input_len - 1);
	replace(&f, &next);
	reload(contexts);
	/* a new one has the new certificate */
	tape_record(&other, contexts, client, 1);
	assert_memory_not_equal(
		other.identity, tape.identity, sizeof(tape.identity));
	assert_true(other.output_len > tape.output_len + 100);
	/* one that is under way its own, and also if it is lost */
	tape_finish(&tape, begun);
	tape_replay(&tape, contexts);
	tape_replay(&other, contexts);
	handoff__tls_contexts_free(contexts);
	SSL_CTX_free(client);
}

static void
test_another_process_after_a_reload_refuses(void **state)
{
	struct pki next = pki_make("next", PKI_ECDSA, NULL);
	struct handoff__tls_contexts *contexts, *survivor;
	struct handoff__tls_handshake *hs = NULL;
	SSL_CTX *client = tape_client_ctx();
	const uint8_t *output;
	struct files f;

	(void)state;
	contexts = files_open(&f);
	tape_record(&tape, contexts, client, 1);
	replace(&f, &next);
	survivor = tape_contexts(&f.opts);
	assert_int_equal(handoff__tls_handshake_new(
				 &hs, survivor, tape.identity, tape.seed),
		-ESTALE);
	assert_null(hs);
	/* and if it did not ask for the identity, it would see other bytes */
	assert_int_equal(
		handoff__tls_handshake_new(&hs, survivor, NULL, tape.seed), 0);
	handoff__tls_handshake_feed(hs, tape.input, tape.input_len);
	assert_true(handoff__tls_handshake_output(hs, &output) > 100);
	assert_memory_not_equal(output, tape.output,
		handoff__tls_handshake_output(hs, &output) < tape.output_len
			? handoff__tls_handshake_output(hs, &output)
			: tape.output_len);
	handoff__tls_handshake_free(hs);
	handoff__tls_contexts_free(survivor);
	handoff__tls_contexts_free(contexts);
	SSL_CTX_free(client);
}

static void
test_a_reload_that_fails_changes_nothing(void **state)
{
	struct pki next = pki_make("next", PKI_ECDSA, NULL);
	struct handoff__tls_contexts *contexts;
	struct handoff__error error = {""};
	SSL_CTX *client = tape_client_ctx();
	struct files f;

	(void)state;
	contexts = files_open(&f);
	tape_record(&tape, contexts, client, 1);
	replace_file(f.now.cert, next.cert);
	for (int i = 0; i < 2 * HANDOFF__TLS_EDITIONS; i++) {
		assert_int_equal(handoff__tls_contexts_reload(contexts, &error),
			-EINVAL);
		assert_non_null(strstr(error.text, "not the key of"));
	}
	tape_record(&other, contexts, client, 1);
	assert_memory_equal(
		other.identity, tape.identity, sizeof(tape.identity));
	tape_replay(&tape, contexts);
	replace_file(f.now.key, next.key);
	reload(contexts);
	tape_replay(&tape, contexts);
	handoff__tls_contexts_free(contexts);
	SSL_CTX_free(client);
}

static void
test_editions_are_limited(void **state)
{
	struct handoff__tls_handshake *begun[HANDOFF__TLS_EDITIONS];
	struct handoff__tls_contexts *contexts;
	struct handoff__error error = {""};
	SSL_CTX *client = tape_client_ctx();
	struct handoff__tls_handshake *hs;
	struct files f;

	(void)state;
	contexts = files_open(&f);
	tape_record(&tape, contexts, client, 1);
	for (unsigned i = 0; i < HANDOFF__TLS_EDITIONS; i++) {
		struct pki next = pki_make("next", PKI_ECDSA, NULL);

		if (i > 0)
			reload(contexts);
		assert_int_equal(handoff__tls_handshake_new(
					 &begun[i], contexts, NULL, tape.seed),
			0);
		replace(&f, &next);
	}
	assert_int_equal(
		handoff__tls_contexts_reload(contexts, &error), -EBUSY);
	assert_non_null(strstr(error.text, "reload again"));
	tape_finish(&tape, begun[0]);
	reload(contexts);
	/* so the first one is gone, and the others are not */
	assert_int_equal(handoff__tls_handshake_new(
				 &hs, contexts, tape.identity, tape.seed),
		-ESTALE);
	for (unsigned i = 1; i < HANDOFF__TLS_EDITIONS; i++) {
		assert_int_equal(
			handoff__tls_handshake_new(&hs, contexts,
				handoff__tls_handshake_identity(begun[i]),
				tape.seed),
			0);
		handoff__tls_handshake_free(hs);
		handoff__tls_handshake_free(begun[i]);
	}
	handoff__tls_contexts_free(contexts);
	SSL_CTX_free(client);
}

/* ---- reload while threads begin handshakes ---- */

struct busy {
	struct handoff__tls_contexts *contexts;
	atomic_bool stop;
};

static void *
begin_and_replay(void *arg)
{
	struct busy *busy = arg;
	uint8_t identity[HANDOFF__TLS_IDENTITY];
	struct handoff__tls_handshake *a, *b;
	const uint8_t *x, *y;
	size_t len, hello;

	hello = 5 + (size_t)(tape.input[3] << 8 | tape.input[4]);
	do {
		assert_int_equal(handoff__tls_handshake_new(
					 &a, busy->contexts, NULL, tape.seed),
			0);
		handoff__tls_handshake_feed(a, tape.input, hello);
		memcpy(identity, handoff__tls_handshake_identity(a),
			sizeof(identity));
		assert_int_equal(handoff__tls_handshake_new(&b, busy->contexts,
					 identity, tape.seed),
			0);
		handoff__tls_handshake_feed(b, tape.input, hello);
		len = handoff__tls_handshake_output(a, &x);
		assert_int_equal(handoff__tls_handshake_output(b, &y), len);
		/* ECDSA's signatures differ in length, but not these */
		assert_memory_equal(x, y, len);
		handoff__tls_handshake_free(a);
		handoff__tls_handshake_free(b);
	} while (!atomic_load(&busy->stop));
	return NULL;
}

static void
test_reloads_while_threads_work(void **state)
{
	unsigned count = support_in_valgrind() ? 4 : 40;
	struct busy busy = {.stop = false};
	struct handoff__error error;
	SSL_CTX *client = tape_client_ctx();
	struct pki next[2];
	pthread_t threads[3];
	struct files f;

	(void)state;
	busy.contexts = files_open(&f);
	next[0] = pki_make("even", PKI_ECDSA, NULL);
	next[1] = pki_make("odd", PKI_ECDSA, NULL);
	tape_record(&tape, busy.contexts, client, 1);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
					 begin_and_replay, &busy),
			0);
	for (unsigned i = 0; i < count; i++) {
		int err;

		replace(&f, &next[i % 2]);
		err = handoff__tls_contexts_reload(busy.contexts, &error);
		assert_true(err == 0 || err == -EBUSY);
	}
	atomic_store(&busy.stop, true);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	reload(busy.contexts);
	handoff__tls_contexts_free(busy.contexts);
	SSL_CTX_free(client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_files_that_cannot_be_used_are_named),
		handoff_test(test_a_key_with_a_passphrase_asks_nobody),
		handoff_test(test_options_that_cannot_be_are_refused),
		handoff_test(test_what_replays_need_is_not_up_to_configure),
		handoff_test(test_the_identity_is_of_all_that_matters),
		handoff_test(test_a_reload_leaves_handshakes_alone),
		handoff_test(test_another_process_after_a_reload_refuses),
		handoff_test(test_a_reload_that_fails_changes_nothing),
		handoff_test(test_editions_are_limited),
		handoff_test(test_reloads_while_threads_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
