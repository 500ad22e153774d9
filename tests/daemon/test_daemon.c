/* SPDX-License-Identifier: MIT */
/*
 * Daemons as processes: what they are detached from, when their starter
 * returns, and what it reports about those that do not serve.
 */
#include "daemon/starter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The controlling terminal, field 7 of /proc/self/stat (proc(5)). */
static int
terminal(void)
{
	const char *end = strrchr(content("/proc/self/stat"), ')');
	int number = -1;

	if (!end || sscanf(end, ") %*c %*d %*d %*d %d", &number) != 1)
		_exit(92);
	return number;
}

static const char *
target(int fd)
{
	static char path[4][256];
	char *text = path[fd & 3];
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, text, sizeof(path[0]) - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* A terminal that nobody controls, opened without O_NOCTTY. */
static void
open_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_CLOEXEC);

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
		open(ptsname(master), O_RDWR | O_CLOEXEC) < 0)
		_exit(93);
}

static void
tell_all(struct handoff_daemon *daemon)
{
	sigset_t blocked;
	mode_t mask = umask(0);

	sigprocmask(SIG_BLOCK, NULL, &blocked);
	handoff_daemon_ready(daemon);
	say("umask %03o", (unsigned)mask);
	say("0 %s, 1 %s, 2 %s", target(0), target(1), target(2));
	say("hup %d, term %d", sigismember(&blocked, SIGHUP),
		sigismember(&blocked, SIGTERM));
	say("session leader %d", getsid(0) == getpid());
	say("terminal %d", terminal());
	open_terminal();
	say("terminal %d", terminal());
	say("%d", (int)getpid());
	listen_for();
}

static void
is_detached(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, tell_all);
	starter_run(&s);
	assert_int_equal(s.rc, 1);
	assert_string_equal(s.why, "");
	expect(&s, "umask 027");
	expect(&s, "0 /dev/null, 1 /dev/null, 2 /dev/null");
	expect(&s, "hup 1, term 0");
	expect(&s, "session leader 0");
	expect(&s, "terminal 0");
	expect(&s, "terminal 0");
	s.daemon = atoi(hear(&s));
	assert_int_not_equal(s.daemon, s.pid);
	assert_int_not_equal(getsid(s.daemon), getsid(0));
	assert_int_equal(farewell(&s), 0);
}

static void
get_terminal(void)
{
	setsid();
	open_terminal();
	if (terminal() == 0)
		_exit(94);       /* then the test above would show nothing */
	signal(SIGHUP, SIG_IGN); /* when the terminal goes with the starter */
}

static void
lets_go_of_a_terminal(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, tell_all);
	s.before = get_terminal;
	s.opts.umask = 077;
	starter_run(&s);
	assert_int_equal(s.rc, 1);
	expect(&s, "umask 077");
	hear(&s);
	hear(&s);
	expect(&s, "session leader 0");
	expect(&s, "terminal 0");
	expect(&s, "terminal 0");
	s.daemon = atoi(hear(&s));
	assert_int_not_equal(getsid(s.daemon), s.pid);
	assert_int_equal(farewell(&s), 0);
}

static void
ready_when_told(struct handoff_daemon *daemon)
{
	char cwd[256];

	say("%d", (int)getpid());
	listen_for();
	say("%s", getcwd(cwd, sizeof(cwd)));
	say("%d", handoff_daemon_ready(daemon));
	say("%s", getcwd(cwd, sizeof(cwd)));
	say("%d", handoff_daemon_ready(daemon));
	say("%s", handoff_daemon_errmsg(daemon));
	listen_for();
}

static void
go_to_dir(void)
{
	if (chdir(in_dir("")) < 0)
		_exit(95);
}

static void
starter_waits_until_it_is_ready(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, ready_when_told);
	s.before = go_to_dir;
	starter_begin(&s);
	s.daemon = atoi(hear(&s));
	assert_false(starter_returned(&s, 50));
	tell(&s, "go");
	/* Relative paths work until then. */
	assert_non_null(strstr(in_dir(""), hear(&s)));
	expect(&s, "0");
	expect(&s, "/");
	expect(&s, "-114");
	expect(&s, "daemon: already ready");
	starter_end(&s);
	assert_int_equal(s.rc, 1);
	assert_int_equal(farewell(&s), 0);
}

static void
fail_slowly(struct handoff_daemon *daemon)
{
	say("%d", (int)getpid());
	handoff_daemon_fail(daemon, -EADDRINUSE, "port 7000:\nis used");
	/* Only the first counts. */
	handoff_daemon_fail(daemon, -EIO, "never mind");
	say("%d", handoff_daemon_ready(daemon));
	listen_for();
}

