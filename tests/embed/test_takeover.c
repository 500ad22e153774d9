/* SPDX-License-Identifier: MIT */
/*
 * A peer ends, by a signal or in order: the other peer gets an event for each
 * entry, with the last committed state.
 */
#include "embed/sides.h"

#include "embed/embed.h"
#include "record/handling.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define N 5

/* What the child begins with: connections whose other ends are the test's. */
struct legacy {
	int fds[N];
	int clients[N];
	bool damage; /* the record of the last one makes no sense */
	bool inside; /* it dies while it handles all of them */
	bool again;  /* and not for the first time, with the last */
	int orders;  /* the child gives for a byte, and frees its peer at the
		       end of this */
	int kept;    /* the other end of it */
};

static void
make_legacy(struct legacy *legacy)
{
	int sv[2];

	for (int i = 0; i < N; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
		legacy->fds[i] = sv[0];
		legacy->clients[i] = sv[1];
	}
	assert_int_equal(pipe(sv), 0);
	legacy->orders = sv[0];
	legacy->kept = sv[1];
}

static void
close_legacy(struct legacy *legacy)
{
	for (int i = 0; i < N; i++)
		close(legacy->clients[i]);
	close(legacy->kept);
}

/* The child alone has the server's ends. */
static void
let_go(struct legacy *legacy)
{
	for (int i = 0; i < N; i++)
		close(legacy->fds[i]);
	close(legacy->orders);
}

/* Releases the listener, and never anything else. */
static void
obey(struct handoff_peer *peer, int told)
{
	const struct handoff_peer_event *event;

	handoff_peer_dispatch(peer);
	while (handoff_peer_next(peer, &event) > 0) {
		if (event->type == HANDOFF_PEER_RELEASE &&
			handoff_entry_kind(event->entry) ==
				HANDOFF_ENTRY_LISTENER)
			handoff_entry_release(event->entry);
		if (event->type == HANDOFF_PEER_OWNER &&
			write(told, "x", 1) < 0)
			_exit(1);
	}
}

/* In the child: runs until it is killed or its orders end. */
static int
serve(struct handoff_peer *peer, int told, int orders)
{
	struct pollfd fds[] = {{.fd = handoff_peer_fd(peer), .events = POLLIN},
		{.fd = orders, .events = POLLIN}};
	char byte;

	while (poll(fds, 2, -1) > 0) {
		if (fds[0].revents)
			obey(peer, told);
		if (!fds[1].revents)
			continue;
		if (read(orders, &byte, 1) != 1)
			return 0;
		if (handoff_peer_give(peer) < 0)
			return 1;
	}
	return 1;
}

/* Each has a state that is true and one that never will be. */
static int
own(const char *dir, int told, void *arg)
{
	struct legacy *legacy = arg;
	struct side side;

	side_init(&side, dir, "one");
	for (int i = 0; i < N; i++)
		close(legacy->clients[i]);
	close(legacy->kept);
	if (handoff_peer_open(&side.peer, &side.opts) < 0)
		return 1;
	for (int i = 0; i < N; i++) {
		struct handoff_entry_opts opts = {
			.size = sizeof(opts),
			.kind = i == 0 ? HANDOFF_ENTRY_LISTENER
				       : HANDOFF_ENTRY_CONNECTION,
			.fd = legacy->fds[i],
			.name = "mine",
			.state = "old",
			.len = 3,
		};
		struct handoff_entry *e;

		if (handoff_peer_deposit(side.peer, &e, &opts) < 0 ||
			handoff_entry_update(e, "true", 4) < 0)
			return 1;
		memcpy(handoff_entry_edit(e), "never", 5);
		if (legacy->damage && i == N - 1)
			e->entry.view.rec->sequence += 8;
		if (legacy->inside && handoff_entry_enter(e) < 0)
			return 1;
		if (legacy->again && i == N - 1)
			e->entry.view.rec->handling++;
	}
	if (serve(side.peer, told, legacy->orders) != 0)
		return 1;
	handoff_peer_free(side.peer);
	return 0;
}

