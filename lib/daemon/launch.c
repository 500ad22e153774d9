/* SPDX-License-Identifier: MIT */
/*
 * Forks twice and waits for the outcome. The first process creates the session
 * and leads it; the second is not the leader, so that no terminal it opens can
 * become its controlling terminal (setsid(2)). The starter is a subreaper while
 * it waits, so that it learns how the daemon died.
 */
#include "daemon/launch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_MS 5000

#define BORN   1
#define SERVES 0

struct note {
	pid_t pid;
	int what; /* BORN, SERVES or a negative errno */
	char text[HANDOFF_TEXT_MAX];
};

int
handoff__launch_report(int line, int what, const char *text)
{
	struct note note = {.pid = getpid(), .what = what};

	handoff__copy(note.text, sizeof(note.text), text);
	/* ECONNRESET too: the starter ended with a message unread. */
	return send(line, &note, sizeof(note), MSG_NOSIGNAL) < 0 ? -EPIPE : 0;
}

/* Returns only in the daemon. */
static void
detach(int line)
{
	struct handoff__error error;
	pid_t pid;

	setsid();
	pid = fork();
	if (pid < 0)
		handoff__launch_report(line,
			handoff__fail(&error, -errno, "daemon: cannot fork: %s",
				strerror(errno)),
			error.text);
	if (pid != 0)
		_exit(0);
	handoff__launch_report(line, BORN, "");
}

/* Receives the next message: 1, or 0 if none can come any more. Other
 * processes, such as children of the daemon, may hold the socket open, so the
 * daemon's pidfd is watched too. */
static int
next_note(int line, int pidfd, struct note *note)
{
	struct pollfd p[] = {{.fd = line, .events = POLLIN},
		{.fd = pidfd, .events = POLLIN}};

	for (;;) {
		ssize_t n;

		if (poll(p, 2, -1) < 0)
			continue;
		n = recv(line, note, sizeof(*note), MSG_DONTWAIT);
		if (n == (ssize_t)sizeof(*note))
			return 1;
		if (n < 0 && (errno == EINTR || errno == ENOMEM))
			continue; /* the message is still there */
		if (n >= 0 || errno != EAGAIN || p[1].revents)
			return 0;
	}
}

static pid_t
reap(pid_t pid, int *status, int flags)
{
	pid_t got;

	do {
		got = waitpid(pid, status, flags);
	} while (got < 0 && errno == EINTR);
	return got;
}

/* Waits until a daemon that does not serve has ended, so that all its resources
 * are free, and describes how it ended. */
static void
explain_end(pid_t pid, int pidfd, struct handoff__error *error)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int status;

	if (pid == 0)
		handoff__fail(
			error, 0, "daemon: the new process ended immediately");
	else if (pidfd >= 0 && poll(&p, 1, END_MS) == 0)
		handoff__fail(error, 0,
			"daemon: process %d does not report whether it serves",
			(int)pid);
	else if (reap(pid, &status, WNOHANG) != pid)
		handoff__fail(error, 0,
			"daemon: process %d ended before it served", (int)pid);
	else if (WIFSIGNALED(status))
		handoff__fail(error, 0,
			"daemon: process %d was killed by signal %d (%s) "
			"before it served",
			(int)pid, WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		handoff__fail(error, 0,
			"daemon: process %d ended with status %d before it "
			"served",
			(int)pid, WEXITSTATUS(status));
}

/* In the starter: waits until the daemon serves or has failed. */
static int
await_daemon(int line, struct handoff__error *error)
{
	struct note note = {.what = BORN};
	int pidfd = -1, more;

	while ((more = next_note(line, pidfd, &note)) > 0 && note.what == BORN)
		pidfd = pidfd_open(note.pid, 0);
	if (!more || note.what != SERVES)
		explain_end(note.pid, pidfd, error);
	if (pidfd >= 0)
		close(pidfd);
	if (!more)
		return -ESRCH;
	if (note.what == SERVES)
		return 1;
	return handoff__fail(error, note.what, "%s", note.text);
}

/* A fork copies only the calling thread and leaves other threads' locks locked.
 * /proc/self/task has one link per thread (proc(5)), and two of its own. */
static int
check_threads(struct handoff__error *error)
{
	struct stat st;

	if (stat("/proc/self/task", &st) < 0 || st.st_nlink <= 3)
		return 0;
	return handoff__fail(error, -EBUSY,
		"daemon: this process has %d threads: start the daemon "
		"before any thread",
		(int)st.st_nlink - 2);
}

int
handoff__launch(int *line, struct handoff__error *error)
{
	int ends[2], was = 0;
	int rc = check_threads(error);
	pid_t pid;

	if (rc < 0)
		return rc;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return handoff__fail(error, -errno,
			"daemon: cannot create a socket: %s", strerror(errno));
	fflush(NULL); /* or both processes would flush the same buffered
		       * output */
	prctl(PR_GET_CHILD_SUBREAPER, &was);
	prctl(PR_SET_CHILD_SUBREAPER, 1UL);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		detach(ends[1]);
		*line = ends[1];
		return 0;
	}
	if (pid < 0)
		rc = handoff__fail(error, -errno, "daemon: cannot fork: %s",
			strerror(errno));
	close(ends[1]);
	if (pid > 0) {
		reap(pid, NULL, 0);
		rc = await_daemon(ends[0], error);
	}
	close(ends[0]);
	prctl(PR_SET_CHILD_SUBREAPER, (unsigned long)was);
	return rc;
}
