/* SPDX-License-Identifier: MIT */
/*
 * Who has which course when, in the course of a week: what a text says, and
 * what is asked about it. Knows nothing of files, connections or clients.
 *
 * Functions return a negative errno on failure and then have one line in
 * `why`, a buffer of WHY_SIZE bytes: what is wrong, and what is wanted.
 */
#ifndef EXAMPLES_TIMETABLE_H
#define EXAMPLES_TIMETABLE_H

#include <stddef.h>

#define WORD_SIZE   32 /* a word with its terminating zero */
#define WORDS_MAX   5
#define WHY_SIZE    160
#define COURSE_SIZE 80 /* "wednesday 09:30 COURSE ROOM" with its zero */
#define DAY_MAX     64 /* courses of one student on one day */

/* Stores the sentence and returns `err`, so that callers can return it. */
int explain(char *why, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A line, taken apart at its blanks up to a word that begins with #. */
struct words {
	size_t count; /* the first WORDS_MAX of them are in `word` */
	char word[WORDS_MAX][WORD_SIZE];
};

int words_split(struct words *words, const char *line, size_t len, char *why);

/* A moment of the week in minutes since monday 00:00. */
int moment_read(const char *day, const char *clock, char *why);
int moment_now(void); /* local time */

struct course {
	char student[WORD_SIZE], name[WORD_SIZE], room[WORD_SIZE];
	unsigned moment;
	size_t line; /* where the text says so */
};

/* The words after the first are day, time, course and room. */
int course_read(struct course *course, const char *student,
	const struct words *words, char *why);

/* Writes "monday 09:30 COURSE ROOM"; `text` has COURSE_SIZE bytes. */
void course_text(const struct course *course, char *text);

/* Sorted by student and moment. All zero is an empty one. */
struct timetable {
	struct course *list;
	size_t count;
};

/* Reads a whole text, a course a line. A text that is wrong anywhere is
 * refused with the number of that line, and `table` is left alone. */
int timetable_read(
	struct timetable *table, const char *text, size_t len, char *why);
void timetable_free(struct timetable *table);

/* Counts courses of the student; `*list` is the first of them. */
typedef size_t timetable_find_fn(const struct timetable *table,
	const char *student, unsigned moment, const struct course **list);

/* All of the day that the moment is in. */
timetable_find_fn timetable_day;

/* Those that begin next after the moment: the same one, when it is the only
 * one in the week. */
timetable_find_fn timetable_next;

/* May it be added? 1: this very course is there already, 0: yes. */
int timetable_accepts(
	const struct timetable *table, const struct course *course, char *why);

#endif
