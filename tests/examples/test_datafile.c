/* SPDX-License-Identifier: MIT */
/*
 * The file of the timetable: what is read and what is refused, changes by
 * others, changes that fail at whatever call, and many writers at once.
 */
#include "support/support.h"

#include "datafile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAIN "# mine\n\nanna  monday 09:30 art r1 # soon\n"

/* The call that fails: the `left`-th of this name from now on. */
static struct {
	const char *name;
	int left, error;
} fault;

static bool no_waiting;
static int waits;
static size_t most_written = SIZE_MAX; /* by one write */

/* A child that is forked in the midst of a change if it is below 0. */
static int bystander, bystander_pipe[2];

static char why[WHY_SIZE];
static char path[128];

static bool
fails(const char *name)
{
	if (!fault.name || strcmp(fault.name, name) != 0 || fault.left == 0 ||
		--fault.left > 0)
		return false;
	errno = fault.error;
	return true;
}

#define WRAP(type, name, failed, params, args)                                 \
	type __real_##name params;                                             \
	type __wrap_##name params;                                             \
	type __wrap_##name params                                              \
	{                                                                      \
		if (fails(#name))                                              \
			return failed;                                         \
		return __real_##name args;                                     \
	}

WRAP(void *, malloc, NULL, (size_t size), (size))
WRAP(int, openat, -1, (int dir, const char *name, int flags, mode_t mode),
	(dir, name, flags, mode))
WRAP(int, flock, -1, (int fd, int operation), (fd, operation))
WRAP(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
WRAP(int, renameat, -1, (int from, const char *old, int to, const char *name),
	(from, old, to, name))

int __real_fsync(int fd);
int __wrap_fsync(int fd);
ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);

/* A child that lives until the pipe is closed. */
static void
fork_bystander(void)
{
	char byte;

	bystander = fork();
	if (bystander != 0)
		return;
	close(bystander_pipe[1]);
	_exit(read(bystander_pipe[0], &byte, 1) != 0);
}

int
__wrap_fsync(int fd)
{
	if (fails("fsync"))
		return -1;
	if (bystander < 0)
		fork_bystander();
	return __real_fsync(fd);
}

ssize_t
__wrap_write(int fd, const void *data, size_t len)
{
	if (fails("write"))
		return -1;
	return __real_write(fd, data, len < most_written ? len : most_written);
}

int
__wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	if (!no_waiting)
		return __real_poll(fds, n, timeout);
	waits++;
	return 0;
}

static void
put_file(const char *name, const char *text)
{
	FILE *out = fopen(name, "w");

	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
}

static const char *
get_file(void)
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

static const char *
beside(const char *suffix)
{
	static char name[160];

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	return name;
}

/* A directory with nothing but the file in it. */
static void
new_file(const char *text)
{
	snprintf(path, sizeof(path), "%s/plan.txt", support_dir());
	put_file(path, text);
}

static struct datafile
open_file(void)
{
	struct datafile file;

	if (datafile_open(&file, path, why) < 0)
		fail_msg("%s", why);
	return file;
}

static void
assert_no_temp(void)
{
	assert_int_equal(access(beside(".tmp"), F_OK), -1);
}

static int
add(struct datafile *file, const char *line)
{
	struct course course;
	struct words words;

	assert_int_equal(words_split(&words, line, strlen(line), why), 0);
	assert_int_equal(course_read(&course, words.word[0], &words, why), 0);
	return datafile_add(file, &course, why);
}

/* How many courses the student has on monday; negative: no timetable. */
static int
mondays(struct datafile *file, const char *student)
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
	new_file("# one\nanna mnday 09:30 art r1\n");
	assert_refused(path, "line 2: 'mnday' is not a day");
	assert_refused(beside(".none"),
		"cannot open: No such file or directory: make it first");
	assert_refused("/nonexistent/x", "cannot open: No such file");
	assert_refused(support_dir(), "not a regular file");
	assert_refused("/dev/null", "not a regular file");
	assert_refused("/", "cannot open");
	assert_refused("", "cannot open");
	assert_int_equal(mkfifo(beside(".pipe"), 0600), 0);
	assert_refused(beside(".pipe"), "not a regular file");
	assert_int_equal(truncate(path, (16 << 20) + 1), 0);
	assert_refused(path, "larger than 16 MiB");
	/* Nothing is made by looking. */
	assert_int_equal(access(beside(".lock"), F_OK), -1);
}

