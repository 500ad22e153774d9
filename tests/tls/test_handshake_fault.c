/* SPDX-License-Identifier: MIT */
/*
 * Each allocation that OpenSSL makes fails once, one after the other: from the
 * files to the end of a handshake and a reload. What works makes the bytes that
 * it always makes; anything else is an error, with a sentence where there is
 * place for one. Nothing leaks (checked under AddressSanitizer) once the files
 * are open; before that OpenSSL itself loses names of algorithms.
 */
#include "support/ssl_memory.h"
#include "tls/tape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of LeakSanitizer, where it is. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

static int opened; /* so many calls before the handshake began */

static struct tape tape;

struct life {
	struct handoff__tls_contexts *contexts;
	struct handoff__tls_handshake *hs;
	struct handoff__error error;
	enum handoff__tls_progress progress;
};

/* Returns 0 if all has worked. */
static int
live(struct life *l, const struct handoff_tls_opts *opts)
{
	int rc;

	if (__lsan_disable)
		__lsan_disable();
	rc = handoff__tls_contexts_open(&l->contexts, opts, &l->error);
	if (__lsan_enable)
		__lsan_enable();
	if (fail_at == 0)
		opened = calls;
	if (rc < 0)
		return rc;
	rc = handoff__tls_handshake_new(
		&l->hs, l->contexts, tape.identity, tape.seed);
	if (rc < 0)
		return rc;
	l->progress =
		handoff__tls_handshake_feed(l->hs, tape.input, tape.input_len);
	if (l->progress != HANDOFF__TLS_DONE)
		return -EPROTO;
	return handoff__tls_contexts_reload(l->contexts, &l->error);
}

static void
check(const struct life *l, int rc)
{
	const uint8_t *output;

	if (!l->contexts) {
		assert_true(rc < 0);
		assert_string_not_equal(l->error.text, "");
	} else if (!l->hs) {
		/* OpenSSL goes without a suite or a digest that it has no
		 * memory for, which makes another identity */
		assert_true(rc == -ENOMEM || rc == -ESTALE);
	} else if (l->progress == HANDOFF__TLS_DONE) {
		assert_int_equal(handoff__tls_handshake_output(l->hs, &output),
			tape.output_len);
		assert_memory_equal(output, tape.output, tape.output_len);
		assert_true(tape_same(
			handoff__tls_handshake_outcome(l->hs), &tape.outcome));
		if (rc < 0)
			assert_string_not_equal(l->error.text, "");
	} else {
		assert_int_equal(l->progress, HANDOFF__TLS_FAILED);
		assert_string_not_equal(handoff__tls_handshake_why(l->hs), "");
	}
}

static void
die(struct life *l)
{
	handoff__tls_handshake_free(l->hs);
	handoff__tls_contexts_free(l->contexts);
}

/* Reading the files takes thousands of calls that are much alike. */
static int
next_step(void)
{
	if (getenv("HANDOFF_LONG"))
		return 1;
	return fail_at < opened ? 97 : 31;
}

static void
record(const struct handoff_tls_opts *opts)
{
	struct handoff__tls_contexts *contexts = tape_contexts(opts);
	SSL_CTX *client = tape_client_ctx();

	tape_record(&tape, contexts, client, 1);
	assert_int_equal(tape.progress, HANDOFF__TLS_DONE);
	SSL_CTX_free(client);
	handoff__tls_contexts_free(contexts);
}

static void
test_every_allocation_of_openssl_may_fail(void **state)
{
	struct pki pki = pki_make("server", PKI_ECDSA, NULL);
	const struct handoff_tls_opts opts = {.cert_file = pki.cert,
		.key_file = pki.key,
		.client_ca_file = pki.cert,
		.client = HANDOFF_TLS_CLIENT_ASKED};
	int rc, last, failed = 0;

	(void)state;
	support_not_in_valgrind(); /* it takes minutes */
	record(&opts);
	/* the first life is whole */
	for (fail_at = 0;; fail_at += next_step()) {
		struct life life = {0};

		calls = 0;
		inside = true;
		rc = live(&life, &opts);
		inside = false;
		last = calls;
		check(&life, rc);
		die(&life);
		failed += rc < 0;
		if (last < fail_at)
			break;
	}
	assert_int_equal(rc, 0);
	print_message("%d failures; %d and %d allocations\n", failed, opened,
		last - opened);
	assert_true(failed > 40);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_every_allocation_of_openssl_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
