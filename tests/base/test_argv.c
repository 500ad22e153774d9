/* SPDX-License-Identifier: MIT */
/*
 * Parsing a command line by a table: which arguments are taken, which are left
 * and in which order. An error names the option and its value, and changes
 * nothing.
 */
#include "support/support.h"

#include "base/argv.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 16
#define VARIABLE  "HANDOFF_TEST_ARGV"

enum colour { RED = 0, GREEN = 1 };

struct fields {
	const char *text;
	const char *const *list;
	size_t nlist;
	uint32_t number;
	enum colour colour;
	bool flag;
	const char *young; /* of a later version */
	const char *const *more;
	size_t nmore;
};

static int
check_colour(const char *value, struct handoff__error *error)
{
	if (strcmp(value, "red") == 0)
		return RED;
	if (strcmp(value, "green") == 0)
		return GREEN;
	return handoff__fail(error, -EINVAL, "'%.40s' is no colour", value);
}

#define AT(field) .offset = offsetof(struct fields, field)

static const struct handoff__argument table[] = {
	{.name = "text",
		.kind = HANDOFF__ARGUMENT_TEXT,
		AT(text),
		.env = VARIABLE},
	{.name = "list", .kind = HANDOFF__ARGUMENT_LIST, AT(list), .max = 3},
	{.name = "number",
		.kind = HANDOFF__ARGUMENT_NUMBER,
		AT(number),
		.max = 64},
	{.name = "colour",
		.kind = HANDOFF__ARGUMENT_CHOICE,
		AT(colour),
		.check = check_colour},
	{.name = "flag", .kind = HANDOFF__ARGUMENT_FLAG, AT(flag)},
	{.name = "young", .kind = HANDOFF__ARGUMENT_TEXT, AT(young)},
	{.name = "more", .kind = HANDOFF__ARGUMENT_LIST, AT(more), .max = 2},
};

static const struct handoff__arguments known = {
	table, sizeof(table) / sizeof(table[0])};

/* A command line as main gets it, and what came of it. */
struct line {
	char *argv[WORDS_MAX + 1];
	int argc, rc;
	struct fields fields;
	struct handoff__error error;
};

#define WORDS(...)                                                             \
	(const char *const[])                                                  \
	{                                                                      \
		"program", __VA_ARGS__, NULL                                   \
	}

static const char *const no_words[] = {"program", NULL};

static void
fill(struct line *line, const char *const *words)
{
	memset(line, 0, sizeof(*line));
	while (words[line->argc]) {
		line->argv[line->argc] = (char *)words[line->argc];
		line->argc++;
	}
}

static void
read_as(struct line *line, size_t size, const char *const *words)
{
	fill(line, words);
	line->rc = handoff__argv_read(&known, &line->fields, size, &line->argc,
		line->argv, &line->error);
}

static void
read_line(struct line *line, const char *const *words)
{
	read_as(line, sizeof(line->fields), words);
}

static void
assert_left(const struct line *line, const char *const *words)
{
	int count = 0;

	assert_int_equal(line->rc, 0);
	for (; words[count]; count++)
		assert_string_equal(line->argv[count], words[count]);
	assert_int_equal(line->argc, count);
	assert_null(line->argv[count]);
}

static void
both_forms_are_taken(void **state)
{
	struct line line;

	(void)state;
	read_line(&line, WORDS("--text", "a b", "--number=64", "--colour",
				 "green", "--flag"));
	assert_left(&line, no_words);
	assert_string_equal(line.fields.text, "a b");
	assert_int_equal(line.fields.number, 64);
	assert_int_equal(line.fields.colour, GREEN);
	assert_true(line.fields.flag);
	read_line(&line, WORDS("--text=x=y", "--number", "1", "--colour=red"));
	assert_left(&line, no_words);
	assert_string_equal(line.fields.text, "x=y");
	assert_int_equal(line.fields.number, 1);
	assert_int_equal(line.fields.colour, RED);
}

