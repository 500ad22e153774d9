/* SPDX-License-Identifier: MIT */
/*
 * Leaders and companions as a program with a loop of its own sees them: events
 * for them follow each other, they move together or come back together.
 */
#include "embed/sides.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LEADERS 40

/* A companion: a descriptor whose number the program need not know. */
static struct handoff_entry *
deposit_with(struct side *side, struct handoff_entry *leader, const char *state)
{
	struct handoff_entry_opts opts = {
		.size = sizeof(opts),
		.kind = HANDOFF_ENTRY_OTHER,
		.fd = dup(0),
		.name = "file",
		.state = state,
		.len = strlen(state),
		.with = leader,
	};
	struct handoff_entry *entry = NULL;

	assert_true(opts.fd >= 0);
	assert_int_equal(handoff_peer_deposit(side->peer, &entry, &opts), 0);
	close(opts.fd);
	return entry;
}

/* The next event of this peer that is not STANDBY, JOINED or the like. */
static struct handoff_entry *
next_of(struct pair *p, struct side *side, enum handoff_peer_event_type type)
{
	for (int i = 0; i < 2000; i++) {
		if (side_next(side)) {
			assert_int_equal(side->event.type, type);
			if (side->event.fd >= 0)
				close(side->event.fd);
			return side->event.entry;
		}
		handoff_peer_wait(p->b.peer, 1);
		handoff_peer_wait(p->a.peer, 1);
	}
	fail_msg("%s: event %d never came", side->opts.name, (int)type);
	return NULL;
}

static void
release_next(struct pair *p, struct handoff_entry *wanted)
{
	struct handoff_entry *e = next_of(p, &p->a, HANDOFF_PEER_RELEASE);

	assert_ptr_equal(e, wanted);
	assert_int_equal(handoff_entry_release(e), 0);
}

/* Companions that were deposited before others' leaders and after them. */
static void
events_of_companions_follow_their_leaders(void **state)
{
	struct handoff_entry *leaders[LEADERS], *e, *leader = NULL;
	int fds[LEADERS], clients[LEADERS];
	struct pair p;

	(void)state;
	pair_open(&p);
	for (int i = 0; i < LEADERS; i++) {
		leaders[i] = side_deposit(
			&p.a, &fds[i], &clients[i], NULL, "leader");
		if (i % 2)
			deposit_with(&p.a, leaders[i], "with");
	}
	for (int i = LEADERS - 1; i >= 0; i--)
		deposit_with(&p.a, leaders[i], "with");
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	for (int i = 0; i < LEADERS * 5 / 2; i++) {
		e = next_of(&p, &p.a, HANDOFF_PEER_RELEASE);
		if (!handoff_entry_leader(e))
			leader = e;
		else
			assert_ptr_equal(handoff_entry_leader(e), leader);
		assert_int_equal(handoff_entry_release(e), 0);
	}
	next_of(&p, &p.a, HANDOFF_PEER_STANDBY);
	next_of(&p, &p.a, HANDOFF_PEER_GAVE);
	assert_int_equal(p.a.outcome.left, 0);
	for (int i = 0; i < LEADERS * 5 / 2; i++) {
		e = next_of(&p, &p.b, HANDOFF_PEER_TAKEN);
		if (!handoff_entry_leader(e)) {
			leader = e;
			assert_state(e, "leader");
			continue;
		}
		assert_ptr_equal(handoff_entry_leader(e), leader);
		assert_state(e, "with");
	}
	next_of(&p, &p.b, HANDOFF_PEER_OWNER);
	for (int i = 0; i < LEADERS; i++) {
		close(fds[i]);
		close(clients[i]);
	}
	pair_close(&p);
}

