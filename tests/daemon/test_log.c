/* SPDX-License-Identifier: MIT */
/*
 * The log of a daemon, and of a program in the foreground: created, appended
 * to, reopened by SIGHUP.
 */
#include "daemon/starter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static void
begin(struct starter *s)
{
	starter_run(s);
	assert_int_equal(s->rc, 1);
	s->daemon = atoi(hear(s));
}

static void
print(struct starter *s, const char *text)
{
	tell(s, text);
	expect(s, "done");
}

/* Sends SIGHUP and waits until it was dispatched. */
static void
hang_up(struct starter *s, const char *result)
{
	assert_int_equal(kill(s->daemon, SIGHUP), 0);
	expect(s, result);
}

static void
log_is_made_and_appended_to(void **state)
{
	struct starter s;
	struct stat st;

	(void)state;
	starter_init(&s, obey);
	s.opts.log = in_dir("log");
	begin(&s);
	assert_int_equal(stat(in_dir("log"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	print(&s, "print one");
	assert_int_equal(farewell(&s), 0);
	begin(&s);
	print(&s, "print two");
	assert_string_equal(content(in_dir("log")), "one\ntwo\n");
	assert_int_equal(farewell(&s), 0);
}

static void
log_that_was_moved_is_opened_anew(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, obey);
	s.opts.log = in_dir("log");
	begin(&s);
	print(&s, "print one");
	assert_int_equal(rename(in_dir("log"), in_dir("log.1")), 0);
	print(&s, "print two");
	hang_up(&s, "0");
	print(&s, "print three");
	assert_string_equal(content(in_dir("log.1")), "one\ntwo\n");
	assert_string_equal(content(in_dir("log")), "three\n");
	/* It may be there still, or be made by others. */
	hang_up(&s, "0");
	print(&s, "print four");
	assert_string_equal(content(in_dir("log")), "three\nfour\n");
	assert_int_equal(farewell(&s), 0);
}

/* By a program that waits for nothing else. */
static void
log_is_opened_anew_while_waiting(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, obey);
	s.opts.log = in_dir("log");
	begin(&s);
	assert_int_equal(rename(in_dir("log"), in_dir("log.1")), 0);
	tell(&s, "wait");
	hang_up(&s, "waited 0");
	print(&s, "print here");
	assert_string_equal(content(in_dir("log")), "here\n");
	assert_int_equal(farewell(&s), 0);
}

static void
go_to_dir(void)
{
	if (chdir(in_dir("")) < 0)
		_exit(95);
}

static void
relative_log_is_found_again(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, obey);
	s.before = go_to_dir;
	s.opts.log = "log";
	begin(&s);
	assert_int_equal(rename(in_dir("log"), in_dir("log.1")), 0);
	hang_up(&s, "0");
	print(&s, "print here");
	assert_string_equal(content(in_dir("log")), "here\n");
	assert_int_equal(farewell(&s), 0);
}

static void
log_that_cannot_be_opened_anew(void **state)
{
	struct starter s;
	char want[512], number[16];

	(void)state;
	starter_init(&s, obey);
	s.opts.log = in_dir("log");
	begin(&s);
	assert_int_equal(rename(in_dir("log"), in_dir("log.1")), 0);
	assert_int_equal(mkdir(in_dir("log"), 0700), 0);
	snprintf(number, sizeof(number), "%d", -EISDIR);
	hang_up(&s, number);
	print(&s, "print goes on");
	snprintf(want, sizeof(want),
		"log file %s: cannot open it: Is a directory: still "
		"logging to this file\ngoes on\n",
		in_dir("log"));
	assert_non_null(strchr(content(in_dir("log.1")), ' '));
	assert_string_equal(strchr(content(in_dir("log.1")), ' ') + 1, want);
	assert_int_equal(farewell(&s), 0);
}

static void
log_that_cannot_be_opened(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, obey);
	s.opts.pid_file = in_dir("pid");
	s.opts.log = in_dir("no/where/log");
	starter_run(&s);
	assert_int_equal(s.rc, -ENOENT);
	assert_non_null(strstr(s.why, "log file /tmp/"));
	assert_non_null(strstr(s.why, "cannot open it: No such file"));
	assert_int_equal(access(in_dir("pid"), F_OK), -1);
	farewell(&s);
	/* A pipe that nobody reads. */
	assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
	s.opts.log = in_dir("pipe");
	starter_run(&s);
	assert_int_equal(s.rc, -ENXIO);
	farewell(&s);
}

static void
hangup_without_a_log(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, obey);
	begin(&s);
	hang_up(&s, "0");
	print(&s, "print into nothing");
	assert_int_equal(farewell(&s), 0);
}

static void
print_and_obey(struct handoff_daemon *daemon)
{
	printf("before\n");
	fflush(stdout);
	printf("buffered\n");
	obey(daemon);
}

