/* SPDX-License-Identifier: MIT */
/*
 * TLS records: that what is sealed is opened, in place and elsewhere, and that
 * each one that is damaged, malformed, too long, repeated or out of order is
 * refused with its error, with nothing changed. Each suite.
 */
#include "support/support.h"

#include "tls/ends.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/provider.h>

static uint8_t content[HANDOFF__TLS_RECORD_MAX];
static uint8_t sealed[HANDOFF__TLS_RECORD_MAX + 64];
static uint8_t other[HANDOFF__TLS_RECORD_MAX + 64];

static void
each_suite(void (*test)(struct ends *))
{
	struct ends e;
	unsigned i;

	ends_fill(content, sizeof(content), 3);
	for (i = 0; i < HANDOFF__TLS_SUITES; i++) {
		ends_open(&e, i);
		test(&e);
		ends_close(&e);
	}
}

static void
seal_and_open(struct ends *e, size_t len)
{
	struct handoff__tls_dir before = e->write;
	size_t n = len + HANDOFF__TLS_OVERHEAD;

	assert_int_equal(handoff__tls_seal(&e->w, HANDOFF__TLS_APPLICATION,
				 content, len, sealed),
		n);
	assert_int_equal(handoff__tls_record_len(sealed, 5), n);
	/* In place, and by the test: the same bytes. */
	e->write = before;
	memcpy(other + HANDOFF__TLS_HEADER, content, len);
	assert_int_equal(handoff__tls_seal(&e->w, HANDOFF__TLS_APPLICATION,
				 other + HANDOFF__TLS_HEADER, len, other),
		n);
	assert_memory_equal(other, sealed, n);
	e->write = before;
	assert_int_equal(ends_seal(e, 23, content, len, other), n);
	assert_memory_equal(other, sealed, n);
	ends_expect(e, sealed, n, 23, content, len);
}

static void
try_lengths(struct ends *e)
{
	size_t len;

	for (len = 0; len < 300; len++)
		seal_and_open(e, len);
	for (len = 1000; len < 1060; len++)
		seal_and_open(e, len);
	for (len = HANDOFF__TLS_CONTENT_MAX - 20;
		len <= HANDOFF__TLS_CONTENT_MAX; len++)
		seal_and_open(e, len);
	assert_int_equal(handoff__tls_seal(&e->w, HANDOFF__TLS_APPLICATION,
				 content, HANDOFF__TLS_CONTENT_MAX + 1, sealed),
		-EMSGSIZE);
}

static void
sealed_is_opened(void **state)
{
	(void)state;
	each_suite(try_lengths);
}

static void
try_in_place(struct ends *e)
{
	enum handoff__tls_type type;
	size_t len;

	for (len = 0; len < 2000; len += 37) {
		int n = handoff__tls_seal(
			&e->w, HANDOFF__TLS_APPLICATION, content, len, sealed);

		assert_int_equal(
			handoff__tls_open(&e->r, sealed, (size_t)n, 16384,
				sealed + HANDOFF__TLS_HEADER, &type),
			len);
		assert_memory_equal(sealed + HANDOFF__TLS_HEADER, content, len);
	}
}

static void
opened_in_place(void **state)
{
	(void)state;
	each_suite(try_in_place);
}

static void
try_numbers(struct ends *e)
{
	static const uint64_t numbers[] = {0, 1, 255, 256, 0xffffffff,
		0x100000000, 0x0102030405060708, UINT64_MAX - 1};
	unsigned i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		e->write.seq = e->read.seq = numbers[i];
		seal_and_open(e, 20);
	}
	assert_int_equal(e->write.seq, UINT64_MAX);
	e->read.seq = UINT64_MAX;
	assert_int_equal(handoff__tls_seal(&e->w, HANDOFF__TLS_APPLICATION,
				 content, 5, sealed),
		-EOVERFLOW);
	assert_int_equal(
		handoff__tls_seal_data(&e->w, sealed, 5, 2), -EOVERFLOW);
	assert_int_equal(e->write.seq, UINT64_MAX);
	ends_refuse(
		e, sealed, ends_seal(e, 23, content, 5, sealed), -EOVERFLOW);
}

static void
numbers_go_up_and_end(void **state)
{
	(void)state;
	each_suite(try_numbers);
}

