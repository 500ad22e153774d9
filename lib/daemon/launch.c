/* SPDX-License-Identifier: MIT */
/*
 * Two forks and the wait for their outcome. The first process makes the new
 * session and is its leader; the second is not, so that no terminal it opens
 * can become its controlling one (setsid(2)). While it waits, the starter is
 * the reaper of orphans: so it learns what the daemon died of.
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
	/* ECONNRESET too: the starter ended with a note unread. */
	return send(line, &note, sizeof(note), MSG_NOSIGNAL) < 0 ? -EPIPE : 0;
}

/* Returns in the daemon only. */
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

/* The next note: 1, or 0 if no more can come. Others than the daemon, its
 * children say, may hold the line open: so its end is watched for too. */
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
			continue; /* the note is still there */
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

/* Waits for the end of a daemon that does not serve, so that all it held is
 * free, and says what it died of. */
static void
bury(pid_t pid, int pidfd, struct handoff__error *error)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int status;

	if (pid == 0)
		handoff__fail(
			error, 0, "daemon: the new process ended at once");
	else if (pidfd >= 0 && poll(&p, 1, END_MS) == 0)
		handoff__fail(error, 0,
			"daemon: process %d does not say whether it serves",
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

/* In the starter. */
static int
attend(int line, struct handoff__error *error)
{
	struct note note = {.what = BORN};
	int pidfd = -1, told;

	while ((told = next_note(line, pidfd, &note)) > 0 && note.what == BORN)
		pidfd = pidfd_open(note.pid, 0);
	if (!told || note.what != SERVES)
		bury(note.pid, pidfd, error);
	if (pidfd >= 0)
		close(pidfd);
	if (!told)
		return -ESRCH;
	if (note.what == SERVES)
		return 1;
	return handoff__fail(error, note.what, "%s", note.text);
}

/* A fork takes one thread along and leaves the locks of the others locked. The
 * folder has a link for each (proc(5)). */
static int
check_threads(struct handoff__error *error)
{
	struct stat st;

	if (stat("/proc/self/task", &st) < 0 || st.st_nlink <= 3)
		return 0;
	return handoff__fail(error, -EBUSY,
		"daemon: this process has %d threads: start before there are "
		"any",
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
			"daemon: cannot make a socket: %s", strerror(errno));
	fflush(NULL); /* or both would print what is buffered */
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
		rc = attend(ends[0], error);
	}
	close(ends[0]);
	prctl(PR_SET_CHILD_SUBREAPER, (unsigned long)was);
	return rc;
}
