/* SPDX-License-Identifier: MIT */
/*
 * A process whose dead-man timer is not set anew dies in time, whatever it does
 * then; its child dies with it if it has asked for that.
 */
#include "support/support.h"

#include "base/deadman.h"
#include "base/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS      UINT64_C(1000000)
#define LIFE_NS (100 * MS)
/* of the process's end; the machine may be busy */
#define LATE_NS (2000 * MS)

enum way {
	WAITING,
	SPINNING,
	STOPPED,
	DEAF, /* waits, and has every signal blocked */
};

static void __attribute__((noreturn)) live(enum way way, uint64_t at_ns)
{
	struct handoff__deadman deadman = {.made = false};
	sigset_t all;

	if (handoff__deadman_set(&deadman, at_ns) < 0)
		_exit(1);
	if (way == STOPPED)
		raise(SIGSTOP);
	sigfillset(&all);
	if (way == DEAF)
		sigprocmask(SIG_BLOCK, &all, NULL);
	for (;;) {
		if (way != SPINNING)
			pause();
	}
}

static void
assert_killed(pid_t pid, uint64_t at_ns)
{
	uint64_t now;
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	now = handoff__boot_ns();
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_true(now >= at_ns);
	assert_true(now < at_ns + LATE_NS);
}

static void
check_death(enum way way)
{
	uint64_t at_ns = handoff__boot_ns() + LIFE_NS;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		live(way, at_ns);
	assert_killed(pid, at_ns);
}

static void
it_dies_in_time_whatever_it_does(void **state)
{
	(void)state;
	check_death(WAITING);
	check_death(SPINNING);
	check_death(STOPPED);
	check_death(DEAF);
}

static void
a_time_that_has_passed_is_now(void **state)
{
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		live(WAITING, 1);
	assert_killed(pid, 1 + handoff__boot_ns() - LATE_NS / 2);
}

/* Lives on: it sets the time anew, and in the end none. */
static void
it_lives_as_long_as_it_sets_it_anew(void **state)
{
	struct handoff__deadman deadman = {.made = false};
	uint64_t begun = handoff__boot_ns(), now = begun;

	(void)state;
	while (now < begun + 2 * LIFE_NS) {
		assert_int_equal(
			handoff__deadman_set(&deadman, now + 10 * LATE_NS), 0);
		assert_int_equal(deadman.at_ns, now + 10 * LATE_NS);
		poll(NULL, 0, 10);
		now = handoff__boot_ns();
	}
	assert_int_equal(
		handoff__deadman_set(&deadman, begun + 3 * LATE_NS), 0);
	assert_int_equal(handoff__deadman_set(&deadman, 0), 0);
	assert_int_equal(deadman.at_ns, 0);
	handoff__deadman_fini(&deadman);
	assert_false(deadman.made);
	handoff__deadman_fini(&deadman);
}

/* As a child of model fork; it tells its end by the pipe's. */
static void __attribute__((noreturn)) live_as_child(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	for (;;)
		pause();
}

static void
its_children_die_with_it(void **state)
{
	uint64_t at_ns = handoff__boot_ns() + LIFE_NS;
	int life[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(life, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		pid_t parent = getpid();

		close(life[0]);
		if (fork() == 0)
			live_as_child(parent);
		live(STOPPED, at_ns);
	}
	close(life[1]);
	assert_killed(pid, at_ns);
	assert_true(support_poll(life[0], POLLIN) & POLLHUP);
	close(life[0]);
}

/* A child of one that has a timer has none itself. */
static void
a_child_has_no_timer(void **state)
{
	struct handoff__deadman deadman = {.made = false};
	struct itimerspec left;
	pid_t pid;

	(void)state;
	assert_int_equal(handoff__deadman_set(
				 &deadman, handoff__boot_ns() + 10 * LATE_NS),
		0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(timer_gettime(deadman.timer, &left) < 0 ? 0 : 1);
	support_reap(pid);
	handoff__deadman_fini(&deadman);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(it_dies_in_time_whatever_it_does),
		handoff_test(a_time_that_has_passed_is_now),
		handoff_test(it_lives_as_long_as_it_sets_it_anew),
		handoff_test(its_children_die_with_it),
		handoff_test(a_child_has_no_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
