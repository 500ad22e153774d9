/* SPDX-License-Identifier: MIT */
/*
 * The last calls before execve(2), all of them async-signal-safe.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static void
default_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn void
child_exec(char *const argv[], int out, int failed)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int err;

	setsid();
	default_signals();
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
		(out < 0 || (dup2(out, STDOUT_FILENO) >= 0 &&
				    dup2(out, STDERR_FILENO) >= 0)))
		execvp(argv[0], argv);
	err = errno;
	if (failed >= 0 && write(failed, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}
