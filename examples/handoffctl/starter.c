/* SPDX-License-Identifier: MIT */
/*
 * A child process of handoffctl, without a terminal, that waits for what it has
 * started and for orders. Its end, on an order, makes the program a child of
 * init: systemd watches only a main process that is its own child.
 */
#include "starter.h"

#include "child.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct starter {
	pid_t program;
	int line, signals;
	bool told;         /* handoffctl knows that it has ended */
	long long kill_at; /* ms; 0: it need not end */
	struct starter_word word;
};

static long long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* 0 if there is no such process. The name in parentheses may have any bytes,
 * proc_pid_stat(5). */
static pid_t
parent_of(pid_t pid)
{
	char path[40], text[256];
	const char *end;
	ssize_t n;
	int fd, parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	end = strrchr(text, ')');
	if (!end || sscanf(end, ") %*c %d", &parent) != 1)
		return 0;
	return parent;
}

int
starter_has(pid_t starter, pid_t pid)
{
	for (int depth = 0; pid > 1 && depth < 64; depth++) {
		pid = parent_of(pid);
		if (pid == starter)
			return 1;
	}
	return 0;
}

/* Signals all that it has started: the program's session may have been left by
 * some, such as a daemon. */
static void
signal_all(const struct starter *s, int sig)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	pid_t self = getpid();

	if (!proc) {
		kill(-s->program, sig);
		return;
	}
	while ((entry = readdir(proc))) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (isdigit((unsigned char)entry->d_name[0]) &&
			starter_has(self, pid))
			kill(pid, sig);
	}
	closedir(proc);
}

static void
tell(struct starter *s)
{
	if (!s->told)
		send(s->line, &s->word, sizeof(s->word), MSG_NOSIGNAL);
	s->told = true;
}

/* Whether anything that it has started is left. A program that ends well and
 * leaves another has gone into the background. */
static bool
reap(struct starter *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != s->program)
			continue;
		s->word.status = status;
		if (status != 0)
			tell(s);
	}
	return pid == 0;
}

static void
begin_end(struct starter *s)
{
	if (s->kill_at > 0)
		return;
	s->kill_at = now_ms() + STARTER_GRACE_MS;
	signal_all(s, SIGTERM);
	signal_all(s, SIGCONT);
}

/* False at the end of the socket, after which there are no more orders. */
static bool
obey(struct starter *s)
{
	char order = STARTER_END;
	ssize_t n = recv(s->line, &order, 1, 0);

	if (n < 0)
		return true;
	if (order == STARTER_RELEASE && s->kill_at == 0)
		_exit(0);
	begin_end(s);
	return n > 0;
}

/* What is asked for is done, at the latest when the time is over; then at once
 * and again, since a process may have been forked meanwhile. */
static int
wait_ms(struct starter *s)
{
	long long left;

	if (s->kill_at == 0)
		return -1;
	left = s->kill_at - now_ms();
	if (left > 0)
		return (int)left + 1;
	signal_all(s, SIGKILL);
	return 100;
}

static _Noreturn void
watch(struct starter *s)
{
	struct pollfd p[2] = {{.fd = s->line, .events = POLLIN},
		{.fd = s->signals, .events = POLLIN}};
	struct signalfd_siginfo info;

	while (reap(s)) {
		if (poll(p, 2, wait_ms(s)) <= 0)
			continue;
		if (p[1].revents && read(s->signals, &info, sizeof(info)) < 0)
			continue;
		if (p[0].revents && !obey(s))
			p[0].fd = -1;
	}
	tell(s);
	_exit(0);
}

/* Returns 0 or the errno of the start. The pipe ends without a byte when the
 * program has been started. */
static int
start(struct starter *s, char *const argv[], int out)
{
	int failed[2], err = 0;

	if (pipe2(failed, O_CLOEXEC) < 0)
		return errno;
	s->program = fork();
	if (s->program == 0)
		child_exec(argv, out, failed[1]);
	if (s->program < 0)
		err = errno;
	close(failed[1]);
	if (err == 0 && read(failed[0], &err, sizeof(err)) < 0)
		err = errno;
	close(failed[0]);
	return err;
}

static _Noreturn void
run(char *const argv[], int out, int line)
{
	struct starter s = {.line = line};
	sigset_t child;

	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	sigfillset(&child);
	sigprocmask(SIG_SETMASK, &child, NULL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	s.signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	s.word.errnum = s.signals < 0 ? errno : start(&s, argv, out);
	if (s.word.errnum == 0)
		watch(&s);
	tell(&s);
	_exit(1);
}

pid_t
starter_fork(char *const argv[], int out, int *line)
{
	int ends[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	pid = fork();
	err = errno;
	if (pid == 0) {
		close(ends[0]);
		run(argv, out, ends[1]);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return -err;
	}
	*line = ends[0];
	return pid;
}