static void
why_not_is_passed_on(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, fail_slowly);
	s.opts.pid_file = in_dir("pid");
	starter_begin(&s);
	s.daemon = atoi(hear(&s));
	expect(&s, "-32");
	/* All that it held is free when the starter returns. */
	assert_false(starter_returned(&s, 50));
	assert_int_equal(access(in_dir("pid"), F_OK), 0);
	tell(&s, "go");
	starter_end(&s);
	assert_int_equal(s.rc, -EADDRINUSE);
	assert_string_equal(s.why, "port 7000:?is used");
	assert_int_equal(access(in_dir("pid"), F_OK), -1);
	s.daemon = 0; /* the starter has reaped it */
	farewell(&s);
}

static void
leave_with_3(struct handoff_daemon *daemon)
{
	(void)daemon;
	_exit(3);
}

static void
be_killed(struct handoff_daemon *daemon)
{
	(void)daemon;
	raise(SIGKILL);
}

static void
say_nothing(struct handoff_daemon *daemon)
{
	(void)daemon;
}

/* A child keeps all descriptors of its dead parent. */
static void
leave_a_child(struct handoff_daemon *daemon)
{
	(void)daemon;
	if (fork() == 0) {
		say("%d", (int)getpid());
		listen_for();
		_exit(0);
	}
	_exit(4);
}

static void
death_is_told(void **state)
{
	static const struct {
		daemon_fn *fn;
		const char *why;
	} deaths[] = {
		{leave_with_3, " ended with status 3 before it served"},
		{be_killed, " was killed by signal 9 (Killed) before it "
			    "served"},
		{say_nothing, " ended with status 0 before it served"},
		{leave_a_child, " ended with status 4 before it served"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(deaths) / sizeof(deaths[0]); i++) {
		struct starter s;

		starter_init(&s, deaths[i].fn);
		starter_run(&s);
		assert_int_equal(s.rc, -ESRCH);
		assert_non_null(strstr(s.why, "daemon: process "));
		assert_non_null(strstr(s.why, deaths[i].why));
		if (deaths[i].fn == leave_a_child)
			s.daemon = atoi(hear(&s));
		farewell(&s);
	}
}

/* Then the kernel reaps, and keeps no status. */
static void
ignore_children(void)
{
	signal(SIGCHLD, SIG_IGN);
}

static void
starter_that_ignores_children(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, leave_with_3);
	s.before = ignore_children;
	starter_run(&s);
	assert_int_equal(s.rc, -ESRCH);
	assert_non_null(strstr(s.why, " ended before it served"));
	farewell(&s);
	starter_init(&s, obey);
	s.before = ignore_children;
	starter_run(&s);
	assert_int_equal(s.rc, 1);
	s.daemon = atoi(hear(&s));
	assert_int_equal(farewell(&s), 0);
}

static void
starter_that_was_killed(void **state)
{
	struct starter s;
	pid_t daemon, pid;
	int status = -1, ended = -1;

	(void)state;
	starter_init(&s, ready_when_told);
	starter_begin(&s);
	daemon = atoi(hear(&s));
	kill(s.pid, SIGKILL);
	assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
	close(s.outcome);
	tell(&s, "go");
	hear(&s);
	expect(&s, "-32");
	expect(&s, "/");
	expect(&s, "-32");
	assert_non_null(strstr(hear(&s), "there is none to report to"));
	farewell(&s);
	/* The process between the two may have ended unnoticed. */
	while ((pid = waitpid(-1, &status, 0)) > 0) {
		if (pid == daemon)
			ended = status;
	}
	assert_int_equal(ended, 0);
}

static void
close_standard(void)
{
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
}

static void
closed_descriptors_are_filled(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, tell_all);
	s.before = close_standard;
	s.opts.log = in_dir("log");
	s.opts.pid_file = in_dir("pid");
	starter_run(&s);
	assert_int_equal(s.rc, 1);
	hear(&s);
	assert_non_null(strstr(hear(&s), "0 /dev/null, 1 /tmp/"));
	for (int i = 0; i < 4; i++)
		hear(&s);
	s.daemon = atoi(hear(&s));
	assert_int_equal(atoi(content(in_dir("pid"))), s.daemon);
	assert_int_equal(farewell(&s), 0);
}

static void
print_and_keep(void)
{
	static char buffer[256];

	if (!freopen(in_dir("out"), "w", stdout))
		_exit(96);
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	printf("once\n");
}

static void
flush_and_obey(struct handoff_daemon *daemon)
{
	fflush(stdout);
	obey(daemon);
}

