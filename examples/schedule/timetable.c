/* SPDX-License-Identifier: MIT */
/*
 * The timetable: words, days, times, and a sorted list of courses. A text is
 * read as a whole or not at all.
 */
#include "timetable.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY  (24u * 60)
#define WEEK (7 * DAY)

static const char *const days[] = {"monday", "tuesday", "wednesday", "thursday",
	"friday", "saturday", "sunday"};

int
explain(char *why, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, WHY_SIZE, fmt, ap);
	va_end(ap);
	return err;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Words are shown to people as they are. */
static bool
is_visible(const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)word[i] <= ' ' || word[i] == 0x7f)
			return false;
	}
	return true;
}

static int
take_word(struct words *words, const char *word, size_t len, char *why)
{
	size_t number = ++words->count;

	if (len >= WORD_SIZE)
		return explain(why, -EINVAL,
			"word %zu is longer than %d bytes: a shorter one is "
			"wanted",
			number, WORD_SIZE - 1);
	if (!is_visible(word, len))
		return explain(why, -EINVAL,
			"word %zu has a control character: visible ones are "
			"wanted",
			number);
	if (number <= WORDS_MAX) {
		memcpy(words->word[number - 1], word, len);
		words->word[number - 1][len] = '\0';
	}
	return 0;
}

int
words_split(struct words *words, const char *line, size_t len, char *why)
{
	const char *end = line + len;
	int err = 0;

	words->count = 0;
	while (err == 0) {
		size_t n = 0;

		while (line < end && is_blank(*line))
			line++;
		while (line + n < end && !is_blank(line[n]))
			n++;
		if (n == 0 || line[0] == '#')
			return 0;
		err = take_word(words, line, n, why);
		line += n;
	}
	return err;
}

static int
read_day(const char *day, char *why)
{
	for (int i = 0; i < 7; i++) {
		if (strcasecmp(day, days[i]) == 0)
			return i;
	}
	return explain(why, -EINVAL,
		"'%s' is not a day: monday to sunday is wanted", day);
}

/* Minutes since midnight. */
static int
read_clock(const char *clock, char *why)
{
	static const char digits[] = "0123456789";
	int hour, minute;

	if (strlen(clock) == 5 && strspn(clock, digits) == 2 &&
		clock[2] == ':' && strspn(clock + 3, digits) == 2) {
		hour = (clock[0] - '0') * 10 + clock[1] - '0';
		minute = (clock[3] - '0') * 10 + clock[4] - '0';
		if (hour < 24 && minute < 60)
			return hour * 60 + minute;
	}
	return explain(why, -EINVAL,
		"'%s' is not a time: 00:00 to 23:59 is wanted", clock);
}

int
moment_read(const char *day, const char *clock, char *why)
{
	int number = read_day(day, why);
	int minutes = number < 0 ? number : read_clock(clock, why);

	return minutes < 0 ? minutes : number * (int)DAY + minutes;
}

int
moment_now(void)
{
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	/* tm_wday counts from sunday. */
	return ((tm.tm_wday + 6) % 7 * 24 + tm.tm_hour) * 60 + tm.tm_min;
}

int
course_read(struct course *course, const char *student,
	const struct words *words, char *why)
{
	int moment = moment_read(words->word[1], words->word[2], why);

	if (moment < 0)
		return moment;
	memset(course, 0, sizeof(*course));
	course->moment = (unsigned)moment;
	strcpy(course->student, student);
	strcpy(course->name, words->word[3]);
	strcpy(course->room, words->word[4]);
	return 0;
}

void
course_text(const struct course *course, char *text)
{
	unsigned minute = course->moment % DAY;

	snprintf(text, COURSE_SIZE, "%s %02u:%02u %s %s",
		days[course->moment / DAY % 7], minute / 60, minute % 60,
		course->name, course->room);
}

static int
compare(const void *left, const void *right)
{
	const struct course *a = left, *b = right;
	int order = strcmp(a->student, b->student);

	if (order == 0)
		order = (a->moment > b->moment) - (a->moment < b->moment);
	if (order == 0)
		order = strcmp(a->name, b->name);
	if (order == 0)
		order = strcmp(a->room, b->room);
	return order;
}

