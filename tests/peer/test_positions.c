/* SPDX-License-Identifier: MIT */
/*
 * The positions of a connection whose peer died in a turn: from the kernel's
 * counters, desks, and what is assumed without counters.
 */
#include "peer/survivor.h"

#include "base/addr.h"
#include "record/desk.h"
#include "record/fixture.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static bool no_counters; /* TCP_INFO is as before Linux 4.1 */

int __real_getsockopt(int fd, int level, int name, void *to, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *to, socklen_t *len);

int
__wrap_getsockopt(int fd, int level, int name, void *to, socklen_t *len)
{
	if (no_counters && level == IPPROTO_TCP && name == TCP_INFO &&
		*len > 104)
		*len = 104;
	return __real_getsockopt(fd, level, name, to, len);
}

/* A TCP connection: returns the accepted end, `*client` gets the other. */
static int
tcp_pair(int *client)
{
	char bound[HANDOFF_ADDRESS_MAX];
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	int listener = handoff__addr_listen("127.0.0.1:0", bound, NULL), fd;

	assert_true(listener >= 0);
	assert_int_equal(
		getsockname(listener, (struct sockaddr *)&in, &len), 0);
	*client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*client, (struct sockaddr *)&in, len), 0);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fd >= 0);
	close(listener);
	return fd;
}

/* What the child does in a turn, up to the instruction before it notes how
 * much it has read and written. */
static void
read_and_write_without_noting(struct handoff__roster_entry *e, uint32_t desk)
{
	struct handoff__view view = e->view;
	struct handoff_conn txn;
	struct iovec iov[2] = {{.iov_len = 0}};
	void *at = NULL;

	handoff__record_mark(e->view.rec, HANDOFF__IN_TURN);
	if (desk != 0) {
		handoff__desk_buffers(&view, desk);
		handoff__desk_set(e->view.rec, desk);
	}
	handoff__txn_begin(&txn, &view);
	handoff_conn_write(&txn, "0123456789", 10);
	handoff__txn_commit(&txn);
	assert_int_equal(handoff__record_tx_pieces(&view, iov), 1);
	assert_int_equal(send(e->fd, iov[0].iov_base, 4, MSG_NOSIGNAL), 4);
	assert_true(support_poll(e->fd, POLLIN) & POLLIN);
	assert_true(handoff__record_rx_room(&view, &at) > 5);
	assert_int_equal(recv(e->fd, at, 5, 0), 5);
}

static void
repair_stale_positions(uint32_t desk, uint64_t rx, uint64_t tx)
{
	struct handoff__roster_entry *stale, *right;
	struct iovec iov[2] = {{.iov_len = 0}};
	int clients[2];

	survivor_open(1);
	stale = survivor_enter(tcp_pair(&clients[0]));
	right = survivor_enter(tcp_pair(&clients[1]));
	record_begin_at(stale->view.rec, rx, tx);
	record_begin_at(right->view.rec, rx, tx);
	survivor_give();
	assert_int_equal(send(clients[0], "hello", 5, 0), 5);
	read_and_write_without_noting(stale, desk);
	handoff__record_mark(right->view.rec, HANDOFF__IN_TURN);
	survivor_inherit();
	assert_int_equal(one.pair.survival.in_turn, 2);
	assert_int_equal(one.pair.survival.repaired, 1);
	assert_int_equal(one.pair.tally.repaired, 1);
	assert_int_equal(one.pair.survival.closed, 0);
	assert_int_equal(handoff__rx_head(stale->view.rec), rx + 5);
	assert_int_equal(handoff__tx_tail(stale->view.rec), tx + 4);
	assert_int_equal(handoff__rx_head(right->view.rec), rx);
	assert_int_equal(handoff__tx_tail(right->view.rec), tx);
	assert_int_equal(handoff__record_unread(stale->view.rec), 5);
	assert_memory_equal(stale->view.rx, "hello", 5);
	assert_int_equal(handoff__record_tx_pieces(&stale->view, iov), 1);
	assert_int_equal(iov[0].iov_len, 6);
	assert_memory_equal(iov[0].iov_base, "456789", 6);
	assert_int_equal(stale->view.rec->activity, HANDOFF__PENDING);
	close(clients[0]);
	close(clients[1]);
}

static void
stale_positions_are_repaired(void **state)
{
	(void)state;
	repair_stale_positions(0, 0, 0);
}

/* The kernel counts from 0 for each socket; a record that had counted before
 * goes on from there, on a desk and without. */
static void
counters_are_added_to_the_bases(void **state)
{
	(void)state;
	repair_stale_positions(0, 1000, 500);
}

static void
bases_hold_on_a_desk(void **state)
{
	(void)state;
	repair_stale_positions(handoff__desk_number((int)DEAD, 0), 123456789012,
		UINT64_C(1) << 40);
}

