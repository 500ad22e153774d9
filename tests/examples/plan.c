/* SPDX-License-Identifier: MIT */
/*
 * A timetable in a file of its own.
 */
#include "plan.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

char why[WHY_SIZE];
char path[128];

void
plan_put(const char *name, const char *text)
{
	FILE *out = fopen(name, "w");

	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
}

const char *
plan_get(void)
{
	static char text[65536];
	FILE *in = fopen(path, "r");
	size_t len;

	assert_non_null(in);
	len = fread(text, 1, sizeof(text) - 1, in);
	fclose(in);
	text[len] = '\0';
	return text;
}

const char *
plan_beside(const char *suffix)
{
	static char name[160];

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	return name;
}

void
plan_new(const char *text)
{
	snprintf(path, sizeof(path), "%s/plan.txt", support_dir());
	plan_put(path, text);
}

struct datafile
plan_open(void)
{
	struct datafile file;

	if (datafile_open(&file, path, why) < 0)
		fail_msg("%s", why);
	return file;
}

void
plan_no_temp(void)
{
	assert_int_equal(access(plan_beside(".tmp"), F_OK), -1);
}

int
plan_add(struct datafile *file, const char *line)
{
	struct course course;
	struct words words;

	assert_int_equal(words_split(&words, line, strlen(line), why), 0);
	assert_int_equal(course_read(&course, words.word[0], &words, why), 0);
	return datafile_add(file, &course, why);
}

int
plan_mondays(struct datafile *file, const char *student)
{
	const struct timetable *table = datafile_begin(file, why);
	const struct course *list;
	size_t count;

	if (!table)
		return -1;
	count = timetable_day(table, student, 0, &list);
	datafile_end(file);
	return (int)count;
}
