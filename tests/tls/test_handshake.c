/* SPDX-License-Identifier: MIT */
/*
 * Handshakes that are run again: from their seed and the input that there is,
 * at every byte, they make the same bytes, whatever the process has done
 * before, and in another process.
 */
#include "tls/tape.h"

#include "tls/suite.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct tape tape, other;

struct scene {
	struct pki pki, ca, client_pki;
	struct handoff__tls_contexts *contexts;
	SSL_CTX *client;
};

static void
scene_open(struct scene *s, enum pki_type type,
	handoff_tls_configure_fn *configure, bool client_cert)
{
	struct handoff_tls_opts opts = {.configure = configure};

	s->pki = pki_make("server", type, NULL);
	opts.cert_file = s->pki.cert;
	opts.key_file = s->pki.key;
	s->client = tape_client_ctx();
	if (client_cert) {
		s->ca = pki_make("ca", PKI_ECDSA, NULL);
		s->client_pki = pki_make("client", type, &s->ca);
		opts.client_ca_file = s->ca.cert;
		tape_client_cert(s->client, &s->client_pki);
	}
	s->contexts = tape_contexts(&opts);
}

static void
scene_close(struct scene *s)
{
	handoff__tls_contexts_free(s->contexts);
	SSL_CTX_free(s->client);
}

/* What is there at the recorder's death is any part of the input; the survivor
 * begins with that or more. */
static void
replay_everywhere(const struct tape *t, struct handoff__tls_contexts *contexts)
{
	struct handoff__tls_handshake *whole = tape_begin(t, contexts), *hs;
	size_t stride = support_in_valgrind() ? 97 : 1;

	for (size_t n = 0; n < t->input_len; n++) {
		size_t len;

		assert_int_equal(
			handoff__tls_handshake_feed(whole, t->input, n),
			HANDOFF__TLS_WANT_INPUT);
		len = tape_is_prefix(t, whole);
		if (n % stride != 0)
			continue;
		hs = tape_begin(t, contexts);
		handoff__tls_handshake_feed(hs, t->input, n);
		assert_int_equal(tape_is_prefix(t, hs), len);
		tape_finish(t, hs);
	}
	tape_finish(t, whole);
}

static void
check_scene(enum pki_type type, handoff_tls_configure_fn *configure,
	bool client_cert)
{
	struct scene s;

	scene_open(&s, type, configure, client_cert);
	tape_record(&tape, s.contexts, s.client, 1);
	if (tape.progress != HANDOFF__TLS_DONE)
		fail_msg("%s", tape.why);
	assert_int_equal(tape.outcome.sent, 0);
	replay_everywhere(&tape, s.contexts);
	scene_close(&s);
}

static void
test_with_ecdsa(void **state)
{
	(void)state;
	check_scene(PKI_ECDSA, NULL, false);
}

static void
test_with_rsa(void **state)
{
	(void)state;
	check_scene(PKI_RSA, NULL, false);
}

static void
test_with_ed25519(void **state)
{
	(void)state;
	check_scene(PKI_ED25519, NULL, false);
}

static void
test_with_client_certificates(void **state)
{
	(void)state;
	check_scene(PKI_ECDSA, NULL, true);
	assert_string_equal(tape.outcome.peer, "CN=client,O=Test");
	assert_false(tape.outcome.peer_cut);
}

static void
test_with_client_certificates_of_rsa(void **state)
{
	(void)state;
	check_scene(PKI_RSA, NULL, true);
}

/* The client's first share is of another group, so there are two hellos. */
static int
only_p384(SSL_CTX *ctx, void *arg)
{
	(void)arg;
	return SSL_CTX_set1_groups_list(ctx, "P-384") == 1 ? 0 : -EINVAL;
}

static void
test_with_a_retry_of_the_hello(void **state)
{
	static const uint8_t retry[] = {0xcf, 0x21, 0xad, 0x74};

	(void)state;
	check_scene(PKI_ECDSA, only_p384, false);
	/* the random of a ServerHello that is a HelloRetryRequest */
	assert_memory_equal(tape.output + 11, retry, sizeof(retry));
}