/* The counters alone are positions that the record has passed. */
static void
counters_without_their_bases_are_refused(void **state)
{
	struct handoff__roster_entry *e;
	int client;

	(void)state;
	survivor_open(1);
	e = survivor_enter(tcp_pair(&client));
	record_begin_at(e->view.rec, 1000, 500);
	e->view.rec->rx_base = e->view.rec->tx_base = 0;
	survivor_give();
	handoff__record_mark(e->view.rec, HANDOFF__IN_TURN);
	survivor_inherit();
	assert_int_equal(one.pair.survival.closed, 1);
	assert_int_equal(one.pair.roster.connections, 1);
	close(client);
}

/* Of three connections one was quiet, one had noted all that it did, and one
 * not: none is closed, and each goes on from where its record stands. */
static void
without_counters_records_are_believed(void **state)
{
	struct handoff__roster_entry *quiet, *noted, *stale;
	struct iovec iov[2] = {{.iov_len = 0}};
	int clients[3];

	(void)state;
	survivor_open(0);
	quiet = survivor_enter(tcp_pair(&clients[0]));
	noted = survivor_enter(tcp_pair(&clients[1]));
	stale = survivor_enter(tcp_pair(&clients[2]));
	survivor_give();
	for (int i = 1; i < 3; i++)
		assert_int_equal(send(clients[i], "hello", 5, 0), 5);
	read_and_write_without_noting(
		noted, handoff__desk_number((int)DEAD, 0));
	handoff__record_received(&noted->view, 5);
	handoff__record_sent(&noted->view, 4);
	read_and_write_without_noting(stale, 0);
	no_counters = true;
	survivor_inherit();
	no_counters = false;
	assert_int_equal(one.pair.survival.closed, 0);
	assert_int_equal(one.discarded, 0);
	assert_int_equal(one.pair.survival.in_turn, 0);
	assert_int_equal(one.pair.roster.connections, 3);
	assert_int_equal(quiet->view.rec->activity, HANDOFF__AT_REST);
	/* From the desk to its own buffers. */
	assert_int_equal(noted->view.rec->activity, HANDOFF__PENDING);
	assert_int_equal(handoff__desk_of(noted->view.rec), 0);
	assert_int_equal(handoff__record_unread(noted->view.rec), 5);
	assert_memory_equal(noted->view.rx, "hello", 5);
	assert_int_equal(handoff__record_tx_pieces(&noted->view, iov), 1);
	assert_int_equal(iov[0].iov_len, 6);
	assert_memory_equal(iov[0].iov_base, "456789", 6);
	/* What it read is lost and what it wrote is sent again. */
	assert_int_equal(stale->view.rec->activity, HANDOFF__PENDING);
	assert_int_equal(handoff__record_unread(stale->view.rec), 0);
	assert_int_equal(handoff__record_unsent(stale->view.rec), 10);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
}

/* A ferry has left it incomplete, and the server that had it from there dies:
 * the counters are behind the record, which is right, and stays as it is. */
static void
counters_of_an_incomplete_socket_are_not_believed(void **state)
{
	struct handoff__roster_entry *e, *whole;
	int clients[2];

	(void)state;
	survivor_open(1);
	e = survivor_enter(tcp_pair(&clients[0]));
	whole = survivor_enter(tcp_pair(&clients[1]));
	record_begin_at(e->view.rec, 1000, 500);
	record_begin_at(whole->view.rec, 1000, 500);
	e->view.rec->tx_base = 450;
	handoff__entry_begin(e);
	handoff__entry_begin(whole);
	survivor_give();
	assert_int_equal(send(e->fd, "not all of it", 13, MSG_NOSIGNAL), 13);
	assert_int_equal(send(clients[1], "hello", 5, 0), 5);
	read_and_write_without_noting(whole, 0);
	handoff__record_mark(e->view.rec, HANDOFF__IN_TURN);
	survivor_inherit();
	assert_int_equal(one.pair.survival.closed, 0);
	assert_int_equal(handoff__rx_head(e->view.rec), 1000);
	assert_int_equal(handoff__tx_tail(e->view.rec), 500);
	assert_int_equal(e->view.rec->tx_base, 450);
	assert_true(handoff__entry_marked(e));
	assert_int_equal(e->view.rec->activity, HANDOFF__PENDING);
	/* of one that is complete they are */
	assert_false(handoff__entry_marked(whole));
	assert_int_equal(one.pair.survival.repaired, 1);
	assert_int_equal(handoff__rx_head(whole->view.rec), 1005);
	assert_int_equal(handoff__tx_tail(whole->view.rec), 504);
	close(clients[0]);
	close(clients[1]);
}

/* What the dead peer had on its desk is in the record's own buffers then. */
static void
desk_of_the_dead_is_cleared(void **state)
{
	(void)state;
	repair_stale_positions(handoff__desk_number((int)DEAD, 0), 0, 0);
}

