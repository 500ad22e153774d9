/* SPDX-License-Identifier: MIT */
/*
 * A program with a loop of its own that has a lease: what it may do, and which
 * commits are refused, while that comes, stays out, and is back. The engine is
 * a file; the TTL is 2 s.
 */
#include "support/support.h"

#include "lease/file_engine.h"

#include <errno.h>
#include <handoff/peer.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TTL_S 2

static struct handoff_peer *peer;
static struct file_board *board;

static void
open_peer(void)
{
	static char dir[200], lease[250];
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_peer_opts opts = {
		.size = sizeof(opts),
		.dir = dir,
		.name = "one",
		.service = "test",
		.state_size = 64,
		.may_own = true,
		.lease = lease,
		.lease_ttl_s = TTL_S,
		.lease_host = "a",
		.errbuf = why,
		.errbuf_size = sizeof(why),
	};

	file_engine_add();
	snprintf(dir, sizeof(dir), "%s", support_dir());
	snprintf(lease, sizeof(lease), "file:%s/lease", dir);
	board = file_board_open(lease + strlen("file:"));
	assert_non_null(board);
	if (handoff_peer_open(&peer, &opts) < 0)
		fail_msg("%s", why);
}

static void
close_peer(void)
{
	handoff_peer_free(peer);
	file_board_close(board);
}

static void
expect(enum handoff_peer_event_type type, const char *part)
{
	const struct handoff_peer_event *event;

	for (int i = 0; i < 1000; i++) {
		while (handoff_peer_next(peer, &event) > 0) {
			if (event->type == type && strstr(event->text, part))
				return;
		}
		assert_true(handoff_peer_wait(peer, 10) >= 0);
	}
	fail_msg("no event with '%s'", part);
}

static struct handoff_entry *
deposit(int fd)
{
	struct handoff_entry_opts opts = {
		.size = sizeof(opts),
		.fd = fd,
		.kind = HANDOFF_ENTRY_CONNECTION,
		.name = "connection",
		.state = "one",
		.len = 3,
	};
	struct handoff_entry *e = NULL;

	assert_int_equal(handoff_peer_deposit(peer, &e, &opts), 0);
	return e;
}

static void
it_may_what_the_lease_allows(void **state)
{
	struct handoff_change change = {.state = "two", .len = 3};
	struct handoff_entry *e;
	int pair[2];

	(void)state;
	open_peer();
	expect(HANDOFF_PEER_WAITING, "for the lease");
	assert_int_equal(handoff_peer_may(peer), HANDOFF_MAY_NOTHING);
	expect(HANDOFF_PEER_OWNER, "has the lease");
	assert_int_equal(handoff_peer_may(peer), HANDOFF_MAY_BEGIN);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	e = change.entry = deposit(pair[0]);
	assert_int_equal(handoff_entry_update(e, "abc", 3), 0);
	file_board_host(board, "a")->cut = true;
	expect(HANDOFF_PEER_LEASE, "in doubt");
	assert_int_equal(handoff_peer_may(peer), HANDOFF_MAY_GO_ON);
	assert_int_equal(handoff_entry_update(e, "def", 3), 0);
	expect(HANDOFF_PEER_LEASE, "stands still");
	assert_int_equal(handoff_peer_may(peer), HANDOFF_MAY_NOTHING);
	assert_int_equal(handoff_entry_update(e, "ghi", 3), -EAGAIN);
	assert_int_equal(
		handoff_peer_commit(peer, &change, 1, sizeof(change)), -EAGAIN);
	file_board_host(board, "a")->cut = false;
	expect(HANDOFF_PEER_LEASE, "certain");
	assert_int_equal(handoff_peer_may(peer), HANDOFF_MAY_BEGIN);
	assert_int_equal(
		handoff_peer_commit(peer, &change, 1, sizeof(change)), 0);
	handoff_entry_withdraw(e);
	close_peer();
	close(pair[0]);
	close(pair[1]);
}

static void
it_waits_again_when_the_lease_is_lost(void **state)
{
	struct handoff_entry *e;
	int pair[2];

	(void)state;
	open_peer();
	expect(HANDOFF_PEER_OWNER, "has the lease");
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	e = deposit(pair[0]);
	file_board_expire(board, "a");
	expect(HANDOFF_PEER_WAITING, "is lost");
	assert_int_equal(handoff_peer_may(peer), HANDOFF_MAY_NOTHING);
	handoff_entry_withdraw(e);
	expect(HANDOFF_PEER_OWNER, "has the lease");
	assert_int_equal(handoff_peer_may(peer), HANDOFF_MAY_BEGIN);
	close_peer();
	close(pair[0]);
	close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(it_may_what_the_lease_allows),
		handoff_test(it_waits_again_when_the_lease_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