static void
name_leaves_room_for_the_lock(void **state)
{
	char name[400];
	struct datafile file;

	(void)state;
	snprintf(name, sizeof(name), "%s/%0251d", support_dir(), 0);
	put_file(name, "");
	assert_refused(name, "a shorter name is wanted");
	name[strlen(name) - 1] = '\0';
	put_file(name, "");
	assert_int_equal(datafile_open(&file, name, why), 0);
	assert_int_equal(add(&file, "anna monday 09:30 art r1"), 0);
	datafile_close(&file);
}

static void
course_is_added_and_the_rest_kept(void **state)
{
	struct datafile file;
	struct stat st;

	(void)state;
	new_file(PLAIN);
	assert_int_equal(chmod(path, 0640), 0);
	file = open_file();
	assert_int_equal(mondays(&file, "anna"), 1);
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
	assert_string_equal(get_file(), PLAIN "anna monday 10:00 law r2\n");
	assert_int_equal(mondays(&file, "anna"), 2);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_no_temp();
	assert_int_equal(stat(beside(".lock"), &st), 0);
	assert_int_equal(st.st_size, 0);
	datafile_close(&file);
	file = open_file();
	assert_int_equal(mondays(&file, "anna"), 2);
	datafile_close(&file);
}

static void
last_line_without_an_end(void **state)
{
	struct datafile file;

	(void)state;
	new_file("anna monday 09:30 art r1");
	file = open_file();
	assert_int_equal(add(&file, "bert MONDAY 09:30 art r1"), 0);
	assert_string_equal(get_file(), "anna monday 09:30 art r1\n"
					"bert monday 09:30 art r1\n");
	datafile_close(&file);
	put_file(path, "");
	file = open_file();
	assert_int_equal(add(&file, "bert monday 09:30 art r1"), 0);
	assert_string_equal(get_file(), "bert monday 09:30 art r1\n");
	datafile_close(&file);
}

static void
added_twice_is_there_once(void **state)
{
	struct datafile file;
	struct stat before, after;

	(void)state;
	new_file(PLAIN);
	file = open_file();
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(add(&file, "anna monday 09:30 art r1"), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
	assert_string_equal(get_file(), PLAIN "anna monday 10:00 law r2\n");
	datafile_close(&file);
}

static void
full_day_is_not_saved(void **state)
{
	struct datafile file;
	char line[64], *before;

	(void)state;
	new_file("");
	file = open_file();
	for (int i = 0; i < DAY_MAX; i++) {
		snprintf(line, sizeof(line), "anna monday 09:%02d c%d r",
			i % 60, i);
		assert_int_equal(add(&file, line), 0);
	}
	before = strdup(get_file());
	assert_int_equal(add(&file, "anna monday 10:00 more r"), -ENOSPC);
	assert_string_equal(get_file(), before);
	assert_int_equal(add(&file, "anna monday 09:00 c0 r"), 0);
	assert_string_equal(get_file(), before);
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
	new_file(text);
	free(text);
	file = open_file();
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), -EFBIG);
	assert_string_equal(why, "cannot save: File too large");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, size - 25);
	/* One byte less, with its own newline. */
	assert_int_equal(add(&file, "anna monday 10:00 law r"), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, size);
	assert_int_equal(mondays(&file, "anna"), 1);
	datafile_close(&file);
}

/* Two handles are like two peers. */
static void
changes_by_others_are_seen(void **state)
{
	struct datafile one, other;

	(void)state;
	new_file(PLAIN);
	one = open_file();
	other = open_file();
	assert_int_equal(add(&one, "anna monday 10:00 law r2"), 0);
	assert_int_equal(mondays(&other, "anna"), 2);
	assert_int_equal(add(&other, "anna monday 11:00 maths r3"), 0);
	/* Without having looked. */
	assert_int_equal(add(&other, "bert monday 11:00 maths r3"), 0);
	assert_int_equal(add(&one, "anna monday 12:00 music r4"), 0);
	assert_int_equal(mondays(&other, "anna"), 4);
	assert_int_equal(mondays(&one, "bert"), 1);
	/* By hand. */
	put_file(path, "anna monday 10:00 law r2\n");
	assert_int_equal(mondays(&one, "anna"), 1);
	datafile_close(&one);
	datafile_close(&other);
}

