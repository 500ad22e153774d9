/* SPDX-License-Identifier: MIT */
/* Many subscribers of the board's transport; see crowd.h. */
#include "notice/crowd.h"

#include "notice/board.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
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

/* A transport of this host knows its subscribers. */
static void
check_counts(uint64_t killed)
{
	if (!board.folder)
		return;
	assert_int_equal(board.pub.told.reached + board.pub.told.full,
		each * PROCESSES * 4 / 5);
	assert_int_equal(killed, each * PROCESSES / 5);
}

void
crowd_scene(int count)
{
	pid_t pids[PROCESSES] = {0};
	uint64_t killed = 0;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(shared != MAP_FAILED);
	each = count / PROCESSES;
	support_need_descriptors((unsigned)each * 5 + 50);
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
	check_counts(killed);
	shared->all = 1;
	signal_role(pids, STOPS, SIGCONT);
	reap_all(pids);
	if (board.folder)
		assert_int_equal(board_files(NULL), 0);
	munmap(shared, sizeof(*shared));
}