static void
buffered_output_comes_once(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, flush_and_obey);
	s.before = print_and_keep;
	s.opts.log = in_dir("log");
	starter_run(&s);
	assert_int_equal(s.rc, 1);
	s.daemon = atoi(hear(&s));
	assert_string_equal(content(in_dir("out")), "once\n");
	assert_string_equal(content(in_dir("log")), "");
	assert_int_equal(farewell(&s), 0);
}

static void *
wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void
make_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
		_exit(97);
}

static void
threads_are_refused(void **state)
{
	struct starter s;

	(void)state;
	starter_init(&s, obey);
	s.before = make_thread;
	starter_run(&s);
	assert_int_equal(s.rc, -EBUSY);
	assert_non_null(strstr(s.why, "2 threads: start the daemon before"));
	farewell(&s);
}

static void
options_are_checked(void **state)
{
	struct {
		struct handoff_daemon_opts opts;
		char more[16];
	} later = {.more = {0, 1}};
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_daemon *daemon = NULL;
	struct handoff_daemon_opts opts = {
		.errbuf = why, .errbuf_size = sizeof(why)};

	(void)state;
	assert_int_equal(handoff_daemon_start(NULL, &opts), -EINVAL);
	assert_int_equal(handoff_daemon_start(&daemon, NULL), -EINVAL);
	assert_int_equal(handoff_daemon_start(&daemon, &opts), -EINVAL);
	later.opts = opts;
	later.opts.size = sizeof(later);
	assert_int_equal(handoff_daemon_start(&daemon, &later.opts), -E2BIG);
	assert_non_null(strstr(why, "an option that this library does"));
	opts.size = sizeof(opts);
	opts.log = "";
	assert_int_equal(handoff_daemon_start(&daemon, &opts), -EINVAL);
	assert_non_null(strstr(why, "log file ''"));
	opts.log = NULL;
	opts.pid_file = "";
	assert_int_equal(handoff_daemon_start(&daemon, &opts), -EINVAL);
	assert_non_null(strstr(why, "pid file ''"));
	assert_null(daemon);
}

static void
no_handle_is_no_crash(void **state)
{
	(void)state;
	assert_int_equal(handoff_daemon_ready(NULL), -EINVAL);
	assert_int_equal(handoff_daemon_fail(NULL, -EIO, "x"), -EINVAL);
	assert_int_equal(handoff_daemon_fd(NULL), -EINVAL);
	assert_int_equal(handoff_daemon_dispatch(NULL), -EINVAL);
	assert_int_equal(handoff_daemon_wait(NULL, 0), -EINVAL);
	assert_string_equal(handoff_daemon_errmsg(NULL), "");
	handoff_daemon_free(NULL);
}

/* The caller stays what it was, and with no option nothing happens. */
static void
foreground_is_this_process(void **state)
{
	struct handoff_daemon_opts opts = {
		.size = sizeof(opts), .foreground = true};
	struct handoff_daemon *daemon;
	struct pollfd p = {.events = POLLIN};
	sigset_t blocked;
	char before[256], after[256];
	mode_t mask = umask(022);
	int reaper = -1;

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	prctl(PR_SET_CHILD_SUBREAPER, 0UL);
	assert_int_equal(handoff_daemon_start(&daemon, &opts), 0);
	assert_int_equal(handoff_daemon_ready(daemon), 0);
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	assert_false(sigismember(&blocked, SIGHUP));
	assert_non_null(getcwd(after, sizeof(after)));
	assert_string_equal(before, after);
	assert_int_equal(umask(mask), 022);
	prctl(PR_GET_CHILD_SUBREAPER, &reaper);
	assert_int_equal(reaper, 0);
	p.fd = handoff_daemon_fd(daemon);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(handoff_daemon_dispatch(daemon), 0);
	assert_int_equal(handoff_daemon_fail(daemon, -EIO, "x"), 0);
	assert_int_equal(handoff_daemon_fail(daemon, 0, "x"), -EINVAL);
	assert_int_equal(handoff_daemon_fail(daemon, -EIO, NULL), -EINVAL);
	handoff_daemon_free(daemon);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(is_detached),
		handoff_test(lets_go_of_a_terminal),
		handoff_test(starter_waits_until_it_is_ready),
		handoff_test(why_not_is_passed_on),
		handoff_test(death_is_told),
		handoff_test(starter_that_ignores_children),
		handoff_test(starter_that_was_killed),
		handoff_test(closed_descriptors_are_filled),
		handoff_test(buffered_output_comes_once),
		handoff_test(threads_are_refused),
		handoff_test(options_are_checked),
		handoff_test(no_handle_is_no_crash),
		handoff_test(foreground_is_this_process),
	};

	return cmocka_run_group_tests_name("daemon", tests, NULL, NULL);
}