static void
file_replaced_by_hand(void **state)
{
	struct datafile file;
	char other[160];

	(void)state;
	new_file(PLAIN);
	file = open_file();
	strcpy(other, beside(".new"));
	put_file(other, "anna monday 10:00 law r2\nanna monday 11:00 a b\n");
	assert_int_equal(rename(other, path), 0);
	assert_int_equal(add(&file, "anna monday 12:00 music r4"), 0);
	assert_string_equal(get_file(),
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
	new_file(PLAIN);
	file = open_file();
	put_file(path, damaged);
	assert_int_equal(mondays(&file, "anna"), -1);
	assert_non_null(strstr(why, "the timetable: line 4: 1 word: "));
	assert_true(add(&file, "anna monday 10:00 law r2") < 0);
	assert_non_null(strstr(why, "the timetable: line 4: 1 word: "));
	assert_string_equal(get_file(), damaged);
	put_file(path, PLAIN);
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
	assert_int_equal(mondays(&file, "anna"), 2);
	/* It is not made anew. */
	assert_int_equal(unlink(path), 0);
	assert_true(add(&file, "anna monday 11:00 law r2") < 0);
	assert_non_null(strstr(why, "No such file"));
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(mondays(&file, "anna"), -1);
	datafile_close(&file);
}

static void
link_stays_a_link(void **state)
{
	struct datafile file;
	struct stat st;
	char link[160];

	(void)state;
	new_file(PLAIN);
	strcpy(link, beside(".link"));
	assert_int_equal(symlink("plan.txt", link), 0);
	assert_int_equal(datafile_open(&file, link, why), 0);
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
	datafile_close(&file);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_string_equal(get_file(), PLAIN "anna monday 10:00 law r2\n");
}

/* A program that goes elsewhere (daemon(7)) has the same file. */
static void
working_directory_does_not_matter(void **state)
{
	struct datafile file;
	char *home = getcwd(NULL, 0);

	(void)state;
	new_file(PLAIN);
	assert_int_equal(chdir("/tmp"), 0);
	assert_int_equal(datafile_open(&file, path + strlen("/tmp/"), why), 0);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
	assert_int_equal(chdir(home), 0);
	free(home);
	assert_string_equal(get_file(), PLAIN "anna monday 10:00 law r2\n");
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
	new_file(PLAIN);
	file = open_file();
	put_file(beside(".tmp"), "half a li");
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
	assert_string_equal(get_file(), PLAIN "anna monday 10:00 law r2\n");
	assert_no_temp();
	strcpy(victim, beside(".victim"));
	put_file(victim, "mine");
	assert_int_equal(symlink(victim, beside(".tmp")), 0);
	assert_int_equal(add(&file, "anna monday 11:00 maths r3"), 0);
	assert_int_equal(stat(victim, &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_no_temp();
	datafile_close(&file);
}

/* Whatever call fails: an error that says so, and nothing else has happened. */
static void
failures_change_nothing(void **state)
{
	static const struct {
		const char *name;
		int nth, error;
		const char *why;
	} faults[] = {
		{"openat", 1, EACCES, "Permission denied (plan.txt.lock)"},
		{"openat", 1, ENOSPC, "cannot save: No space left on device"},
		{"flock", 1, ENOLCK, "No locks available (plan.txt.lock)"},
		{"openat", 2, ENOSPC, "cannot save: No space left on device"},
		{"malloc", 1, ENOMEM, "cannot save: Cannot allocate memory"},
		{"write", 1, ENOSPC, "cannot save: No space left on device"},
		{"write", 2, EIO, "cannot save: Input/output error"},
		{"write", 3, EDQUOT, "cannot save: Disk quota exceeded"},
		{"fchmod", 1, EIO, "cannot save: Input/output error"},
		{"fsync", 1, ENOSPC, "cannot save: No space left on device"},
		{"renameat", 1, EIO, "cannot save: Input/output error"},
	};
	struct datafile file;

	(void)state;
	new_file(PLAIN);
	file = open_file();
	most_written = 20;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		int err;

		fault.left = faults[i].nth;
		fault.error = faults[i].error;
		fault.name = faults[i].name;
		err = add(&file, "anna monday 10:00 law r2");
		fault.name = NULL;
		assert_int_equal(err, -faults[i].error);
		assert_non_null(strstr(why, faults[i].why));
		assert_int_equal(fault.left, 0);
		assert_string_equal(get_file(), PLAIN);
		assert_no_temp();
		assert_int_equal(mondays(&file, "anna"), 1);
	}
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
	most_written = SIZE_MAX;
	assert_string_equal(get_file(), PLAIN "anna monday 10:00 law r2\n");
	datafile_close(&file);
}

static void
interrupted_writes_go_on(void **state)
{
	struct datafile file;

	(void)state;
	new_file(PLAIN);
	file = open_file();
	most_written = 3;
	fault.left = 4;
	fault.error = EINTR;
	fault.name = "write";
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
	fault.name = NULL;
	most_written = SIZE_MAX;
	assert_int_equal(fault.left, 0);
	assert_string_equal(get_file(), PLAIN "anna monday 10:00 law r2\n");
	datafile_close(&file);
}

/* The new file is there, but whether it outlives the machine is not known: no
 * acknowledgement, and memory is as the file. Once more is enough. */
static void
directory_that_is_not_synced(void **state)
{
	struct datafile file;

	(void)state;
	new_file(PLAIN);
	file = open_file();
	for (int turn = 0; turn < 2; turn++) {
		fault.left = turn == 0 ? 2 : 1;
		fault.error = EIO;
		fault.name = "fsync";
		assert_int_equal(add(&file, "anna monday 10:00 law r2"), -EIO);
		fault.name = NULL;
		assert_int_equal(mondays(&file, "anna"), 2);
		assert_string_equal(
			get_file(), PLAIN "anna monday 10:00 law r2\n");
	}
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
	assert_string_equal(get_file(), PLAIN "anna monday 10:00 law r2\n");
	datafile_close(&file);
}

static void
limit_of_file_size(void **state)
{
	struct rlimit old, small;
	struct datafile file;
	int err;

	(void)state;
	new_file(PLAIN);
	file = open_file();
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = sizeof(PLAIN) + 10;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	err = add(&file, "anna monday 10:00 law r2");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(err, -EFBIG);
	assert_string_equal(why, "cannot save: File too large");
	assert_string_equal(get_file(), PLAIN);
	assert_no_temp();
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
	datafile_close(&file);
}

/* rename(2) would replace it all the same. */
static void
file_that_is_closed_to_writing(void **state)
{
	struct datafile file;
	bool root = geteuid() == 0;
	int err;

	(void)state;
	new_file(PLAIN);
	assert_int_equal(chmod(path, 0444), 0);
	/* Root may write to any file, and so becomes somebody else. */
	if (root) {
		*strrchr(path, '/') = '\0';
		assert_int_equal(chown(path, 65534, 65534), 0);
		path[strlen(path)] = '/';
		assert_int_equal(seteuid(65534), 0);
	}
	file = open_file();
	err = add(&file, "anna monday 10:00 law r2");
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(err, -EACCES);
	assert_string_equal(why, "cannot save: Permission denied");
	assert_string_equal(get_file(), PLAIN);
	assert_no_temp();
	datafile_close(&file);
}

/* By a process that was stopped, say. The first waits, the others no more. */
static void
lock_that_is_held(void **state)
{
	struct datafile file;
	int fd, waited;

	(void)state;
	new_file(PLAIN);
	file = open_file();
	fd = open(beside(".lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	no_waiting = true;
	waits = 0;
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), -EWOULDBLOCK);
	assert_non_null(strstr(why, "another process holds the lock"));
	waited = waits;
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), -EWOULDBLOCK);
	no_waiting = false;
	assert_in_range(waited, 1000, 5000);
	assert_int_equal(waits, waited);
	assert_int_equal(mondays(&file, "anna"), 1);
	assert_string_equal(get_file(), PLAIN);
	flock(fd, LOCK_UN);
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
	close(fd);
	datafile_close(&file);
}

