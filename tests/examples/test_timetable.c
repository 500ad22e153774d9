/* SPDX-License-Identifier: MIT */
/*
 * The timetable of the schedule service: words and times, texts that are read
 * and texts that are refused, each with its line, and what is looked up.
 */
#include "support/support.h"

#include "timetable.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LONGEST "0123456789abcdefghijklmnopqrstu" /* 31 bytes */

static char why[WHY_SIZE];

static struct timetable
read_text(const char *text)
{
	struct timetable table = {.count = 0};

	if (timetable_read(&table, text, strlen(text), why) < 0)
		fail_msg("%s", why);
	return table;
}

static int
moment(const char *day, const char *clock)
{
	return moment_read(day, clock, why);
}

/* All the courses found, one after the other. */
static const char *
found(timetable_find_fn *find, const struct timetable *table,
	const char *student, int at)
{
	static char text[4096];
	const struct course *list;
	size_t count, len = 0;

	assert_true(at >= 0);
	count = find(table, student, (unsigned)at, &list);
	text[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		char one[COURSE_SIZE];

		course_text(&list[i], one);
		assert_string_equal(list[i].student, student);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
			i ? ", " : "", one);
	}
	return text;
}

static void
line_is_split_at_blanks(void **state)
{
	static const char line[] = "\t one  two\tthree \r\n";
	struct words words;

	(void)state;
	assert_int_equal(words_split(&words, line, strlen(line), why), 0);
	assert_int_equal(words.count, 3);
	assert_string_equal(words.word[0], "one");
	assert_string_equal(words.word[1], "two");
	assert_string_equal(words.word[2], "three");
	/* Only as much as is said to be there. */
	assert_int_equal(words_split(&words, line, 4, why), 0);
	assert_int_equal(words.count, 1);
	assert_string_equal(words.word[0], "on");
	assert_int_equal(words_split(&words, "", 0, why), 0);
	assert_int_equal(words.count, 0);
}

static void
comment_ends_a_line(void **state)
{
	struct words words;

	(void)state;
	assert_int_equal(words_split(&words, "# a b", 5, why), 0);
	assert_int_equal(words.count, 0);
	assert_int_equal(words_split(&words, "a b#c #d e", 10, why), 0);
	assert_int_equal(words.count, 2);
	assert_string_equal(words.word[1], "b#c");
	/* What is in it does not matter. */
	assert_int_equal(words_split(&words, "a #\x01", 4, why), 0);
	assert_int_equal(words.count, 1);
}

static void
words_past_the_last_are_counted(void **state)
{
	struct words words;

	(void)state;
	assert_int_equal(words_split(&words, "a b c d e f g", 13, why), 0);
	assert_int_equal(words.count, 7);
	assert_string_equal(words.word[WORDS_MAX - 1], "e");
}

static void
words_are_bounded_and_visible(void **state)
{
	static const struct {
		const char *line, *why;
		size_t len;
	} bad[] = {
		{"a " LONGEST "x", "word 2 is longer than 31 bytes", 34},
		{"a\x01", "word 1 has a control character", 2},
		{"a b\x7f", "word 2 has a control character", 4},
		{"a\0b", "word 1 has a control character", 3},
		{"a b c d e f \x1b[2J", "word 7 has a control", 16},
	};
	struct words words;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
			words_split(&words, bad[i].line, bad[i].len, why),
			-EINVAL);
		assert_memory_equal(why, bad[i].why, strlen(bad[i].why));
	}
	assert_int_equal(words_split(&words, LONGEST, 31, why), 0);
	assert_string_equal(words.word[0], LONGEST);
	assert_int_equal(words_split(&words, "J\xc3\xb6rg", 5, why), 0);
	assert_string_equal(words.word[0], "J\xc3\xb6rg");
}

static void
moments_of_the_week(void **state)
{
	static const char *const bad_days[] = {
		"", "mon", "mondays", "mnday", "7", "monday "};
	static const char *const bad_times[] = {"", "9:30", "009:30", "09:3",
		"09:300", "0930", "09.30", "24:00", "09:60", "-1:30", "+9:30",
		"09:-3", "ab:cd", " 9:30", "09:30 ", "99:99"};

	(void)state;
	assert_int_equal(moment("monday", "00:00"), 0);
	assert_int_equal(moment("MonDay", "00:01"), 1);
	assert_int_equal(moment("tuesday", "09:30"), 1440 + 570);
	assert_int_equal(moment("SUNDAY", "23:59"), 7 * 1440 - 1);
	for (size_t i = 0; i < sizeof(bad_days) / sizeof(bad_days[0]); i++) {
		assert_int_equal(moment(bad_days[i], "09:30"), -EINVAL);
		assert_non_null(strstr(why, "is not a day: monday to sunday"));
	}
	for (size_t i = 0; i < sizeof(bad_times) / sizeof(bad_times[0]); i++) {
		assert_int_equal(moment("monday", bad_times[i]), -EINVAL);
		assert_non_null(strstr(why, "is not a time: 00:00 to 23:59"));
	}
}