static void
test_another_seed_makes_other_bytes(void **state)
{
	struct handoff__tls_handshake *hs;
	const uint8_t *output;
	struct scene s;

	(void)state;
	scene_open(&s, PKI_ECDSA, NULL, false);
	tape_record(&tape, s.contexts, s.client, 1);
	tape.seed[31] ^= 1;
	hs = tape_begin(&tape, s.contexts);
	handoff__tls_handshake_feed(hs, tape.input, tape.input_len);
	assert_true(handoff__tls_handshake_output(hs, &output) > 43);
	assert_memory_not_equal(output + 11, tape.output + 11, 32);
	handoff__tls_handshake_free(hs);
	scene_close(&s);
}

/* RSA renews its blinding with every 32nd signature, and draws for that. */
static void
test_what_came_before_changes_nothing(void **state)
{
	unsigned count = support_in_valgrind() ? 3 : 70;
	struct scene s;

	(void)state;
	scene_open(&s, PKI_RSA, NULL, true);
	tape_record(&tape, s.contexts, s.client, 1);
	for (unsigned i = 0; i < count; i++) {
		tape_record(&other, s.contexts, s.client, 2 + i);
		assert_int_equal(other.progress, HANDOFF__TLS_DONE);
		tape_replay(&tape, s.contexts);
		tape_replay(&other, s.contexts);
	}
	scene_close(&s);
}

static void
test_several_at_once_in_a_thread(void **state)
{
	struct handoff__tls_handshake *a, *b;
	struct scene s;

	(void)state;
	scene_open(&s, PKI_RSA, NULL, true);
	tape_record(&tape, s.contexts, s.client, 1);
	tape_record(&other, s.contexts, s.client, 2);
	a = tape_begin(&tape, s.contexts);
	b = tape_begin(&other, s.contexts);
	for (size_t n = 0; n < tape.input_len && n < other.input_len;
		n += 1 + n / 8) {
		handoff__tls_handshake_feed(a, tape.input, n);
		tape_is_prefix(&tape, a);
		handoff__tls_handshake_feed(b, other.input, n);
		tape_is_prefix(&other, b);
	}
	tape_finish(&other, b);
	tape_finish(&tape, a);
	scene_close(&s);
}

static void *
replay_often(void *arg)
{
	for (unsigned i = 0; i < (support_in_valgrind() ? 2 : 40); i++) {
		tape_replay(i % 2 ? &tape : &other, arg);
		/* not in the way of anybody, and nobody in its way */
		assert_int_equal(RAND_bytes((unsigned char[8]){0}, 8), 1);
	}
	return NULL;
}

static void
test_in_threads(void **state)
{
	pthread_t threads[HANDOFF__TLS_LIBS + 2];
	struct scene s;

	(void)state;
	scene_open(&s, PKI_RSA, NULL, true);
	tape_record(&tape, s.contexts, s.client, 1);
	tape_record(&other, s.contexts, s.client, 2);
	for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, replay_often,
					 s.contexts),
			0);
	replay_often(s.contexts);
	for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	scene_close(&s);
}

/* One goes on in another thread than it began in. */
static void *
finish_there(void *arg)
{
	tape_finish(&tape, arg);
	return NULL;
}

