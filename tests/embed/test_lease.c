/* SPDX-License-Identifier: MIT */
/*
 * A program with a loop of its own that has a lease: what it may do, and which
 * commits are refused, while that comes, stays out, and is back. The engine is
 * a file; the TTL is 2 s.
 */
#include "support/support.h"

#include "lease/file_engine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <handoff/peer.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TTL_S 2

static struct handoff_peer *peer;
static struct file_board *board;
static char dir[90];

static void
open_peer(void)
{
	static char lease[250];
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

/* It would own beside the host that has the lease. */
static void
parts_of_a_lease_need_one(void **state)
{
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_peer_opts opts = {
		.size = sizeof(opts),
		.dir = support_dir(),
		.name = "one",
		.service = "test",
		.lease_ttl_s = TTL_S,
		.errbuf = why,
		.errbuf_size = sizeof(why),
	};

	(void)state;
	assert_int_equal(handoff_peer_open(&peer, &opts), -EINVAL);
	assert_non_null(strstr(why, "opts.lease_ttl_s without opts.lease"));
	opts.lease_ttl_s = 0;
	opts.lease_host = "a";
	assert_int_equal(handoff_peer_open(&peer, &opts), -EINVAL);
	assert_non_null(strstr(why, "opts.lease_host without opts.lease"));
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
deposit_as(int fd, enum handoff_entry_kind kind, const char *name)
{
	struct handoff_entry_opts opts = {
		.size = sizeof(opts),
		.fd = fd,
		.kind = kind,
		.name = name,
		.state = "one",
		.len = 3,
	};
	struct handoff_entry *e = NULL;

	assert_int_equal(handoff_peer_deposit(peer, &e, &opts), 0);
	return e;
}

static struct handoff_entry *
deposit(int fd)
{
	return deposit_as(fd, HANDOFF_ENTRY_CONNECTION, "connection");
}

static int
make_listener(struct sockaddr_in *sin)
{
	socklen_t len = sizeof(*sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*sin = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	assert_int_equal(bind(fd, (void *)sin, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (void *)sin, &len), 0);
	return fd;
}

static void
assert_refused(const struct sockaddr_in *sin)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const void *)sin, sizeof(*sin)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
}

static void
request_stop(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/control.1", dir);
	assert_int_equal(connect(fd, (void *)&sun, sizeof(sun)), 0);
	assert_int_equal(send(fd, "stop\n", 5, 0), 5);
	expect(HANDOFF_PEER_STOP, "stop");
	close(fd);
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

/* It is still in the program's hands to accept when the lease is lost. */
static void
its_listeners_are_closed_when_the_lease_is_lost(void **state)
{
	struct handoff_entry *e;
	struct sockaddr_in sin;
	int fd;

	(void)state;
	open_peer();
	expect(HANDOFF_PEER_OWNER, "has the lease");
	fd = make_listener(&sin);
	e = deposit_as(fd, HANDOFF_ENTRY_LISTENER, "listener");
	file_board_expire(board, "a");
	expect(HANDOFF_PEER_WAITING, "its listeners closed");
	assert_refused(&sin);
	assert_int_equal(accept(fd, NULL, NULL), -1);
	assert_int_equal(errno, EINVAL);
	handoff_entry_withdraw(e);
	close(fd);
	expect(HANDOFF_PEER_OWNER, "has the lease");
	close_peer();
}

static void
its_end_gives_the_lease_up(void **state)
{
	struct sockaddr_in sin;
	int pair[2], fd;
	char byte;

	(void)state;
	open_peer();
	expect(HANDOFF_PEER_OWNER, "has the lease");
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	deposit(pair[0]);
	fd = make_listener(&sin);
	deposit_as(fd, HANDOFF_ENTRY_LISTENER, "listener");
	assert_int_equal(send(pair[0], "last", 4, 0), 4);
	assert_string_equal(file_board_owner(board), "a");
	handoff_peer_free(peer);
	assert_string_equal(file_board_owner(board), "");
	/* another host may have it: nothing goes on here */
	assert_refused(&sin);
	assert_int_equal(send(pair[0], "x", 1, MSG_NOSIGNAL), -1);
	for (int i = 0; i < 4; i++)
		assert_int_equal(recv(pair[1], &byte, 1, 0), 1);
	assert_int_equal(recv(pair[1], &byte, 1, 0), 0);
	file_board_close(board);
	close(pair[0]);
	close(pair[1]);
	close(fd);
}

/* For as long as the program needs to end its connections. */
static void
a_stop_keeps_the_lease_until_its_end(void **state)
{
	struct handoff_entry *e;
	int pair[2];
	time_t end;

	(void)state;
	open_peer();
	expect(HANDOFF_PEER_OWNER, "has the lease");
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	e = deposit(pair[0]);
	request_stop();
	for (end = time(NULL) + 2 * TTL_S; time(NULL) < end;) {
		assert_true(handoff_peer_wait(peer, 10) >= 0);
		assert_int_not_equal(
			handoff_peer_may(peer), HANDOFF_MAY_NOTHING);
	}
	assert_string_equal(file_board_owner(board), "a");
	assert_int_equal(handoff_entry_update(e, "abc", 3), 0);
	/* or does not have it any more */
	file_board_expire(board, "a");
	expect(HANDOFF_PEER_WAITING, "is lost");
	assert_int_equal(handoff_peer_may(peer), HANDOFF_MAY_NOTHING);
	close_peer();
	close(pair[0]);
	close(pair[1]);
}

/* The wait for an engine that does not answer has an end. */
static void
its_end_waits_two_seconds_at_most(void **state)
{
	time_t begun;

	(void)state;
	open_peer();
	expect(HANDOFF_PEER_OWNER, "has the lease");
	file_board_host(board, "a")->cut = true;
	begun = time(NULL);
	close_peer();
	assert_in_range(time(NULL) - begun, 1, 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(parts_of_a_lease_need_one),
		handoff_test(its_listeners_are_closed_when_the_lease_is_lost),
		handoff_test(its_end_gives_the_lease_up),
		handoff_test(a_stop_keeps_the_lease_until_its_end),
		handoff_test(its_end_waits_two_seconds_at_most),
		handoff_test(it_may_what_the_lease_allows),
		handoff_test(it_waits_again_when_the_lease_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