/* The next one that is taken is as it was left; its number, or 0. */
static uint64_t
inherit(struct pair *p, struct legacy *legacy)
{
	struct handoff_entry *e = pair_expect(p, &p->b, HANDOFF_PEER_TAKEN);
	bool listener = handoff_entry_kind(e) == HANDOFF_ENTRY_LISTENER;
	uint64_t id = listener ? 0 : handoff_entry_id(e);

	assert_in_range(id, 0, N - 1);
	assert_state(e, "true");
	assert_string_equal(handoff_entry_name(e), "mine");
	assert_int_equal(p->b.event.deaths, legacy->inside);
	assert_null(handoff_entry_data(e));
	assert_speaks(p->b.event.fd, legacy->clients[id]);
	assert_int_equal(handoff_entry_update(e, "go on", 5), 0);
	close(p->b.event.fd);
	return id;
}

/* All have come before it is told that it serves. */
static void
assert_inherited(struct pair *p, struct legacy *legacy, unsigned seen)
{
	while (seen != (1u << N) - 1) {
		unsigned bit = 1u << inherit(p, legacy);

		assert_int_equal(seen & bit, 0);
		seen |= bit;
	}
	pair_expect(p, &p->b, HANDOFF_PEER_LEFT);
	assert_true(p->b.event.died);
	pair_expect(p, &p->b, HANDOFF_PEER_OWNER);
	assert_true(p->b.event.died);
	assert_int_equal(p->b.outcome.cause, HANDOFF_CAUSE_FAILOVER);
	assert_int_equal(p->b.outcome.direction, HANDOFF_DIRECTION_IN);
	assert_true(p->b.outcome.connections > 0);
	assert_false(side_next(&p->b));
}

/* Joins a child that owns; it has sent copies of everything by then. */
static pid_t
join_owner(struct pair *p, struct legacy *legacy)
{
	const char *dir = support_dir();
	pid_t pid;

	memset(p, 0, sizeof(*p));
	make_legacy(legacy);
	pid = side_child(own, dir, legacy);
	let_go(legacy);
	side_init(&p->b, dir, "two");
	assert_int_equal(handoff_peer_open(&p->b.peer, &p->b.opts), 0);
	pair_expect(p, &p->b, HANDOFF_PEER_STANDBY);
	return pid;
}

/* It may have been one of them: the program is told, and told again after each
 * handoff, until it has left. */
static void
deaths_come_along(void **state)
{
	struct pair p;
	struct legacy legacy = {.inside = true};
	pid_t pid = join_owner(&p, &legacy);
	struct handoff_entry *e;

	(void)state;
	side_kill(pid);
	e = pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_int_equal(p.b.event.deaths, 1);
	close(p.b.event.fd);
	assert_int_equal(handoff_entry_enter(e), 0);
	assert_int_equal(handoff__handler_deaths(e->entry.view.rec), 1);
	assert_int_equal(handoff_entry_leave(e), 0);
	assert_int_equal(handoff__handling(e->entry.view.rec), 0);
	for (int i = 1; i < N; i++) {
		inherit(&p, &legacy);
		assert_int_equal(p.b.event.deaths, 1);
	}
	pair_expect(&p, &p.b, HANDOFF_PEER_OWNER);
	/* The first was the listener. */
	assert_int_equal(handoff__pair_suspects(&p.b.peer->pair), N - 1);
	handoff_entry_withdraw(e);
	assert_int_equal(handoff_entry_enter(e), -EINVAL);
	assert_int_equal(handoff_entry_leave(e), -EINVAL);
	assert_int_equal(handoff_entry_enter(NULL), -EINVAL);
	close_legacy(&legacy);
	handoff_peer_free(p.b.peer);
}

