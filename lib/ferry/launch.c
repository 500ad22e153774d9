/* SPDX-License-Identifier: MIT */
/*
 * Fork and exec of the helper. Between them only what is safe in a process with
 * threads: system calls, and a message that needs no memory.
 */
#include "ferry/launch.h"

#include "ferry/note.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

char *
handoff__launch_beside(const char *name)
{
	char path[4096], *slash, *result = NULL;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n < 0)
		return NULL;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash)
		slash[1] = '\0';
	if (asprintf(&result, "%s%s", path, name) < 0)
		return NULL;
	return result;
}

struct start {
	const char *program;
	char *argv[10];
	char ferry[12], log[12], user[12];
	int fd, log_fd, null_fd;
};

/* As the helper itself says why it does not start. */
static void
tell_failure(int fd, const char *program, int err)
{
	char text[HANDOFF__GATE_TEXT];

	snprintf(text, sizeof(text), "gate: executing %.300s: %s", program,
		strerror(err));
	handoff__note_refuse(fd, -err, text);
}

static void
run(const struct start *start)
{
	char *const environment[] = {NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 0; i < 3; i++)
		dup2(start->null_fd, i);
	fcntl(start->fd, F_SETFD, 0);
	if (start->log_fd >= 0)
		fcntl(start->log_fd, F_SETFD, 0);
	execve(start->program, start->argv, environment);
	tell_failure(start->fd, start->program, errno);
}

/* The child's child is nobody's, and its end is for init to see. */
static int
spawn(const struct start *start)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		setsid();
		pid = fork();
		if (pid == 0)
			run(start);
		else if (pid < 0)
			tell_failure(start->fd, start->program, errno);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return 0;
}

/* Numbers that the helper's standard descriptors do not take. */
static int
above_standard(int fd)
{
	int copy;

	if (fd < 0 || fd > 2)
		return fd;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(fd);
	return copy;
}

static void
fill(struct start *start, const char *program, const char *dir, uint32_t user)
{
	char **arg = start->argv;

	snprintf(start->ferry, sizeof(start->ferry), "%d", start->fd);
	snprintf(start->log, sizeof(start->log), "%d", start->log_fd);
	snprintf(start->user, sizeof(start->user), "%u", user);
	start->program = program;
	*arg++ = (char *)(uintptr_t) "handoff-unfreeze";
	*arg++ = (char *)(uintptr_t) "--dir";
	*arg++ = (char *)(uintptr_t)dir;
	*arg++ = (char *)(uintptr_t) "--ferry";
	*arg++ = start->ferry;
	*arg++ = (char *)(uintptr_t) "--user";
	*arg++ = start->user;
	if (start->log_fd >= 0) {
		*arg++ = (char *)(uintptr_t) "--log";
		*arg++ = start->log;
	}
	*arg = NULL;
}

int
handoff__launch(const char *program, const char *dir, uint32_t user, int log_fd,
	struct handoff__error *error)
{
	struct start start = {.log_fd = -1};
	int ends[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0, ends) < 0)
		return handoff__fail(error, -errno,
			"gate: a pair of sockets: %s", strerror(errno));
	start.fd = above_standard(ends[1]);
	start.null_fd = above_standard(open("/dev/null", O_RDWR | O_CLOEXEC));
	if (log_fd >= 0)
		start.log_fd = fcntl(log_fd, F_DUPFD_CLOEXEC, 3);
	fill(&start, program, dir, user);
	err = start.fd < 0 || start.null_fd < 0 ? -EMFILE : spawn(&start);
	if (start.fd >= 0)
		close(start.fd);
	if (start.null_fd >= 0)
		close(start.null_fd);
	if (start.log_fd >= 0)
		close(start.log_fd);
	if (err == 0)
		return ends[0];
	close(ends[0]);
	return handoff__fail(
		error, err, "gate: starting %s: %s", program, strerror(-err));
}