static void
test_from_thread_to_thread(void **state)
{
	struct handoff__tls_handshake *hs;
	pthread_t thread;
	struct scene s;

	(void)state;
	scene_open(&s, PKI_RSA, NULL, false);
	tape_record(&tape, s.contexts, s.client, 1);
	hs = tape_begin(&tape, s.contexts);
	handoff__tls_handshake_feed(hs, tape.input, tape.input_len - 1);
	assert_true(tape_is_prefix(&tape, hs) > 0);
	assert_int_equal(pthread_create(&thread, NULL, finish_there, hs), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	scene_close(&s);
}

static void
test_in_forked_children(void **state)
{
	struct scene s;
	int pid;

	(void)state;
	scene_open(&s, PKI_RSA, NULL, true);
	tape_record(&tape, s.contexts, s.client, 1);
	for (unsigned i = 0; i < 3; i++) {
		pid = fork();
		if (pid == 0) {
			struct handoff__tls_handshake *hs = NULL;
			const uint8_t *output;
			size_t len;

			if (handoff__tls_handshake_new(&hs, s.contexts,
				    tape.identity, tape.seed) < 0)
				_exit(1);
			if (handoff__tls_handshake_feed(hs, tape.input,
				    tape.input_len) != HANDOFF__TLS_DONE)
				_exit(2);
			len = handoff__tls_handshake_output(hs, &output);
			_exit(len == tape.output_len &&
						memcmp(output, tape.output,
							len) == 0
					? 0
					: 3);
		}
		support_reap(pid);
		tape_record(&other, s.contexts, s.client, 2 + i);
		tape_replay(&other, s.contexts);
	}
	scene_close(&s);
}

/* ---- in another process ---- */

/* Run as: PROGRAM again CERT KEY CA TAPE. A process that has done nothing. */
static int
run_again(char **argv)
{
	struct handoff_tls_opts opts = {.cert_file = argv[2],
		.key_file = argv[3],
		.client_ca_file = argv[4]};
	struct handoff__tls_contexts *contexts;
	struct handoff__tls_handshake *hs;
	struct handoff__error error;
	const uint8_t *output;
	FILE *file = fopen(argv[5], "re");
	size_t len;

	if (!file || fread(&tape, sizeof(tape), 1, file) != 1)
		return 1;
	fclose(file);
	if (handoff__tls_contexts_open(&contexts, &opts, &error) < 0)
		return 2;
	if (handoff__tls_handshake_new(
		    &hs, contexts, tape.identity, tape.seed) < 0)
		return 3;
	if (handoff__tls_handshake_feed(hs, tape.input, tape.input_len) !=
		HANDOFF__TLS_DONE)
		return 4;
	len = handoff__tls_handshake_output(hs, &output);
	if (len != tape.output_len || memcmp(output, tape.output, len) != 0)
		return 5;
	if (!tape_same(handoff__tls_handshake_outcome(hs), &tape.outcome))
		return 6;
	/* possible only if nothing has drawn from the default context */
	if (RAND_set_DRBG_type(NULL, "HASH-DRBG", NULL, NULL, "SHA256") != 1)
		return 7;
	handoff__tls_handshake_free(hs);
	handoff__tls_contexts_free(contexts);
	return 0;
}

static void
in_another_process(enum pki_type type)
{
	const char *path = pki_path("tape");
	struct scene s;
	FILE *file;
	int pid;

	scene_open(&s, type, NULL, true);
	for (unsigned i = 0; i < 3; i++)
		tape_record(&tape, s.contexts, s.client, i);
	file = fopen(path, "we");
	assert_true(file && fwrite(&tape, sizeof(tape), 1, file) == 1);
	assert_int_equal(fclose(file), 0);
	pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "again", "again", s.pki.cert, s.pki.key,
			s.ca.cert, path, (char *)NULL);
		_exit(100);
	}
	support_reap(pid);
	scene_close(&s);
}

static void
test_in_another_process(void **state)
{
	(void)state;
	support_not_in_valgrind(); /* it would be started, not this program */
	in_another_process(PKI_ECDSA);
	in_another_process(PKI_RSA);
	in_another_process(PKI_ED25519);
}

/* ---- what it says when it is done ---- */

/* What OpenSSL has derived of a secret is what it says. */
static void
keys_are_those_of(const struct handoff__tls_suite *suite, const uint8_t *secret,
	const struct handoff__tls_keys *keys)
{
	struct handoff__tls_dir noted, derived;

	assert_int_equal(keys->key_len, suite->key_len);
	assert_int_equal(keys->iv_len, HANDOFF__TLS_IV);
	assert_int_equal(
		handoff__tls_dir_init(suite, &derived, secret, NULL), 0);
	assert_int_equal(handoff__tls_dir_init(suite, &noted, secret, keys), 0);
	assert_memory_equal(&noted, &derived, sizeof(noted));
}