/* What date(1) says, in a zone that is not the one of the clock. */
static int
now_by_strftime(void)
{
	static const char *const names[] = {"monday", "tuesday", "wednesday",
		"thursday", "friday", "saturday", "sunday"};
	time_t now = time(NULL);
	char text[32];
	int day;

	assert_true(strftime(text, sizeof(text), "%u%H:%M", localtime(&now)));
	day = text[0] - '1';
	assert_in_range(day, 0, 6);
	return moment(names[day], text + 1);
}

static void
now_is_local_time(void **state)
{
	static const char *const zones[] = {"UTC0", "AAA-11:17", "BBB+11:44"};

	(void)state;
	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
		int before, now;

		setenv("TZ", zones[i], 1);
		tzset();
		/* The minute may end in between. */
		do {
			before = now_by_strftime();
			now = moment_now();
		} while (before != now_by_strftime());
		assert_int_equal(now, before);
	}
	unsetenv("TZ");
	tzset();
}

static void
text_is_read(void **state)
{
	struct timetable table = read_text("# all of them\n"
					   "\n"
					   "bert sunday 23:59 law r7\r\n"
					   "  anna  Monday 08:15 art r1 # new\n"
					   "\t\n"
					   "anna monday 00:00 maths r2");

	(void)state;
	assert_int_equal(table.count, 3);
	assert_string_equal(table.list[0].student, "anna");
	assert_string_equal(table.list[0].name, "maths");
	assert_int_equal(table.list[0].line, 6);
	assert_string_equal(table.list[1].room, "r1");
	assert_int_equal(table.list[1].moment, 8 * 60 + 15);
	assert_int_equal(table.list[2].line, 3);
	timetable_free(&table);
	assert_null(table.list);
	timetable_free(&table);
	table = read_text("");
	assert_int_equal(table.count, 0);
	timetable_free(&table);
}

static void
bad_text_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{"a monday 09:30 art\n",
			"line 1: 4 words: 'student day time course room' is "
			"wanted"},
		{"# one\n\n\na monday 09:30 art r1 r2\n", "line 4: 6 words: "},
		{"a monday 09:30 art r1\nx\n", "line 2: 1 word: "},
		{"a monday 09:30 art r1\n\r\nx", "line 3: 1 word: "},
		{"a monday 09:30 art #r1\n", "line 1: 4 words: "},
		{"a monday 09:30 art r1\na mnday 09:30 art r1\n",
			"line 2: 'mnday' is not a day: monday to sunday is "
			"wanted"},
		{"\n\na friday 9:30 art r1\n",
			"line 3: '9:30' is not a time: 00:00 to 23:59 is "
			"wanted"},
		{"a friday 24:00 art r1\n", "line 1: '24:00' is not a time"},
		{"\na friday 10:00 " LONGEST "x r1\n",
			"line 2: word 4 is longer than 31 bytes"},
		{"a friday 10:00 \x1b[2J r1\n",
			"line 1: word 4 has a control character"},
		{"a monday 09:30 art r1\nb \xff\x02\n",
			"line 2: word 2 has a control character"},
	};
	struct timetable table = read_text("a monday 09:30 art r1\n");

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(timetable_read(&table, bad[i].text,
					 strlen(bad[i].text), why),
			-EINVAL);
		assert_memory_equal(why, bad[i].why, strlen(bad[i].why));
		assert_int_equal(table.count, 1);
	}
	/* A zero is a control character, not an end. */
	assert_int_equal(timetable_read(&table, "a\n\0\n", 4, why), -EINVAL);
	assert_int_equal(
		timetable_read(&table, "\n\0a monday 09:30 art r1", 23, why),
		-EINVAL);
	assert_memory_equal(why, "line 2: word 1 has a control", 28);
	timetable_free(&table);
}

static void
day_is_looked_up(void **state)
{
	struct timetable table = read_text("anna monday 14:00 art r1\n"
					   "anna monday 08:00 law r2\n"
					   "ann monday 09:00 zoology r3\n"
					   "anna monday 00:00 maths r4\n"
					   "anna tuesday 00:00 music r5\n"
					   "annab monday 10:00 logic r6\n"
					   "anna sunday 23:59 sleep r7\n");

	(void)state;
	assert_string_equal(found(timetable_day, &table, "anna", 0),
		"monday 00:00 maths r4, monday 08:00 law r2, "
		"monday 14:00 art r1");
	assert_string_equal(
		found(timetable_day, &table, "anna", moment("sunday", "00:00")),
		"sunday 23:59 sleep r7");
	assert_string_equal(
		found(timetable_day, &table, "anna", moment("friday", "00:00")),
		"");
	assert_string_equal(found(timetable_day, &table, "Anna", 0), "");
	assert_string_equal(found(timetable_day, &table, "zoe", 0), "");
	timetable_free(&table);
	assert_string_equal(found(timetable_day, &table, "anna", 0), "");
}

