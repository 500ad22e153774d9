/* SPDX-License-Identifier: MIT */
/* The transport of notices "zk:" with a real server. */
#include "notice/board.h"
#include "notice/crowd.h"
#include "zookeeper/fixture.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 10000

static void
begin_at(const char *rest)
{
	char address[512];

	snprintf(address, sizeof(address), "zk:%s", rest);
	board_begin_at(address);
}

static struct handoff_subscriber *
subscribe(void)
{
	struct handoff_subscriber *sub = NULL;

	if (board_subscribe(&sub) < 0)
		fail_msg("%s", board.sentence);
	return sub;
}

/* Waits for a notice; its sequence number. */
static uint64_t
await_notice(struct handoff_subscriber *sub)
{
	const struct handoff_notice *n;

	for (int i = 0; i < PATIENCE_MS / 100; i++) {
		if (handoff_subscriber_next(sub, &n) > 0)
			return n->seq;
		assert_int_equal(handoff_subscriber_wait(sub, 100), 0);
	}
	fail_msg("no notice");
	return 0;
}

static void
publish(uint64_t generation, uint64_t seq)
{
	struct handoff_notice n =
		board_notice(HANDOFF_NOTICE_MAINTENANCE, generation, seq);

	board_publish(&n);
}

static const char *
publisher_state(void)
{
	return board.pub.outlets[0].transport->state(board.pub.outlets[0].end);
}

static void
test_latest(void **state)
{
	struct handoff_subscriber *early, *late;
	struct handoff_notice retained;

	(void)state;
	begin_at(place_new());
	assert_int_equal(
		handoff__publisher_retained(&board.pub, PATIENCE_MS, &retained),
		0);
	early = subscribe();
	publish(1, 1);
	assert_int_equal(board.pub.told.reached, 1);
	assert_int_equal(await_notice(early), 1);
	publish(1, 2);
	assert_int_equal(await_notice(early), 2);
	late = subscribe();
	assert_int_equal(await_notice(late), 2);
	publish(1, 3);
	assert_int_equal(await_notice(early), 3);
	assert_int_equal(await_notice(late), 3);
	handoff_subscriber_free(early);
	handoff_subscriber_free(late);
	handoff__publisher_close(&board.pub);
	assert_int_equal(handoff__publisher_open(&board.pub, &board.dir,
				 &(const char *){board.address}, 1, 0, NULL),
		0);
	assert_int_equal(
		handoff__publisher_retained(&board.pub, PATIENCE_MS, &retained),
		1);
	assert_int_equal(retained.seq, 3);
	board_end();
}

/* Nothing is there yet, and the nodes are not either. */
static void
test_first(void **state)
{
	struct handoff_subscriber *sub;
	struct pollfd pfd = {.events = POLLIN};
	const struct handoff_notice *n;
	char address[256];

	(void)state;
	snprintf(address, sizeof(address), "zk:%s", place_new());
	handoff__copy(board.address, sizeof(board.address), address);
	sub = subscribe();
	pfd.fd = handoff_subscriber_fd(sub);
	for (int i = 0; i < 20; i++) {
		poll(&pfd, 1, 50);
		assert_int_equal(handoff_subscriber_next(sub, &n), 0);
	}
	board_begin_at(address);
	publish(1, 7);
	assert_int_equal(await_notice(sub), 7);
	/* and what is read is not told again and again */
	assert_int_equal(handoff_subscriber_next(sub, &n), 0);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	handoff_subscriber_free(sub);
	board_end();
}

static void
test_deposed(void **state)
{
	const char *rest = place_new();
	struct handoff_subscriber *sub;
	void *lease;

	(void)state;
	begin_at(rest);
	sub = subscribe();
	publish(UINT64_C(6) << 32, 1);
	assert_int_equal(board.pub.told.reached, 1);
	assert_int_equal(await_notice(sub), 1);
	lease = lease_vacant(rest, "a");
	assert_int_equal(lease_take(lease, 1, 6), 7);
	publish(UINT64_C(6) << 32, 2);
	assert_int_equal(board.pub.told.reached, 0);
	assert_int_equal(board.pub.told.refused, 1);
	assert_non_null(strstr(publisher_state(), "the token 7"));
	publish((UINT64_C(7) << 32) + 1, 3);
	assert_int_equal(board.pub.told.reached, 1);
	assert_int_equal(await_notice(sub), 3);
	lease_end(lease);
	handoff_subscriber_free(sub);
	board_end();
}

/* What was left out is retained, but never in place of something newer. */
static void
test_left_out(void **state)
{
	struct handoff_notice late =
		board_notice(HANDOFF_NOTICE_MAINTENANCE, 1, 2);
	const char *address = board.address;
	struct handoff__publisher other;
	struct handoff_subscriber *sub;
	const struct handoff_notice *n;

	(void)state;
	begin_at(place_new());
	sub = subscribe();
	assert_int_equal(handoff__publisher_begin(&board.pub, &late), 0);
	handoff__publisher_skip(&board.pub);
	for (int i = 0; handoff_subscriber_next(sub, &n) == 0; i++) {
		assert_true(i < PATIENCE_MS / 5);
		poll(NULL, 0, 5);
		handoff__publisher_tend(&board.pub);
	}
	assert_int_equal(n->seq, 2);

	assert_int_equal(handoff__publisher_open(
				 &other, &board.dir, &address, 1, 0, NULL),
		0);
	late.seq = 9;
	assert_int_equal(handoff__publisher_begin(&other, &late), 0);
	handoff__publisher_finish(&other, PATIENCE_MS);
	assert_int_equal(other.told.reached, 1);
	assert_int_equal(await_notice(sub), 9);
	publish(1, 5);
	assert_int_equal(board.pub.told.refused, 1);
	publish(1, 9);
	assert_int_equal(board.pub.told.reached, 1);
	publish(1, 10);
	assert_int_equal(board.pub.told.reached, 1);
	assert_int_equal(await_notice(sub), 10);
	handoff__publisher_close(&other);
	handoff_subscriber_free(sub);
	board_end();
}

