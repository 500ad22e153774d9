/* SPDX-License-Identifier: MIT */
/*
 * The program handoff-ferry: command line, log, signals, and the loop. Events
 * go to standard output, the log to standard error or its file. All else is
 * ferry.c's.
 */
#include "ferry/ferry.h"
#include "ferry/options.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct program {
	struct handoff__ferry *ferry;
	struct handoff__ferry_options options;
	struct handoff__watch signals;
	int log_fd;
};

static void
write_log(enum handoff_log_level level, const char *text, void *arg)
{
	const struct program *program = arg;
	char at[HANDOFF_STAMP_MAX];

	if (level <= HANDOFF_LOG_INFO || program->options.verbose)
		dprintf(program->log_fd, "%s%s: %s\n",
			handoff_log_stamp(program->log_fd, at, sizeof(at)),
			program->options.name, text);
}

static int
open_log(struct program *program)
{
	int fd;

	if (!program->options.log)
		return 0;
	fd = open(program->options.log,
		O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0)
		return -errno;
	if (program->log_fd != STDERR_FILENO)
		close(program->log_fd);
	program->log_fd = fd;
	return 0;
}

/* SIGHUP opens the log anew; the others stop. */
static void
on_signal(struct handoff__watch *watch, uint32_t events)
{
	struct program *program = watch->arg;
	struct signalfd_siginfo info;

	(void)events;
	while (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGHUP)
			handoff__ferry_stop(program->ferry);
		else if (open_log(program) < 0)
			write_log(HANDOFF_LOG_ERROR,
				"cannot open the log again: goes on with the "
				"old file",
				program);
	}
}

static int
watch_signals(struct program *program)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	program->signals.fn = on_signal;
	program->signals.arg = program;
	return fd;
}

static int
run(struct program *program)
{
	struct handoff__error error = {.text = ""};
	struct handoff__log log = {.fn = write_log, .arg = program};
	int signals = watch_signals(program), err;

	if (signals < 0)
		return 1;
	err = handoff__ferry_open(
		&program->ferry, &program->options, &log, &error);
	if (err == 0)
		err = handoff__watch_add(&program->ferry->loop,
			&program->signals, signals, EPOLLIN);
	if (err == 0)
		err = handoff__ferry_run(program->ferry, &error);
	if (err < 0)
		fprintf(stderr, "handoff-ferry: %s\n",
			error.text[0] ? error.text : strerror(-err));
	handoff__ferry_free(program->ferry);
	close(signals);
	return err < 0 ? 1 : 0;
}

int
main(int argc, char **argv)
{
	struct program program = {.log_fd = STDERR_FILENO};
	struct handoff__error error;
	int asked = handoff__ferry_options_read(
		&program.options, argc, argv, &error);

	if (asked == HANDOFF__FERRY_HELP)
		return fputs(handoff__ferry_options_help(), stdout) < 0;
	if (asked == HANDOFF__FERRY_VERSION)
		return printf("handoff-ferry %s\n", handoff_version()) < 0;
	if (asked < 0) {
		fprintf(stderr, "handoff-ferry: %s; see --help\n", error.text);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	asked = open_log(&program);
	if (asked < 0) {
		fprintf(stderr, "handoff-ferry: log %s: %s\n",
			program.options.log, strerror(-asked));
		return 1;
	}
	return run(&program);
}
