/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into a program under valgrind 3.19, which answers pidfd_open(2)
 * and pidfd_send_signal(2) by ENOSYS: both are done by a program of its own,
 * for valgrind does not follow it.
 */
#include <handoff/fdpass.h>

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Starts the program with `fd` as its standard descriptor `as`, and waits for
 * its end: 0, or -1 with errno. */
static int
outside(const char *what, int n, int fd, int as)
{
	char number[16];
	char program[] = PIDFD_OUTSIDE, verb[8];
	char *argv[] = {program, verb, number, NULL};
	/* Without the preload and what else is the caller's. */
	char *envp[] = {NULL};
	posix_spawn_file_actions_t actions;
	int status = -1, rc;
	pid_t pid;

	snprintf(number, sizeof(number), "%d", n);
	snprintf(verb, sizeof(verb), "%s", what);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, as);
	rc = posix_spawn(&pid, program, &actions, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	/* Where SIGCHLD is ignored no status is kept (wait(2)). */
	if (rc == 0 && waitpid(pid, &status, 0) == pid)
		rc = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
	errno = rc;
	return rc == 0 ? 0 : -1;
}

int
pidfd_open(pid_t pid, unsigned flags)
{
	int pair[2], fd = -1, saved;
	size_t nfds = 1, len = 0;

	(void)flags;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	if (outside("open", pid, pair[1], STDIN_FILENO) == 0 &&
		handoff_fdpass_recv(pair[0], &fd, &nfds, "", &len) != 1)
		errno = EMFILE;
	saved = errno;
	close(pair[0]);
	close(pair[1]);
	errno = saved;
	return fd;
}

int
pidfd_send_signal(int pidfd, int sig, siginfo_t *info, unsigned flags)
{
	(void)info;
	(void)flags;
	return outside("kill", sig, pidfd, STDOUT_FILENO);
}