/* A child that another thread forks while the lock is held has a copy of its
 * descriptor, and does not keep the lock. */
static void
lock_ends_with_the_change(void **state)
{
	struct datafile file;
	int err;

	(void)state;
	new_file(PLAIN);
	file = open_file();
	assert_int_equal(pipe2(bystander_pipe, O_CLOEXEC), 0);
	bystander = -1;
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
	assert_true(bystander > 0);
	no_waiting = true;
	err = add(&file, "anna monday 11:00 maths r3");
	no_waiting = false;
	close(bystander_pipe[0]);
	close(bystander_pipe[1]);
	support_reap(bystander);
	assert_int_equal(err, 0);
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
	new_file(PLAIN);
	file = open_file();
	assert_int_equal(add(&file, "anna monday 10:00 law r2"), 0);
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
		assert_int_equal(mondays(&file, student), THREADS * EACH);
	}
	text = get_file();
	assert_memory_equal(text, PLAIN, strlen(PLAIN));
	assert_all_written(text);
	assert_no_temp();
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
		handoff_test(failures_change_nothing),
		handoff_test(interrupted_writes_go_on),
		handoff_test(directory_that_is_not_synced),
		handoff_test(limit_of_file_size),
		handoff_test(file_that_is_closed_to_writing),
		handoff_test(lock_that_is_held),
		handoff_test(lock_ends_with_the_change),
		handoff_test(many_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
