/* SPDX-License-Identifier: MIT */
/*
 * Pid files: held for life by one process, taken over from a dead one, and no
 * other kind of file is ever touched.
 */
#include "daemon/starter.h"

#include "daemon/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sent by others the moment they can read in the file whom to send them to. */
static int early_signals[8];

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);

ssize_t
__wrap_pwrite(int fd, const void *data, size_t len, off_t at)
{
	ssize_t n = __real_pwrite(fd, data, len, at);

	for (const int *number = early_signals; *number; number++)
		raise(*number);
	return n;
}

static void
begin(struct starter *s)
{
	starter_run(s);
	assert_int_equal(s->rc, 1);
	s->daemon = atoi(hear(s));
}

static void
assert_pid_file(const struct starter *s)
{
	char want[16];

	snprintf(want, sizeof(want), "%d\n", (int)s->daemon);
	assert_string_equal(content(s->opts.pid_file), want);
}

/* Is refused by that errno with a sentence that has `why` in it. */
static void
refused(struct starter *s, int err, const char *why)
{
	starter_run(s);
	assert_int_equal(s->rc, err);
	if (!strstr(s->why, why))
		fail_msg("'%s' is not in '%s'", why, s->why);
	farewell(s);
}

static void
pid_file_goes_with_its_daemon(void **state)
{
	struct starter s;
	struct stat st;

	(void)state;
	starter_init(&s, obey);
	s.opts.pid_file = in_dir("pid");
	begin(&s);
	assert_pid_file(&s);
	assert_int_equal(stat(s.opts.pid_file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(farewell(&s), 0);
	assert_int_equal(access(s.opts.pid_file, F_OK), -1);
}

static void
second_hears_who_runs(void **state)
{
	struct starter one, two;
	char why[64];

	(void)state;
	starter_init(&one, obey);
	one.opts.pid_file = in_dir("pid");
	begin(&one);
	starter_init(&two, obey);
	two.opts.pid_file = one.opts.pid_file;
	two.opts.log = in_dir("log");
	snprintf(why, sizeof(why),
		"/pid: already held by process %d, which is running",
		(int)one.daemon);
	refused(&two, -EALREADY, why);
	/* It has touched nothing. */
	assert_int_equal(access(in_dir("log"), F_OK), -1);
	assert_pid_file(&one);
	/* Whatever stands in the file. */
	make_file(one.opts.pid_file, "1\n");
	refused(&two, -EALREADY, why);
	two.opts.foreground = true;
	refused(&two, -EALREADY, why);
	assert_int_equal(farewell(&one), 0);
	two.opts.foreground = false;
	begin(&two);
	assert_pid_file(&two);
	assert_int_equal(farewell(&two), 0);
}

/* A second start right after the end of the first is not refused. */
static void
one_that_is_ending_is_waited_for(void **state)
{
	struct starter one, two;
	int status;

	(void)state;
	starter_init(&one, obey);
	one.opts.pid_file = in_dir("pid");
	begin(&one);
	starter_init(&two, obey);
	two.opts.pid_file = one.opts.pid_file;
	starter_begin(&two);
	assert_false(starter_returned(&two, 50));
	assert_int_equal(farewell(&one), 0);
	starter_end(&two);
	assert_int_equal(two.rc, 1);
	two.daemon = atoi(hear(&two));
	assert_pid_file(&two);
	/* The kernel lets go of one that was killed. */
	assert_int_equal(kill(two.daemon, SIGKILL), 0);
	assert_int_equal(waitpid(two.daemon, &status, 0), two.daemon);
	assert_pid_file(&two);
	two.daemon = 0;
	farewell(&two);
	begin(&one);
	assert_pid_file(&one);
	assert_int_equal(farewell(&one), 0);
	assert_int_equal(access(one.opts.pid_file, F_OK), -1);
}

static void
stale_file_is_taken_over(void **state)
{
	static const char *const stale[] = {"", "\n", "1\n", "99999999999\n",
		"12", "0000000000000000001\n"};
	struct starter s;

	(void)state;
	starter_init(&s, obey);
	s.opts.pid_file = in_dir("pid");
	for (size_t i = 0; i < sizeof(stale) / sizeof(stale[0]); i++) {
		make_file(s.opts.pid_file, stale[i]);
		begin(&s);
		assert_pid_file(&s);
		assert_int_equal(farewell(&s), 0);
		assert_int_equal(access(s.opts.pid_file, F_OK), -1);
	}
}

static void
obey_with_a_child(struct handoff_daemon *daemon)
{
	pid_t child = fork();

	if (child == 0) {
		/* Not the child's to remove. */
		handoff_daemon_free(daemon);
		listen_for();
		_exit(0);
	}
	say("%d", (int)child);
	obey(daemon);
}

static void
children_do_not_hold_it(void **state)
{
	struct starter one, two;
	pid_t child;
	int status;

	(void)state;
	starter_init(&one, obey_with_a_child);
	one.opts.pid_file = in_dir("pid");
	starter_run(&one);
	child = atoi(hear(&one));
	one.daemon = atoi(hear(&one));
	assert_pid_file(&one);
	assert_int_equal(kill(one.daemon, SIGKILL), 0);
	assert_int_equal(waitpid(one.daemon, &status, 0), one.daemon);
	one.daemon = child;
	starter_init(&two, obey);
	two.opts.pid_file = one.opts.pid_file;
	begin(&two);
	assert_pid_file(&two);
	assert_int_equal(farewell(&one), 0);
	assert_int_equal(farewell(&two), 0);
}

static void
other_files_are_left_alone(void **state)
{
	static const char *const texts[] = {"x", "12 13\n", "listen :7000\n",
		"1111111111111111111111111111111111111111111111111"};
	struct starter s;

	(void)state;
	starter_init(&s, obey);
	s.opts.pid_file = in_dir("file");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		make_file(s.opts.pid_file, texts[i]);
		refused(&s, -EEXIST, "/file: it exists and is not a pid file");
		assert_string_equal(content(s.opts.pid_file), texts[i]);
	}
	s.opts.pid_file = "/dev/null";
	refused(&s, -EEXIST, "/dev/null: it exists and is not a pid file");
	assert_int_equal(access("/dev/null", F_OK), 0);
}

static void
paths_that_cannot_be(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, obey);
	s.opts.pid_file = in_dir("no/where");
	refused(&s, -ENOENT, "/no/where: cannot open it: No such file");
	assert_int_equal(mkdir(in_dir("folder"), 0700), 0);
	s.opts.pid_file = in_dir("folder");
	refused(&s, -EISDIR, "/folder: cannot open it: Is a directory");
	assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
	s.opts.pid_file = in_dir("pipe");
	refused(&s, -EEXIST, "/pipe: it exists and is not a pid file");
	assert_int_equal(symlink("elsewhere", in_dir("link")), 0);
	s.opts.pid_file = in_dir("link");
	refused(&s, -ELOOP, "/link: cannot open it");
	assert_int_equal(access(in_dir("elsewhere"), F_OK), -1);
}

