/* SPDX-License-Identifier: MIT */
/*
 * The file of the timetable: what is read and what is refused, changes by
 * others, and many writers at once. Calls that fail are in
 * test_datafile_fault.c.
 */
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
assert_refused(const char *where, const char *expected)
{
	struct datafile file;

	assert_true(datafile_open(&file, where, why) < 0);
	assert_non_null(strstr(why, expected));
	/* As if never opened. */
	assert_int_equal(file.dir, -1);
}

static void
what_is_no_timetable_is_refused(void **state)
{
	(void)state;
	plan_new("# one\nanna mnday 09:30 art r1\n");
	assert_refused(path, "line 2: 'mnday' is not a day");
	assert_refused(plan_beside(".none"),
		"cannot open: No such file or directory: make it first");
	assert_refused("/nonexistent/x", "cannot open: No such file");
	assert_refused(support_dir(), "not a regular file");
	assert_refused("/dev/null", "not a regular file");
	assert_refused("/", "cannot open");
	assert_refused("", "cannot open");
	assert_int_equal(mkfifo(plan_beside(".pipe"), 0600), 0);
	assert_refused(plan_beside(".pipe"), "not a regular file");
	assert_int_equal(truncate(path, (16 << 20) + 1), 0);
	assert_refused(path, "larger than 16 MiB");
	/* Nothing is made by looking. */
	assert_int_equal(access(plan_beside(".lock"), F_OK), -1);
}

static void
name_leaves_room_for_the_lock(void **state)
{
	char name[400];
	struct datafile file;

	(void)state;
	snprintf(name, sizeof(name), "%s/%0251d", support_dir(), 0);
	plan_put(name, "");
	assert_refused(name, "a shorter name is wanted");
	name[strlen(name) - 1] = '\0';
	plan_put(name, "");
	assert_int_equal(datafile_open(&file, name, why), 0);
	assert_int_equal(plan_add(&file, "anna monday 09:30 art r1"), 0);
	datafile_close(&file);
}

static void
course_is_added_and_the_rest_kept(void **state)
{
	struct datafile file;
	struct stat st;

	(void)state;
	plan_new(PLAIN);
	assert_int_equal(chmod(path, 0640), 0);
	file = plan_open();
	assert_int_equal(plan_mondays(&file, "anna"), 1);
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	assert_string_equal(plan_get(), PLAIN "anna monday 10:00 law r2\n");
	assert_int_equal(plan_mondays(&file, "anna"), 2);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	plan_no_temp();
	assert_int_equal(stat(plan_beside(".lock"), &st), 0);
	assert_int_equal(st.st_size, 0);
	datafile_close(&file);
	file = plan_open();
	assert_int_equal(plan_mondays(&file, "anna"), 2);
	datafile_close(&file);
}

static void
last_line_without_an_end(void **state)
{
	struct datafile file;

	(void)state;
	plan_new("anna monday 09:30 art r1");
	file = plan_open();
	assert_int_equal(plan_add(&file, "bert MONDAY 09:30 art r1"), 0);
	assert_string_equal(plan_get(), "anna monday 09:30 art r1\n"
					"bert monday 09:30 art r1\n");
	datafile_close(&file);
	plan_put(path, "");
	file = plan_open();
	assert_int_equal(plan_add(&file, "bert monday 09:30 art r1"), 0);
	assert_string_equal(plan_get(), "bert monday 09:30 art r1\n");
	datafile_close(&file);
}

static void
added_twice_is_there_once(void **state)
{
	struct datafile file;
	struct stat before, after;

	(void)state;
	plan_new(PLAIN);
	file = plan_open();
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(plan_add(&file, "anna monday 09:30 art r1"), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	assert_string_equal(plan_get(), PLAIN "anna monday 10:00 law r2\n");
	datafile_close(&file);
}

static void
full_day_is_not_saved(void **state)
{
	struct datafile file;
	char line[64], *before;

	(void)state;
	plan_new("");
	file = plan_open();
	for (int i = 0; i < DAY_MAX; i++) {
		snprintf(line, sizeof(line), "anna monday 09:%02d c%d r",
			i % 60, i);
		assert_int_equal(plan_add(&file, line), 0);
	}
	before = strdup(plan_get());
	assert_int_equal(plan_add(&file, "anna monday 10:00 more r"), -ENOSPC);
	assert_string_equal(plan_get(), before);
	assert_int_equal(plan_add(&file, "anna monday 09:00 c0 r"), 0);
	assert_string_equal(plan_get(), before);
	free(before);
	datafile_close(&file);
}

/* What is saved can be read again. */
static void
file_does_not_outgrow_its_limit(void **state)
{
	struct datafile file;
	size_t size = 16 << 20;
	char *text = malloc(size + 1);
	struct stat st;

	(void)state;
	assert_non_null(text);
	memset(text, '#', size);
	text[size - 25] = '\0';
	plan_new(text);
	free(text);
	file = plan_open();
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), -EFBIG);
	assert_string_equal(why, "cannot save: File too large");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, size - 25);
	/* One byte less, with its own newline. */
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r"), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, size);
	assert_int_equal(plan_mondays(&file, "anna"), 1);
	datafile_close(&file);
}

