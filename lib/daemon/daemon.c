/* SPDX-License-Identifier: MIT */
/*
 * The handle of a daemon: its options, descriptors 0 to 2, its log and the
 * signal that reopens it. Processes are launch.c's, the pid file is
 * pidfile.c's. Knows nothing of servers.
 */
#include <handoff/daemon.h>

#include "base/dir.h"
#include "base/loop.h"
#include "base/path.h"
#include "daemon/launch.h"
#include "daemon/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define UMASK 027

struct handoff_daemon {
	struct handoff__error error;
	bool foreground;
	bool ready;
	bool logging; /* standard output and error go to the log */
	bool signals; /* the program will handle signals later */
	mode_t umask;
	char *log; /* absolute; NULL: none */
	int log_fd;
	int signal_fd;
	int line; /* to the starter; -1: no longer needed */
	struct handoff__pidfile pid_file;
};

static int
take_path(struct handoff_daemon *daemon, char **out, const char *what,
	const char *path)
{
	int err = path[0] ? handoff__path_absolute(out, path) : -EINVAL;

	if (err < 0)
		return handoff__fail(&daemon->error, err,
			"%s '%s': cannot make the path absolute: %s", what,
			path, strerror(-err));
	return 0;
}

/* The pid file of a peer that names none. */
static int
take_default(
	struct handoff_daemon *daemon, const struct handoff_daemon_opts *opts)
{
	struct handoff__dir dir;
	char *path;
	int err;

	if (!handoff__name_ok(opts->name))
		return handoff__fail(&daemon->error, -EINVAL,
			"daemon: opts.name must be 1 to %d characters of "
			"A-Z a-z 0-9 . _ - (got '%.40s')",
			HANDOFF_NAME_MAX - 1, opts->name ? opts->name : "");
	err = handoff__dir_open(&dir, opts->dir, true, 0, &daemon->error);
	if (err < 0)
		return err;
	handoff__dir_close(&dir);
	if (asprintf(&path, "%s/%s.pid", opts->dir, opts->name) < 0)
		return handoff__fail(
			&daemon->error, -ENOMEM, "daemon: out of memory");
	err = take_path(daemon, &daemon->pid_file.path, "pid file", path);
	free(path);
	return err;
}

static int
take_opts(struct handoff_daemon *daemon, const struct handoff_daemon_opts *opts)
{
	int err = 0;

	daemon->foreground = opts->foreground;
	daemon->signals = opts->signals;
	daemon->umask = opts->umask ? (mode_t)opts->umask & 0777 : UMASK;
	if (opts->log)
		err = take_path(daemon, &daemon->log, "log file", opts->log);
	if (err < 0)
		return err;
	if (opts->pid_file)
		return take_path(daemon, &daemon->pid_file.path, "pid file",
			opts->pid_file);
	return opts->dir && !opts->foreground ? take_default(daemon, opts) : 0;
}

/* Returns a descriptor of /dev/null above 2 and makes sure that 0 to 2 are
 * open: no file opened later may get one of these numbers. */
static int
open_null(struct handoff__error *error)
{
	for (;;) {
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (fd < 0)
			return handoff__fail(error, -errno,
				"daemon: cannot open /dev/null: %s",
				strerror(errno));
		if (fd > STDERR_FILENO)
			return fd;
		fcntl(fd, F_SETFD, 0);
	}
}

/* O_NONBLOCK: a FIFO without a reader is an error rather than a wait. */
static int
open_log(struct handoff_daemon *daemon)
{
	struct handoff__error why;
	int fd = handoff__path_open(daemon->log,
		O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
			O_NONBLOCK,
		0640, &why);

	if (fd < 0)
		return handoff__fail(&daemon->error, fd,
			"log file %s: cannot open it: %.160s", daemon->log,
			why.text);
	fcntl(fd, F_SETFL, O_APPEND);
	return fd;
}