static void
go_to_dir(void)
{
	if (chdir(in_dir("")) < 0)
		_exit(95);
}

/* Of a peer in its service directory. */
static void
default_file_is_in_the_directory(void **state)
{
	struct starter s;
	struct stat st;

	(void)state;
	starter_init(&s, obey);
	s.before = go_to_dir;
	s.opts.dir = "service";
	s.opts.name = "server";
	begin(&s);
	assert_int_equal(stat(in_dir("service"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(atoi(content(in_dir("service/server.pid"))), s.daemon);
	assert_int_equal(farewell(&s), 0);
	assert_int_equal(access(in_dir("service/server.pid"), F_OK), -1);
	s.opts.name = "../server";
	refused(&s, -EINVAL, "opts.name must be 1 to 31 characters");
	s.opts.name = NULL;
	refused(&s, -EINVAL, "(got '')");
	s.opts.name = "server";
	s.opts.dir = "no/where";
	refused(&s, -ENOENT, "service directory no/where: cannot create it");
	assert_int_equal(chmod(in_dir("service"), 0755), 0);
	s.opts.dir = "service";
	refused(&s, -EACCES, "chmod 700 it");
}

static void
foreground_has_none_by_default(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, obey);
	s.opts.foreground = true;
	s.opts.dir = in_dir("service");
	s.opts.name = "server";
	starter_begin(&s);
	close(s.outcome);
	s.daemon = atoi(hear(&s));
	assert_int_equal(access(in_dir("service"), F_OK), -1);
	assert_int_equal(farewell(&s), 0);
}

/* Takes and leaves the file over and over; `mark` shows whether two had it
 * at the same time. */
static void
contend(const char *path, const char *mark)
{
	char copy[128];
	struct handoff__pidfile file = {.path = copy, .fd = -1};
	struct handoff__error error;

	snprintf(copy, sizeof(copy), "%s", path);
	for (int i = 0; i < 50; i++) {
		int err = handoff__pidfile_take(&file, &error);
		int fd;

		if (err == -EALREADY)
			continue;
		fd = open(mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (err < 0 || fd < 0 || close(fd) < 0 || unlink(mark) < 0)
			_exit(1);
		handoff__pidfile_leave(&file);
	}
	_exit(0);
}

static void
two_never_hold_it(void **state)
{
	char path[128], mark[128];
	pid_t pids[4];
	struct starter s;

	(void)state;
	starter_init(&s, obey);
	snprintf(path, sizeof(path), "%s", in_dir("pid"));
	snprintf(mark, sizeof(mark), "%s", in_dir("mark"));
	for (size_t i = 0; i < 4; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0)
			contend(path, mark);
	}
	for (size_t i = 0; i < 4; i++)
		support_reap(pids[i]);
}

/* They could write into it whom an operator is to kill, or hold its lock. */
static void
file_of_another_user_is_refused(void **state)
{
	struct starter s;

	(void)state;
	if (geteuid() != 0)
		skip();
	starter_init(&s, obey);
	assert_int_equal(mkdir(in_dir("shared"), 0700), 0);
	assert_int_equal(chmod(in_dir("shared"), 01777), 0);
	s.opts.pid_file = in_dir("shared/pid");
	make_file(s.opts.pid_file, "");
	assert_int_equal(chown(s.opts.pid_file, 65534, 65534), 0);
	refused(&s, -EACCES, "cannot open it: it is a file of uid 65534");
	assert_string_equal(content(s.opts.pid_file), "");
}

/* They end nobody, and are there when the daemon takes them. */
static void
signals_that_come_early_wait(void **state)
{
	static const int numbers[] = {
		SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
	struct starter s;

	(void)state;
	memcpy(early_signals, numbers, sizeof(numbers));
	starter_init(&s, obey);
	s.opts.pid_file = in_dir("pid");
	s.opts.signals = true;
	begin(&s);
	expect(&s, "0"); /* of SIGHUP */
	assert_pid_file(&s);
	assert_int_equal(farewell(&s), 0);
	memset(early_signals, 0, sizeof(early_signals));
}

/* A process that does not ask for it is ended as ever, but not by SIGHUP. */
static void
early_hangup_ends_nobody(void **state)
{
	struct starter s;

	(void)state;
	early_signals[0] = SIGHUP;
	starter_init(&s, obey);
	s.opts.pid_file = in_dir("pid");
	begin(&s);
	expect(&s, "0");
	assert_int_equal(farewell(&s), 0);
	early_signals[0] = SIGTERM;
	starter_init(&s, obey);
	s.opts.pid_file = in_dir("pid");
	starter_run(&s);
	assert_int_equal(s.rc, -ESRCH);
	assert_non_null(strstr(s.why, "was killed by signal 15"));
	farewell(&s);
	early_signals[0] = 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(pid_file_goes_with_its_daemon),
		handoff_test(second_hears_who_runs),
		handoff_test(one_that_is_ending_is_waited_for),
		handoff_test(stale_file_is_taken_over),
		handoff_test(children_do_not_hold_it),
		handoff_test(other_files_are_left_alone),
		handoff_test(paths_that_cannot_be),
		handoff_test(default_file_is_in_the_directory),
		handoff_test(foreground_has_none_by_default),
		handoff_test(two_never_hold_it),
		handoff_test(file_of_another_user_is_refused),
		handoff_test(signals_that_come_early_wait),
		handoff_test(early_hangup_ends_nobody),
	};

	return cmocka_run_group_tests_name("pidfile", tests, NULL, NULL);
}
