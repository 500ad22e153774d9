/* SPDX-License-Identifier: MIT */
/*
 * What a survivor makes of whatever a dead peer left. The other peer is a
 * child, which is given everything and killed; before that the test writes
 * into the records what the child might have left there.
 */
#include "peer/fixture.h"

#include <fcntl.h>

#include "base/addr.h"
#include "peer/death.h"
#include "peer/loan.h"
#include "record/desk.h"
#include "record/handling.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEAD 2u /* the child's slot */

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

struct fixture {
	struct side a;
	pid_t child;
	int told;
};

/* `a` holds copies of what it had; the child owns all of it and serves. */
static void
give_to_child(struct fixture *f)
{
	f->child = pair_child(f->a.config.dir, &f->told);
	pair_wait(&f->a, &f->a.partners, 1);
	assert_int_equal(
		handoff__pair_give(&f->a.pair, HANDOFF__MAINTENANCE), 0);
	pair_wait(&f->a, &f->a.given, 1);
	assert_int_equal(f->a.report.reason, HANDOFF__OK);
	assert_int_equal(f->a.pair.roster.owned, 0);
}

static void
open_fixture(struct fixture *f, unsigned connections)
{
	side_init(&f->a, support_dir(), "one");
	pair_own(&f->a);
	pair_enter(&f->a, HANDOFF__LISTENER);
	pair_enter_many(&f->a, connections);
}

static void
kill_child(struct fixture *f)
{
	f->a.moved = 0;
	pair_kill(f->child, f->told);
	pair_wait(&f->a, &f->a.partings, 1);
	assert_int_equal(f->a.pair.partner, HANDOFF__PARTNER_NONE);
}

/* The n-th connection, counted from 0. */
static struct handoff__roster_entry *
connection(struct fixture *f, unsigned n)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&f->a.pair.roster, e))) {
		if (e->kind == HANDOFF__CONNECTION && n-- == 0)
			return e;
	}
	fail_msg("there is no such connection");
	return NULL;
}

static void
survivor_owns_and_serves_everything(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e = NULL;
	const struct handoff__survival *survival = &f.a.pair.survival;

	(void)state;
	open_fixture(&f, 10);
	give_to_child(&f);
	assert_false(f.a.pair.serving);
	/* As if the child were at home: its survivor is the alternate. */
	atomic_store(&handoff__arena_board(&f.a.pair.arena)->away, 0);
	kill_child(&f);
	assert_int_equal(f.a.failovers, 1);
	assert_true(f.a.pair.serving);
	assert_true(survival->serving);
	assert_int_equal(survival->entries, 11);
	assert_int_equal(
		survival->in_turn + survival->closed + survival->orphans, 0);
	assert_int_equal(f.a.moved, 11);
	assert_int_equal(f.a.pair.roster.connections, 10);
	assert_int_equal(f.a.pair.roster.held, 0);
	assert_int_equal(f.a.pair.roster.uncovered, 11);
	assert_int_equal(handoff__pair_generation(&f.a.pair), 3);
	assert_true(handoff__pair_away(&f.a.pair));
	while ((e = handoff__roster_next(&f.a.pair.roster, e)))
		assert_int_equal(e->view.rec->owner, 1);
	/* And it goes on: new entries, another standby. */
	pair_enter_many(&f.a, 1);
	f.child = pair_child(f.a.config.dir, &f.told);
	pair_wait(&f.a, &f.a.partners, 2);
	pair_wait(&f.a, &f.a.pair.roster.uncovered, 0);
	pair_kill(f.child, f.told);
	pair_wait(&f.a, &f.a.partings, 2);
	assert_int_equal(f.a.failovers, 1);
	side_close(&f.a);
}

/* It died between the owner word and the bell. */
static void
what_was_ours_already_is_served(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, 4);
	give_to_child(&f);
	for (unsigned i = 0; i < 2; i++)
		atomic_store(&connection(&f, i)->view.rec->owner, 1);
	kill_child(&f);
	assert_int_equal(f.a.pair.roster.connections, 4);
	assert_int_equal(f.a.moved, 5);
	side_close(&f.a);
}

