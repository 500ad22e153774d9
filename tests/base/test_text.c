/* SPDX-License-Identifier: MIT */
/*
 * Bounded text: nothing is written past a buffer, every text has its
 * terminating zero, and options of another version are recognized.
 */
#include "support/support.h"

#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct lines {
	int count;
	enum handoff_log_level level;
	char last[1024];
};

static void
keep_line(enum handoff_log_level level, const char *text, void *arg)
{
	struct lines *lines = arg;

	lines->count++;
	lines->level = level;
	handoff__copy(lines->last, sizeof(lines->last), text);
}

static void
log_goes_to_the_callback(void **state)
{
	struct lines lines = {.count = 0};
	struct handoff__log log = {.fn = keep_line, .arg = &lines};

	(void)state;
	handoff__log(&log, HANDOFF_LOG_WARNING, "peer %s: %d", "alt", 7);
	assert_int_equal(lines.count, 1);
	assert_int_equal(lines.level, HANDOFF_LOG_WARNING);
	assert_string_equal(lines.last, "peer alt: 7");
}

static void
log_without_a_callback_is_fine(void **state)
{
	struct handoff__log log = {.fn = NULL};

	(void)state;
	handoff__log(NULL, HANDOFF_LOG_ERROR, "x");
	handoff__log(&log, HANDOFF_LOG_ERROR, "x");
}

static void
log_line_is_cut(void **state)
{
	struct lines lines = {.count = 0};
	struct handoff__log log = {.fn = keep_line, .arg = &lines};
	char text[2000];

	(void)state;
	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	handoff__log(&log, HANDOFF_LOG_INFO, "%s", text);
	assert_int_equal(lines.count, 1);
	assert_int_equal(strlen(lines.last), 2 * HANDOFF_TEXT_MAX - 1);
	assert_memory_equal(lines.last, text, 2 * HANDOFF_TEXT_MAX - 1);
}

