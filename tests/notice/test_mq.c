/* SPDX-License-Identifier: MIT */
/*
 * Publisher and subscribers over message queues: who receives a notice, which
 * notices are retained, which are dropped.
 */
#include "notice/board.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reading the retained notice fails with this. */
static int unreadable;

int __real_openat(int dir, const char *name, int flags, mode_t mode);
int __wrap_openat(int dir, const char *name, int flags, mode_t mode);

int
__wrap_openat(int dir, const char *name, int flags, mode_t mode)
{
	if (unreadable == 0 || strcmp(name, "notice") != 0)
		return __real_openat(dir, name, flags, mode);
	errno = unreadable;
	return -1;
}

static bool
readable(struct handoff_subscriber *sub)
{
	struct pollfd p = {.fd = handoff_subscriber_fd(sub), .events = POLLIN};

	return poll(&p, 1, 0) == 1 && p.revents == POLLIN;
}

/* A copy of the next one. */
static int
pull(struct handoff_subscriber *sub, struct handoff_notice *got)
{
	const struct handoff_notice *next;
	int rc = handoff_subscriber_next(sub, &next);

	if (rc > 0)
		*got = *next;
	return rc;
}

static void
test_two_and_a_latecomer(void **state)
{
	struct handoff_notice n = board_notice(
				      HANDOFF_NOTICE_MAINTENANCE, 4, 1),
			      got;
	struct handoff_subscriber *sub[3];

	(void)state;
	board_begin();
	assert_int_equal(board_subscribe(&sub[0]), 0);
	assert_int_equal(board_subscribe(&sub[1]), 0);
	assert_int_equal(board_files(NULL), 2);
	for (int i = 0; i < 2; i++) {
		assert_false(readable(sub[i]));
		assert_int_equal(pull(sub[i], &got), 0);
	}
	board_publish(&n);
	assert_int_equal(board.pub.told.reached, 2);
	assert_int_equal(board.pub.told.pruned, 0);
	assert_int_equal(board.pub.told.failed, 0);
	assert_int_equal(board_subscribe(&sub[2]), 0);
	for (int i = 0; i < 3; i++) {
		assert_true(readable(sub[i]));
		assert_int_equal(pull(sub[i], &got), 1);
		assert_int_equal(got.generation, 4);
		assert_string_equal(got.serving, "alt");
		assert_int_equal(pull(sub[i], &got), 0);
		assert_false(readable(sub[i]));
	}
	/* The same again: it is delivered to queues, but nobody is told. */
	board_publish(&n);
	assert_int_equal(board.pub.told.reached, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pull(sub[i], &got), 0);
		handoff_subscriber_free(sub[i]);
	}
	assert_int_equal(board_files(NULL), 0);
	board_end();
}

static void
test_order_and_expiry(void **state)
{
	struct handoff_notice n = board_notice(HANDOFF_NOTICE_READY, 7, 2), got;
	struct handoff_subscriber *sub;

	(void)state;
	board_begin();
	assert_int_equal(board_subscribe(&sub), 0);
	board_publish(&n);
	n = board_notice(HANDOFF_NOTICE_GOODBYE, 6, 9);
	board_publish(&n);
	n = board_notice(HANDOFF_NOTICE_GOODBYE, 8, 1);
	n.expires_ms = handoff__realtime_ms() - 1;
	board_publish(&n);
	assert_int_equal(pull(sub, &got), 1);
	assert_int_equal(got.generation, 7);
	assert_int_equal(pull(sub, &got), 0);
	/* An expired one does not hide what comes after it. */
	n = board_notice(HANDOFF_NOTICE_READY, 7, 3);
	n.expires_ms = handoff__realtime_ms() + 600000;
	board_publish(&n);
	assert_int_equal(pull(sub, &got), 1);
	assert_int_equal(got.seq, 3);
	handoff_subscriber_free(sub);
	board_end();
}

static void
test_expired_retained(void **state)
{
	struct handoff_notice n = board_notice(HANDOFF_NOTICE_READY, 3, 1), got;
	struct handoff_subscriber *sub;

	(void)state;
	board_begin();
	assert_int_equal(handoff__publisher_retained(&board.pub, 0, &got), 0);
	n.expires_ms = handoff__realtime_ms() - 1;
	board_publish(&n);
	/* The server wants to know its generation all the same. */
	assert_int_equal(handoff__publisher_retained(&board.pub, 0, &got), 1);
	assert_int_equal(got.generation, 3);
	assert_int_equal(board_subscribe(&sub), 0);
	assert_int_equal(pull(sub, &got), 0);
	handoff_subscriber_free(sub);
	board_end();
}