/* It died between closing an entry and telling us, or after its record was
 * in use again. */
static void
what_was_closed_is_closed(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *closed, *reused;
	uint32_t slot;

	(void)state;
	open_fixture(&f, 4);
	give_to_child(&f);
	closed = connection(&f, 1);
	reused = connection(&f, 2);
	slot = closed->slot;
	atomic_store(&closed->view.rec->owner, 0);
	reused->view.rec->id = 4711;
	kill_child(&f);
	assert_int_equal(f.a.pair.roster.connections, 2);
	assert_int_equal(f.a.pair.roster.held, 0);
	assert_int_equal(f.a.closing, 2);
	assert_int_equal(f.a.discarded, 0);
	assert_int_equal(closed->id, 0);
	assert_int_equal(reused->id, 0);
	/* The record that was in use again is an orphan; both are free. */
	assert_int_equal(f.a.pair.survival.orphans, 1);
	assert_int_equal(pair_enter(&f.a, HANDOFF__CONNECTION)->slot, slot);
	side_close(&f.a);
}

static bool
vacant(void *arg, uint32_t segment, uint32_t slot)
{
	struct handoff__roster_entry *e =
		handoff__roster_at(arg, segment, slot);

	return e && e->id == 0;
}

/* Connections that it had accepted and we never got a copy of died with it;
 * their records must not be lost. */
static void
orphans_are_free_again(void **state)
{
	struct fixture f;
	uint32_t segment, slot;

	(void)state;
	open_fixture(&f, 4);
	give_to_child(&f);
	for (int i = 0; i < 5; i++)
		assert_int_equal(
			handoff__arena_alloc(&f.a.pair.arena, DEAD, vacant,
				&f.a.pair.roster, &segment, &slot),
			0);
	kill_child(&f);
	assert_int_equal(f.a.pair.survival.orphans, 5);
	assert_int_equal(f.a.pair.survival.entries, 5);
	for (slot = 0; slot < HANDOFF__SLOTS; slot++)
		assert_int_not_equal(
			handoff__arena_record(&f.a.pair.arena, 0, slot)->owner,
			DEAD);
	side_close(&f.a);
}