static void
the_rest_keeps_its_order(void **state)
{
	struct line line;

	(void)state;
	read_line(&line, WORDS("-v", "--flag", "one", "--textual", "--text",
				 "t", "--", "--flag", "--text=u"));
	assert_left(&line,
		WORDS("-v", "one", "--textual", "--", "--flag", "--text=u"));
	assert_string_equal(line.fields.text, "t");
	/* No abbreviations, no single hyphen; nothing is not an error. */
	read_line(&line, WORDS("--tex=a", "-text", "-", ""));
	assert_left(&line, WORDS("--tex=a", "-text", "-", ""));
	assert_null(line.fields.text);
}

static void
nothing_at_all_is_fine(void **state)
{
	struct line line;

	(void)state;
	read_line(&line, (const char *const[]){NULL});
	assert_int_equal(line.rc, 0);
	assert_int_equal(line.argc, 0);
	/* What is not a main's need not end with NULL, if nothing is taken. */
	fill(&line, WORDS("a", "b"));
	line.argv[3] = line.argv[1];
	assert_int_equal(
		handoff__argv_read(&known, &line.fields, sizeof(line.fields),
			&line.argc, line.argv, &line.error),
		0);
	assert_string_equal(line.argv[3], "a");
}

static void
what_is_not_given_stays(void **state)
{
	static const char *const list[] = {"default"};
	struct line line;

	(void)state;
	fill(&line, WORDS("--number=2"));
	line.fields = (struct fields){.text = "default",
		.list = list,
		.nlist = 1,
		.colour = GREEN,
		.flag = true};
	line.rc = handoff__argv_read(&known, &line.fields, sizeof(line.fields),
		&line.argc, line.argv, &line.error);
	assert_left(&line, no_words);
	assert_string_equal(line.fields.text, "default");
	assert_ptr_equal(line.fields.list, list);
	assert_int_equal(line.fields.nlist, 1);
	assert_int_equal(line.fields.colour, GREEN);
	assert_true(line.fields.flag);
}

/* Each of a list has freed one word only, or two. */
static void
a_list_lies_behind_the_rest(void **state)
{
	struct line line;

	(void)state;
	read_line(&line, WORDS("--list=a", "x", "--list=b", "--list=c"));
	assert_left(&line, WORDS("x"));
	assert_int_equal(line.fields.nlist, 3);
	assert_ptr_equal(line.fields.list, line.argv + 3);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(line.fields.list[i], &"a\0b\0c"[2 * i]);
	read_line(&line, WORDS("--list", "a", "--list", "b", "y"));
	assert_left(&line, WORDS("y"));
	assert_int_equal(line.fields.nlist, 2);
	assert_string_equal(line.fields.list[1], "b");
	/* A second table reads what is left, and this list stays. */
	line.rc = handoff__argv_read(&known, &(struct fields){.text = NULL},
		sizeof(line.fields), &line.argc, line.argv, &line.error);
	assert_left(&line, WORDS("y"));
	assert_string_equal(line.fields.list[0], "a");
}

static void
assert_refused(const char *sentence, const char *const *words)
{
	struct line line, before;

	fill(&before, words);
	read_line(&line, words);
	assert_int_equal(line.rc, -EINVAL);
	assert_string_equal(line.error.text, sentence);
	assert_int_equal(line.argc, before.argc);
	assert_memory_equal(line.argv, before.argv, sizeof(line.argv));
	assert_memory_equal(&line.fields, &before.fields, sizeof(line.fields));
}

/* One behind the other, each in the order in which it was given. */
static void
lists_of_two_options(void **state)
{
	struct line line;

	(void)state;
	read_line(&line,
		WORDS("--more=m", "--list=a", "x", "--more", "n", "--list=b"));
	assert_left(&line, WORDS("x"));
	assert_int_equal(line.fields.nlist, 2);
	assert_int_equal(line.fields.nmore, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(line.fields.list[i], &"a\0b"[2 * i]);
		assert_string_equal(line.fields.more[i], &"m\0n"[2 * i]);
	}
	read_line(&line, WORDS("--more=m", "--more=n", "--more=o"));
	assert_int_equal(line.rc, -EINVAL);
	assert_non_null(strstr(line.error.text, "--more 'o'"));
}