static int
append(struct timetable *table, const struct course *course, char *why)
{
	size_t count = table->count;

	/* Grows at powers of two. */
	if ((count & (count - 1)) == 0) {
		struct course *list = reallocarray(
			table->list, count ? count * 2 : 1, sizeof(*list));

		if (!list)
			return explain(why, -ENOMEM, "out of memory");
		table->list = list;
	}
	table->list[table->count++] = *course;
	return 0;
}

static int
read_line(struct timetable *table, const char *line, size_t len, size_t number,
	char *why)
{
	struct course course;
	struct words words;
	int err = words_split(&words, line, len, why);

	if (err < 0 || words.count == 0)
		return err;
	if (words.count != WORDS_MAX)
		return explain(why, -EINVAL,
			"%zu word%s: 'student day time course room' is wanted",
			words.count, words.count == 1 ? "" : "s");
	err = course_read(&course, words.word[0], &words, why);
	if (err < 0)
		return err;
	course.line = number;
	return append(table, &course, why);
}

/* Returns the number of the line that is wrong, or 0. */
static size_t
read_lines(struct timetable *table, const char *text, size_t len, char *why)
{
	const char *end = text + len;

	for (size_t number = 1; text < end; number++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *next = newline ? newline + 1 : end;

		if (read_line(table, text, (size_t)(next - text), number, why) <
			0)
			return number;
		text = next;
	}
	return 0;
}

/* The same: a day must fit into one answer. */
static size_t
check_days(const struct timetable *table, char *why)
{
	for (size_t i = DAY_MAX; i < table->count; i++) {
		const struct course *a = &table->list[i - DAY_MAX];
		const struct course *b = &table->list[i];
		unsigned day = b->moment / DAY;

		if (a->moment / DAY != day ||
			strcmp(a->student, b->student) != 0)
			continue;
		explain(why, -EINVAL,
			"%s has more than %d courses on %s: fewer are wanted",
			b->student, DAY_MAX, days[day]);
		return b->line;
	}
	return 0;
}

int
timetable_read(struct timetable *table, const char *text, size_t len, char *why)
{
	struct timetable fresh = {.count = 0};
	char what[WHY_SIZE] = "";
	size_t line = read_lines(&fresh, text, len, what);

	if (line == 0 && fresh.count > 0) {
		qsort(fresh.list, fresh.count, sizeof(fresh.list[0]), compare);
		line = check_days(&fresh, what);
	}
	if (line > 0) {
		timetable_free(&fresh);
		return explain(why, -EINVAL, "line %zu: %.*s", line,
			WHY_SIZE - 32, what);
	}
	*table = fresh;
	return 0;
}

void
timetable_free(struct timetable *table)
{
	free(table->list);
	table->list = NULL;
	table->count = 0;
}

/* Where the student's courses from this moment on begin in the list. */
static size_t
position(const struct timetable *table, const char *student, unsigned moment)
{
	size_t low = 0, high = table->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct course *c = &table->list[middle];
		int order = strcmp(c->student, student);

		if (order < 0 || (order == 0 && c->moment < moment))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Those that begin from `from` and before `to`, which is at most WEEK. */
static size_t
find(const struct timetable *table, const char *student, unsigned from,
	unsigned to, const struct course **list)
{
	size_t begin = position(table, student, from);

	*list = table->list ? table->list + begin : NULL;
	return position(table, student, to) - begin;
}

size_t
timetable_day(const struct timetable *table, const char *student,
	unsigned moment, const struct course **list)
{
	moment -= moment % DAY;
	return find(table, student, moment, moment + DAY, list);
}

size_t
timetable_next(const struct timetable *table, const char *student,
	unsigned moment, const struct course **list)
{
	/* After the end of the week it begins again. */
	if (find(table, student, moment + 1, WEEK, list) == 0 &&
		find(table, student, 0, WEEK, list) == 0)
		return 0;
	moment = (*list)->moment;
	return find(table, student, moment, moment + 1, list);
}

int
timetable_accepts(
	const struct timetable *table, const struct course *course, char *why)
{
	const struct course *list;
	size_t count =
		timetable_day(table, course->student, course->moment, &list);

	for (size_t i = 0; i < count; i++) {
		if (compare(&list[i], course) == 0)
			return 1;
	}
	if (count >= DAY_MAX)
		return explain(why, -ENOSPC,
			"%s has %d courses already: another day is wanted",
			days[course->moment / DAY], DAY_MAX);
	return 0;
}
