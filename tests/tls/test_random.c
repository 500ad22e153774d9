/* SPDX-License-Identifier: MIT */
/* The random source: streams, and what they leave alone. */
#define OPENSSL_SUPPRESS_DEPRECATED /* RAND_set_rand_method */
#include "tls/pki.h"

#include "tls/random.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const uint8_t seed[HANDOFF__TLS_SEED] = {1, 2, 3};
static const uint8_t other_seed[HANDOFF__TLS_SEED] = {1, 2, 4};

static struct handoff__tls_lib *
lib_open(void)
{
	struct handoff__tls_lib *lib = NULL;
	struct handoff__error error = {""};

	if (handoff__tls_lib_open(&lib, &error) < 0)
		fail_msg("%s", error.text);
	return lib;
}

static void
draw(struct handoff__tls_lib *lib, unsigned char *out, size_t len, bool private)
{
	OSSL_LIB_CTX *ctx = handoff__tls_lib_ctx(lib);

	assert_int_equal(private ? RAND_priv_bytes_ex(ctx, out, len, 0)
				 : RAND_bytes_ex(ctx, out, len, 0),
		1);
}

/* First: in a process that has not drawn from the default context. */
static void
test_the_default_context_is_not_touched(void **state)
{
	struct handoff__tls_lib *lib = lib_open();
	struct handoff__tls_stream *stream = handoff__tls_stream_new(lib, seed);
	unsigned char bytes[16];

	(void)state;
	handoff__tls_stream_play(stream);
	draw(lib, bytes, sizeof(bytes), false);
	handoff__tls_stream_stop();
	/* possible only before it has a generator */
	assert_int_equal(
		RAND_set_DRBG_type(NULL, "HASH-DRBG", NULL, NULL, "SHA256"), 1);
	assert_int_equal(RAND_bytes(bytes, sizeof(bytes)), 1);
	assert_true(EVP_RAND_is_a(
		EVP_RAND_CTX_get0_rand(RAND_get0_public(NULL)), "HASH-DRBG"));
	assert_int_equal(OSSL_PROVIDER_available(NULL, "handoff"), 0);
	handoff__tls_stream_free(stream);
	handoff__tls_lib_free(lib);
}

static void
test_a_stream_is_a_function_of_its_seed(void **state)
{
	unsigned char first[96], again[96], other[96];
	struct handoff__tls_lib *lib[2] = {lib_open(), lib_open()};
	struct handoff__tls_stream *stream;

	(void)state;
	stream = handoff__tls_stream_new(lib[0], seed);
	handoff__tls_stream_play(stream);
	draw(lib[0], first, 32, false);
	draw(lib[0], first + 32, 32, true);
	draw(lib[0], first + 64, 32, false);
	handoff__tls_stream_stop();
	assert_int_equal(handoff__tls_stream_drawn(stream), 96);
	handoff__tls_stream_free(stream);

	stream = handoff__tls_stream_new(lib[1], seed);
	handoff__tls_stream_play(stream);
	draw(lib[1], again, 40, true);
	handoff__tls_stream_stop();
	draw(lib[1], other, 32, false); /* is not of the stream */
	handoff__tls_stream_play(stream);
	draw(lib[1], again + 40, 56, false);
	handoff__tls_stream_stop();
	handoff__tls_stream_free(stream);
	assert_memory_equal(again, first, sizeof(first));
	assert_memory_not_equal(other, first, 32);

	stream = handoff__tls_stream_new(lib[1], other_seed);
	handoff__tls_stream_play(stream);
	draw(lib[1], other, 96, false);
	handoff__tls_stream_stop();
	handoff__tls_stream_free(stream);
	for (unsigned at = 0; at < 96; at += 32)
		assert_memory_not_equal(other + at, first + at, 32);
	handoff__tls_lib_free(lib[0]);
	handoff__tls_lib_free(lib[1]);
}

/* The keystream of AES-256 in counter mode: NIST SP 800-38A, F.5.5 has other
 * counters, so the value is of `openssl enc -aes-256-ctr` over zeros. */
static void
test_a_stream_is_the_same_in_every_version(void **state)
{
	static const unsigned char expected[16] = {0xdc, 0x95, 0xc0, 0x78, 0xa2,
		0x40, 0x89, 0x89, 0xad, 0x48, 0xa2, 0x14, 0x92, 0x84, 0x20,
		0x87};
	static const uint8_t zero[HANDOFF__TLS_SEED];
	struct handoff__tls_lib *lib = lib_open();
	struct handoff__tls_stream *stream = handoff__tls_stream_new(lib, zero);
	unsigned char bytes[16];

	(void)state;
	handoff__tls_stream_play(stream);
	draw(lib, bytes, sizeof(bytes), false);
	handoff__tls_stream_stop();
	assert_memory_equal(bytes, expected, sizeof(bytes));
	handoff__tls_stream_free(stream);
	handoff__tls_lib_free(lib);
}

