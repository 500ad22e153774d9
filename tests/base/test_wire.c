/* SPDX-License-Identifier: MIT */
/*
 * The codecs: byte order on the wire, bounds in both directions, and text
 * fields of fixed width.
 */
#include "support/support.h"

#include "base/wire.h"

#include <string.h>

static void
numbers_are_little_endian(void **state)
{
	static const unsigned char expected[14] = {0x02, 0x01, 0x14, 0x13, 0x12,
		0x11, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21};
	unsigned char data[14];
	struct handoff__wire w = {.data = data, .size = sizeof(data)};

	(void)state;
	handoff__put_u16(&w, 0x0102);
	handoff__put_u32(&w, 0x11121314);
	handoff__put_u64(&w, 0x2122232425262728);
	assert_false(w.bad);
	assert_int_equal(w.pos, sizeof(data));
	assert_memory_equal(data, expected, sizeof(data));
}

static void
numbers_come_back(void **state)
{
	unsigned char data[28];
	struct handoff__wire w = {.data = data, .size = sizeof(data)};
	struct handoff__wire r = w;

	(void)state;
	handoff__put_u16(&w, UINT16_MAX);
	handoff__put_u32(&w, UINT32_MAX);
	handoff__put_u64(&w, UINT64_MAX);
	handoff__put_u16(&w, 0);
	handoff__put_u32(&w, 0x80000000);
	handoff__put_u64(&w, 0x8000000000000001);
	assert_false(w.bad);
	assert_int_equal(handoff__get_u16(&r), UINT16_MAX);
	assert_int_equal(handoff__get_u32(&r), UINT32_MAX);
	assert_true(handoff__get_u64(&r) == UINT64_MAX);
	assert_int_equal(handoff__get_u16(&r), 0);
	assert_int_equal(handoff__get_u32(&r), 0x80000000);
	assert_true(handoff__get_u64(&r) == 0x8000000000000001);
	assert_false(r.bad);
	assert_int_equal(r.pos, sizeof(data));
}

static void
put_past_the_end_writes_nothing(void **state)
{
	unsigned char data[8];
	struct handoff__wire w = {.data = data, .size = 5};

	(void)state;
	memset(data, 0xee, sizeof(data));
	handoff__put_u16(&w, 0);
	handoff__put_u32(&w, 0);
	assert_true(w.bad);
	assert_int_equal(w.pos, 2);
	/* It would fit, but nothing more is done after the first failure. */
	handoff__put_u16(&w, 0);
	assert_int_equal(w.pos, 2);
	for (size_t i = 2; i < sizeof(data); i++)
		assert_int_equal(data[i], 0xee);
}

static void
get_past_the_end_is_zero(void **state)
{
	unsigned char data[5] = {1, 2, 3, 4, 5};
	struct handoff__wire r = {.data = data, .size = sizeof(data)};

	(void)state;
	assert_int_equal(handoff__get_u16(&r), 0x0201);
	assert_int_equal(handoff__get_u32(&r), 0);
	assert_true(r.bad);
	assert_int_equal(handoff__get_u16(&r), 0);
	assert_int_equal(r.pos, 2);
}

static void
empty_message_is_bad_at_once(void **state)
{
	unsigned char none[1];
	struct handoff__wire r = {.data = none, .size = 0};

	(void)state;
	assert_int_equal(handoff__get_u16(&r), 0);
	assert_true(r.bad);
}

static void
text_is_padded_with_zeros(void **state)
{
	unsigned char data[8];
	struct handoff__wire w = {.data = data, .size = sizeof(data)};
	struct handoff__wire r = w;
	char text[8];

	(void)state;
	memset(data, 0xee, sizeof(data));
	handoff__put_text(&w, "echo", sizeof(data));
	assert_false(w.bad);
	assert_memory_equal(data, "echo\0\0\0\0", sizeof(data));
	handoff__get_text(&r, text, sizeof(text));
	assert_false(r.bad);
	assert_memory_equal(text, data, sizeof(text));
}

static void
longest_text_has_one_zero(void **state)
{
	unsigned char data[8];
	struct handoff__wire w = {.data = data, .size = sizeof(data)};
	struct handoff__wire v = {.data = data, .size = sizeof(data)};

	(void)state;
	handoff__put_text(&w, "1234567", sizeof(data));
	assert_false(w.bad);
	assert_memory_equal(data, "1234567", sizeof(data));
	handoff__put_text(&v, "12345678", sizeof(data));
	assert_true(v.bad);
}

static void
text_without_a_zero_is_bad(void **state)
{
	unsigned char data[4] = {'a', 'b', 'c', 'd'};
	struct handoff__wire r = {.data = data, .size = sizeof(data)};
	char text[4];

	(void)state;
	memset(text, 'x', sizeof(text));
	handoff__get_text(&r, text, sizeof(text));
	assert_true(r.bad);
	assert_memory_equal(text, "\0\0\0\0", sizeof(text));
}

static void
text_behind_its_zero_is_dropped(void **state)
{
	unsigned char data[6] = {'a', 0, 'b', 'c', 0xff, 0xff};
	struct handoff__wire r = {.data = data, .size = sizeof(data)};
	char text[6];

	(void)state;
	handoff__get_text(&r, text, sizeof(text));
	assert_false(r.bad);
	assert_memory_equal(text, "a\0\0\0\0\0", sizeof(text));
}

static void
text_past_the_end_is_empty(void **state)
{
	unsigned char data[4] = {'a', 'b', 0, 0};
	struct handoff__wire r = {.data = data, .size = sizeof(data)};
	struct handoff__wire w = {.data = data, .size = sizeof(data)};
	char text[5];

	(void)state;
	memset(text, 'x', sizeof(text));
	handoff__get_text(&r, text, sizeof(text));
	assert_true(r.bad);
	assert_string_equal(text, "");
	handoff__put_text(&w, "z", sizeof(text));
	assert_true(w.bad);
	assert_int_equal(data[0], 'a');
}

static void
bytes_are_as_they_are_or_not_at_all(void **state)
{
	unsigned char data[5] = "....";
	struct handoff__wire w = {.data = data, .size = 4};
	struct handoff__wire r = {.data = data, .size = 4};
	char bytes[5] = "xxxx";

	(void)state;
	handoff__put_bytes(&w, "a\0", 2);
	handoff__put_bytes(&w, NULL, 0);
	assert_false(w.bad);
	handoff__put_bytes(&w, "bcd", 3);
	assert_true(w.bad);
	assert_memory_equal(data, "a\0..", 4);
	handoff__get_bytes(&r, bytes, 3);
	assert_false(r.bad);
	assert_memory_equal(bytes, "a\0.x", 4);
	handoff__get_bytes(&r, bytes, 2);
	assert_true(r.bad);
	assert_memory_equal(bytes, "a\0.x", 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(numbers_are_little_endian),
		handoff_test(numbers_come_back),
		handoff_test(put_past_the_end_writes_nothing),
		handoff_test(get_past_the_end_is_zero),
		handoff_test(empty_message_is_bad_at_once),
		handoff_test(text_is_padded_with_zeros),
		handoff_test(longest_text_has_one_zero),
		handoff_test(text_without_a_zero_is_bad),
		handoff_test(text_behind_its_zero_is_dropped),
		handoff_test(text_past_the_end_is_empty),
		handoff_test(bytes_are_as_they_are_or_not_at_all),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