static void
errors_name_option_and_value(void **state)
{
	(void)state;
	assert_refused(
		"--text: its value is missing", WORDS("--flag", "--text"));
	assert_refused(
		"--text: its value is missing", WORDS("--text", "--flag"));
	assert_refused("--text: its value is missing", WORDS("--text", "--"));
	assert_refused("--text: its value is missing",
		WORDS("--text", "one", "--text"));
	assert_refused("--text: its value is empty",
		WORDS("--number=3", "--text", ""));
	assert_refused("--list: its value is empty", WORDS("--list="));
	assert_refused("--flag takes no value, but got 'no'",
		WORDS("--text=a", "--flag=no"));
	assert_refused(
		"--colour: 'blue' is no colour", WORDS("--colour", "blue"));
	assert_refused("--text is given twice: 'a' and 'b'",
		WORDS("--text=a", "x", "--text", "b"));
	assert_refused("--flag is given twice", WORDS("--flag", "--flag"));
	assert_refused("--list 'd': it was given 3 times already, the most "
		       "that there may be",
		WORDS("--list=a", "--list=b", "--list=c", "--list=d"));
	/* What was right before the error is not kept either. */
	assert_refused("--number: '65' is not a number from 1 to 64",
		WORDS("--text=a", "--list=b", "--flag", "--number=65"));
}

static void
numbers_out_of_range(void **state)
{
	static const char *const wrong[] = {"0", "-1", "+1", " 1", "1 ", "1x",
		"x", "0x10", "1.5", "65", "4294967297", "18446744073709551617"};
	char sentence[HANDOFF_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(sentence, sizeof(sentence),
			"--number: '%s' is not a number from 1 to 64",
			wrong[i]);
		assert_refused(sentence, WORDS("--number", wrong[i]));
	}
}

/* A value may be anything: still one line, and not all of it. */
static void
a_long_value_is_cut(void **state)
{
	char value[5000];
	struct line line;

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	value[0] = '\n';
	read_line(&line, WORDS("--colour", value));
	assert_int_equal(line.rc, -EINVAL);
	assert_memory_equal(line.error.text, "--colour: '?xxx", 15);
	assert_non_null(strstr(line.error.text, "x' is no colour"));
}

static void
the_environment_stands_in(void **state)
{
	struct line line;

	(void)state;
	setenv(VARIABLE, "from there", 1);
	read_line(&line, no_words);
	assert_string_equal(line.fields.text, "from there");
	read_line(&line, WORDS("--text", "here"));
	assert_string_equal(line.fields.text, "here");
	/* Before a default of the program; empty it is none. */
	fill(&line, no_words);
	line.fields.text = "default";
	handoff__argv_read(&known, &line.fields, sizeof(line.fields),
		&line.argc, line.argv, &line.error);
	assert_string_equal(line.fields.text, "from there");
	setenv(VARIABLE, "", 1);
	read_line(&line, no_words);
	assert_null(line.fields.text);
	unsetenv(VARIABLE);
}

/* A program that was built when the structure was shorter. */
static void
what_has_no_field_is_left(void **state)
{
	const size_t size = offsetof(struct fields, young);
	struct line line;

	(void)state;
	read_as(&line, size, WORDS("--young=a", "--flag"));
	assert_left(&line, WORDS("--young=a"));
	assert_true(line.fields.flag);
	assert_null(line.fields.young);
	read_as(&line, size + sizeof(char *), WORDS("--young=a"));
	assert_left(&line, no_words);
	assert_string_equal(line.fields.young, "a");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(both_forms_are_taken),
		handoff_test(the_rest_keeps_its_order),
		handoff_test(nothing_at_all_is_fine),
		handoff_test(what_is_not_given_stays),
		handoff_test(a_list_lies_behind_the_rest),
		handoff_test(lists_of_two_options),
		handoff_test(errors_name_option_and_value),
		handoff_test(numbers_out_of_range),
		handoff_test(a_long_value_is_cut),
		handoff_test(the_environment_stands_in),
		handoff_test(what_has_no_field_is_left),
	};

	return cmocka_run_group_tests_name("argv", tests, NULL, NULL);
}