/* Of the file, where looking makes no page. */
static void
assert_cleared(const struct handoff__segment *seg, const void *from, size_t len)
{
	unsigned char *bytes = malloc(len);

	assert_non_null(bytes);
	assert_int_equal(pread(seg->fd, bytes, len,
				 (const unsigned char *)from - seg->base),
		len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(bytes[i], 0);
	free(bytes);
}

static void
assert_free_and_clear(const struct handoff__segment *seg, uint32_t slot)
{
	assert_cleared(
		seg, handoff__segment_record(seg, slot), seg->geo.stride);
	assert_cleared(seg, handoff__segment_buffers(seg, slot),
		seg->geo.buffer_stride);
}

static void
write_secrets(const struct handoff__view *view)
{
	memcpy(view->rx, "secret", 6);
	memcpy(view->tx, "secret", 6);
	view->rec->touched = 1;
}

/* It was about to free a record, and died before anything but the id was
 * cleared: that entry has ended, nobody goes on with the rest of it. */
static void
half_cleared_record_is_no_connection(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e;
	uint32_t slot;

	(void)state;
	open_fixture(&f, 4);
	give_to_child(&f);
	e = connection(&f, 1);
	slot = e->slot;
	write_secrets(&e->view);
	handoff__record_mark(e->view.rec, HANDOFF__PENDING);
	handoff__record_set_id(e->view.rec, 0);
	kill_child(&f);
	assert_int_equal(f.a.pair.roster.connections, 3);
	assert_int_equal(f.a.closing, 1);
	assert_int_equal(f.a.pair.survival.entries, 4);
	assert_int_equal(f.a.pair.survival.orphans, 1);
	assert_int_equal(e->id, 0);
	assert_free_and_clear(f.a.pair.arena.segments[0], slot);
	assert_int_equal(pair_enter(&f.a, HANDOFF__CONNECTION)->slot, slot);
	side_close(&f.a);
}

/* Orphans are cleared, and so are the desks of the dead. */
static void
nothing_of_the_dead_is_left_in_the_arena(void **state)
{
	struct fixture f;
	const struct handoff__segment *seg;
	struct handoff__view noted, dying, desk;
	uint32_t segment, slots[2];

	(void)state;
	open_fixture(&f, 4);
	give_to_child(&f);
	seg = f.a.pair.arena.segments[0];
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			handoff__arena_alloc(&f.a.pair.arena, DEAD, vacant,
				&f.a.pair.roster, &segment, &slots[i]),
			0);
	handoff__view_make(&noted, seg, slots[0]);
	write_secrets(&noted);
	handoff__view_make(&dying, seg, slots[1]);
	write_secrets(&dying);
	dying.rec->touched = 0; /* it had no time to note it */
	handoff__record_mark(dying.rec, HANDOFF__IN_TURN);
	desk = dying;
	handoff__desk_buffers(&desk, handoff__desk_number((int)DEAD, 3));
	write_secrets(&desk);
	dying.rec->touched = 0;
	kill_child(&f);
	assert_int_equal(f.a.pair.survival.orphans, 2);
	assert_free_and_clear(seg, slots[0]);
	assert_free_and_clear(seg, slots[1]);
	assert_cleared(seg, desk.rx, seg->geo.buffer_stride);
	side_close(&f.a);
}

static void
damaged_record_ends_one_connection(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e;

	(void)state;
	open_fixture(&f, 4);
	give_to_child(&f);
	e = connection(&f, 2);
	atomic_store(&e->view.rec->tx_tail, 1000);
	kill_child(&f);
	assert_int_equal(f.a.pair.survival.closed, 1);
	assert_int_equal(f.a.discarded, 1);
	assert_int_equal(e->id, 0);
	assert_int_equal(f.a.pair.roster.connections, 3);
	assert_int_equal(f.a.moved, 5);
	assert_true(f.a.pair.serving);
	side_close(&f.a);
}