/* A full queue gives up its oldest. */
static void
test_full_queue(void **state)
{
	struct handoff_subscriber *sub;
	struct handoff_notice n, got;
	uint64_t last = 0;
	int count = 0;

	(void)state;
	board_begin();
	assert_int_equal(board_subscribe(&sub), 0);
	for (uint64_t seq = 1; seq <= 11; seq++) {
		n = board_notice(HANDOFF_NOTICE_MAINTENANCE, 1, seq);
		board_publish(&n);
		assert_int_equal(board.pub.told.reached, 1);
	}
	while (pull(sub, &got) == 1) {
		count++;
		last = got.seq;
	}
	assert_int_equal(count, 4);
	assert_int_equal(last, 11);
	handoff_subscriber_free(sub);
	board_end();
}

static void
test_garbage(void **state)
{
	struct handoff_notice n = board_notice(HANDOFF_NOTICE_READY, 2, 1), got;
	char name[HANDOFF__SUBSCRIBER_MAX + 1],
		queue[HANDOFF__SUBSCRIBER_MAX + 2];
	struct handoff_subscriber *sub;
	mqd_t q;

	(void)state;
	board_begin();
	assert_int_equal(
		handoff__dir_write(&board.dir, "notice", "rubbish", 7), 0);
	assert_int_equal(
		handoff__publisher_retained(&board.pub, 0, &got), -EBADMSG);
	assert_int_equal(board_subscribe(&sub), 0);
	assert_int_equal(pull(sub, &got), 0);
	assert_int_equal(board_files(name), 1);
	snprintf(queue, sizeof(queue), "/%s", name);
	q = mq_open(queue, O_WRONLY | O_NONBLOCK);
	assert_true(q != (mqd_t)-1);
	assert_int_equal(mq_send(q, "garbage", 7, 0), 0);
	assert_int_equal(mq_send(q, "", 0, 0), 0);
	mq_close(q);
	board_publish(&n);
	assert_int_equal(pull(sub, &got), 1);
	assert_int_equal(got.generation, 2);
	handoff_subscriber_free(sub);
	board_end();
}

/* A subscriber without a queue, in another IPC namespace say, is counted. */
static void
test_unreachable(void **state)
{
	struct handoff_notice n = board_notice(HANDOFF_NOTICE_READY, 1, 1);
	char name[HANDOFF__SUBSCRIBER_MAX + 1],
		queue[HANDOFF__SUBSCRIBER_MAX + 2];
	struct handoff_subscriber *sub;

	(void)state;
	board_begin();
	assert_int_equal(board_subscribe(&sub), 0);
	board_files(name);
	snprintf(queue, sizeof(queue), "/%s", name);
	assert_int_equal(mq_unlink(queue), 0);
	board_publish(&n);
	assert_int_equal(board.pub.told.reached, 0);
	assert_int_equal(board.pub.told.failed, 1);
	handoff_subscriber_free(sub);
	board_end();
}

/* A newer notice leaves out what was still to be told of the older. */
static void
test_begin_again(void **state)
{
	struct handoff_notice n = board_notice(
				      HANDOFF_NOTICE_MAINTENANCE, 1, 1),
			      got;
	struct handoff_subscriber *sub[3];
	int steps = 0;

	(void)state;
	board_begin();
	for (int i = 0; i < 3; i++)
		assert_int_equal(board_subscribe(&sub[i]), 0);
	assert_int_equal(handoff__publisher_begin(&board.pub, &n), 0);
	assert_int_equal(handoff__publisher_step(&board.pub, 1), 1);
	n = board_notice(HANDOFF_NOTICE_READY, 2, 1);
	assert_int_equal(handoff__publisher_begin(&board.pub, &n), 0);
	while (handoff__publisher_step(&board.pub, 1) > 0)
		steps++;
	assert_in_range(steps, 3, 16);
	assert_int_equal(handoff__publisher_step(&board.pub, 1), 0);
	assert_int_equal(board.pub.told.reached, 3);
	for (int i = 0; i < 3; i++) {
		struct handoff_notice last = {0};

		while (pull(sub[i], &got) == 1)
			last = got;
		assert_int_equal(last.generation, 2);
		handoff_subscriber_free(sub[i]);
	}
	board_end();
}

