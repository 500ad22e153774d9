/* SPDX-License-Identifier: MIT */
/*
 * From a connected socket to a pidfd. The kernel's own answer comes first
 * (SO_PEERPIDFD, Linux 6.5); else the process ID of SO_PEERCRED, confirmed by
 * the pidfd that the process has sent; else, if it has no process ID here, the
 * pidfd that it has sent.
 */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* asm-generic/socket.h of Linux 6.5; other numbers on parisc and sparc. */
#if !defined(SO_PEERPIDFD) && !defined(__sparc__) && !defined(__hppa__)
#define SO_PEERPIDFD 77
#endif

#define NO_PIDFD (-2) /* not a pidfd at all */

int
handoff__process_self(void)
{
	return pidfd_open(getpid(), 0);
}

/* The process ID in this PID namespace (proc_pid_fdinfo(5)): 0 if it has none,
 * -1 if the process is gone or /proc is not mounted. */
static long
number_of(int pidfd)
{
	char path[48], text[512], *line;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	line = strstr(text, "\nPid:");
	return line ? strtol(line + 5, NULL, 10) : NO_PIDFD;
}

static int
ask_kernel(int sock)
{
#ifdef SO_PEERPIDFD
	int fd = -1;
	socklen_t len = sizeof(fd);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0)
		return fd;
	/* ENODATA, EINVAL, ESRCH: already reaped (unix(7)) */
	return errno == EINVAL || errno == ENODATA ? -ESRCH : -errno;
#else
	(void)sock;
	return -ENOPROTOOPT;
#endif
}

/* Opens the process of that ID; `passed` must not contradict it. */
static int
open_number(pid_t pid, int passed, char *why, size_t size)
{
	long number = passed >= 0 ? number_of(passed) : -1;
	int fd;

	if (number == NO_PIDFD || (number > 0 && number != pid)) {
		snprintf(why, size,
			"process %d made the connection, but the pidfd it "
			"sent is not one of that process",
			(int)pid);
		return -EPERM;
	}
	fd = pidfd_open(pid, 0);
	return fd < 0 ? -errno : fd;
}

static int
choose(int sock, int passed, pid_t pid, bool *use_passed, char *why,
	size_t size)
{
	int fd = ask_kernel(sock);

	*use_passed = false;
	if (fd >= 0 || (fd != -ENOPROTOOPT && fd != -EOPNOTSUPP))
		return fd;
	if (pid > 0)
		return open_number(pid, passed, why, size);
	if (passed >= 0 && number_of(passed) != NO_PIDFD) {
		*use_passed = true;
		return passed;
	}
	snprintf(why, size,
		"it runs in another PID namespace and has sent no pidfd: "
		"its death could not be detected");
	return -EOPNOTSUPP;
}

int
handoff__process_of(int sock, int passed, pid_t *pid, char *why, size_t size)
{
	struct ucred cred = {.pid = 0};
	socklen_t len = sizeof(cred);
	bool use_passed = false;
	int fd;

	why[0] = '\0';
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		fd = -errno;
	else
		fd = choose(sock, passed, cred.pid, &use_passed, why, size);
	if (passed >= 0 && !use_passed)
		close(passed);
	if (fd < 0 && !why[0])
		snprintf(why, size, "cannot watch its process: %s",
			strerror(-fd));
	*pid = cred.pid > 0 ? cred.pid : 0;
	return fd;
}

int
handoff__process_may_kill(int pidfd)
{
	return pidfd_send_signal(pidfd, 0, NULL, 0) < 0 ? -errno : 0;
}
