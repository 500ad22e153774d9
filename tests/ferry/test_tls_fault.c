/* SPDX-License-Identifier: MIT */
/*
 * Each allocation that OpenSSL makes fails once, one after the other, from the
 * files to the first bytes of a session: a call either works or fails with a
 * sentence. Nothing leaks (checked under AddressSanitizer).
 */
#include "ferry/certs.h"
#include "support/ssl_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int opened; /* so many calls before the sessions began */

struct life {
	struct handoff__tls *tls;
	struct handoff__tls_session *end[2];
	struct handoff__error error;
};

static bool
carry(struct handoff__tls_session *from, struct handoff__tls_session *to)
{
	char *out, *in;
	size_t len = handoff__tls_output(from, &out);

	if (len == 0)
		return false;
	if (len > handoff__tls_space(to, &in))
		len = handoff__tls_space(to, &in);
	memcpy(in, out, len);
	handoff__tls_sent(from, len);
	handoff__tls_came(to, len);
	return true;
}

static int
shake(struct life *l)
{
	int rc[2] = {0, 0};

	for (int turns = 0; turns < 20; turns++) {
		for (int i = 0; i < 2; i++) {
			if (rc[i] == 0)
				rc[i] = handoff__tls_handshake(
					l->end[i], &l->error);
			if (rc[i] < 0)
				return rc[i];
			carry(l->end[i], l->end[!i]);
		}
		if (rc[0] == 1 && rc[1] == 1)
			return 0;
	}
	return -EPROTO;
}

static int
talk(struct life *l)
{
	char got[16];
	ssize_t n = handoff__tls_write(l->end[0], "parcel", 6, &l->error);

	if (n < 0)
		return (int)n;
	carry(l->end[0], l->end[1]);
	n = handoff__tls_read(l->end[1], got, sizeof(got), &l->error);
	if (n >= 0) {
		assert_int_equal(n, 6);
		assert_memory_equal(got, "parcel", 6);
	}
	return n < 0 ? (int)n : 0;
}

static int
live(struct life *l, const struct handoff__tls_files *files)
{
	int rc = handoff__tls_open(&l->tls, files, &l->error);

	if (fail_at == 0)
		opened = calls;
	for (int i = 0; i < 2 && rc == 0; i++)
		rc = handoff__tls_session_open(
			&l->end[i], l->tls, i == 0, &l->error);
	if (rc == 0)
		rc = shake(l);
	return rc < 0 ? rc : talk(l);
}

static void
die(struct life *l)
{
	for (int i = 0; i < 2; i++)
		handoff__tls_session_free(l->end[i]);
	handoff__tls_free(l->tls);
}

static int
next_step(void)
{
	if (getenv("HANDOFF_LONG"))
		return 1;
	if (fail_at < opened - 37)
		return 37;
	return fail_at < opened ? 1 : 5;
}

static void
test_every_allocation_of_openssl_may_fail(void **state)
{
	struct credentials own = certs_make("a", 60);
	struct handoff__tls_files files = {own.cert, own.key, own.cert};
	int rc, last, failed = 0;

	(void)state;
	support_not_in_valgrind(); /* four minutes */
	/* The first life is whole. Reading the files takes thousands of calls
	 * that are much alike. */
	for (fail_at = 0;; fail_at += next_step()) {
		struct life life = {0};

		calls = 0;
		inside = true;
		rc = live(&life, &files);
		inside = false;
		last = calls;
		die(&life);
		failed += rc < 0;
		if (rc < 0)
			assert_string_not_equal(life.error.text, "");
		if (last < fail_at)
			break;
	}
	assert_int_equal(rc, 0);
	print_message("%d failures; %d and %d allocations\n", failed, opened,
		last - opened);
	assert_true(failed > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_every_allocation_of_openssl_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
