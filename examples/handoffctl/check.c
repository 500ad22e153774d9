/* SPDX-License-Identifier: MIT */
/*
 * Starts the command and notes its end, by a process between the two: that ends
 * the command if handoffctl is killed. How long it may take is its caller's
 * matter.
 */
#include "check.h"

#include "child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* It may not have called setsid(2) yet, and then is alone. */
static void
kill_session(pid_t pid)
{
	if (kill(-pid, SIGKILL) < 0)
		kill(pid, SIGKILL);
}

/* Ends as the command has ended. */
static _Noreturn void
end_as(int status)
{
	sigset_t set;

	if (!WIFSIGNALED(status))
		_exit(WEXITSTATUS(status));
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* one core file is enough */
	signal(WTERMSIG(status), SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, WTERMSIG(status));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(WTERMSIG(status));
	_exit(1);
}

/* SIGTERM is the order to end, which the kernel gives if handoffctl dies. */
static _Noreturn void
guard(char *const argv[], pid_t parent)
{
	sigset_t set;
	int status;
	pid_t pid;

	setsid();
	signal(SIGTERM, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	pid = getppid() == parent ? fork() : -1;
	if (pid == 0)
		child_exec(argv, STDERR_FILENO, -1);
	if (pid < 0)
		_exit(126);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (sigwaitinfo(&set, NULL) == SIGTERM)
			kill_session(pid);
	}
	end_as(status);
}

bool
check_start(struct check *check, const char *command, const char *dir)
{
	char *text = strdup(command);
	char *const argv[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, text, NULL};
	pid_t self = getpid();
	int err;

	memset(check, 0, sizeof(*check));
	setenv("HANDOFF_DIR", dir, 1);
	check->pid = text ? fork() : -1;
	err = errno;
	if (check->pid == 0)
		guard(argv, self);
	free(text);
	if (check->pid < 0)
		snprintf(check->how, sizeof(check->how),
			"could not be started: %s", strerror(err));
	return check->pid > 0;
}

bool
check_ended(struct check *check)
{
	int status;

	if (check->pid <= 0)
		return true;
	if (waitpid(check->pid, &status, WNOHANG) == 0)
		return false;
	check->pid = 0;
	if (WIFSIGNALED(status))
		snprintf(check->how, sizeof(check->how),
			"was killed by signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		snprintf(check->how, sizeof(check->how),
			"ended with exit status %d", WEXITSTATUS(status));
	return true;
}

void
check_kill(struct check *check)
{
	if (check->pid <= 0)
		return;
	kill(check->pid, SIGTERM);
	waitpid(check->pid, NULL, 0);
	check->pid = 0;
}
