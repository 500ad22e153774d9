/* SPDX-License-Identifier: MIT */
/*
 * Two hundred subscribers in twenty processes, of which some are killed, some
 * are stopped, some do not read and some come late, while notices are published
 * and the server is killed in between: in the end each living one has the
 * latest notice, and none has got an older one after a newer. The processes are
 * this program again: the NATS library does not survive fork(2).
 */
#include "nats/place.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 20
#define EACH      10
#define ROUNDS    60
#define LAST      1000

enum role { READS, DIES, STOPS, IDLES, LATE };

struct shared {
	_Atomic int ready;
	_Atomic int all; /* read now, also those that idle */
	_Atomic int have[PROCESSES];
};

static struct shared *shared;
static int shared_fd;

static enum role
role_of(int i)
{
	return (enum role)(i % 5);
}

static void
map_shared(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED,
		shared_fd, 0);
	if (shared == MAP_FAILED)
		abort();
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

/* test_nats_crowd WHO FD ADDRESS */
static int
play(char **argv)
{
	struct handoff_subscriber *subs[EACH];
	uint64_t seen[EACH] = {0};
	struct pollfd fds[EACH];
	int who = atoi(argv[1]), have = 0, rc;

	shared_fd = atoi(argv[2]);
	map_shared();
	if (handoff_nats_register() < 0)
		return 1;
	for (int i = 0; i < EACH; i++) {
		struct handoff_subscriber_opts opts = {
			.size = sizeof(opts), .address = argv[3]};

		if (handoff_subscriber_open(&subs[i], &opts) < 0)
			return 1;
		fds[i].fd = handoff_subscriber_fd(subs[i]);
		fds[i].events = POLLIN;
	}
	shared->ready++;
	while (role_of(who) == IDLES && !shared->all)
		poll(NULL, 0, 5);
	while (have < EACH) {
		poll(fds, EACH, 100);
		have = 0;
		for (int i = 0; i < EACH; i++) {
			rc = pull_all(subs[i], &seen[i]);
			if (rc < 0)
				return 2;
			have += rc;
		}
	}
	shared->have[who] = have;
	for (int i = 0; i < EACH; i++)
		handoff_subscriber_free(subs[i]);
	return 0;
}

static pid_t
start_one(int who)
{
	char number[12], fd[12];
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(number, sizeof(number), "%d", who);
	snprintf(fd, sizeof(fd), "%d", shared_fd);
	execl("/proc/self/exe", "test_nats_crowd", number, fd,
		place_address("nats:", ""), (char *)NULL);
	_exit(1);
}

static void
start(pid_t pids[PROCESSES], bool late)
{
	int wanted = shared->ready;

	for (int i = 0; i < PROCESSES; i++) {
		if ((role_of(i) == LATE) != late)
			continue;
		pids[i] = start_one(i);
		wanted++;
	}
	for (int i = 0; i < PLACE_MS / 5 && shared->ready < wanted; i++)
		poll(NULL, 0, 5);
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
		assert_int_equal(shared->have[i], EACH);
	}
}

static void
test_crowd(void **state)
{
	pid_t pids[PROCESSES] = {0};
	struct publishing p;

	(void)state;
	support_not_in_valgrind();
	place_begin(NULL);
	shared_fd = memfd_create("crowd", 0);
	assert_true(shared_fd >= 0);
	assert_int_equal(ftruncate(shared_fd, sizeof(*shared)), 0);
	map_shared();
	publishing_open(&p, place_address("nats:", ""));
	start(pids, false);
	signal_role(pids, STOPS, SIGSTOP);
	for (uint64_t seq = 1; seq <= ROUNDS; seq++) {
		if (seq == ROUNDS / 3)
			signal_role(pids, DIES, SIGKILL);
		if (seq == ROUNDS / 2)
			start(pids, true);
		if (seq == ROUNDS * 3 / 4) {
			place_kill();
			place_restart();
		}
		publishing_publish(&p, 1, seq);
	}
	publishing_publish(&p, 1, LAST);
	shared->all = 1;
	signal_role(pids, STOPS, SIGCONT);
	reap_all(pids);
	munmap(shared, sizeof(*shared));
	close(shared_fd);
	publishing_close(&p);
	place_end();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {handoff_test(test_crowd)};

	if (argc == 4)
		return play(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
