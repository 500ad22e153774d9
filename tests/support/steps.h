/* SPDX-License-Identifier: MIT */
/*
 * A child that is single-stepped, and killed after so many instructions.
 */
#ifndef TESTS_SUPPORT_STEPS_H
#define TESTS_SUPPORT_STEPS_H

#include "support/support.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

/* The child has called PTRACE_TRACEME and raised SIGSTOP, or left with 2 where
 * nothing can be traced: then the test is skipped. Returns how many
 * instructions it had: fewer than `most`, if it left before, with 0. */
static inline unsigned
steps_die(pid_t pid, unsigned most)
{
	unsigned n;
	int status;

	for (n = 0; n <= most; n++) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		if (n < most)
			assert_int_equal(
				ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	}
	if (n > most) {
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		return most;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		skip();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return n;
}

#endif