static void
try_damage(struct ends *e)
{
	size_t n = ends_seal(e, 23, content, 40, sealed), bit;

	for (bit = 0; bit < 8 * n; bit++) {
		int err = bit < 8 ? -EPROTO : -EBADMSG;

		sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (bit / 8 != 3 && bit / 8 != 4) /* not the length */
			ends_refuse(e, sealed, n, err);
		sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(ERR_peek_error(), 0);
	ends_expect(e, sealed, n, 23, content, 40);
	ends_refuse(e, sealed, n, -EBADMSG); /* once more */
}

static void
each_damaged_bit_is_noticed(void **state)
{
	(void)state;
	each_suite(try_damage);
}

static void
try_order(struct ends *e)
{
	size_t first = ends_seal(e, 23, content, 10, sealed);
	size_t second = ends_seal(e, 23, content, 20, other);

	ends_refuse(e, other, second, -EBADMSG);
	ends_expect(e, sealed, first, 23, content, 10);
	ends_refuse(e, sealed, first, -EBADMSG);
	ends_expect(e, other, second, 23, content, 20);
}

static void
order_is_noticed(void **state)
{
	(void)state;
	each_suite(try_order);
}

static void
try_cut(struct ends *e)
{
	size_t n = ends_seal(e, 23, content, 40, sealed), len;

	/* The caller passes what the header says; it is checked all the same,
	 * and also with a header that says what is passed. */
	for (len = HANDOFF__TLS_HEADER + HANDOFF__TLS_TAG; len <= n + 5;
		len++) {
		if (len == n)
			continue;
		memcpy(other, sealed, len);
		ends_refuse(e, other, len, -EBADMSG);
		other[4] = (uint8_t)(len - HANDOFF__TLS_HEADER);
		ends_refuse(e, other, len, -EBADMSG);
	}
	ends_expect(e, sealed, n, 23, content, 40);
}

static void
cut_and_longer_ones_are_refused(void **state)
{
	(void)state;
	each_suite(try_cut);
}

static int
header_answer(unsigned body)
{
	if (body > HANDOFF__TLS_CONTENT_MAX + 256)
		return -EMSGSIZE;
	return body < 17 ? -EBADMSG : (int)body + 5;
}

static void
headers_are_judged_as_soon_as_seen(void **state)
{
	uint8_t h[5] = {23, 3, 3, 0, 0};
	unsigned i, len;

	(void)state;
	for (i = 0; i < 256; i++) {
		h[0] = (uint8_t)i;
		for (len = 1; len < 5; len++)
			assert_int_equal(handoff__tls_record_len(h, len),
				i == 23 ? 0 : -EPROTO);
	}
	assert_int_equal(handoff__tls_record_len(NULL, 0), 0);
	h[0] = 23;
	for (i = 0; i < 65536; i++) {
		h[3] = (uint8_t)(i >> 8);
		h[4] = (uint8_t)i;
		assert_int_equal(
			handoff__tls_record_len(h, 5), header_answer(i));
		assert_int_equal(handoff__tls_record_len(h, 4), 0);
	}
}

/* RFC 8446, 5.1: it says nothing. */
static void
version_is_authenticated_only(void **state)
{
	struct ends e;
	size_t n;

	(void)state;
	ends_open(&e, 0);
	n = ends_seal(&e, 23, "hello", 5, sealed);
	sealed[2] = 1;
	ends_refuse(&e, sealed, n, -EBADMSG);
	ends_close(&e);
}

static void
try_types(struct ends *e)
{
	unsigned type;
	size_t n;

	for (type = 1; type < 256; type++) { /* 0 is padding */
		n = ends_seal(e, type, content, 4, sealed);
		if (type >= 21 && type <= 23) {
			ends_expect(e, sealed, n, type, content, 4);
		} else {
			ends_refuse(e, sealed, n, -EPROTO);
			e->write.seq--;
		}
		n = ends_seal(e, type, NULL, 0, sealed);
		if (type == 23) {
			ends_expect(e, sealed, n, type, NULL, 0);
		} else {
			ends_refuse(e, sealed, n, -EPROTO);
			e->write.seq--;
		}
	}
}

static void
types_are_checked(void **state)
{
	(void)state;
	each_suite(try_types);
}

static void
try_padding(struct ends *e)
{
	static uint8_t inner[HANDOFF__TLS_RECORD_MAX];
	size_t len, pad, n;

	for (len = 0; len < 20; len++) {
		for (pad = 0; pad < 40; pad++) {
			memset(inner, 0, sizeof(inner));
			/* Also content that ends with zeros. */
			memcpy(inner, content, len / 2);
			inner[len] = 23;
			n = ends_seal_inner(e->w.suite, &e->write, inner,
				len + 1 + pad, sealed);
			ends_expect(e, sealed, n, 23, inner, len);
		}
	}
	memset(inner, 0, sizeof(inner));
	for (pad = 1; pad < 40; pad++) { /* there is no type */
		n = ends_seal_inner(e->w.suite, &e->write, inner, pad, sealed);
		ends_refuse(e, sealed, n, -EPROTO);
		e->write.seq--;
	}
}

static void
padding_is_stripped(void **state)
{
	(void)state;
	each_suite(try_padding);
}

/* `len` bytes of content, and zeros up to `total` with the type. */
static size_t
padded(struct ends *e, size_t len, size_t total)
{
	static uint8_t inner[HANDOFF__TLS_RECORD_MAX];

	memset(inner, 0, sizeof(inner));
	memcpy(inner, content, len);
	inner[len] = 23;
	return ends_seal_inner(e->w.suite, &e->write, inner, total, sealed);
}

static void
try_limits(struct ends *e)
{
	enum handoff__tls_type type;
	size_t n = padded(e, 16384, 16385);

	ends_expect(e, sealed, n, 23, content, 16384);
	ends_expect(e, sealed, padded(e, 10, 16385), 23, content, 10);
	ends_refuse(e, sealed, padded(e, 16385, 16386), -EMSGSIZE);
	e->write.seq--;
	ends_refuse(e, sealed, padded(e, 16376, 16386), -EMSGSIZE);
	e->write.seq--;
	ends_refuse(e, sealed, padded(e, 0, 16384 + 240), -EMSGSIZE);
	e->write.seq--;
	n = padded(e, 16384, 16384 + 241);
	ends_refuse(e, sealed, n, -EMSGSIZE); /* unopened */

	e->write.seq--;
	n = padded(e, 513, 514);
	assert_int_equal(handoff__tls_open(&e->r, sealed, n, 512, other, &type),
		-EMSGSIZE);
	assert_int_equal(
		handoff__tls_open(&e->r, sealed, n, 513, other, &type), 513);
}

static void
lengths_are_limited(void **state)
{
	(void)state;
	each_suite(try_limits);
}

/* A key object is right whatever was done with it before. */
static void
try_cache(struct ends *e)
{
	struct handoff__tls_dir before = e->write, second = e->write;
	struct handoff__tls_end s = {e->w.suite, &second, &e->write_key};
	size_t n;

	second.secret[0] ^= 1;
	assert_int_equal(
		handoff__tls_dir_init(e->w.suite, &second, second.secret, NULL),
		0);
	seal_and_open(e, 20);
	/* Another connection, a KeyUpdate, that KeyUpdate undone. */
	assert_true(handoff__tls_seal(&s, HANDOFF__TLS_APPLICATION, content, 9,
			    sealed) > 0);
	e->write = e->read;
	seal_and_open(e, 20);
	assert_int_equal(handoff__tls_dir_update(e->w.suite, &e->write), 0);
	e->read = e->write;
	seal_and_open(e, 20);
	e->write = e->read = before;
	seal_and_open(e, 20);
	/* One object for both directions. */
	e->r.key = &e->write_key;
	seal_and_open(e, 20);
	seal_and_open(e, 20);
	/* It is lost. */
	handoff__tls_key_drop(&e->write_key);
	assert_null(e->write_key.ctx);
	handoff__tls_key_drop(NULL);
	seal_and_open(e, 20);
	/* What is damaged does not spoil it. */
	n = ends_seal(e, 23, content, 40, sealed);
	sealed[20] ^= 1;
	ends_refuse(e, sealed, n, -EBADMSG);
	sealed[20] ^= 1;
	ends_expect(e, sealed, n, 23, content, 40);
}

static void
key_object_notices_other_keys(void **state)
{
	(void)state;
	each_suite(try_cache);
}

static void
key_object_notices_another_suite(void **state)
{
	struct ends a, b;
	unsigned i;

	(void)state;
	ends_open(&a, 0);
	ends_open(&b, 2);
	b.w.key = a.w.key;
	for (i = 0; i < 3; i++) {
		/* Even with the same iv. */
		memcpy(b.write.iv, a.write.iv, sizeof(b.write.iv));
		b.read = b.write;
		seal_and_open(&a, 100);
		seal_and_open(&b, 100);
	}
	ends_close(&b);
	ends_close(&a);
}

static void
try_data(struct ends *e, size_t len, size_t fragment)
{
	size_t at = 0, got = 0, n;
	enum handoff__tls_type type;
	static uint8_t out[8 * HANDOFF__TLS_RECORD_MAX];

	n = handoff__tls_sealed_len(len, fragment);
	assert_true(n <= sizeof(out));
	memcpy(out + HANDOFF__TLS_HEADER, content, len);
	assert_int_equal(handoff__tls_seal_data(&e->w, out, len, fragment), n);
	while (at < n) {
		int whole = handoff__tls_record_len(out + at, n - at);
		int k = handoff__tls_open(
			&e->r, out + at, (size_t)whole, fragment, other, &type);

		assert_in_range(k, 1, fragment);
		assert_memory_equal(other, content + got, (size_t)k);
		got += (size_t)k;
		at += (size_t)whole;
	}
	assert_int_equal(at, n);
	assert_int_equal(got, len);
}

static void
data_is_cut_into_fragments(void **state)
{
	struct ends e;
	size_t len;

	(void)state;
	ends_open(&e, 0);
	ends_fill(content, sizeof(content), 4);
	assert_int_equal(handoff__tls_sealed_len(0, 512), 0);
	for (len = 0; len < 2100; len += 7) {
		try_data(&e, len, 512);
		try_data(&e, len, 1000);
	}
	for (len = 16370; len < 16400; len++)
		try_data(&e, len, 16384);
	try_data(&e, 100, 1);
	ends_close(&e);
}

/* As much as fits, and not a byte more. */
static void
room_is_the_inverse_of_length(void **state)
{
	static const size_t fragments[] = {1, 100, 512, 16384};
	size_t room, n;
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++) {
		for (room = 0; room < 40000; room++) {
			n = handoff__tls_data_room(room, fragments[i]);
			assert_true(handoff__tls_sealed_len(n, fragments[i]) <=
				    room);
			assert_true(handoff__tls_sealed_len(
					    n + 1, fragments[i]) > room);
		}
	}
}