static void
test_bad_notice_changes_nothing(void **state)
{
	struct handoff_notice n = board_notice(HANDOFF_NOTICE_READY, 5, 1), got;

	(void)state;
	board_begin();
	board_publish(&n);
	n.generation = 6;
	strcpy(n.serving, "not a name");
	assert_int_equal(handoff__publisher_begin(&board.pub, &n), -EINVAL);
	assert_int_equal(handoff__publisher_retained(&board.pub, 0, &got), 1);
	assert_int_equal(got.generation, 5);
	board_end();
}

/* The notice cannot be retained, since a directory is in its way: those who
 * are there are told all the same, and later it is retained. */
static void
test_not_retained(void **state)
{
	struct handoff_notice n = board_notice(HANDOFF_NOTICE_READY, 5, 1), got;
	struct handoff_subscriber *sub;

	(void)state;
	board_begin();
	assert_int_equal(mkdirat(board.dir.fd, "notice", 0700), 0);
	assert_int_equal(board_subscribe(&sub), 0);
	assert_int_equal(handoff__publisher_begin(&board.pub, &n), -EISDIR);
	while (handoff__publisher_step(&board.pub, 8) > 0)
		;
	assert_int_equal(board.pub.told.reached, 1);
	assert_false(handoff__publisher_done(&board.pub));
	assert_int_equal(pull(sub, &got), 1);

	assert_int_equal(unlinkat(board.dir.fd, "notice", AT_REMOVEDIR), 0);
	assert_int_equal(handoff__publisher_retry(&board.pub), 0);
	while (handoff__publisher_step(&board.pub, 8) > 0)
		;
	assert_true(handoff__publisher_done(&board.pub));
	assert_int_equal(handoff__publisher_retained(&board.pub, 0, &got), 1);
	assert_int_equal(pull(sub, &got), 0);
	handoff_subscriber_free(sub);
	board_end();
}

/* Removes all that is in the directory of the subscribers, and it. */
static void
remove_subscribers(void)
{
	char name[HANDOFF__SUBSCRIBER_MAX + 1];
	int subs = board_folder();

	while (board_files(name) > 0)
		assert_int_equal(unlinkat(subs, name, 0), 0);
	close(subs);
	assert_int_equal(
		unlinkat(board.dir.fd, "subscribers", AT_REMOVEDIR), 0);
}

/* A subscriber looks once a second, when it is asked for notices. */
static void
until_registered(struct handoff_subscriber *sub, int files)
{
	struct handoff_notice got;

	for (int i = 0; i < 500 && board_files(NULL) < files; i++) {
		assert_int_equal(pull(sub, &got), 0);
		poll(NULL, 0, 10);
	}
	assert_int_equal(board_files(NULL), files);
}

static void
until_told(struct handoff_subscriber *sub, struct handoff_notice *got)
{
	for (int i = 0; i < 500; i++) {
		if (pull(sub, got) == 1)
			return;
		poll(NULL, 0, 10);
	}
	fail_msg("nothing is told");
}

/* It waits for ever, and the directory is cleaned. */
static void
test_waiting_stays_registered(void **state)
{
	struct handoff_notice n = board_notice(
				      HANDOFF_NOTICE_MAINTENANCE, 4, 1),
			      got;
	struct handoff_subscriber *sub;

	(void)state;
	board_begin();
	assert_int_equal(board_subscribe(&sub), 0);
	assert_int_equal(handoff_subscriber_wait(sub, 0), 0);
	assert_int_equal(handoff_subscriber_wait(sub, 10), 0);
	assert_int_equal(pull(sub, &got), 0);
	board_publish(&n);
	assert_int_equal(handoff_subscriber_wait(sub, -1), 0);
	assert_int_equal(pull(sub, &got), 1);
	remove_subscribers();
	n.seq++;
	board_publish(&n);
	assert_int_equal(board.pub.told.reached, 0);
	assert_int_equal(handoff_subscriber_wait(sub, -1), 0);
	assert_int_equal(pull(sub, &got), 1);
	assert_int_equal(got.seq, 2);
	handoff_subscriber_free(sub);
	board_end();
}