static void
test_long_requests_are_of_the_stream_too(void **state)
{
	static unsigned char a[200000], b[200000];
	struct handoff__tls_lib *lib = lib_open();
	struct handoff__tls_stream *stream = handoff__tls_stream_new(lib, seed);
	size_t at = 0;

	(void)state;
	handoff__tls_stream_play(stream);
	draw(lib, a, sizeof(a), false);
	handoff__tls_stream_stop();
	handoff__tls_stream_free(stream);
	stream = handoff__tls_stream_new(lib, seed);
	handoff__tls_stream_play(stream);
	for (size_t n = 1; at < sizeof(b); at += n, n = n * 3 + 1) {
		if (n > sizeof(b) - at)
			n = sizeof(b) - at;
		draw(lib, b + at, n, n % 2 == 0);
	}
	handoff__tls_stream_stop();
	handoff__tls_stream_free(stream);
	assert_memory_equal(a, b, sizeof(a));
	handoff__tls_lib_free(lib);
}

struct player {
	struct handoff__tls_lib *lib;
	unsigned char bytes[4096];
	bool seeded;
};

static void *
play(void *arg)
{
	struct player *p = arg;
	struct handoff__tls_stream *stream =
		handoff__tls_stream_new(p->lib, seed);

	if (p->seeded)
		handoff__tls_stream_play(stream);
	for (size_t at = 0; at < sizeof(p->bytes); at += 64)
		draw(p->lib, p->bytes + at, 64, at % 128 == 0);
	handoff__tls_stream_stop();
	handoff__tls_stream_free(stream);
	return NULL;
}

static void
test_threads_have_their_own(void **state)
{
	struct handoff__tls_lib *lib = lib_open();
	static struct player players[4];
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		players[i].lib = lib;
		players[i].seeded = i < 2;
		assert_int_equal(
			pthread_create(&threads[i], NULL, play, &players[i]),
			0);
	}
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_memory_equal(players[0].bytes, players[1].bytes, 4096);
	assert_memory_not_equal(players[0].bytes, players[2].bytes, 32);
	assert_memory_not_equal(players[2].bytes, players[3].bytes, 32);
	handoff__tls_lib_free(lib);
}

static void
test_children_do_not_draw_the_same(void **state)
{
	struct handoff__tls_lib *lib = lib_open();
	unsigned char *bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int pids[2];

	(void)state;
	assert_ptr_not_equal(bytes, MAP_FAILED);
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			draw(lib, bytes + (ptrdiff_t)32 * i, 32, false);
			_exit(0);
		}
	}
	for (int i = 0; i < 2; i++)
		support_reap(pids[i]);
	draw(lib, bytes + 64, 32, false);
	assert_memory_not_equal(bytes, bytes + 32, 32);
	assert_memory_not_equal(bytes, bytes + 64, 32);
	assert_memory_not_equal(bytes + 32, bytes + 64, 32);
	munmap(bytes, 4096);
	handoff__tls_lib_free(lib);
}

/* ---- a program that has replaced the source of the whole process ---- */

static int
programs_bytes(unsigned char *out, int len)
{
	memset(out, 7, (size_t)len);
	return 1;
}

static int
programs_status(void)
{
	return 1;
}

static void
test_another_source_of_the_process_is_refused(void **state)
{
	static const RAND_METHOD method = {.bytes = programs_bytes,
		.pseudorand = programs_bytes,
		.status = programs_status};
	struct handoff__tls_lib *lib = NULL;
	struct handoff__error error;

	(void)state;
	RAND_set_rand_method(&method);
	assert_int_equal(handoff__tls_lib_open(&lib, &error), -ENOTSUP);
	assert_null(lib);
	assert_non_null(strstr(error.text, "RAND_set_rand_method"));
	RAND_set_rand_method(RAND_OpenSSL());
	handoff__tls_lib_free(lib_open());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_the_default_context_is_not_touched),
		handoff_test(test_a_stream_is_a_function_of_its_seed),
		handoff_test(test_a_stream_is_the_same_in_every_version),
		handoff_test(test_long_requests_are_of_the_stream_too),
		handoff_test(test_threads_have_their_own),
		handoff_test(test_children_do_not_draw_the_same),
		handoff_test(test_another_source_of_the_process_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