/* Two handles are like two peers. */
static void
changes_by_others_are_seen(void **state)
{
	struct datafile one, other;

	(void)state;
	plan_new(PLAIN);
	one = plan_open();
	other = plan_open();
	assert_int_equal(plan_add(&one, "anna monday 10:00 law r2"), 0);
	assert_int_equal(plan_mondays(&other, "anna"), 2);
	assert_int_equal(plan_add(&other, "anna monday 11:00 maths r3"), 0);
	/* Without having looked. */
	assert_int_equal(plan_add(&other, "bert monday 11:00 maths r3"), 0);
	assert_int_equal(plan_add(&one, "anna monday 12:00 music r4"), 0);
	assert_int_equal(plan_mondays(&other, "anna"), 4);
	assert_int_equal(plan_mondays(&one, "bert"), 1);
	/* By hand. */
	plan_put(path, "anna monday 10:00 law r2\n");
	assert_int_equal(plan_mondays(&one, "anna"), 1);
	datafile_close(&one);
	datafile_close(&other);
}

static void
file_replaced_by_hand(void **state)
{
	struct datafile file;
	char other[160];

	(void)state;
	plan_new(PLAIN);
	file = plan_open();
	strcpy(other, plan_beside(".new"));
	plan_put(other, "anna monday 10:00 law r2\nanna monday 11:00 a b\n");
	assert_int_equal(rename(other, path), 0);
	assert_int_equal(plan_add(&file, "anna monday 12:00 music r4"), 0);
	assert_string_equal(plan_get(),
		"anna monday 10:00 law r2\nanna monday 11:00 a b\n"
		"anna monday 12:00 music r4\n");
	datafile_close(&file);
}

static void
damaged_meanwhile(void **state)
{
	static const char damaged[] = PLAIN "anna\n";
	struct datafile file;

	(void)state;
	plan_new(PLAIN);
	file = plan_open();
	plan_put(path, damaged);
	assert_int_equal(plan_mondays(&file, "anna"), -1);
	assert_non_null(strstr(why, "the timetable: line 4: 1 word: "));
	assert_true(plan_add(&file, "anna monday 10:00 law r2") < 0);
	assert_non_null(strstr(why, "the timetable: line 4: 1 word: "));
	assert_string_equal(plan_get(), damaged);
	plan_put(path, PLAIN);
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	assert_int_equal(plan_mondays(&file, "anna"), 2);
	/* It is not made anew. */
	assert_int_equal(unlink(path), 0);
	assert_true(plan_add(&file, "anna monday 11:00 law r2") < 0);
	assert_non_null(strstr(why, "No such file"));
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(plan_mondays(&file, "anna"), -1);
	datafile_close(&file);
}

static void
link_stays_a_link(void **state)
{
	struct datafile file;
	struct stat st;
	char link[160];

	(void)state;
	plan_new(PLAIN);
	strcpy(link, plan_beside(".link"));
	assert_int_equal(symlink("plan.txt", link), 0);
	assert_int_equal(datafile_open(&file, link, why), 0);
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	datafile_close(&file);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_string_equal(plan_get(), PLAIN "anna monday 10:00 law r2\n");
}

/* A program that goes elsewhere (daemon(7)) has the same file. */
static void
working_directory_does_not_matter(void **state)
{
	struct datafile file;
	char *home = getcwd(NULL, 0);

	(void)state;
	plan_new(PLAIN);
	assert_int_equal(chdir("/tmp"), 0);
	assert_int_equal(datafile_open(&file, path + strlen("/tmp/"), why), 0);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	assert_int_equal(chdir(home), 0);
	free(home);
	assert_string_equal(plan_get(), PLAIN "anna monday 10:00 law r2\n");
	datafile_close(&file);
}