static void
keys_are_noted(const struct handoff__tls_outcome *outcome)
{
	struct handoff__tls_suites suites;
	const struct handoff__tls_suite *suite;

	assert_int_equal(handoff__tls_suites_init(&suites, NULL, NULL), 0);
	suite = handoff__tls_suite_find(&suites, outcome->suite);
	assert_non_null(suite);
	keys_are_those_of(suite, outcome->client_secret, &outcome->client_keys);
	keys_are_those_of(suite, outcome->server_secret, &outcome->server_keys);
	handoff__tls_suites_free(&suites);
}

static void
test_the_outcome_says_all(void **state)
{
	const char *const alpn[] = {"h2", "http/1.1"};
	static const unsigned char offered[] = "\x08http/1.1\x02h2";
	static const char *const suites[] = {"TLS_AES_128_GCM_SHA256",
		"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"};
	struct pki pki = pki_make("server", PKI_ECDSA, NULL);
	struct handoff_tls_opts opts = {.cert_file = pki.cert,
		.key_file = pki.key,
		.alpn = alpn,
		.nalpn = 2};
	struct handoff__tls_contexts *contexts = tape_contexts(&opts);
	SSL_CTX *ctx = tape_client_ctx();
	struct tape_client client;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		SSL_CTX_set_ciphersuites(ctx, suites[i]);
		tape_client_open(&client, ctx);
		SSL_set_tlsext_host_name(client.ssl, "Some.Name");
		SSL_set_alpn_protos(client.ssl, offered, sizeof(offered) - 1);
		SSL_set_tlsext_max_fragment_length(client.ssl,
			i == 0 ? TLSEXT_max_fragment_length_1024
			       : TLSEXT_max_fragment_length_DISABLED);
		tape_record_client(&tape, contexts, &client, i);
		tape_client_close(&client);
		assert_int_equal(tape.progress, HANDOFF__TLS_DONE);
		assert_int_equal(tape.outcome.suite, 0x1301 + i);
		assert_int_equal(tape.outcome.secret_len, i == 1 ? 48 : 32);
		keys_are_noted(&tape.outcome);
		assert_int_equal(
			tape.outcome.max_fragment, i == 0 ? 1024 : 16384);
		assert_string_equal(tape.outcome.alpn, "h2");
		assert_string_equal(tape.outcome.server_name, "some.name");
		assert_string_equal(tape.outcome.peer, "");
	}
	SSL_CTX_free(ctx);
	handoff__tls_contexts_free(contexts);
}

/* What a client sends with its Finished is not the handshake's. */
static void
test_bytes_behind_the_handshake_are_left(void **state)
{
	struct handoff__tls_handshake *hs;
	struct scene s;

	(void)state;
	scene_open(&s, PKI_ECDSA, NULL, true);
	tape_record(&tape, s.contexts, s.client, 1);
	memset(tape.input + tape.input_len, 23, 300);
	hs = tape_begin(&tape, s.contexts);
	assert_int_equal(handoff__tls_handshake_feed(
				 hs, tape.input, tape.input_len + 300),
		HANDOFF__TLS_DONE);
	assert_int_equal(
		handoff__tls_handshake_outcome(hs)->used, tape.input_len);
	tape_finish(&tape, hs);
	scene_close(&s);
}

static void
test_a_long_subject_is_cut_and_escaped(void **state)
{
	struct pki ca = pki_make("ca", PKI_ECDSA, NULL);
	struct pki pki = pki_make("line\nbreak, and \xc3\xa4", PKI_ECDSA, &ca);
	struct handoff_tls_opts opts = {.cert_file = ca.cert,
		.key_file = ca.key,
		.client_ca_file = ca.cert};
	struct handoff__tls_contexts *contexts = tape_contexts(&opts);
	SSL_CTX *ctx = tape_client_ctx();

	(void)state;
	tape_client_cert(ctx, &pki);
	tape_record(&tape, contexts, ctx, 1);
	assert_string_equal(
		tape.outcome.peer, "CN=line\\0Abreak\\, and \\C3\\A4,O=Test");
	handoff__tls_contexts_free(contexts);
	SSL_CTX_free(ctx);
}