/* A listener has no stream: nothing of its record is checked. */
static void
listener_is_kept_whatever_its_record_says(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e = NULL;

	(void)state;
	open_fixture(&f, 0);
	give_to_child(&f);
	e = handoff__roster_next(&f.a.pair.roster, NULL);
	handoff__record_mark(e->view.rec, HANDOFF__IN_TURN);
	e->view.rec->tx_tail = 99;
	kill_child(&f);
	assert_int_equal(f.a.pair.survival.entries, 1);
	assert_int_equal(f.a.discarded, 0);
	assert_true(e->mine);
	side_close(&f.a);
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

static struct handoff__roster_entry *
enter_fd(struct fixture *f, int fd)
{
	struct handoff__roster_entry *e;
	int err;

	e = handoff__pair_enter(
		&f->a.pair, fd, HANDOFF__CONNECTION, NULL, &err);
	assert_non_null(e);
	return e;
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
repair_stale_positions(uint32_t desk)
{
	struct fixture f;
	struct handoff__roster_entry *stale, *right;
	struct iovec iov[2] = {{.iov_len = 0}};
	int clients[2];

	open_fixture(&f, 1);
	stale = enter_fd(&f, tcp_pair(&clients[0]));
	right = enter_fd(&f, tcp_pair(&clients[1]));
	give_to_child(&f);
	assert_int_equal(send(clients[0], "hello", 5, 0), 5);
	read_and_write_without_noting(stale, desk);
	handoff__record_mark(right->view.rec, HANDOFF__IN_TURN);
	kill_child(&f);
	assert_int_equal(f.a.pair.survival.in_turn, 2);
	assert_int_equal(f.a.pair.survival.repaired, 1);
	assert_int_equal(f.a.pair.tally.repaired, 1);
	assert_int_equal(f.a.pair.survival.closed, 0);
	assert_int_equal(handoff__record_unread(stale->view.rec), 5);
	assert_memory_equal(stale->view.rx, "hello", 5);
	assert_int_equal(handoff__record_tx_pieces(&stale->view, iov), 1);
	assert_int_equal(iov[0].iov_len, 6);
	assert_memory_equal(iov[0].iov_base, "456789", 6);
	assert_int_equal(stale->view.rec->activity, HANDOFF__PENDING);
	close(clients[0]);
	close(clients[1]);
	side_close(&f.a);
}

static void
stale_positions_are_repaired(void **state)
{
	(void)state;
	repair_stale_positions(0);
}

/* Of three connections one was quiet, one had noted all that it did, and one
 * not: none is closed, and each goes on from where its record stands. */
static void
without_counters_records_are_believed(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *quiet, *noted, *stale;
	struct iovec iov[2] = {{.iov_len = 0}};
	int clients[3];

	(void)state;
	open_fixture(&f, 0);
	quiet = enter_fd(&f, tcp_pair(&clients[0]));
	noted = enter_fd(&f, tcp_pair(&clients[1]));
	stale = enter_fd(&f, tcp_pair(&clients[2]));
	give_to_child(&f);
	for (int i = 1; i < 3; i++)
		assert_int_equal(send(clients[i], "hello", 5, 0), 5);
	read_and_write_without_noting(
		noted, handoff__desk_number((int)DEAD, 0));
	handoff__record_received(&noted->view, 5);
	handoff__record_sent(&noted->view, 4);
	read_and_write_without_noting(stale, 0);
	no_counters = true;
	kill_child(&f);
	no_counters = false;
	assert_int_equal(f.a.pair.survival.closed, 0);
	assert_int_equal(f.a.discarded, 0);
	assert_int_equal(f.a.pair.survival.in_turn, 0);
	assert_int_equal(f.a.pair.roster.connections, 3);
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
	side_close(&f.a);
}

/* What the dead peer had on its desk is in the record's own buffers then. */
static void
desk_of_the_dead_is_cleared(void **state)
{
	(void)state;
	repair_stale_positions(handoff__desk_number(DEAD, 0));
}

static void
desk_that_is_none_ends_one_connection(void **state)
{
	struct fixture f;
	struct handoff__record *rec;
	int clients[2];

	(void)state;
	open_fixture(&f, 1);
	rec = enter_fd(&f, tcp_pair(&clients[0]))->view.rec;
	rec->desk = HANDOFF__DESKS + 1;
	handoff__record_mark(rec, HANDOFF__IN_TURN);
	/* Nothing of it is on a desk any more. */
	rec = enter_fd(&f, tcp_pair(&clients[1]))->view.rec;
	rec->desk = 1;
	give_to_child(&f);
	kill_child(&f);
	assert_int_equal(f.a.pair.survival.closed, 2);
	assert_int_equal(f.a.pair.roster.connections, 1);
	close(clients[0]);
	close(clients[1]);
	side_close(&f.a);
}

/* Without counters of the kernel, too. */
static void
desk_of_a_unix_connection_is_cleared(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e;
	int sv[2];

	(void)state;
	open_fixture(&f, 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	e = enter_fd(&f, sv[0]);
	give_to_child(&f);
	assert_int_equal(send(sv[1], "hello", 5, 0), 5);
	read_and_write_without_noting(e, handoff__desk_number(DEAD, 63));
	handoff__record_received(&e->view, 5);
	handoff__record_sent(&e->view, 4);
	kill_child(&f);
	assert_int_equal(f.a.pair.survival.closed, 0);
	assert_int_equal(handoff__desk_of(e->view.rec), 0);
	assert_memory_equal(e->view.rx, "hello", 5);
	assert_memory_equal(e->view.tx + 4, "456789", 6);
	close(sv[1]);
	side_close(&f.a);
}

/* Hints of one that was in no turn are true, and nobody is asked. */
static void
record_at_rest_is_believed(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e;
	int client;

	(void)state;
	open_fixture(&f, 0);
	e = enter_fd(&f, tcp_pair(&client));
	give_to_child(&f);
	assert_int_equal(send(client, "hello", 5, 0), 5);
	read_and_write_without_noting(e, 0);
	handoff__record_mark(e->view.rec, HANDOFF__AT_REST);
	kill_child(&f);
	assert_int_equal(f.a.pair.survival.in_turn, 0);
	assert_int_equal(handoff__record_unread(e->view.rec), 0);
	close(client);
	side_close(&f.a);
}

static void
record_that_the_kernel_contradicts_is_closed(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e;
	int client;

	(void)state;
	open_fixture(&f, 1);
	e = enter_fd(&f, tcp_pair(&client));
	give_to_child(&f);
	handoff__record_mark(e->view.rec, HANDOFF__IN_TURN);
	handoff__record_received(&e->view, 5); /* it never came */
	kill_child(&f);
	assert_int_equal(f.a.pair.survival.closed, 1);
	assert_int_equal(f.a.pair.roster.connections, 1);
	close(client);
	side_close(&f.a);
}

static void
connection_that_was_reset_is_closed(void **state)
{
	struct linger reset = {.l_onoff = 1};
	struct fixture f;
	struct handoff__roster_entry *e;
	int client;

	(void)state;
	open_fixture(&f, 1);
	e = enter_fd(&f, tcp_pair(&client));
	give_to_child(&f);
	handoff__record_mark(e->view.rec, HANDOFF__IN_TURN);
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client);
	assert_true(support_poll(e->fd, POLLIN) & POLLHUP);
	kill_child(&f);
	assert_int_equal(f.a.pair.survival.closed, 1);
	assert_int_equal(f.a.pair.roster.connections, 1);
	side_close(&f.a);
}

/* A Unix connection has no counters: its hints are all there is. */
static void
unix_connection_goes_on_by_its_hints(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e;
	int sv[2];

	(void)state;
	open_fixture(&f, 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	e = enter_fd(&f, sv[0]);
	give_to_child(&f);
	handoff__record_mark(e->view.rec, HANDOFF__IN_TURN);
	kill_child(&f);
	assert_int_equal(f.a.pair.survival.closed, 0);
	assert_true(e->mine);
	assert_int_not_equal(e->view.rec->activity, HANDOFF__AT_REST);
	close(sv[1]);
	side_close(&f.a);
}

/* It died in the middle of our give to it. */
static void
death_during_a_give_ends_it(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, 5);
	f.child = pair_child(f.a.config.dir, &f.told);
	pair_wait(&f.a, &f.a.partners, 1);
	pair_run(&f.a, NULL);
	assert_int_equal(
		handoff__pair_give(&f.a.pair, HANDOFF__MAINTENANCE), 0);
	kill_child(&f);
	assert_int_equal(f.a.given, 1);
	assert_true(f.a.pair.serving);
	assert_int_equal(f.a.pair.roster.connections, 5);
	assert_int_equal(f.a.pair.roster.held, 0);
	assert_false(handoff__pair_moving(&f.a.pair));
	side_close(&f.a);
}

/* It owned some connections of its own while we served. */
static void
death_of_one_that_does_not_serve_changes_no_role(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, 5);
	give_to_child(&f);
	assert_int_equal(handoff__pair_take(&f.a.pair, HANDOFF__HOME), 0);
	pair_wait(&f.a, &f.a.given, 2);
	assert_true(f.a.pair.serving);
	assert_int_equal(f.a.pair.roster.connections, 0);
	kill_child(&f);
	assert_int_equal(f.a.failovers, 1);
	assert_false(f.a.pair.survival.serving);
	assert_int_equal(f.a.pair.survival.entries, 5);
	assert_int_equal(f.a.pair.roster.connections, 5);
	assert_int_equal(handoff__pair_generation(&f.a.pair), 3);
	assert_false(handoff__pair_away(&f.a.pair));
	side_close(&f.a);
}

static void
nothing_is_taken_while_a_child_of_the_dead_lives(void **state)
{
	struct fixture f;
	int life[2];

	(void)state;
	open_fixture(&f, 3);
	give_to_child(&f);
	assert_int_equal(pipe2(life, O_CLOEXEC | O_NONBLOCK), 0);
	handoff__death_watch_children(&f.a.pair, life[0]);
	pair_kill(f.child, f.told);
	while (f.a.pair.pidfd >= 0 || f.a.pair.link.fd >= 0) {
		assert_true(handoff__loop_dispatch(&f.a.loop, 1000) >= 0);
		handoff__pair_proceed(&f.a.pair);
	}
	pair_run(&f.a, NULL);
	assert_int_equal(f.a.pair.partner, HANDOFF__PARTNER_APART);
	assert_int_equal(f.a.pair.roster.owned, 0);
	assert_int_equal(f.a.partings, 0);
	close(life[1]);
	pair_wait(&f.a, &f.a.partings, 1);
	assert_int_equal(f.a.pair.survival.entries, 4);
	assert_int_equal(f.a.pair.life, -1);
	side_close(&f.a);
}

static void
what_was_lent_is_closed_after_the_death(void **state)
{
	struct side a, b;
	int fds[HANDOFF__LEND_MAX + 1];

	(void)state;
	pair_open(&a, &b);
	for (int i = 0; i < HANDOFF__LEND_MAX + 1; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		handoff__loan_keep(&b.pair, fds[i]);
	}
	/* Nobody may lend without end. */
	assert_int_equal(b.pair.nborrowed, HANDOFF__LEND_MAX);
	assert_int_equal(fcntl(fds[HANDOFF__LEND_MAX], F_GETFD), -1);
	handoff__loan_return(&b.pair);
	assert_int_equal(b.pair.nborrowed, 0);
	handoff__loan_fini(&b.pair);
	for (int i = 0; i < HANDOFF__LEND_MAX; i++)
		assert_int_equal(fcntl(fds[i], F_GETFD), -1);
	pair_close(&a, &b);
}

/* A connection that was in its handler is suspected, and stays. */
static void
death_in_the_handler_is_counted(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *inside, *before;

	(void)state;
	open_fixture(&f, 4);
	give_to_child(&f);
	inside = connection(&f, 1);
	before = connection(&f, 2);
	handoff__handler_enter(inside->view.rec);
	/* It was suspected already, and had not had its turn. */
	handoff__handler_enter(before->view.rec);
	assert_true(handoff__handler_died(before->view.rec));
	assert_int_equal(handoff__pair_suspects(&f.a.pair), 0);
	kill_child(&f);
	assert_int_equal(f.a.pair.survival.in_handler, 1);
	assert_int_equal(f.a.pair.survival.closed, 0);
	assert_int_equal(f.a.discarded, 0);
	assert_int_equal(f.a.pair.tally.handler_deaths, 1);
	assert_int_equal(handoff__handler_deaths(inside->view.rec), 1);
	assert_int_equal(handoff__handler_deaths(before->view.rec), 1);
	assert_true(handoff__entry_suspected(inside));
	assert_true(handoff__entry_suspected(before));
	assert_false(handoff__entry_poisoned(inside));
	assert_int_equal(handoff__pair_suspects(&f.a.pair), 2);
	handoff__handler_enter(inside->view.rec);
	handoff__handler_leave(inside->view.rec);
	assert_int_equal(handoff__pair_suspects(&f.a.pair), 1);
	side_close(&f.a);
}

/* The second time ends it, also if the one that has counted it had no time
 * left to do so. */
static void
second_death_in_the_handler_ends_one_connection(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *twice, *counted;

	(void)state;
	open_fixture(&f, 4);
	give_to_child(&f);
	twice = connection(&f, 1);
	counted = connection(&f, 2);
	handoff__handler_enter(twice->view.rec);
	assert_true(handoff__handler_died(twice->view.rec));
	handoff__handler_enter(twice->view.rec);
	for (int i = 0; i < 2; i++) {
		handoff__handler_enter(counted->view.rec);
		assert_true(handoff__handler_died(counted->view.rec));
	}
	kill_child(&f);
	assert_int_equal(f.a.pair.survival.in_handler, 1);
	assert_int_equal(f.a.pair.survival.closed, 2);
	assert_int_equal(f.a.discarded, 2);
	assert_int_equal(twice->id, 0);
	assert_int_equal(counted->id, 0);
	assert_int_equal(f.a.pair.roster.connections, 2);
	assert_true(f.a.pair.serving);
	side_close(&f.a);
}

/* What has no client is worth more than a handler that fails. */
static void
listener_is_never_ended_for_a_death(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e;

	(void)state;
	open_fixture(&f, 0);
	give_to_child(&f);
	e = handoff__roster_next(&f.a.pair.roster, NULL);
	for (int i = 0; i < 2; i++) {
		handoff__handler_enter(e->view.rec);
		assert_true(handoff__handler_died(e->view.rec));
	}
	handoff__handler_enter(e->view.rec);
	kill_child(&f);
	assert_int_equal(f.a.discarded, 0);
	assert_true(e->mine);
	assert_int_equal(handoff__handler_deaths(e->view.rec), 3);
	assert_int_equal(handoff__pair_suspects(&f.a.pair), 0);
	side_close(&f.a);
}

/* A give takes the suspicion along. */
static void
suspicion_moves_with_a_give(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *e;

	(void)state;
	pair_open(&a, &b);
	e = pair_enter(&a, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	handoff__handler_enter(e->view.rec);
	assert_true(handoff__handler_died(e->view.rec));
	assert_true(handoff__entry_suspected(e));
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&a, &b);
	assert_false(handoff__entry_suspected(e));
	assert_true(handoff__entry_suspected(pair_find(&b, e)));
	assert_int_equal(handoff__pair_suspects(&b.pair), 1);
	pair_close(&a, &b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(what_was_lent_is_closed_after_the_death),
		handoff_test(nothing_is_taken_while_a_child_of_the_dead_lives),
		handoff_test(survivor_owns_and_serves_everything),
		handoff_test(what_was_ours_already_is_served),
		handoff_test(what_was_closed_is_closed),
		handoff_test(orphans_are_free_again),
		handoff_test(half_cleared_record_is_no_connection),
		handoff_test(without_counters_records_are_believed),
		handoff_test(nothing_of_the_dead_is_left_in_the_arena),
		handoff_test(damaged_record_ends_one_connection),
		handoff_test(listener_is_kept_whatever_its_record_says),
		handoff_test(stale_positions_are_repaired),
		handoff_test(desk_of_the_dead_is_cleared),
		handoff_test(desk_that_is_none_ends_one_connection),
		handoff_test(desk_of_a_unix_connection_is_cleared),
		handoff_test(record_at_rest_is_believed),
		handoff_test(record_that_the_kernel_contradicts_is_closed),
		handoff_test(connection_that_was_reset_is_closed),
		handoff_test(unix_connection_goes_on_by_its_hints),
		handoff_test(death_during_a_give_ends_it),
		handoff_test(death_of_one_that_does_not_serve_changes_no_role),
		handoff_test(death_in_the_handler_is_counted),
		handoff_test(second_death_in_the_handler_ends_one_connection),
		handoff_test(listener_is_never_ended_for_a_death),
		handoff_test(suspicion_moves_with_a_give),
	};

	return cmocka_run_group_tests_name("survive", tests, NULL, NULL);
}