static void
fail_returns_what_it_is_given(void **state)
{
	struct handoff__error error;
	char text[2 * HANDOFF_TEXT_MAX];

	(void)state;
	assert_int_equal(handoff__fail(&error, -EPROTO, "link: %d of %d", 2, 3),
		-EPROTO);
	assert_string_equal(error.text, "link: 2 of 3");
	assert_int_equal(handoff__fail(NULL, -EINVAL, "nobody reads"), -EINVAL);
	memset(text, 'z', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	handoff__fail(&error, -EIO, "%s", text);
	assert_int_equal(strlen(error.text), HANDOFF_TEXT_MAX - 1);
}

static void
error_copy_keeps_to_the_buffer(void **state)
{
	struct handoff__error error = {.text = "abcdef"};
	char buf[8] = "xxxxxxx";

	(void)state;
	handoff__error_copy(&error, NULL, 10);
	handoff__error_copy(&error, buf, 0);
	assert_string_equal(buf, "xxxxxxx");
	handoff__error_copy(&error, buf, 4);
	assert_memory_equal(buf, "abc\0xxx", 8);
	handoff__error_copy(&error, buf, sizeof(buf));
	assert_string_equal(buf, "abcdef");
}

static void
lack_of_memory_is_a_sentence(void **state)
{
	char buf[HANDOFF_TEXT_MAX];

	(void)state;
	assert_int_equal(handoff__no_memory("server", NULL, 10), -ENOMEM);
	assert_int_equal(
		handoff__no_memory("server", buf, sizeof(buf)), -ENOMEM);
	assert_string_equal(buf, "server: cannot be opened: out of memory");
}

static void
copy_always_terminates(void **state)
{
	char buf[4] = "xxx";

	(void)state;
	handoff__copy(buf, sizeof(buf), "");
	assert_string_equal(buf, "");
	handoff__copy(buf, sizeof(buf), "abc");
	assert_string_equal(buf, "abc");
	handoff__copy(buf, sizeof(buf), "defg");
	assert_string_equal(buf, "def");
	handoff__copy(buf, sizeof(buf), buf + 1);
	assert_string_equal(buf, "ef");
	handoff__copy(buf, 1, "q");
	assert_string_equal(buf, "");
}

static void
names(void **state)
{
	static const char *const good[] = {
		"a", "server-1", "A.b_C", "1234567890123456789012345678901"};
	static const char *const bad[] = {"", ".", "..", ".hidden", "a b",
		"a/b", "a\n", "\xc3\xa9", "a\"b",
		"12345678901234567890123456789012"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(handoff__name_ok(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(handoff__name_ok(bad[i]));
	assert_false(handoff__name_ok(NULL));
}

struct opts_v1 {
	size_t size;
	int a;
	int pad;
};

struct opts_v2 {
	size_t size;
	int a;
	int pad;
	int b;
	int c;
};

static void
older_caller_leaves_the_rest_zero(void **state)
{
	struct opts_v1 src = {.size = sizeof(src), .a = 5};
	struct opts_v2 dst;

	(void)state;
	memset(&dst, 0xff, sizeof(dst));
	assert_int_equal(
		handoff__opts_copy(&dst, sizeof(dst), &src, sizeof(size_t)), 0);
	assert_int_equal(dst.a, 5);
	assert_int_equal(dst.b, 0);
	assert_int_equal(dst.c, 0);
}

static void
newer_caller_may_not_set_the_unknown(void **state)
{
	struct opts_v2 src = {.size = sizeof(src), .a = 5};
	struct opts_v1 dst;

	(void)state;
	assert_int_equal(
		handoff__opts_copy(&dst, sizeof(dst), &src, sizeof(size_t)), 0);
	assert_int_equal(dst.a, 5);
	dst.a = 77;
	src.c = 1;
	assert_int_equal(
		handoff__opts_copy(&dst, sizeof(dst), &src, sizeof(size_t)),
		-E2BIG);
	assert_int_equal(dst.a, 77);
}

static void
absurd_options_are_refused(void **state)
{
	struct opts_v1 src = {.size = 0};
	struct opts_v1 dst;

	(void)state;
	assert_int_equal(
		handoff__opts_copy(&dst, sizeof(dst), NULL, 8), -EINVAL);
	assert_int_equal(
		handoff__opts_copy(&dst, sizeof(dst), &src, 8), -EINVAL);
	src.size = sizeof(src);
	assert_int_equal(
		handoff__opts_copy(&dst, sizeof(dst), &src, sizeof(src) + 1),
		-EINVAL);
	/* An uninitialised size must not send us through all memory. */
	src.size = SIZE_MAX;
	assert_int_equal(
		handoff__opts_copy(&dst, sizeof(dst), &src, 8), -EINVAL);
	src.size = 4097;
	assert_int_equal(
		handoff__opts_copy(&dst, sizeof(dst), &src, 8), -EINVAL);
}

/* Structures of another version, one after the other. */
static void
elements_are_copied_by_their_stride(void **state)
{
	struct opts_v2 later[2] = {{.a = 5}, {.a = 6}};
	struct opts_v1 now[2] = {{.a = 7}, {.a = 8}};
	struct opts_v1 v1;
	struct opts_v2 v2;

	(void)state;
	assert_int_equal(handoff__opts_element(&v1, sizeof(v1), later,
				 sizeof(later[0]), 1, sizeof(v1)),
		0);
	assert_int_equal(v1.a, 6);
	memset(&v2, 0xff, sizeof(v2));
	assert_int_equal(handoff__opts_element(&v2, sizeof(v2), now,
				 sizeof(now[0]), 1, sizeof(v1)),
		0);
	assert_int_equal(v2.a, 8);
	assert_int_equal(v2.c, 0);
	later[1].c = 1;
	assert_int_equal(handoff__opts_element(&v1, sizeof(v1), later,
				 sizeof(later[0]), 0, sizeof(v1)),
		0);
	assert_int_equal(handoff__opts_element(&v1, sizeof(v1), later,
				 sizeof(later[0]), 1, sizeof(v1)),
		-E2BIG);
	assert_int_equal(v1.a, 5);
}

static void
absurd_strides_are_refused(void **state)
{
	struct opts_v1 now = {.a = 7}, v1;

	(void)state;
	assert_int_equal(handoff__opts_element(&v1, sizeof(v1), NULL,
				 sizeof(now), 0, sizeof(v1)),
		-EINVAL);
	assert_int_equal(
		handoff__opts_element(&v1, sizeof(v1), &now, 0, 0, sizeof(v1)),
		-EINVAL);
	assert_int_equal(handoff__opts_element(&v1, sizeof(v1), &now,
				 sizeof(now) - 1, 0, sizeof(now)),
		-EINVAL);
	assert_int_equal(handoff__opts_element(&v1, sizeof(v1), &now, SIZE_MAX,
				 1, sizeof(v1)),
		-EINVAL);
}

static void
buffer_grows(void **state)
{
	struct handoff__buf buf = {.data = NULL};

	(void)state;
	for (int i = 0; i < 10000; i++)
		handoff__buf_add(&buf, "%04d,", i);
	assert_false(buf.failed);
	assert_int_equal(buf.len, 50000);
	assert_int_equal(strlen(buf.data), buf.len);
	assert_memory_equal(buf.data, "0000,0001,", 10);
	assert_memory_equal(buf.data + 49995, "9999,", 6);
	free(buf.data);
}

static void
buffer_is_text_even_when_empty(void **state)
{
	struct handoff__buf buf = {.data = NULL};

	(void)state;
	handoff__buf_add(&buf, "%s", "");
	assert_non_null(buf.data);
	assert_string_equal(buf.data, "");
	free(buf.data);
}

static void
failed_buffer_stays_as_it_is(void **state)
{
	struct handoff__buf buf = {.data = NULL};

	(void)state;
	handoff__buf_add(&buf, "abc");
	buf.failed = true;
	handoff__buf_add(&buf, "def");
	handoff__buf_json(&buf, "ghi");
	assert_string_equal(buf.data, "abc");
	assert_int_equal(buf.len, 3);
	free(buf.data);
}

static void
json_strings_are_escaped(void **state)
{
	struct handoff__buf buf = {.data = NULL};

	(void)state;
	handoff__buf_json(&buf, "a\"b\\c\n\t\x01\x1f\x7f/\xc3\xa9%s");
	assert_string_equal(buf.data,
		"\"a\\\"b\\\\c\\u000a\\u0009\\u0001\\u001f\x7f/\xc3\xa9%s\"");
	free(buf.data);
}

static void
json_strings_are_utf8(void **state)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
		{"", "\"\""},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
			"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
		{"\xc2\x80\xe0\xa0\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
			"\"\xc2\x80\xe0\xa0\x80\xf0\x90\x80\x80\xf4\x8f\xbf"
			"\xbf\""},
		{"a\xff"
		 "b",
			"\"a\\ufffdb\""},
		/* Alone, cut off, too long a form, a surrogate, too large. */
		{"\x80", "\"\\ufffd\""},
		{"\xc3", "\"\\ufffd\""},
		{"\xc3x", "\"\\ufffdx\""},
		{"\xe2\x82", "\"\\ufffd\\ufffd\""},
		{"\xc1\xbf", "\"\\ufffd\\ufffd\""},
		{"\xe0\x9f\xbf", "\"\\ufffd\\ufffd\\ufffd\""},
		{"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
		{"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
		{"\xf8\x88\x80\x80\x80",
			"\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct handoff__buf buf = {.data = NULL};

		handoff__buf_json(&buf, cases[i].text);
		assert_string_equal(buf.data, cases[i].json);
		free(buf.data);
	}
}

static void
bytes_and_digits_are_appended(void **state)
{
	struct handoff__buf buf = {.data = NULL};
	unsigned char bytes[] = {0, 1, 0x7f, 0x80, 0xff};

	(void)state;
	handoff__buf_put(&buf, "", 0);
	handoff__buf_hex(&buf, bytes, 0);
	assert_null(buf.data);
	for (int i = 0; i < 1000; i++) {
		handoff__buf_put(&buf, "ab%s", 4);
		handoff__buf_hex(&buf, bytes, sizeof(bytes));
	}
	assert_int_equal(buf.len, 14000);
	assert_string_equal(buf.data + 14000 - 14, "ab%s00017f80ff");
	buf.failed = true;
	handoff__buf_put(&buf, "x", 1);
	handoff__buf_hex(&buf, bytes, 1);
	assert_int_equal(strlen(buf.data), 14000);
	free(buf.data);
}

/* What a terminal would act upon, in either encoding, and what is no text. */
static void
escaped_text_has_no_controls(void **state)
{
	struct handoff__buf buf = {.data = NULL};

	(void)state;
	handoff__buf_escaped(&buf, "plain \"\xc3\xa4\" \xe2\x82\xac");
	assert_string_equal(buf.data, "plain \"\xc3\xa4\" \xe2\x82\xac");
	buf.len = 0;
	handoff__buf_escaped(&buf, "\x1b[1m\n\x7f\\\xc2\x9b|\xff\xc3(\xc3");
	assert_string_equal(
		buf.data, "\\x1b[1m\\x0a\\x7f\\x5c\\xc2\\x9b|\\xff\\xc3(\\xc3");
	buf.len = 0;
	handoff__buf_escaped(&buf, "\xc2\xa0");
	assert_string_equal(buf.data, "\xc2\xa0");
	free(buf.data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(log_goes_to_the_callback),
		handoff_test(log_without_a_callback_is_fine),
		handoff_test(log_line_is_cut),
		handoff_test(fail_returns_what_it_is_given),
		handoff_test(error_copy_keeps_to_the_buffer),
		handoff_test(lack_of_memory_is_a_sentence),
		handoff_test(copy_always_terminates),
		handoff_test(names),
		handoff_test(older_caller_leaves_the_rest_zero),
		handoff_test(newer_caller_may_not_set_the_unknown),
		handoff_test(absurd_options_are_refused),
		handoff_test(elements_are_copied_by_their_stride),
		handoff_test(absurd_strides_are_refused),
		handoff_test(buffer_grows),
		handoff_test(buffer_is_text_even_when_empty),
		handoff_test(failed_buffer_stays_as_it_is),
		handoff_test(json_strings_are_escaped),
		handoff_test(json_strings_are_utf8),
		handoff_test(bytes_and_digits_are_appended),
		handoff_test(escaped_text_has_no_controls),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