/* The second time ends a connection, and the client is told. */
static void
second_death_ends_the_connection(void **state)
{
	struct pair p;
	struct legacy legacy = {.inside = true, .again = true};
	pid_t pid = join_owner(&p, &legacy);
	char byte;

	(void)state;
	side_kill(pid);
	assert_inherited(&p, &legacy, 1u << (N - 1));
	assert_int_equal(recv(legacy.clients[N - 1], &byte, 1, 0), 0);
	assert_int_equal(p.b.peer->pair.tally.ends[HANDOFF__END_POISON], 1);
	assert_non_null(
		strstr(p.b.logged, "two processes died in its handler"));
	close_legacy(&legacy);
	handoff_peer_free(p.b.peer);
}

static void
killed_owner_leaves_its_last_states(void **state)
{
	struct pair p;
	struct legacy legacy = {.damage = false};
	pid_t pid = join_owner(&p, &legacy);

	(void)state;
	side_kill(pid);
	assert_inherited(&p, &legacy, 0);
	close_legacy(&legacy);
	handoff_peer_free(p.b.peer);
}

/* What can't be gone on with ends, for its client too; the others live. */
static void
damaged_record_ends_alone(void **state)
{
	struct pair p;
	struct legacy legacy = {.damage = true};
	pid_t pid = join_owner(&p, &legacy);
	char byte;

	(void)state;
	side_kill(pid);
	for (int i = 0; i < N - 1; i++)
		assert_int_not_equal(inherit(&p, &legacy), N - 1);
	pair_expect(&p, &p.b, HANDOFF_PEER_LEFT);
	assert_non_null(strstr(p.b.logged, "its record is damaged"));
	assert_int_equal(
		recv(legacy.clients[N - 1], &byte, 1, MSG_DONTWAIT), 0);
	close_legacy(&legacy);
	handoff_peer_free(p.b.peer);
}

static void
freed_owner_leaves_as_much(void **state)
{
	struct pair p;
	struct legacy legacy = {.damage = false};
	pid_t pid = join_owner(&p, &legacy);

	(void)state;
	close(legacy.kept);
	legacy.kept = -1;
	support_reap(pid);
	assert_inherited(&p, &legacy, 0);
	close_legacy(&legacy);
	handoff_peer_free(p.b.peer);
}

/* It has released the listener and nothing else when it dies. The taker had the
 * role already, and is told of it when all is there. */
static void
owner_dies_while_it_gives(void **state)
{
	struct pair p;
	struct legacy legacy = {.damage = false};
	pid_t pid = join_owner(&p, &legacy);

	(void)state;
	assert_int_equal(write(legacy.kept, "g", 1), 1);
	assert_int_equal(inherit(&p, &legacy), 0);
	assert_false(side_next(&p.b));
	side_kill(pid);
	assert_inherited(&p, &legacy, 1);
	close_legacy(&legacy);
	handoff_peer_free(p.b.peer);
}

/* A new owner that finds no descriptor free is told of an entry when there is
 * one; nothing is lost meanwhile. */
static void
entry_waits_for_a_descriptor(void **state)
{
	struct pair p;
	struct legacy legacy = {.damage = false};
	pid_t pid = join_owner(&p, &legacy);
	uint64_t first;

	(void)state;
	side_kill(pid);
	first = inherit(&p, &legacy);
	support_limit_descriptors(0);
	pair_expect(&p, &p.b, HANDOFF_PEER_OWNER);
	assert_non_null(strstr(p.b.logged, "wait for a free descriptor"));
	support_unlimit_descriptors();
	for (unsigned seen = 1u << first; seen != (1u << N) - 1;)
		seen |= 1u << inherit(&p, &legacy);
	close_legacy(&legacy);
	handoff_peer_free(p.b.peer);
}

/* A copy is of no use to a program that could not have a descriptor of its own
 * besides. Both peers share this table: there is room for 80 more. */