static void
suites_are_found(void **state)
{
	struct ends e;
	unsigned i;

	(void)state;
	ends_open(&e, 0);
	for (i = 0; i < 65536; i++) {
		const struct handoff__tls_suite *suite =
			handoff__tls_suite_find(&e.suites, i);

		assert_true(!!suite == (i >= 0x1301 && i <= 0x1303));
		assert_true(!suite || suite->id == i);
	}
	ends_close(&e);
}

static void
suites_of_a_context(void **state)
{
	OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
	struct handoff__tls_suites suites;
	const char *missing = NULL;
	OSSL_PROVIDER *null;

	(void)state;
	assert_int_equal(handoff__tls_suites_init(&suites, libctx, NULL), 0);
	handoff__tls_suites_free(&suites);
	OSSL_LIB_CTX_free(libctx);

	libctx = OSSL_LIB_CTX_new();
	null = OSSL_PROVIDER_load(libctx, "null");
	assert_non_null(null);
	assert_int_equal(
		handoff__tls_suites_init(&suites, libctx, &missing), -ENOTSUP);
	assert_string_equal(missing, "HMAC");
	handoff__tls_suites_free(&suites);
	handoff__tls_suites_free(&suites);
	handoff__tls_suites_free(NULL);
	OSSL_PROVIDER_unload(null);
	OSSL_LIB_CTX_free(libctx);
	ERR_clear_error();
}

