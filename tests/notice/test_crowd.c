/* SPDX-License-Identifier: MIT */
/*
 * Two hundred subscribers of each transport in twenty processes, of which some
 * are killed, some are stopped, some do not read and some come late, while
 * notices are published: in the end each living one has the latest, and none
 * has got an older one after a newer. With HANDOFF_LONG two thousand sockets.
 */
#include "notice/board.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 20
#define EACH_MOST 100
#define ROUNDS    60
#define LAST      1000
#define CANNOT    77 /* exit status: a limit of this machine */

enum role { READS, DIES, STOPS, IDLES, LATE };

struct shared {
	_Atomic int ready;
	_Atomic int all; /* read now, also those that idle */
	_Atomic int have[PROCESSES];
};

static struct shared *shared;
static int each;

static enum role
role_of(int i)
{
	return (enum role)(i % 5);
}

/* Pulls what there is; whether it has the last one now. -1: out of order. */
static int
pull_all(struct handoff_subscriber *sub, uint64_t *seen)
{
	const struct handoff_notice *n;
	int rc;

	while ((rc = handoff_subscriber_next(sub, &n)) > 0) {
		if (n->seq <= *seen)
			return -1;
		*seen = n->seq;
	}
	return rc < 0 ? rc : *seen == LAST;
}

static void __attribute__((noreturn)) play(int who)
{
	static struct handoff_subscriber *subs[EACH_MOST];
	static struct pollfd fds[EACH_MOST];
	static uint64_t seen[EACH_MOST];
	int have = 0, rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < each; i++) {
		rc = board_subscribe(&subs[i]);
		if (rc < 0) {
			fprintf(stderr, "%s\n", board.sentence);
			_exit(rc == -EMFILE || rc == -ENOSPC ? CANNOT : 1);
		}
		fds[i].fd = handoff_subscriber_fd(subs[i]);
		fds[i].events = POLLIN;
	}
	shared->ready++;
	while (role_of(who) == IDLES && !shared->all)
		poll(NULL, 0, 5);
	while (have < each) {
		poll(fds, (nfds_t)each, 100);
		have = 0;
		for (int i = 0; i < each; i++) {
			rc = pull_all(subs[i], &seen[i]);
			if (rc < 0)
				_exit(2);
			have += rc;
		}
	}
	shared->have[who] = have;
	for (int i = 0; i < each; i++)
		handoff_subscriber_free(subs[i]);
	_exit(0);
}

/* Limits of a namespace of its own, where that is allowed. */
static void
make_room(void)
{
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

	if (unshare(CLONE_NEWIPC) < 0 || setrlimit(RLIMIT_MSGQUEUE, &all) < 0)
		printf("with the limits of this host\n");
}

/* One that could not subscribe has ended. */
static void
check_started(const pid_t pids[PROCESSES], bool late)
{
	int status = 0;

	for (int i = 0; i < PROCESSES; i++) {
		if ((role_of(i) == LATE) != late ||
			waitpid(pids[i], &status, WNOHANG) == 0)
			continue;
		for (int k = 0; k < PROCESSES; k++) {
			if (pids[k] > 0)
				kill(pids[k], SIGKILL);
		}
		while (wait(NULL) > 0)
			;
		board_end();
		if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
			skip();
		fail_msg("a subscriber: status %d", status);
	}
}

static void
start(pid_t pids[PROCESSES], bool late)
{
	int wanted = shared->ready;

	for (int i = 0; i < PROCESSES; i++) {
		if ((role_of(i) == LATE) != late)
			continue;
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0)
			play(i);
		wanted++;
	}
	for (int i = 0; i < 6000 && shared->ready < wanted; i++) {
		check_started(pids, late);
		poll(NULL, 0, 5);
	}
	assert_int_equal(shared->ready, wanted);
}

static void
signal_role(const pid_t pids[PROCESSES], enum role role, int sig)
{
	for (int i = 0; i < PROCESSES; i++) {
		if (role_of(i) == role)
			kill(pids[i], sig);
	}
}

/* Until they are dead; they are reaped at the end. */
static void
kill_some(const pid_t pids[PROCESSES])
{
	siginfo_t info;

	signal_role(pids, DIES, SIGKILL);
	for (int i = 0; i < PROCESSES; i++) {
		if (role_of(i) == DIES)
			assert_int_equal(waitid(P_PID, (id_t)pids[i], &info,
						 WEXITED | WNOWAIT),
				0);
	}
}

static void
publish(uint64_t seq)
{
	struct handoff_notice n =
		board_notice(HANDOFF_NOTICE_MAINTENANCE, 1, seq);

	board_publish(&n);
}

static void
reap_all(const pid_t pids[PROCESSES])
{
	for (int i = 0; i < PROCESSES; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		if (role_of(i) == DIES)
			continue;
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
		assert_int_equal(shared->have[i], each);
	}
}

static void
scene(const char *prefix, const char *folder, int count)
{
	pid_t pids[PROCESSES] = {0};
	uint64_t killed = 0;

	support_not_in_valgrind();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(shared != MAP_FAILED);
	each = count / PROCESSES;
	support_need_descriptors((unsigned)each * 3 + 50);
	board_begin_on(prefix, folder);
	start(pids, false);
	signal_role(pids, STOPS, SIGSTOP);
	for (uint64_t seq = 1; seq <= ROUNDS; seq++) {
		if (seq == ROUNDS / 3)
			kill_some(pids);
		if (seq == ROUNDS / 2)
			start(pids, true);
		publish(seq);
		assert_int_equal(board.pub.told.failed, 0);
		killed += board.pub.told.pruned;
	}
	publish(LAST);
	killed += board.pub.told.pruned;
	assert_int_equal(board.pub.told.reached + board.pub.told.full,
		each * PROCESSES * 4 / 5);
	assert_int_equal(killed, each * PROCESSES / 5);
	shared->all = 1;
	signal_role(pids, STOPS, SIGCONT);
	reap_all(pids);
	assert_int_equal(board_files(NULL), 0);
	board_end();
	munmap(shared, sizeof(*shared));
}

static void
test_mq(void **state)
{
	(void)state;
	scene("mq:", "subscribers", 200);
}

static void
test_sysv(void **state)
{
	(void)state;
	scene("sysv:", "subscribers.sysv", 200);
}

static void
test_unix(void **state)
{
	(void)state;
	scene("unix:", "subscribers.unix", getenv("HANDOFF_LONG") ? 2000 : 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_mq),
		handoff_test(test_sysv),
		handoff_test(test_unix),
	};

	make_room();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
