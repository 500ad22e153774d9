/* SPDX-License-Identifier: MIT */
/*
 * The process at the other end of a socket, where the kernel says which it is,
 * and where it does not: an older one, or a process of another PID namespace.
 * getsockopt is wrapped to be both. Nothing is left open (support.h).
 */
#include "support/support.h"

#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static int no_pidfd, no_cred; /* an errno */
static pid_t cred_pid;        /* -1: as it is */
static int ends[2];
static char why[256];
static pid_t told;

int __real_getsockopt(int fd, int level, int name, void *to, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *to, socklen_t *len);

int
__wrap_getsockopt(int fd, int level, int name, void *to, socklen_t *len)
{
	int err = name == SO_PEERPIDFD  ? no_pidfd
		  : name == SO_PEERCRED ? no_cred
					: 0,
	    rc;

	if (err != 0) {
		errno = err;
		return -1;
	}
	rc = __real_getsockopt(fd, level, name, to, len);
	if (rc == 0 && name == SO_PEERCRED && cred_pid >= 0)
		((struct ucred *)to)->pid = cred_pid;
	return rc;
}

static int
setup(void **state)
{
	no_pidfd = no_cred = 0;
	cred_pid = -1;
	if (support_setup(state) < 0)
		return -1;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int
teardown(void **state)
{
	close(ends[0]);
	close(ends[1]);
	return support_teardown(state);
}

#define process_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static int
ask(int passed)
{
	memset(why, 'x', sizeof(why) - 1);
	told = -1;
	return handoff__process_of(ends[0], passed, &told, why, sizeof(why));
}

/* `fd` is a pidfd of this process, and is closed. */
static void
assert_is_this(int fd)
{
	char path[64], text[512];
	char line[32];
	int info;
	ssize_t n;

	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	n = read(info, text, sizeof(text) - 1);
	close(info);
	assert_true(n > 0);
	text[n] = '\0';
	snprintf(line, sizeof(line), "\nPid:\t%d\n", (int)getpid());
	assert_non_null(strstr(text, line));
	close(fd);
}

static void
assert_refused(int err, int wanted, const char *words)
{
	assert_int_equal(err, wanted);
	if (!strstr(why, words))
		fail_msg("\"%s\" does not say \"%s\"", why, words);
}

/* A process that lives until the test kills it. */
static pid_t
another(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static void
end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
kernel_says_it(void **state)
{
	(void)state;
	assert_is_this(ask(-1));
	assert_int_equal(told, getpid());
	assert_is_this(ask(handoff__process_self()));
}

/* It has been reaped: nothing can be said of a process ID any more. */
static void
kernel_says_that_it_is_gone(void **state)
{
	static const int gone[] = {EINVAL, ENODATA, ESRCH};

	(void)state;
	for (size_t i = 0; i < sizeof(gone) / sizeof(*gone); i++) {
		no_pidfd = gone[i];
		assert_refused(ask(handoff__process_self()), -ESRCH,
			"cannot watch its process: No such process");
	}
}

static void
older_kernel_goes_by_the_number(void **state)
{
	(void)state;
	no_pidfd = ENOPROTOOPT;
	assert_is_this(ask(-1));
	assert_int_equal(told, getpid());
	assert_is_this(ask(handoff__process_self()));
	assert_int_equal(told, getpid());
}

/* The number may be used again by now: what was sent must be the same. */
static void
what_was_sent_must_not_contradict(void **state)
{
	pid_t pid = another();

	(void)state;
	no_pidfd = ENOPROTOOPT;
	assert_refused(ask(pidfd_open(pid, 0)), -EPERM,
		"but the pidfd it sent is not one of that process");
	assert_refused(ask(open("/dev/null", O_RDONLY | O_CLOEXEC)), -EPERM,
		"but the pidfd it sent is not one of that process");
	end(pid);
}

static void
number_of_a_process_that_is_gone(void **state)
{
	pid_t pid = another();
	int passed = pidfd_open(pid, 0);

	(void)state;
	end(pid);
	no_pidfd = ENOPROTOOPT;
	cred_pid = pid;
	assert_refused(ask(passed), -ESRCH, "cannot watch its process");
	assert_int_equal(told, pid);
}

/* It has no number here, and is known by what it has sent. */
static void
another_namespace(void **state)
{
	int passed = handoff__process_self();

	(void)state;
	no_pidfd = EOPNOTSUPP;
	cred_pid = 0;
	assert_int_equal(ask(passed), passed);
	assert_int_equal(told, 0);
	assert_is_this(passed);
	assert_refused(ask(-1), -EOPNOTSUPP,
		"it runs in another PID namespace and has sent no pidfd");
	assert_refused(ask(open("/dev/null", O_RDONLY | O_CLOEXEC)),
		-EOPNOTSUPP, "has sent no pidfd");
}

static void
kernel_says_nothing(void **state)
{
	(void)state;
	no_cred = ENOTCONN;
	assert_refused(ask(handoff__process_self()), -ENOTCONN,
		"cannot watch its process");
	assert_int_equal(told, 0);
}

static void
own_children_may_be_killed(void **state)
{
	pid_t pid = another();
	int fd = pidfd_open(pid, 0);

	(void)state;
	assert_int_equal(handoff__process_may_kill(fd), 0);
	end(pid);
	assert_int_equal(handoff__process_may_kill(fd), -ESRCH);
	close(fd);
	assert_int_equal(handoff__process_may_kill(ends[0]), -EBADF);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		process_test(kernel_says_it),
		process_test(kernel_says_that_it_is_gone),
		process_test(older_kernel_goes_by_the_number),
		process_test(what_was_sent_must_not_contradict),
		process_test(number_of_a_process_that_is_gone),
		process_test(another_namespace),
		process_test(kernel_says_nothing),
		process_test(own_children_may_be_killed),
	};

	return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