static void
updates_are_all_different(void **state)
{
	struct handoff__tls_dir before;
	struct ends e;
	unsigned i, which;

	(void)state;
	for (which = 0; which < HANDOFF__TLS_SUITES; which++) {
		ends_open(&e, which);
		for (i = 1; i < 5; i++) {
			before = e.write;
			e.write.seq = 77;
			assert_int_equal(
				handoff__tls_dir_update(e.w.suite, &e.write),
				0);
			assert_int_equal(e.write.updates, i);
			assert_int_equal(e.write.seq, 0);
			assert_memory_not_equal(
				e.write.secret, before.secret, 32);
			assert_memory_not_equal(e.write.key, before.key, 16);
			assert_memory_not_equal(e.write.iv, before.iv, 12);
		}
		ends_close(&e);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(sealed_is_opened),
		handoff_test(opened_in_place),
		handoff_test(numbers_go_up_and_end),
		handoff_test(each_damaged_bit_is_noticed),
		handoff_test(order_is_noticed),
		handoff_test(cut_and_longer_ones_are_refused),
		handoff_test(headers_are_judged_as_soon_as_seen),
		handoff_test(version_is_authenticated_only),
		handoff_test(types_are_checked),
		handoff_test(padding_is_stripped),
		handoff_test(lengths_are_limited),
		handoff_test(key_object_notices_other_keys),
		handoff_test(key_object_notices_another_suite),
		handoff_test(data_is_cut_into_fragments),
		handoff_test(room_is_the_inverse_of_length),
		handoff_test(suites_are_found),
		handoff_test(suites_of_a_context),
		handoff_test(updates_are_all_different),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