/* It keeps its queue and descriptor, and learns what was told meanwhile. */
static void
test_registration_that_vanishes(void **state)
{
	struct handoff_notice n = board_notice(
				      HANDOFF_NOTICE_MAINTENANCE, 4, 1),
			      got;
	struct handoff_subscriber *sub;
	int fd;

	(void)state;
	board_begin();
	assert_int_equal(board_subscribe(&sub), 0);
	fd = handoff_subscriber_fd(sub);
	for (int i = 0; i < 2; i++) {
		remove_subscribers();
		board_publish(&n);
		assert_int_equal(board.pub.told.reached, 0);
		until_told(sub, &got);
		assert_int_equal(board_files(NULL), 1);
		assert_int_equal(got.generation, n.generation);
		n.generation++;
		board_publish(&n);
		assert_int_equal(board.pub.told.reached, 1);
		assert_int_equal(pull(sub, &got), 1);
		assert_int_equal(got.generation, n.generation);
		n.generation++;
	}
	assert_int_equal(handoff_subscriber_fd(sub), fd);
	handoff_subscriber_free(sub);
	assert_int_equal(board_files(NULL), 0);
	board_end();
}

/* The directory as a whole is removed and made anew by a server. */
static void
test_directory_that_vanishes(void **state)
{
	struct handoff_notice n = board_notice(
				      HANDOFF_NOTICE_MAINTENANCE, 4, 1),
			      got;
	struct handoff_subscriber *sub;
	struct handoff__error error;

	(void)state;
	board_begin();
	assert_int_equal(board_subscribe(&sub), 0);
	remove_subscribers();
	assert_int_equal(rmdir(board.path), 0);
	handoff__dir_close(&board.dir);
	assert_int_equal(
		handoff__dir_open(&board.dir, board.path, true, false, &error),
		0);
	until_registered(sub, 1);
	board_publish(&n);
	assert_int_equal(board.pub.told.reached, 1);
	assert_int_equal(pull(sub, &got), 1);
	handoff_subscriber_free(sub);
	assert_int_equal(board_files(NULL), 0);
	board_end();
}

/* Or what is told only there would be missed without a word. */
static void
test_retained_that_cannot_be_read(void **state)
{
	struct handoff_subscriber *sub = NULL;

	(void)state;
	board_begin();
	unreadable = ENFILE;
	assert_int_equal(board_subscribe(&sub), -ENFILE);
	unreadable = 0;
	assert_non_null(
		strstr(board.sentence, "cannot read the retained notice"));
	assert_null(sub);
	assert_int_equal(board_files(NULL), 0);
	board_end();
}

static void
test_arguments(void **state)
{
	struct handoff_subscriber_opts opts = {.size = sizeof(opts)};
	struct handoff_subscriber *sub = NULL;
	char wide[sizeof(opts) + 8] = {0};
	size_t wide_size = sizeof(wide);

	(void)state;
	board_begin();
	assert_int_equal(handoff_subscriber_open(&sub, NULL), -EINVAL);
	assert_int_equal(handoff_subscriber_open(NULL, &opts), -EINVAL);
	assert_int_equal(handoff_subscriber_open(&sub, &opts), -EINVAL);
	strcpy(board.address, "mqtt://host/topic");
	assert_int_equal(board_subscribe(&sub), -EINVAL);
	assert_non_null(strstr(board.sentence, "want mq:DIR"));
	strcpy(board.address, "mq:");
	assert_int_equal(board_subscribe(&sub), -EINVAL);
	strcpy(board.address, "mq:/nowhere/at/all");
	assert_int_equal(board_subscribe(&sub), -ENOENT);
	assert_non_null(strstr(board.sentence, "/nowhere/at/all"));
	snprintf(board.address, sizeof(board.address), "mq:%s", board.path);
	assert_int_equal(chmod(board.path, 0755), 0);
	assert_int_equal(board_subscribe(&sub), -EACCES);
	assert_non_null(strstr(board.sentence, "chmod 700"));
	memcpy(wide, &wide_size, sizeof(wide_size));
	wide[sizeof(opts) + 3] = 1;
	assert_int_equal(handoff_subscriber_open(&sub, (void *)wide), -E2BIG);
	assert_null(sub);
	assert_int_equal(board_files(NULL), 0);
	handoff_subscriber_free(NULL);
	assert_int_equal(handoff_subscriber_next(NULL, NULL), -EINVAL);
	assert_int_equal(handoff_subscriber_wait(NULL, 0), -EINVAL);
	board_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_two_and_a_latecomer),
		handoff_test(test_order_and_expiry),
		handoff_test(test_expired_retained),
		handoff_test(test_full_queue),
		handoff_test(test_garbage),
		handoff_test(test_unreachable),
		handoff_test(test_begin_again),
		handoff_test(test_bad_notice_changes_nothing),
		handoff_test(test_not_retained),
		handoff_test(test_waiting_stays_registered),
		handoff_test(test_registration_that_vanishes),
		handoff_test(test_directory_that_vanishes),
		handoff_test(test_retained_that_cannot_be_read),
		handoff_test(test_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