/* What a process left that died in the midst of it, or what somebody put
 * there to have another file overwritten. */
static void
leftovers_do_no_harm(void **state)
{
	struct datafile file;
	char victim[160];
	struct stat st;

	(void)state;
	plan_new(PLAIN);
	file = plan_open();
	plan_put(plan_beside(".tmp"), "half a li");
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	assert_string_equal(plan_get(), PLAIN "anna monday 10:00 law r2\n");
	plan_no_temp();
	strcpy(victim, plan_beside(".victim"));
	plan_put(victim, "mine");
	assert_int_equal(symlink(victim, plan_beside(".tmp")), 0);
	assert_int_equal(plan_add(&file, "anna monday 11:00 maths r3"), 0);
	assert_int_equal(stat(victim, &st), 0);
	assert_int_equal(st.st_size, 4);
	plan_no_temp();
	datafile_close(&file);
}

#define CHILDREN 4
#define THREADS  4
#define EACH     12

struct writer {
	struct datafile *file;
	int child, number;
};

static void *
write_courses(void *arg)
{
	struct writer *writer = arg;
	struct course course = {.room = "r"};
	char text[WHY_SIZE];

	for (int i = 0; i < EACH; i++) {
		course.moment = (unsigned)i;
		snprintf(course.student, sizeof(course.student), "s%d",
			writer->child);
		snprintf(course.name, sizeof(course.name), "c%d-%d",
			writer->number, i);
		if (datafile_add(writer->file, &course, text) < 0)
			return writer->file;
	}
	return NULL;
}

static void __attribute__((noreturn))
write_and_leave(struct datafile *file, int child)
{
	struct writer writers[THREADS];
	pthread_t threads[THREADS];
	void *failed;
	int code = 0;

	for (int i = 0; i < THREADS; i++) {
		writers[i] = (struct writer){file, child, i};
		if (pthread_create(
			    &threads[i], NULL, write_courses, &writers[i]) != 0)
			_exit(2);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &failed);
		code |= failed != NULL;
	}
	_exit(code);
}

/* How many lines of the text are this one. */
static int
times_in_file(const char *text, const char *line)
{
	size_t len = strlen(line);
	int count = 0;

	for (; *text; text += strcspn(text, "\n") + 1)
		count += strncmp(text, line, len) == 0;
	return count;
}

static void
assert_all_written(const char *text)
{
	char line[64];

	for (int i = 0; i < CHILDREN * THREADS * EACH; i++) {
		snprintf(line, sizeof(line), "s%d monday 00:%02d c%d-%d r\n",
			i % CHILDREN, i / CHILDREN % EACH, i / CHILDREN / EACH,
			i / CHILDREN % EACH);
		assert_int_equal(times_in_file(text, line), 1);
	}
}

/* Children that were forked with the file open, as in model fork, and the
 * threads of each, all at once. */
static void
many_writers(void **state)
{
	struct datafile file;
	int children[CHILDREN];
	const char *text;

	(void)state;
	plan_new(PLAIN);
	file = plan_open();
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	for (int i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		if (children[i] == 0)
			write_and_leave(&file, i);
		assert_true(children[i] > 0);
	}
	for (int i = 0; i < CHILDREN; i++)
		support_reap(children[i]);
	for (int i = 0; i < CHILDREN; i++) {
		char student[16];

		snprintf(student, sizeof(student), "s%d", i);
		assert_int_equal(plan_mondays(&file, student), THREADS * EACH);
	}
	text = plan_get();
	assert_memory_equal(text, PLAIN, strlen(PLAIN));
	assert_all_written(text);
	plan_no_temp();
	datafile_close(&file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(what_is_no_timetable_is_refused),
		handoff_test(name_leaves_room_for_the_lock),
		handoff_test(course_is_added_and_the_rest_kept),
		handoff_test(last_line_without_an_end),
		handoff_test(added_twice_is_there_once),
		handoff_test(full_day_is_not_saved),
		handoff_test(file_does_not_outgrow_its_limit),
		handoff_test(changes_by_others_are_seen),
		handoff_test(file_replaced_by_hand),
		handoff_test(damaged_meanwhile),
		handoff_test(link_stays_a_link),
		handoff_test(working_directory_does_not_matter),
		handoff_test(leftovers_do_no_harm),
		handoff_test(many_writers),
	};

	return cmocka_run_group_tests_name("datafile", tests, NULL, NULL);
}