static void
use_log(struct handoff_daemon *daemon)
{
	fflush(stdout);
	dup2(daemon->log_fd, STDOUT_FILENO);
	dup2(daemon->log_fd, STDERR_FILENO);
	daemon->logging = true;
}

/* The log may be a pipe. A disposition that the program has set is kept. */
static void
ignore_broken_log(void)
{
	struct sigaction now;

	if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

/* Blocks the signals that the program will handle later. */
static void
hold_signals(const struct handoff_daemon *daemon)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
	sigset_t set;

	if (!daemon->signals || !daemon->pid_file.path)
		return;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&set, numbers[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int
watch_signal(struct handoff_daemon *daemon)
{
	sigset_t set;

	hold_signals(daemon);
	sigemptyset(&set);
	if (daemon->log || !daemon->foreground) {
		sigaddset(&set, SIGHUP);
		ignore_broken_log();
	}
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	daemon->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (daemon->signal_fd < 0)
		return handoff__fail(&daemon->error, -errno,
			"daemon: cannot open a signalfd: %s", strerror(errno));
	return 0;
}

/* Sets up the process, in the daemon or in the foreground. */
static int
settle_process(struct handoff_daemon *daemon, int null_fd)
{
	int err;

	if (!daemon->foreground) {
		umask(daemon->umask);
		for (int fd = 0; fd <= STDERR_FILENO; fd++)
			dup2(null_fd, fd);
	}
	/* Before the pid file: a process that reads it may send signals. */
	err = watch_signal(daemon);
	if (err >= 0 && daemon->pid_file.path)
		err = handoff__pidfile_take(&daemon->pid_file, &daemon->error);
	if (err >= 0 && daemon->log)
		err = daemon->log_fd = open_log(daemon);
	if (err >= 0 && daemon->log && !daemon->foreground)
		use_log(daemon);
	return err < 0 ? err : 0;
}

/* Sends the only report to the starter. */
static int
report(struct handoff_daemon *daemon, int err, const char *text)
{
	int sent;

	if (daemon->line < 0)
		return -EPIPE;
	sent = handoff__launch_report(daemon->line, err, text);
	close(daemon->line);
	daemon->line = -1;
	return sent;
}

/* Returns 0 where the program continues, 1 in the starter of a daemon that
 * serves. */
static int
begin_process(struct handoff_daemon *daemon)
{
	bool redirects = daemon->log || !daemon->foreground;
	int null_fd = redirects ? open_null(&daemon->error) : -1;
	int rc = 0;

	if (redirects && null_fd < 0)
		return null_fd;
	if (!daemon->foreground)
		rc = handoff__launch(&daemon->line, &daemon->error);
	if (rc == 0)
		rc = settle_process(daemon, null_fd);
	if (null_fd >= 0)
		close(null_fd);
	if (rc < 0 && daemon->line >= 0) {
		/* The starter reports the error to its caller; this process has
		 * nothing left to do and must not return to its own. */
		report(daemon, rc, daemon->error.text);
		handoff_daemon_free(daemon);
		_exit(1);
	}
	return rc;
}

int
handoff_daemon_start(
	struct handoff_daemon **out, const struct handoff_daemon_opts *opts)
{
	struct handoff_daemon_opts known = {.size = 0};
	struct handoff_daemon *daemon;
	int rc;

	if (!out || !opts)
		return -EINVAL;
	rc = handoff__opts_copy(&known, sizeof(known), opts,
		offsetof(struct handoff_daemon_opts, log));
	if (rc == -E2BIG) {
		/* The caller's structure is longer, so these fields exist. */
		known.errbuf = opts->errbuf;
		known.errbuf_size = opts->errbuf_size;
	}
	daemon = calloc(1, sizeof(*daemon));
	if (!daemon)
		return handoff__no_memory(
			"daemon", known.errbuf, known.errbuf_size);
	daemon->log_fd = daemon->signal_fd = daemon->line =
		daemon->pid_file.fd = -1;
	if (rc == -E2BIG)
		handoff__fail(&daemon->error, rc,
			"daemon: an option that this library does not know is "
			"set");
	if (rc >= 0)
		rc = take_opts(daemon, &known);
	if (rc >= 0)
		rc = begin_process(daemon);
	if (rc != 0) {
		handoff__error_copy(
			&daemon->error, known.errbuf, known.errbuf_size);
		handoff_daemon_free(daemon);
		return rc;
	}
	*out = daemon;
	return 0;
}

int
handoff_daemon_ready(struct handoff_daemon *daemon)
{
	int err;

	if (!daemon)
		return -EINVAL;
	if (daemon->ready)
		return handoff__fail(
			&daemon->error, -EALREADY, "daemon: already ready");
	if (daemon->foreground) {
		if (daemon->log)
			use_log(daemon);
	} else {
		if (chdir("/") < 0)
			return handoff__fail(&daemon->error, -errno,
				"daemon: cannot change to /: %s",
				strerror(errno));
		err = report(daemon, 0, "");
		if (err < 0)
			return handoff__fail(&daemon->error, err,
				"daemon: the process that started it has "
				"ended: there is none to report to");
	}
	daemon->ready = true;
	return 0;
}

int
handoff_daemon_fail(struct handoff_daemon *daemon, int err, const char *text)
{
	if (!daemon || err >= 0 || !text)
		return -EINVAL;
	report(daemon, err, text);
	return 0;
}

int
handoff_daemon_fd(struct handoff_daemon *daemon)
{
	return daemon ? daemon->signal_fd : -EINVAL;
}

/* The old file is still open, even if it was renamed. */
static int
reopen_log(struct handoff_daemon *daemon)
{
	static const char end[] = ": still logging to this file\n";
	char stamp[HANDOFF_STAMP_MAX];
	struct iovec line[] = {
		{.iov_base = stamp},
		{.iov_base = daemon->error.text},
		{.iov_base = (void *)(uintptr_t)end,
			.iov_len = sizeof(end) - 1},
	};
	int fd = open_log(daemon);

	if (fd < 0) {
		handoff_log_stamp(daemon->log_fd, stamp, sizeof(stamp));
		line[0].iov_len = strlen(stamp);
		line[1].iov_len = strlen(daemon->error.text);
		(void)!writev(daemon->log_fd, line, 3);
		return fd;
	}
	close(daemon->log_fd);
	daemon->log_fd = fd;
	if (daemon->logging)
		use_log(daemon);
	return 0;
}

int
handoff_daemon_dispatch(struct handoff_daemon *daemon)
{
	struct signalfd_siginfo info;
	bool due = false;

	if (!daemon)
		return -EINVAL;
	while (read(daemon->signal_fd, &info, sizeof(info)) ==
		(ssize_t)sizeof(info))
		due = true;
	return due && daemon->log ? reopen_log(daemon) : 0;
}

int
handoff_daemon_wait(struct handoff_daemon *daemon, int timeout_ms)
{
	int rc;

	if (!daemon)
		return -EINVAL;
	rc = handoff__await(daemon->signal_fd, timeout_ms);
	if (rc < 0 && rc != -EINTR)
		return handoff__fail(
			&daemon->error, rc, "daemon: poll: %s", strerror(-rc));
	return handoff_daemon_dispatch(daemon);
}

int
handoff_daemon_reopen(struct handoff_daemon *daemon)
{
	if (!daemon)
		return -EINVAL;
	return daemon->log ? reopen_log(daemon) : 0;
}

void
handoff_daemon_free(struct handoff_daemon *daemon)
{
	if (!daemon)
		return;
	handoff__pidfile_leave(&daemon->pid_file);
	if (daemon->log_fd >= 0)
		close(daemon->log_fd);
	if (daemon->signal_fd >= 0)
		close(daemon->signal_fd);
	if (daemon->line >= 0)
		close(daemon->line);
	free(daemon->pid_file.path);
	free(daemon->log);
	free(daemon);
}

const char *
handoff_daemon_errmsg(const struct handoff_daemon *daemon)
{
	return daemon ? daemon->error.text : "";
}