static void
standby_keeps_room_to_serve(void **state)
{
	enum { MANY = 60 };
	const struct handoff_peer_event *event;
	struct pair p;
	int fd[MANY], client[MANY], mine[MANY], taken = 0, left_here = 0;
	const struct handoff_left *left;
	char wanted[32];

	(void)state;
	pair_open(&p);
	for (int i = 0; i < MANY; i++)
		side_deposit(&p.a, &fd[i], &client[i], NULL, "");
	support_limit_descriptors(80);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	do {
		handoff_peer_wait(p.a.peer, 1);
		handoff_peer_wait(p.b.peer, 1);
		while (handoff_peer_next(p.b.peer, &event) > 0) {
			if (event->type == HANDOFF_PEER_TAKEN)
				mine[taken++] = event->fd;
		}
		if (side_next(&p.a) && p.a.event.type == HANDOFF_PEER_RELEASE)
			handoff_entry_release(p.a.event.entry);
	} while (p.a.event.type != HANDOFF_PEER_GAVE);
	support_unlimit_descriptors();
	assert_in_range(taken, 25, 40);
	snprintf(wanted, sizeof(wanted), " %d left behind", MANY - taken);
	assert_non_null(strstr(p.a.event.text, wanted));
	assert_int_equal(p.a.outcome.connections, taken);
	assert_int_equal(p.a.outcome.left, MANY - taken);
	assert_int_equal(
		p.a.outcome.left_by[HANDOFF_REASON_TABLE_FULL], MANY - taken);
	while (handoff_peer_left(p.a.peer, &left) == 1) {
		assert_int_equal(left->reason, HANDOFF_REASON_TABLE_FULL);
		/* What has ended is left out, and ends no walk. */
		if (left_here++ % 2)
			handoff_entry_withdraw(left->entry);
	}
	assert_int_equal(left_here, MANY - taken);
	assert_string_equal(p.b.logged, "");
	while (taken > 0)
		close(mine[--taken]);
	for (int i = 0; i < MANY; i++) {
		close(fd[i]);
		close(client[i]);
	}
	pair_close(&p);
}

static int
listen_on_loopback(struct sockaddr_in *sin)
{
	socklen_t len = sizeof(*sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*sin = (struct sockaddr_in){.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(
		bind(fd, (const struct sockaddr *)sin, sizeof(*sin)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)sin, &len), 0);
	return fd;
}

/* What the kernel counts is what a state is compared with. */
static void
progress_is_what_the_kernel_counts(void **state)
{
	struct sockaddr_in sin;
	struct pair p;
	struct handoff_entry_opts opts = {
		.size = sizeof(opts), .kind = HANDOFF_ENTRY_CONNECTION};
	struct handoff_entry *e;
	uint64_t in = 1, out = 1;
	char bytes[5];
	int listener = listen_on_loopback(&sin);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(
		connect(client, (struct sockaddr *)&sin, sizeof(sin)), 0);
	opts.fd = accept(listener, NULL, NULL);
	pair_open(&p);
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), 0);
	assert_int_equal(handoff_entry_progress(e, &in, &out), 0);
	assert_int_equal(in + out, 0);
	assert_int_equal(write(client, "question", 8), 8);
	assert_int_equal(recv(opts.fd, bytes, 5, MSG_WAITALL), 5);
	assert_int_equal(write(opts.fd, "answer", 6), 6);
	assert_int_equal(handoff_entry_progress(e, &in, &out), 0);
	assert_int_equal(in, 5);
	assert_int_equal(out, 6);
	/* Peeked at is not read. */
	assert_int_equal(recv(opts.fd, bytes, 3, MSG_PEEK), 3);
	assert_int_equal(handoff_entry_progress(e, &in, &out), 0);
	assert_int_equal(in, 5);
	handoff_entry_withdraw(e);
	close(opts.fd);
	close(client);
	close(listener);
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(killed_owner_leaves_its_last_states),
		handoff_test(deaths_come_along),
		handoff_test(second_death_ends_the_connection),
		handoff_test(damaged_record_ends_alone),
		handoff_test(freed_owner_leaves_as_much),
		handoff_test(owner_dies_while_it_gives),
		handoff_test(entry_waits_for_a_descriptor),
		handoff_test(standby_keeps_room_to_serve),
		handoff_test(progress_is_what_the_kernel_counts),
	};

	return cmocka_run_group_tests_name("takeover", tests, NULL, NULL);
}
