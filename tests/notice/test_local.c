/* SPDX-License-Identifier: MIT */
/*
 * What every transport of one host promises: the retained notice, the newest
 * ones for a subscriber that does not read, the removal of the dead, staying
 * registered, and a child process that changes nothing.
 */
#include "notice/board.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct way {
	const char *prefix, *folder;
} ways[] = {
	{"mq:", "subscribers"},
	{"sysv:", "subscribers.sysv"},
	{"unix:", "subscribers.unix"},
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void
begin(size_t i)
{
	board_begin_on(ways[i].prefix, ways[i].folder);
}

static void
publish(uint64_t generation, uint64_t seq)
{
	struct handoff_notice n =
		board_notice(HANDOFF_NOTICE_MAINTENANCE, generation, seq);

	board_publish(&n);
}

/* Pulls one notice within some seconds; returns its number. */
static uint64_t
pull(struct handoff_subscriber *sub)
{
	const struct handoff_notice *n;
	int rc;

	for (int i = 0; i < 500; i++) {
		rc = handoff_subscriber_next(sub, &n);
		assert_true(rc >= 0);
		if (rc > 0)
			return n->seq;
		support_poll(handoff_subscriber_fd(sub), POLLIN);
	}
	fail_msg("no notice");
	return 0;
}

static bool
readable(struct handoff_subscriber *sub, int ms)
{
	struct pollfd p = {.fd = handoff_subscriber_fd(sub), .events = POLLIN};

	return poll(&p, 1, ms) == 1 && p.revents == POLLIN;
}

static void
expect_none(struct handoff_subscriber *sub)
{
	const struct handoff_notice *n;

	assert_int_equal(handoff_subscriber_next(sub, &n), 0);
	assert_false(readable(sub, 0));
}

static void
test_two_and_a_latecomer(void **state)
{
	struct handoff_subscriber *sub[3];

	(void)state;
	for (size_t w = 0; w < WAYS; w++) {
		begin(w);
		assert_int_equal(board_subscribe(&sub[0]), 0);
		assert_int_equal(board_subscribe(&sub[1]), 0);
		assert_int_equal(board_files(NULL), 2);
		expect_none(sub[0]);
		publish(4, 1);
		assert_int_equal(board.pub.told.reached, 2);
		assert_int_equal(board.pub.told.failed, 0);
		assert_int_equal(board_subscribe(&sub[2]), 0);
		for (int i = 0; i < 3; i++) {
			assert_true(readable(sub[i], 5000));
			assert_int_equal(pull(sub[i]), 1);
			expect_none(sub[i]);
			handoff_subscriber_free(sub[i]);
		}
		assert_int_equal(board_files(NULL), 0);
		board_end();
	}
}

/* One that does not read: what it gets later is in order, and ends with the
 * latest; also if it pulls one each time the descriptor is readable. */
static void
test_one_that_does_not_read(void **state)
{
	struct handoff_subscriber *sub;

	(void)state;
	for (size_t w = 0; w < WAYS; w++) {
		uint64_t last = 0;

		begin(w);
		assert_int_equal(board_subscribe(&sub), 0);
		for (uint64_t seq = 1; seq <= 40; seq++) {
			publish(1, seq);
			assert_int_equal(
				board.pub.told.reached + board.pub.told.full,
				1);
			assert_true(handoff__publisher_done(&board.pub));
		}
		while (last < 40) {
			uint64_t seq;

			assert_true(readable(sub, 5000));
			seq = pull(sub);
			assert_true(seq > last);
			last = seq;
		}
		expect_none(sub);
		publish(1, 41);
		assert_int_equal(board.pub.told.reached, 1);
		assert_int_equal(pull(sub), 41);
		handoff_subscriber_free(sub);
		board_end();
	}
}

/* Those that never read do not keep one that does from anything. */
static void
test_many_that_never_read(void **state)
{
	enum { SOME = 60, MANY = 400 };
	struct handoff_subscriber *idle[MANY], *sub;

	(void)state;
	support_need_descriptors(3 * MANY + 50);
	for (size_t w = 0; w < WAYS; w++) {
		/* more than the buffer of one sending socket is charged for */
		int count = strcmp(ways[w].prefix, "unix:") == 0 ? MANY : SOME;

		begin(w);
		for (int i = 0; i < count; i++)
			assert_int_equal(board_subscribe(&idle[i]), 0);
		assert_int_equal(board_subscribe(&sub), 0);
		for (uint64_t seq = 1; seq <= 30; seq++) {
			publish(1, seq);
			assert_int_equal(board.pub.told.failed, 0);
			if (seq <= 3)
				assert_int_equal(
					board.pub.told.reached, count + 1);
			assert_int_equal(pull(sub), seq);
		}
		for (int i = 0; i < count; i++)
			handoff_subscriber_free(idle[i]);
		handoff_subscriber_free(sub);
		board_end();
	}
}

/* A child subscribes and ends without a word. */
static void
leave_dead_subscriber(void)
{
	int pid = fork();

	if (pid == 0) {
		struct handoff_subscriber *sub;

		_exit(board_subscribe(&sub) == 0 ? 0 : 1);
	}
	support_reap(pid);
}

static void
test_dead_is_pruned(void **state)
{
	struct handoff_subscriber *sub;
	int folder, fd, coming;

	(void)state;
	for (size_t w = 0; w < WAYS; w++) {
		begin(w);
		leave_dead_subscriber();
		assert_int_equal(board_files(NULL), 1);
		assert_int_equal(board_subscribe(&sub), 0);
		folder = board_folder();
		fd = openat(folder, ".handoff-1-0123456789abcdef",
			O_RDWR | O_CREAT, 0600);
		close(fd);
		fd = openat(folder, "somebody-else", O_RDWR | O_CREAT, 0600);
		close(fd);
		publish(1, 1);
		assert_int_equal(board.pub.told.reached, 1);
		assert_int_equal(board.pub.told.pruned, 2);
		assert_int_equal(board.pub.told.failed, 0);
		assert_int_equal(board_files(NULL), 2);
		/* one that is about to come is left alone */
		coming = openat(folder, ".handoff-1-00000000000000ff",
			O_RDWR | O_CREAT, 0600);
		assert_int_equal(flock(coming, LOCK_EX), 0);
		publish(1, 2);
		assert_int_equal(board.pub.told.pruned,
			strcmp(ways[w].prefix, "unix:") == 0);
		close(coming);
		close(folder);
		handoff_subscriber_free(sub);
		board_end();
	}
}

static void
remove_folder(void)
{
	char name[HANDOFF__SUBSCRIBER_MAX + 1];
	int folder = board_folder();

	while (board_files(name) > 0)
		assert_int_equal(unlinkat(folder, name, 0), 0);
	close(folder);
	assert_int_equal(unlinkat(board.dir.fd, board.folder, AT_REMOVEDIR), 0);
}

/* The folder is removed: it registers again, learns what was published
 * meanwhile, and keeps its descriptor. */
static void
test_registration_that_vanishes(void **state)
{
	struct handoff_subscriber *sub;
	int fd;

	(void)state;
	for (size_t w = 0; w < WAYS; w++) {
		begin(w);
		assert_int_equal(board_subscribe(&sub), 0);
		fd = handoff_subscriber_fd(sub);
		remove_folder();
		publish(1, 1);
		assert_int_equal(board.pub.told.reached, 0);
		while (board_files(NULL) == 0)
			assert_int_equal(handoff_subscriber_wait(sub, 100), 0);
		assert_int_equal(pull(sub), 1);
		publish(1, 2);
		assert_int_equal(board.pub.told.reached, 1);
		assert_true(readable(sub, 5000));
		assert_int_equal(pull(sub), 2);
		assert_int_equal(handoff_subscriber_fd(sub), fd);
		handoff_subscriber_free(sub);
		assert_int_equal(board_files(NULL), 0);
		board_end();
	}
}

/* A child that frees its copy takes nothing from its parent. */
static void
test_child_frees_its_copy(void **state)
{
	struct handoff_subscriber *sub;
	int pid;

	(void)state;
	for (size_t w = 0; w < WAYS; w++) {
		begin(w);
		assert_int_equal(board_subscribe(&sub), 0);
		pid = fork();
		if (pid == 0) {
			handoff_subscriber_free(sub);
			_exit(0);
		}
		support_reap(pid);
		assert_int_equal(board_files(NULL), 1);
		publish(1, 1);
		assert_int_equal(board.pub.told.reached, 1);
		assert_int_equal(pull(sub), 1);
		handoff_subscriber_free(sub);
		assert_int_equal(board_files(NULL), 0);
		board_end();
	}
}

/* All three in one directory: the notice is retained once, and taken once. */
static void
test_all_at_once(void **state)
{
	char text[WAYS][160];
	const char *addresses[WAYS];
	struct handoff_subscriber_opts opts = {
		.size = sizeof(opts),
		.addresses = addresses,
		.naddresses = WAYS,
	};
	struct handoff_subscriber *sub;

	(void)state;
	begin(0);
	for (size_t w = 0; w < WAYS; w++) {
		snprintf(text[w], sizeof(text[w]), "%s%s", ways[w].prefix,
			board.path);
		addresses[w] = text[w];
	}
	handoff__publisher_close(&board.pub);
	assert_int_equal(handoff__publisher_open(&board.pub, &board.dir,
				 addresses, WAYS, 0, NULL),
		0);
	assert_int_equal(handoff_subscriber_open(&sub, &opts), 0);
	for (uint64_t seq = 1; seq <= 3; seq++) {
		publish(1, seq);
		assert_int_equal(board.pub.told.reached, 3);
		assert_int_equal(pull(sub), seq);
	}
	/* what comes by the others is not newer */
	while (readable(sub, 50)) {
		const struct handoff_notice *n;

		assert_int_equal(handoff_subscriber_next(sub, &n), 0);
	}
	handoff_subscriber_free(sub);
	board_end();
}

/* A transport with a directory of its own, which the publisher creates: the
 * notice is retained there too, kept there, and the newest of all counts. */
static void
test_another_directory(void **state)
{
	char address[200], path[180];
	const char *only = address;
	struct handoff_subscriber_opts opts = {
		.size = sizeof(opts),
		.address = address,
	};
	struct handoff_subscriber *sub;
	struct handoff_notice n;

	(void)state;
	for (size_t w = 0; w < WAYS; w++) {
		begin(w);
		snprintf(path, sizeof(path), "%s/clients", board.path);
		snprintf(
			address, sizeof(address), "%s%s", ways[w].prefix, path);
		assert_int_equal(handoff_subscriber_open(&sub, &opts), -ENOENT);
		handoff__publisher_close(&board.pub);
		assert_int_equal(handoff__publisher_open(&board.pub, &board.dir,
					 &only, 1, 0, NULL),
			0);
		assert_int_equal(
			handoff__publisher_retained(&board.pub, 0, &n), 0);
		assert_int_equal(handoff_subscriber_open(&sub, &opts), 0);
		publish(9, 3);
		assert_int_equal(pull(sub), 3);
		handoff_subscriber_free(sub);

		/* The service directory is made anew. */
		assert_int_equal(unlinkat(board.dir.fd, "notice", 0), 0);
		assert_int_equal(
			handoff__publisher_retained(&board.pub, 0, &n), 1);
		assert_int_equal(n.generation, 9);
		assert_int_equal(handoff__publisher_keep(&board.pub), 1);
		assert_int_equal(handoff__publisher_keep(&board.pub), 0);
		assert_int_equal(
			unlinkat(board.dir.fd, "clients/notice", 0), 0);
		assert_int_equal(handoff__publisher_keep(&board.pub), 1);
		assert_int_equal(handoff_subscriber_open(&sub, &opts), 0);
		assert_int_equal(pull(sub), 3);
		handoff_subscriber_free(sub);
		board_end();
	}
}

/* Owners of two service directories may have one board between them, as two
 * hosts do: what either has published last is the latest, and stays so. */
static void
test_what_is_newer_stays(void **state)
{
	char address[200], path[180];
	const char *only = address;
	struct handoff_subscriber_opts opts = {
		.size = sizeof(opts),
		.address = address,
	};
	struct handoff__error error;
	struct handoff_subscriber *sub;
	struct handoff__publisher far;
	struct handoff__dir dir;
	struct handoff_notice n;

	(void)state;
	for (size_t w = 0; w < WAYS; w++) {
		begin(w);
		snprintf(address, sizeof(address), "%s%s/clients",
			ways[w].prefix, board.path);
		snprintf(path, sizeof(path), "%s/far", board.path);
		handoff__publisher_close(&board.pub);
		assert_int_equal(handoff__publisher_open(&board.pub, &board.dir,
					 &only, 1, 0, NULL),
			0);
		assert_int_equal(
			handoff__dir_open(&dir, path, true, 0, &error), 0);
		assert_int_equal(
			handoff__publisher_open(&far, &dir, &only, 1, 0, NULL),
			0);
		publish(9, 3);
		n = board_notice(HANDOFF_NOTICE_MAINTENANCE, 10, 1);
		assert_int_equal(handoff__publisher_begin(&far, &n), 0);
		assert_int_equal(handoff__publisher_keep(&board.pub), 0);
		assert_int_equal(
			handoff__publisher_retained(&board.pub, 0, &n), 1);
		assert_int_equal(n.generation, 10);
		assert_int_equal(handoff_subscriber_open(&sub, &opts), 0);
		assert_int_equal(pull(sub), 1);
		handoff_subscriber_free(sub);
		handoff__publisher_close(&far);
		assert_int_equal(unlinkat(dir.fd, "notice", 0), 0);
		handoff__dir_close(&dir);
		assert_int_equal(
			unlinkat(board.dir.fd, "far", AT_REMOVEDIR), 0);
		board_end();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_two_and_a_latecomer),
		handoff_test(test_one_that_does_not_read),
		handoff_test(test_many_that_never_read),
		handoff_test(test_dead_is_pruned),
		handoff_test(test_registration_that_vanishes),
		handoff_test(test_child_frees_its_copy),
		handoff_test(test_all_at_once),
		handoff_test(test_another_directory),
		handoff_test(test_what_is_newer_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