/* ---- what stays behind ---- */

/* A pattern, kept so that the test itself has no copy of it. */
struct pattern {
	uint8_t masked[32];
};

static void
mask(struct pattern *p, const uint8_t *secret)
{
	for (size_t i = 0; i < sizeof(p->masked); i++)
		p->masked[i] = secret[i] ^ 0x5a;
}

static bool
is_at(const struct pattern *p, const uint8_t *at)
{
	for (size_t i = 0; i < sizeof(p->masked); i++) {
		if ((p->masked[i] ^ 0x5a) != at[i])
			return false;
	}
	return true;
}

static unsigned
count_in(const struct pattern *p, const uint8_t *from, const uint8_t *to)
{
	unsigned count = 0;

	for (; to - from >= 32; from++) {
		from = memchr(
			from, p->masked[0] ^ 0x5a, (size_t)(to - from) - 31);
		if (!from)
			break;
		count += is_at(p, from);
	}
	return count;
}

/* In the heap and the stack of this process. */
static unsigned
count_everywhere(const struct pattern *p)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned count = 0;
	char line[256];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		uintptr_t from, to;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2 &&
			(strstr(line, "[heap]") || strstr(line, "[stack]")))
			count += count_in(
				p, (const uint8_t *)from, (const uint8_t *)to);
	}
	fclose(maps);
	return count;
}

/* OpenSSL's own copies of secrets do: SSL_free does not erase its object. */
static void
test_neither_seed_nor_outcome_stay_in_memory(void **state)
{
	struct pattern seed, client, server;
	struct handoff__tls_handshake *hs;
	const struct handoff__tls_outcome *outcome;
	struct scene s;
	unsigned before[2];

	(void)state;
	support_not_in_valgrind();
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* which have a heap of their own */
#endif
	scene_open(&s, PKI_RSA, NULL, true);
	tape_record(&tape, s.contexts, s.client, 0x77);
	mask(&seed, tape.seed);
	hs = tape_begin(&tape, s.contexts);
	memset(tape.seed, 0, sizeof(tape.seed));
	handoff__tls_handshake_feed(hs, tape.input, tape.input_len);
	outcome = handoff__tls_handshake_outcome(hs);
	assert_non_null(outcome);
	mask(&client, outcome->client_secret);
	mask(&server, outcome->server_secret);
	memset(&tape, 0, sizeof(tape));
	before[0] = count_everywhere(&client);
	before[1] = count_everywhere(&server);
	assert_true(before[0] > 0 && before[1] > 0);
	handoff__tls_handshake_free(hs);
	assert_int_equal(count_everywhere(&seed), 0);
	assert_true(count_everywhere(&client) < before[0]);
	assert_true(count_everywhere(&server) < before[1]);
	scene_close(&s);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_with_ecdsa),
		handoff_test(test_with_rsa),
		handoff_test(test_with_ed25519),
		handoff_test(test_with_client_certificates),
		handoff_test(test_with_client_certificates_of_rsa),
		handoff_test(test_with_a_retry_of_the_hello),
		handoff_test(test_another_seed_makes_other_bytes),
		handoff_test(test_what_came_before_changes_nothing),
		handoff_test(test_several_at_once_in_a_thread),
		handoff_test(test_in_threads),
		handoff_test(test_from_thread_to_thread),
		handoff_test(test_in_forked_children),
		handoff_test(test_in_another_process),
		handoff_test(test_the_outcome_says_all),
		handoff_test(test_bytes_behind_the_handshake_are_left),
		handoff_test(test_a_long_subject_is_cut_and_escaped),
		handoff_test(test_neither_seed_nor_outcome_stay_in_memory),
	};

	if (argc == 6 && strcmp(argv[1], "again") == 0)
		return run_again(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
