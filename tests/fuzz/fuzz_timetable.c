/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as the text of a timetable: refused with the number of a line and
 * nothing changed, or what was read is in order, fits into answers, and is
 * read again from what is told of it.
 *
 * The input: bytes of the text, of which some stand for a whole piece of it.
 */
#include "fuzz.h"

#include "timetable.h"

#include <stdio.h>

#define FIRST_PIECE 0xf0

static const char *const pieces[] = {"a monday 09:30 b c\n", "a ", "monday ",
	"sunday ", "09:30 ", "23:59 ", "b ", "c\n", "\n",
	"a SUNDAY 00:00 b c\n", "anna friday 10:0", " # ", "b monday 09:30 ",
	"\r\n", "0123456789abcdefghijklmnopqrstu ", ":"};

static size_t
lines(const char *text, size_t size)
{
	size_t count = 1;

	for (size_t i = 0; i < size; i++)
		count += text[i] == '\n';
	return count;
}

static void
check_refused(const char *why, size_t most)
{
	size_t line;

	check(sscanf(why, "line %zu: ", &line) == 1);
	check(line >= 1 && line <= most);
	for (; *why; why++)
		check((unsigned char)*why >= ' ');
}

/* A line as the service writes it. */
static void
check_again(const struct timetable *table, const struct course *course)
{
	char text[COURSE_SIZE], line[WORD_SIZE + COURSE_SIZE], why[WHY_SIZE];
	struct timetable again = {.count = 0};
	const struct course *list;

	course_text(course, text);
	check(strlen(text) < COURSE_SIZE - 1);
	snprintf(line, sizeof(line), "%s %s", course->student, text);
	check(timetable_read(&again, line, strlen(line), why) == 0);
	check(again.count == 1 && again.list[0].moment == course->moment);
	check(timetable_accepts(table, &again.list[0], why) == 1);
	check(timetable_next(table, course->student, course->moment, &list) >
		0);
	check(timetable_day(table, course->student, course->moment, &list) <=
		DAY_MAX);
	timetable_free(&again);
}

/* As long as the text, so that a read past it is seen. */
static char *
expand(const uint8_t *data, size_t *size)
{
	char *text = malloc(*size * 40 + 1);
	size_t len = 0;

	check(text);
	for (size_t i = 0; i < *size; i++) {
		const char *piece = (const char *)&data[i];
		size_t n = 1;

		if (data[i] >= FIRST_PIECE) {
			piece = pieces[data[i] - FIRST_PIECE];
			n = strlen(piece);
		}
		memcpy(text + len, piece, n);
		len += n;
	}
	*size = len;
	text = realloc(text, len > 0 ? len : 1);
	check(text);
	return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct timetable table = {.count = SIZE_MAX};
	char why[WHY_SIZE] = "";
	char *text = expand(data, &size);

	if (timetable_read(&table, text, size, why) < 0) {
		check_refused(why, lines(text, size));
		check(table.count == SIZE_MAX);
		table.count = 0;
	}
	for (size_t i = 0; i < table.count; i++)
		check_again(&table, &table.list[i]);
	if (table.count > 0)
		timetable_free(&table);
	free(text);
	return 0;
}
