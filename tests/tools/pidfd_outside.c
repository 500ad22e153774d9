/* SPDX-License-Identifier: MIT */
/*
 * Run by pidfd.c, outside of valgrind: "open PID" sends a pidfd over standard
 * input, a socket; "kill SIGNAL" signals the pidfd that standard output is.
 * Exits with the errno.
 */
#include <handoff/fdpass.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

static int
open_and_send(pid_t pid)
{
	int rc, fd = pidfd_open(pid, 0);

	if (fd < 0)
		return errno;
	rc = handoff_fdpass_send(STDIN_FILENO, &fd, 1, "", 0);
	return rc == 1 ? 0 : rc == 0 ? EAGAIN : -rc;
}

int
main(int argc, char **argv)
{
	int n = argc == 3 ? atoi(argv[2]) : 0;

	if (argc == 3 && strcmp(argv[1], "open") == 0)
		return open_and_send(n);
	if (argc == 3 && strcmp(argv[1], "kill") == 0)
		return pidfd_send_signal(STDOUT_FILENO, n, NULL, 0) < 0 ? errno
									: 0;
	return EINVAL;
}