/* The program opens a file for what it is about to release. */
static void
what_is_deposited_while_releasing_moves_along(void **state)
{
	struct handoff_entry *leader, *with, *e;
	struct pair p;
	int fd, client;

	(void)state;
	pair_open(&p);
	leader = side_deposit(&p.a, &fd, &client, NULL, "leader");
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	assert_ptr_equal(next_of(&p, &p.a, HANDOFF_PEER_RELEASE), leader);
	with = deposit_with(&p.a, leader, "late");
	assert_int_equal(handoff_entry_release(leader), 0);
	release_next(&p, with);
	next_of(&p, &p.a, HANDOFF_PEER_STANDBY);
	next_of(&p, &p.a, HANDOFF_PEER_GAVE);
	assert_int_equal(p.a.outcome.left, 0);
	assert_int_equal(p.a.outcome.connections, 1);
	leader = next_of(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_state(leader, "leader");
	assert_null(handoff_entry_leader(leader));
	e = next_of(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_state(e, "late");
	assert_ptr_equal(handoff_entry_leader(e), leader);
	next_of(&p, &p.b, HANDOFF_PEER_OWNER);
	close(fd);
	close(client);
	pair_close(&p);
}

/* One is released and the other not in time: the first comes back, and both
 * follow when both are released. */
static void
released_alone_comes_back(void **state)
{
	const char *dir = support_dir();
	struct handoff_entry *leader, *with, *other;
	struct pair p;
	int fd[2], client[2];

	(void)state;
	side_init(&p.a, dir, "one");
	side_init(&p.b, dir, "two");
	p.a.opts.give_timeout_ms = 50;
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	assert_int_equal(side_join(&p.b, &p.a), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_JOINED);
	leader = side_deposit(&p.a, &fd[0], &client[0], NULL, "leader");
	other = side_deposit(&p.a, &fd[1], &client[1], NULL, "other");
	with = deposit_with(&p.a, leader, "with");
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	release_next(&p, leader);
	assert_ptr_equal(next_of(&p, &p.a, HANDOFF_PEER_RELEASE), with);
	release_next(&p, other);
	assert_ptr_equal(next_of(&p, &p.a, HANDOFF_PEER_TAKEN), leader);
	next_of(&p, &p.a, HANDOFF_PEER_GAVE);
	assert_int_equal(p.a.outcome.left, 2);
	assert_int_equal(p.a.outcome.left_by[HANDOFF_REASON_HANDLER], 2);
	assert_int_equal(handoff_entry_update(leader, "again", 5), 0);
	assert_int_equal(handoff_entry_release(with), 0);
	release_next(&p, leader);
	next_of(&p, &p.a, HANDOFF_PEER_STANDBY);
	assert_state(pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN), "other");
	close(p.b.event.fd);
	leader = pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN);
	close(p.b.event.fd);
	assert_state(leader, "again");
	with = next_of(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_state(with, "with");
	assert_ptr_equal(handoff_entry_leader(with), leader);
	for (int i = 0; i < 2; i++) {
		close(fd[i]);
		close(client[i]);
	}
	pair_close(&p);
}

static void
wrong_leaders_are_refused(void **state)
{
	struct handoff_entry_opts opts = {
		.size = sizeof(opts), .kind = HANDOFF_ENTRY_OTHER, .fd = 0};
	struct handoff_entry *leader, *with, *e = NULL;
	struct pair p;
	int fd, client;

	(void)state;
	pair_open(&p);
	leader = side_deposit(&p.a, &fd, &client, NULL, "leader");
	with = deposit_with(&p.a, leader, "with");
	opts.with = with;
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), -EINVAL);
	assert_non_null(strstr(
		handoff_peer_errmsg(p.a.peer), "a leader has no leader"));
	opts.with = leader;
	assert_int_equal(handoff_peer_deposit(p.b.peer, &e, &opts), -EINVAL);
	for (int i = 0; i < 62; i++)
		deposit_with(&p.a, leader, "");
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), -ENOSPC);
	handoff_entry_withdraw(leader);
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), -EINVAL);
	assert_null(handoff_entry_leader(with));
	assert_null(handoff_entry_leader(NULL));
	assert_null(e);
	close(fd);
	close(client);
	pair_close(&p);
}

static int
convert(uint32_t version, const void *old, size_t old_len, void *state,
	size_t *len, void *arg)
{
	(void)version;
	(void)arg;
	*len = (size_t)snprintf(
		state, *len, "was %.*s", (int)old_len, (const char *)old);
	return 0;
}

/* The newer program has them in other records, and still together. */
static void
conversion_keeps_them_together(void **state)
{
	const char *dir = support_dir();
	struct handoff_entry *leader, *with, *early;
	struct pair p;
	int fd[2], client[2];

	(void)state;
	side_init(&p.a, dir, "one");
	side_init(&p.b, dir, "two");
	p.b.opts.state_version = 2;
	p.b.opts.convert = convert;
	p.b.opts.convert_from = 1;
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	assert_int_equal(side_join(&p.b, &p.a), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_JOINED);
	early = side_deposit(&p.a, &fd[0], &client[0], NULL, "early");
	leader = side_deposit(&p.a, &fd[1], &client[1], NULL, "leader");
	handoff_entry_withdraw(early);
	pair_settle(&p);
	with = deposit_with(&p.a, leader, "with");
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	release_next(&p, leader);
	release_next(&p, with);
	pair_expect(&p, &p.a, HANDOFF_PEER_GAVE);
	leader = pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN);
	close(p.b.event.fd);
	assert_state(leader, "was leader");
	with = next_of(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_state(with, "was with");
	assert_ptr_equal(handoff_entry_leader(with), leader);
	for (int i = 0; i < 2; i++) {
		close(fd[i]);
		close(client[i]);
	}
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(events_of_companions_follow_their_leaders),
		handoff_test(what_is_deposited_while_releasing_moves_along),
		handoff_test(released_alone_comes_back),
		handoff_test(wrong_leaders_are_refused),
		handoff_test(conversion_keeps_them_together),
	};

	return cmocka_run_group_tests_name(
		"embed_companions", tests, NULL, NULL);
}