static void
test_server_stopped(void **state)
{
	struct handoff_notice n =
		board_notice(HANDOFF_NOTICE_MAINTENANCE, 1, 2);
	struct handoff_subscriber *sub;

	(void)state;
	begin_at(place_new());
	sub = subscribe();
	publish(1, 1);
	assert_int_equal(await_notice(sub), 1);
	server_stop();
	assert_int_equal(handoff__publisher_begin(&board.pub, &n), 0);
	for (int i = 0; !strstr(publisher_state(), "connecting"); i++) {
		assert_true(i < 1000);
		poll(NULL, 0, 10);
		assert_int_equal(handoff__publisher_step(&board.pub, 1), -11);
		handoff__publisher_tend(&board.pub);
	}
	server_go_on();
	handoff__publisher_finish(&board.pub, PATIENCE_MS);
	assert_int_equal(board.pub.told.reached, 1);
	assert_int_equal(await_notice(sub), 2);
	handoff_subscriber_free(sub);
	board_end();
}

static void
readers(const char *creds, bool may)
{
	const char *rest = place_new();
	char open[512];
	struct handoff_subscriber *sub;
	const struct handoff_notice *n;

	snprintf(open, sizeof(open), "zk:%s", rest);
	begin_at(place_creds(creds));
	publish(1, 1);
	assert_int_equal(board.pub.told.reached, 1);
	handoff__copy(board.address, sizeof(board.address), open);
	sub = subscribe();
	if (may)
		assert_int_equal(await_notice(sub), 1);
	for (int i = 0; !may && i < 10; i++) {
		handoff_subscriber_wait(sub, 50);
		assert_int_equal(handoff_subscriber_next(sub, &n), 0);
	}
	handoff_subscriber_free(sub);
	board_end();
}

static void
test_readers(void **state)
{
	(void)state;
	readers("auth svc:secret\n", false);
	readers("auth svc:secret\nread anyone\n", true);
}

static void
test_reader_with_password(void **state)
{
	const char *rest = place_new();
	struct handoff_subscriber *sub;

	(void)state;
	/* of reader:word, as openssl(1) and base64(1) make it */
	begin_at(place_creds("auth svc:secret\n"
			     "read reader:rg2poWjr7j1Zs8Z7tlNDncWf9a4=\n"));
	publish(1, 1);
	snprintf(board.address, sizeof(board.address), "zk:%s",
		place_creds("auth reader:word\n"));
	sub = subscribe();
	assert_int_equal(await_notice(sub), 1);
	handoff_subscriber_free(sub);
	board_end();
	(void)rest;
}

/* The notice's node, and those that a publisher needs, are now for anybody. */
static void
open_nodes(const char *rest)
{
	static const char *const names[] = {"", "/epoch", "/notice"};
	zhandle_t *admin = admin_open(NULL);
	char path[128];

	assert_int_equal(
		zoo_add_auth(admin, "digest", "svc:secret", 10, NULL, NULL),
		ZOK);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "/handoff%s%s", strchr(rest, '/'),
			names[i]);
		assert_int_equal(admin_open_node(admin, path), ZOK);
	}
	admin_close(admin);
}

/* That it can read the notice does not mean that it can publish. */
static void
test_other_credentials(void **state)
{
	struct handoff_notice n =
		board_notice(HANDOFF_NOTICE_MAINTENANCE, 1, 2);
	struct handoff_notice retained;
	char rest[256];

	(void)state;
	handoff__copy(rest, sizeof(rest), place_new());
	begin_at(place_creds("auth svc:secret\nread anyone\n"));
	publish(1, 1);
	board_end();
	begin_at(place_creds("auth svc:wrong\n"));
	assert_int_equal(
		handoff__publisher_retained(&board.pub, PATIENCE_MS, &retained),
		1);
	assert_int_equal(handoff__publisher_begin(&board.pub, &n), 0);
	assert_int_equal(handoff__publisher_step(&board.pub, 1), -EAGAIN);
	assert_non_null(strstr(publisher_state(), "cannot publish"));
	assert_non_null(strstr(publisher_state(), "other credentials"));
	open_nodes(rest);
	for (int i = 0; strncmp(publisher_state(), "connected", 9) != 0; i++) {
		assert_true(i < PATIENCE_MS / 10);
		poll(NULL, 0, 10);
		handoff__publisher_tend(&board.pub);
	}
	publish(1, 3);
	assert_int_equal(board.pub.told.reached, 1);
	board_end();
}

static void
test_crowd(void **state)
{
	(void)state;
	support_not_in_valgrind();
	begin_at(place_new());
	crowd_scene(200);
	board_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_latest),
		handoff_test(test_first),
		handoff_test(test_deposed),
		handoff_test(test_left_out),
		handoff_test(test_server_stopped),
		handoff_test(test_readers),
		handoff_test(test_reader_with_password),
		handoff_test(test_other_credentials),
		handoff_test(test_crowd),
	};

	if (handoff_zookeeper_register() < 0 ||
		handoff_zookeeper_register() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