static void
print_to_file(void)
{
	if (!freopen(in_dir("out"), "w", stdout) ||
		!freopen(in_dir("out"), "w", stderr))
		_exit(96);
}

static void
begin_foreground(struct starter *s)
{
	s->opts.foreground = true;
	s->before = print_to_file;
	starter_begin(s);
	close(s->outcome);
	s->daemon = atoi(hear(s));
	assert_int_equal(s->daemon, s->pid);
}

static void
foreground_logs_when_it_is_ready(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, print_and_obey);
	s.opts.log = in_dir("log");
	begin_foreground(&s);
	print(&s, "print after");
	assert_string_equal(content(in_dir("out")), "before\nbuffered\n");
	assert_string_equal(content(in_dir("log")), "after\n");
	assert_int_equal(rename(in_dir("log"), in_dir("log.1")), 0);
	hang_up(&s, "0");
	print(&s, "print later");
	assert_string_equal(content(in_dir("log.1")), "after\n");
	assert_string_equal(content(in_dir("log")), "later\n");
	assert_int_equal(farewell(&s), 0);
}

static void
hang_up_and_obey(struct handoff_daemon *daemon)
{
	raise(SIGHUP);
	say("%d", handoff_daemon_dispatch(daemon));
	obey(daemon);
}

/* A signal before it is ready changes the file and not the descriptors. */
static void
hangup_before_it_is_ready(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, hang_up_and_obey);
	s.opts.log = in_dir("log");
	s.opts.foreground = true;
	s.before = print_to_file;
	starter_begin(&s);
	close(s.outcome);
	expect(&s, "0");
	s.daemon = atoi(hear(&s));
	print(&s, "print text");
	assert_string_equal(content(in_dir("out")), "");
	assert_string_equal(content(in_dir("log")), "text\n");
	assert_int_equal(farewell(&s), 0);
}

static void
foreground_without_a_log_dies_of_hangup(void **state)
{
	struct starter s;
	int status;

	(void)state;
	starter_init(&s, obey);
	s.opts.pid_file = in_dir("pid");
	begin_foreground(&s);
	assert_int_equal(atoi(content(in_dir("pid"))), s.daemon);
	assert_int_equal(kill(s.daemon, SIGHUP), 0);
	assert_int_equal(waitpid(s.daemon, &status, 0), s.daemon);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGHUP);
	s.daemon = 0;
	farewell(&s);
}

static void
log_refused(const char *path, const char *text)
{
	struct starter s;

	starter_init(&s, obey);
	s.opts.log = path;
	starter_run(&s);
	assert_int_equal(s.rc, -EACCES);
	if (!strstr(s.why, text))
		fail_msg("'%s' is not in '%s'", text, s.why);
	farewell(&s);
}

/* In /tmp, say: they would choose what is written to, or read it. */
static void
what_others_put_there_is_no_log(void **state)
{
	struct starter s;

	(void)state;
	if (geteuid() != 0)
		skip();
	starter_init(&s, obey);
	make_file(in_dir("target"), "");
	assert_int_equal(mkdir(in_dir("shared"), 0700), 0);
	assert_int_equal(chmod(in_dir("shared"), 01777), 0);
	assert_int_equal(symlink(in_dir("target"), in_dir("shared/link")), 0);
	assert_int_equal(lchown(in_dir("shared/link"), NOBODY, NOBODY), 0);
	log_refused(in_dir("shared/link"), "cannot open it: it is a link of "
					   "uid 65534, in a directory where "
					   "others can write");
	make_file(in_dir("shared/file"), "");
	assert_int_equal(chown(in_dir("shared/file"), NOBODY, NOBODY), 0);
	log_refused(in_dir("shared/file"), "it is a file of uid 65534");
	assert_int_equal(link(in_dir("target"), in_dir("shared/name")), 0);
	log_refused(in_dir("shared/name"), "it has further hard links");
	assert_int_equal(unlink(in_dir("shared/name")), 0);
	/* Its own it may use, there and through a link. */
	assert_int_equal(symlink(in_dir("target"), in_dir("shared/own")), 0);
	s.opts.log = in_dir("shared/own");
	begin(&s);
	print(&s, "print one");
	assert_string_equal(content(in_dir("target")), "one\n");
	assert_int_equal(farewell(&s), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(log_is_made_and_appended_to),
		handoff_test(log_that_was_moved_is_opened_anew),
		handoff_test(log_is_opened_anew_while_waiting),
		handoff_test(relative_log_is_found_again),
		handoff_test(log_that_cannot_be_opened_anew),
		handoff_test(log_that_cannot_be_opened),
		handoff_test(hangup_without_a_log),
		handoff_test(foreground_logs_when_it_is_ready),
		handoff_test(hangup_before_it_is_ready),
		handoff_test(foreground_without_a_log_dies_of_hangup),
		handoff_test(what_others_put_there_is_no_log),
	};

	return cmocka_run_group_tests_name("daemon_log", tests, NULL, NULL);
}