static void
next_goes_round_the_week(void **state)
{
	static const struct {
		const char *day, *clock, *next;
	} expected[] = {
		{"monday", "00:00", "monday 09:30 art r1"},
		{"monday", "09:29", "monday 09:30 art r1"},
		/* What begins now has begun. */
		{"monday", "09:30", "monday 14:00 law r2, monday 14:00 logic"},
		{"monday", "14:00", "friday 23:59 maths r4"},
		{"tuesday", "00:00", "friday 23:59 maths r4"},
		{"friday", "23:58", "friday 23:59 maths r4"},
		{"friday", "23:59", "monday 09:30 art r1"},
		{"sunday", "23:59", "monday 09:30 art r1"},
	};
	struct timetable table = read_text("zoe tuesday 10:00 zoology r9\n"
					   "anna monday 09:30 art r1\n"
					   "anna monday 14:00 logic r3\n"
					   "anna monday 14:00 law r2\n"
					   "anna friday 23:59 maths r4\n"
					   "abe tuesday 10:00 zoology r9\n");

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		const char *text = found(timetable_next, &table, "anna",
			moment(expected[i].day, expected[i].clock));

		assert_memory_equal(
			text, expected[i].next, strlen(expected[i].next));
	}
	/* The only one comes again in a week. */
	assert_string_equal(found(timetable_next, &table, "zoe",
				    moment("tuesday", "10:00")),
		"tuesday 10:00 zoology r9");
	assert_string_equal(found(timetable_next, &table, "bert", 0), "");
	timetable_free(&table);
	assert_string_equal(found(timetable_next, &table, "anna", 10079), "");
}

static int
accepts(const struct timetable *table, const char *line)
{
	struct course course;
	struct words words;

	assert_int_equal(words_split(&words, line, strlen(line), why), 0);
	assert_int_equal(words.count, WORDS_MAX);
	assert_int_equal(course_read(&course, words.word[0], &words, why), 0);
	return timetable_accepts(table, &course, why);
}

static void
same_course_is_there_already(void **state)
{
	struct timetable table = read_text("anna monday 09:30 art r1\n"
					   "anna monday 09:30 law r2\n");

	(void)state;
	assert_int_equal(accepts(&table, "anna monday 09:30 art r1"), 1);
	assert_int_equal(accepts(&table, "anna MONDAY 09:30 law r2"), 1);
	assert_int_equal(accepts(&table, "anna monday 09:30 art r2"), 0);
	assert_int_equal(accepts(&table, "anna monday 09:30 Art r1"), 0);
	assert_int_equal(accepts(&table, "anna monday 09:31 art r1"), 0);
	assert_int_equal(accepts(&table, "anna friday 09:30 art r1"), 0);
	assert_int_equal(accepts(&table, "bert monday 09:30 art r1"), 0);
	timetable_free(&table);
}

/* As many courses of a day as an answer can hold. */
static char *
full_day(size_t count)
{
	char *text = malloc(count * 128 + 1);
	size_t len = 0;

	assert_non_null(text);
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, 128,
			LONGEST " wednesday 10:%02zu " LONGEST " " LONGEST "\n",
			i % 60);
	return text;
}

static void
day_can_be_full(void **state)
{
	char *text = full_day(DAY_MAX + 1);
	struct timetable table;
	const struct course *list;

	(void)state;
	assert_int_equal(
		timetable_read(&table, text, strlen(text), why), -EINVAL);
	assert_string_equal(why, "line 60: " LONGEST " has more than 64 "
				 "courses on wednesday: fewer are wanted");
	free(text);
	text = full_day(DAY_MAX);
	table = read_text(text);
	assert_int_equal(timetable_day(&table, LONGEST,
				 (unsigned)moment("wednesday", "00:00"), &list),
		DAY_MAX);
	assert_int_equal(
		accepts(&table, LONGEST " wednesday 00:00 a b"), -ENOSPC);
	assert_string_equal(why, "wednesday has 64 courses already: another "
				 "day is wanted");
	assert_int_equal(accepts(&table, LONGEST " tuesday 00:00 a b"), 0);
	assert_int_equal(accepts(&table, "anna wednesday 00:00 a b"), 0);
	/* Done is done. */
	assert_int_equal(accepts(&table, LONGEST " wednesday 10:59 " LONGEST
						 " " LONGEST),
		1);
	timetable_free(&table);
	free(text);
}

static void
longest_course_fits(void **state)
{
	struct course course = {.student = LONGEST,
		.name = LONGEST,
		.room = LONGEST,
		.moment = 2 * 1440 + 600};
	char text[COURSE_SIZE];

	(void)state;
	course_text(&course, text);
	assert_string_equal(text, "wednesday 10:00 " LONGEST " " LONGEST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(line_is_split_at_blanks),
		handoff_test(comment_ends_a_line),
		handoff_test(words_past_the_last_are_counted),
		handoff_test(words_are_bounded_and_visible),
		handoff_test(moments_of_the_week),
		handoff_test(now_is_local_time),
		handoff_test(text_is_read),
		handoff_test(bad_text_is_refused_with_its_line),
		handoff_test(day_is_looked_up),
		handoff_test(next_goes_round_the_week),
		handoff_test(same_course_is_there_already),
		handoff_test(day_can_be_full),
		handoff_test(longest_course_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