static void
desk_that_is_none_ends_one_connection(void **state)
{
	struct handoff__record *rec;
	int clients[2];

	(void)state;
	survivor_open(1);
	rec = survivor_enter(tcp_pair(&clients[0]))->view.rec;
	rec->desk = HANDOFF__DESKS + 1;
	handoff__record_mark(rec, HANDOFF__IN_TURN);
	/* Nothing of it is on a desk any more. */
	rec = survivor_enter(tcp_pair(&clients[1]))->view.rec;
	rec->desk = 1;
	survivor_give();
	survivor_inherit();
	assert_int_equal(one.pair.survival.closed, 2);
	assert_int_equal(one.pair.roster.connections, 1);
	close(clients[0]);
	close(clients[1]);
}

/* The child owns one, whose other end is `*client`. */
static struct handoff__roster_entry *
give_unix_connection(int *client)
{
	struct handoff__roster_entry *e;
	int sv[2];

	survivor_open(0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	e = survivor_enter(sv[0]);
	survivor_give();
	*client = sv[1];
	return e;
}

/* Without counters of the kernel, too. */
static void
desk_of_a_unix_connection_is_cleared(void **state)
{
	struct handoff__roster_entry *e;
	int client;

	(void)state;
	e = give_unix_connection(&client);
	assert_int_equal(send(client, "hello", 5, 0), 5);
	read_and_write_without_noting(e, handoff__desk_number(DEAD, 63));
	handoff__record_received(&e->view, 5);
	handoff__record_sent(&e->view, 4);
	survivor_inherit();
	assert_int_equal(one.pair.survival.closed, 0);
	assert_int_equal(handoff__desk_of(e->view.rec), 0);
	assert_memory_equal(e->view.rx, "hello", 5);
	assert_memory_equal(e->view.tx + 4, "456789", 6);
	close(client);
}

/* Hints of one that was in no turn are true, and nobody is asked. */
static void
record_at_rest_is_believed(void **state)
{
	struct handoff__roster_entry *e;
	int client;

	(void)state;
	survivor_open(0);
	e = survivor_enter(tcp_pair(&client));
	survivor_give();
	assert_int_equal(send(client, "hello", 5, 0), 5);
	read_and_write_without_noting(e, 0);
	handoff__record_mark(e->view.rec, HANDOFF__AT_REST);
	survivor_inherit();
	assert_int_equal(one.pair.survival.in_turn, 0);
	assert_int_equal(handoff__record_unread(e->view.rec), 0);
	close(client);
}

static void
record_that_the_kernel_contradicts_is_closed(void **state)
{
	struct handoff__roster_entry *e;
	int client;

	(void)state;
	survivor_open(1);
	e = survivor_enter(tcp_pair(&client));
	survivor_give();
	handoff__record_mark(e->view.rec, HANDOFF__IN_TURN);
	handoff__record_received(&e->view, 5); /* it never came */
	survivor_inherit();
	assert_int_equal(one.pair.survival.closed, 1);
	assert_int_equal(one.pair.roster.connections, 1);
	close(client);
}

static void
connection_that_was_reset_is_closed(void **state)
{
	struct linger reset = {.l_onoff = 1};
	struct handoff__roster_entry *e;
	int client;

	(void)state;
	survivor_open(1);
	e = survivor_enter(tcp_pair(&client));
	survivor_give();
	handoff__record_mark(e->view.rec, HANDOFF__IN_TURN);
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client);
	assert_true(support_poll(e->fd, POLLIN) & POLLHUP);
	survivor_inherit();
	assert_int_equal(one.pair.survival.closed, 1);
	assert_int_equal(one.pair.roster.connections, 1);
}

/* A Unix connection has no counters: its hints are all there is. */
static void
unix_connection_goes_on_by_its_hints(void **state)
{
	struct handoff__roster_entry *e;
	int client;

	(void)state;
	e = give_unix_connection(&client);
	handoff__record_mark(e->view.rec, HANDOFF__IN_TURN);
	survivor_inherit();
	assert_int_equal(one.pair.survival.closed, 0);
	assert_true(e->mine);
	assert_int_not_equal(e->view.rec->activity, HANDOFF__AT_REST);
	close(client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		side_test(without_counters_records_are_believed),
		side_test(stale_positions_are_repaired),
		side_test(counters_are_added_to_the_bases),
		side_test(bases_hold_on_a_desk),
		side_test(counters_without_their_bases_are_refused),
		side_test(counters_of_an_incomplete_socket_are_not_believed),
		side_test(desk_of_the_dead_is_cleared),
		side_test(desk_that_is_none_ends_one_connection),
		side_test(desk_of_a_unix_connection_is_cleared),
		side_test(record_at_rest_is_believed),
		side_test(record_that_the_kernel_contradicts_is_closed),
		side_test(connection_that_was_reset_is_closed),
		side_test(unix_connection_goes_on_by_its_hints),
	};

	return cmocka_run_group_tests_name("positions", tests, NULL, NULL);
}
