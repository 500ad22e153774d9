/* SPDX-License-Identifier: MIT */
/*
 * Single entries of programs with loops of their own: states, which are the old
 * or the new one, never a mixture, and entries withdrawn or released late.
 */
#include "embed/sides.h"

#include "embed/embed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void
state_is_old_or_new(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	char *edit, big[STATE_SIZE + 1];
	int fd, client;

	(void)state;
	pair_open(&p);
	e = side_deposit(&p.a, &fd, &client, NULL, "one");
	assert_int_equal(handoff_entry_commit(e, 3), -EINVAL);
	edit = handoff_entry_edit(e);
	memcpy(edit, "two", 3);
	assert_state(e, "one");
	assert_int_equal(handoff_entry_commit(e, 3), 0);
	assert_state(e, "two");
	edit = handoff_entry_edit(e);
	assert_memory_equal(edit, "two", 3);
	memset(big, 'b', sizeof(big));
	assert_int_equal(
		handoff_entry_update(e, big, STATE_SIZE + 1), -EMSGSIZE);
	assert_int_equal(handoff_entry_commit(e, STATE_SIZE + 1), -EMSGSIZE);
	assert_state(e, "two");
	assert_int_equal(handoff_entry_update(e, big, STATE_SIZE), 0);
	assert_int_equal(handoff_entry_update(e, NULL, 0), 0);
	assert_state(e, "");
	close(fd);
	close(client);
	pair_close(&p);
}

/* Ids begin below the origin of the first peer, of whatever kind. */
static void
ids_have_an_origin(void **state)
{
	struct side a, b;
	struct handoff_entry *e;
	struct handoff_peer *none;
	const char *dir = support_dir();
	int fd, client;

	(void)state;
	side_init(&a, dir, "one");
	side_init(&b, dir, "two");
	a.opts.origin = 0x8000;
	assert_int_equal(handoff_peer_open(&none, &a.opts), -EINVAL);
	a.opts.origin = 0x7fff;
	assert_int_equal(handoff_peer_open(&a.peer, &a.opts), 0);
	assert_int_equal(side_join(&b, &a), 0);
	e = side_deposit(&a, &fd, &client, NULL, "one");
	assert_int_equal(handoff_entry_id(e), 0x7fff000000000001);
	close(fd);
	close(client);
	handoff_peer_free(b.peer);
	handoff_peer_free(a.peer);
}

static blkcnt_t
blocks(const struct pair *p)
{
	struct stat st;

	assert_int_equal(fstat(p->a.peer->pair.arena.segments[0]->fd, &st), 0);
	return st.st_blocks;
}

/* A short state in a record for a long one: no more pages than it needs, a
 * page for the record and one for each copy of the state. */
static void
long_state_has_pages_once_there_is_one(void **state)
{
	char text[400], long_text[65528];
	struct handoff_entry *e;
	struct pair p;
	blkcnt_t before;
	int fd, client;

	(void)state;
	memset(&p, 0, sizeof(p));
	side_init(&p.a, support_dir(), "a");
	p.a.opts.state_size = sizeof(long_text);
	p.a.opts.may_own = true;
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	before = blocks(&p);
	e = side_deposit(&p.a, &fd, &client, NULL, "one");
	for (int i = 0; i < 10; i++) {
		memset(text, 'a' + i, sizeof(text));
		assert_int_equal(
			handoff_entry_update(e, text, sizeof(text)), 0);
		assert_non_null(handoff_entry_edit(e));
		assert_int_equal(handoff_entry_commit(e, sizeof(text)), 0);
	}
	assert_in_range(blocks(&p) - before, 1, 3 * 4096 / 512);
	memset(long_text, 'l', sizeof(long_text));
	assert_int_equal(
		handoff_entry_update(e, long_text, sizeof(long_text)), 0);
	assert_in_range(blocks(&p) - before, 16 * 4096 / 512, 19 * 4096 / 512);
	close(fd);
	close(client);
	handoff_peer_free(p.a.peer);
}

static void
withdrawn_entry_ends_for_its_client(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	int fd, client;
	char byte;

	(void)state;
	pair_open(&p);
	e = side_deposit(&p.a, &fd, &client, NULL, "");
	pair_settle(&p);
	close(fd);
	assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), -1);
	handoff_entry_withdraw(e);
	assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), 0);
	pair_settle(&p);
	close(client);
	handoff_entry_withdraw(NULL);
	pair_close(&p);
}

static void
nothing_is_released_unasked(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	int fd, client;

	(void)state;
	pair_open(&p);
	e = side_deposit(&p.a, &fd, &client, NULL, "mine");
	assert_int_equal(handoff_entry_release(e), -EINVAL);
	assert_int_equal(handoff_entry_update(e, "still", 5), 0);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	assert_ptr_equal(pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE), e);
	assert_int_equal(handoff_entry_release(e), 0);
	assert_int_equal(handoff_entry_release(e), -EINVAL);
	pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_state(p.b.event.entry, "still");
	close(p.b.event.fd);
	close(fd);
	close(client);
	pair_close(&p);
}

/* The next event of `a`, whatever it is. */
static enum handoff_peer_event_type
next_of_a(struct pair *p)
{
	for (int i = 0; i < 2000; i++) {
		if (side_next(&p->a))
			return p->a.event.type;
		handoff_peer_wait(p->b.peer, 0);
		handoff_peer_wait(p->a.peer, 1);
	}
	return 0;
}

/* `a` gives, and its program does not release the only connection in time. */
static struct handoff_entry *
leave_behind(struct pair *p, int *fd, int *client)
{
	struct handoff_entry_opts opts = {.size = sizeof(opts),
		.kind = HANDOFF_ENTRY_LISTENER,
		.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	const char *dir = support_dir();
	struct handoff_entry *e, *listener;

	side_init(&p->a, dir, "one");
	side_init(&p->b, dir, "two");
	p->a.opts.give_timeout_ms = 50;
	assert_int_equal(handoff_peer_open(&p->a.peer, &p->a.opts), 0);
	assert_int_equal(side_join(&p->b, &p->a), 0);
	pair_expect(p, &p->a, HANDOFF_PEER_JOINED);
	e = side_deposit(&p->a, fd, client, NULL, "busy");
	assert_int_equal(handoff_peer_deposit(p->a.peer, &listener, &opts), 0);
	close(opts.fd);
	assert_int_equal(handoff_peer_give(p->a.peer), 0);
	assert_int_equal(next_of_a(p), HANDOFF_PEER_RELEASE);
	assert_int_equal(handoff_entry_release(listener), 0);
	assert_int_equal(next_of_a(p), HANDOFF_PEER_RELEASE);
	assert_int_equal(next_of_a(p), HANDOFF_PEER_GAVE);
	assert_int_equal(p->a.outcome.listeners, 1);
	return e;
}

/* It is asked for, not given up in time, and follows later: only then does the
 * other peer serve everything. */
static void
late_release_follows(void **state)
{
	const struct handoff_left *left;
	struct pair p;
	struct handoff_entry *e;
	int fd, client;

	(void)state;
	e = leave_behind(&p, &fd, &client);
	assert_non_null(strstr(p.a.event.text, "1 left behind"));
	assert_int_equal(p.a.outcome.direction, HANDOFF_DIRECTION_OUT);
	assert_int_equal(p.a.outcome.left, 1);
	assert_int_equal(p.a.outcome.left_by[HANDOFF_REASON_HANDLER], 1);
	assert_int_equal(p.a.outcome.connections, 0);
	assert_int_equal(handoff_peer_left(p.a.peer, &left), 1);
	assert_ptr_equal(left->entry, e);
	assert_int_equal(left->id, handoff_entry_id(e));
	assert_int_equal(left->reason, HANDOFF_REASON_HANDLER);
	assert_int_equal(left->kind, HANDOFF_ENTRY_CONNECTION);
	assert_int_equal(handoff_peer_left(p.a.peer, &left), 0);
	assert_int_equal(handoff_entry_update(e, "done", 4), 0);
	assert_int_equal(handoff_entry_release(e), 0);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_STANDBY);
	e = pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_int_equal(handoff_entry_kind(e), HANDOFF_ENTRY_LISTENER);
	close(p.b.event.fd);
	e = pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_state(e, "done");
	close(p.b.event.fd);
	close(fd);
	close(client);
	pair_close(&p);
}

/* It follows when the other peer stands still: STANDBY comes when that has it,
 * and until then the program gets it back, to serve it. */
static void
standby_comes_when_the_last_was_accepted(void **state)
{
	struct handoff__pair *below;
	struct pair p;
	struct handoff_entry *e;
	int fd, client;

	(void)state;
	e = leave_behind(&p, &fd, &client);
	below = &p.a.peer->pair;
	assert_int_equal(handoff_entry_release(e), 0);
	for (int i = 0; i < 20; i++)
		handoff_peer_wait(p.a.peer, 1);
	assert_int_equal(below->roster.owned, 0);
	assert_false(side_next(&p.a));
	below->give.followed_us -= INT64_C(2000000);
	below->pulse.due = true;
	handoff_peer_dispatch(p.a.peer);
	assert_true(side_next(&p.a));
	assert_int_equal(p.a.event.type, HANDOFF_PEER_TAKEN);
	close(p.a.event.fd);
	pair_settle(&p);
	assert_false(side_next(&p.a));
	below->pulse.due = true;
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_RELEASE);
	assert_int_equal(handoff_entry_release(p.a.event.entry), 0);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_STANDBY);
	assert_int_equal(p.b.peer->pair.roster.connections, 1);
	close(fd);
	close(client);
	pair_close(&p);
}

/* An entry that is left behind ends here, and nothing of the service is left.
 */
static void
standby_comes_when_nothing_is_left(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	int fd, client;

	(void)state;
	e = leave_behind(&p, &fd, &client);
	pair_settle(&p);
	assert_false(side_next(&p.a));
	handoff_entry_withdraw(e);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_STANDBY);
	assert_int_equal(handoff_peer_take(p.a.peer), 0);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_TAKEN);
	close(p.a.event.fd);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_OWNER);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_GAVE);
	close(fd);
	close(client);
	pair_close(&p);
}

/* Nothing is released in time: then nothing moves, and what is released later
 * comes back. */
static void
give_that_moves_nothing_is_refused(void **state)
{
	const char *dir = support_dir();
	const struct handoff_left *left;
	struct handoff_entry *e;
	struct pair p;
	int fd, client;

	(void)state;
	side_init(&p.a, dir, "one");
	side_init(&p.b, dir, "two");
	p.a.opts.give_timeout_ms = 50;
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	assert_int_equal(side_join(&p.b, &p.a), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_JOINED);
	e = side_deposit(&p.a, &fd, &client, NULL, "busy");
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_RELEASE);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_REFUSED);
	assert_int_equal(p.a.event.reason, HANDOFF_REASON_HANDLER);
	assert_non_null(strstr(p.a.event.text, "1 entry was not quiet within"));
	assert_int_equal(p.a.outcome.left, 1);
	assert_int_equal(p.a.outcome.id, 0);
	assert_int_equal(handoff_peer_left(p.a.peer, &left), 1);
	assert_ptr_equal(left->entry, e);
	assert_int_equal(handoff_peer_left(p.a.peer, &left), 0);
	pair_settle(&p);
	while (side_next(&p.b))
		assert_int_not_equal(p.b.event.type, HANDOFF_PEER_OWNER);
	assert_int_equal(handoff_entry_release(e), 0);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_TAKEN);
	close(p.a.event.fd);
	assert_state(e, "busy");
	/* It has the service still, and gives it. */
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_RELEASE);
	assert_int_equal(handoff_entry_release(e), 0);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_STANDBY);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_GAVE);
	close(fd);
	close(client);
	pair_close(&p);
}

/* A program stops accepting before it lets connections go, and has its listener
 * before it learns that it is the owner. */
static void
listeners_come_first(void **state)
{
	struct handoff_entry_opts opts = {
		.size = sizeof(opts), .kind = HANDOFF_ENTRY_LISTENER};
	struct pair p;
	struct handoff_entry *listener, *e;
	int fd, client;

	(void)state;
	pair_open(&p);
	side_deposit(&p.a, &fd, &client, NULL, "first");
	opts.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(opts.fd >= 0);
	opts.name = "listener";
	assert_int_equal(handoff_peer_deposit(p.a.peer, &listener, &opts), 0);
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_RELEASE);
	assert_ptr_equal(p.a.event.entry, listener);
	assert_int_equal(handoff_entry_release(listener), 0);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_RELEASE);
	assert_int_equal(handoff_entry_release(p.a.event.entry), 0);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_STANDBY);
	assert_int_equal(next_of_a(&p), HANDOFF_PEER_GAVE);
	e = pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_int_equal(handoff_entry_kind(e), HANDOFF_ENTRY_LISTENER);
	close(p.b.event.fd);
	assert_true(side_next(&p.b));
	assert_int_equal(p.b.event.type, HANDOFF_PEER_TAKEN);
	close(p.b.event.fd);
	close(opts.fd);
	close(fd);
	close(client);
	pair_close(&p);
}

/* From version 1 to 2: says what it was, and is as long as it was plus that. A
 * state that begins with "bad" has no conversion, one with "big" is too long.
 */
static int
convert(uint32_t version, const void *old, size_t old_len, void *state,
	size_t *len, void *arg)
{
	unsigned *calls = arg;
	int n;

	++*calls;
	assert_int_equal(version, 1);
	assert_int_equal(*len, 2 * STATE_SIZE);
	if (old_len >= 3 && memcmp(old, "bad", 3) == 0)
		return -EINVAL;
	n = snprintf(state, *len, "was %.*s", (int)old_len, (const char *)old);
	*len = old_len >= 3 && memcmp(old, "big", 3) == 0 ? *len + 1
							  : (size_t)n;
	return 0;
}

/* `b` is a newer program: its states are longer and of the next version. */
static void
open_versions(struct pair *p, unsigned *calls)
{
	const char *dir = support_dir();

	side_init(&p->a, dir, "one");
	side_init(&p->b, dir, "two");
	p->b.opts.state_version = 2;
	p->b.opts.state_size = 2 * STATE_SIZE;
	p->b.opts.convert = convert;
	p->b.opts.convert_arg = calls;
	p->b.opts.convert_from = 1;
	assert_int_equal(handoff_peer_open(&p->a.peer, &p->a.opts), 0);
	assert_int_equal(side_join(&p->b, &p->a), 0);
	pair_expect(p, &p->a, HANDOFF_PEER_JOINED);
}

static void
older_states_are_converted(void **state)
{
	struct handoff_entry_opts opts = {.size = sizeof(opts),
		.kind = HANDOFF_ENTRY_OTHER,
		.name = "data",
		.state = "log",
		.len = 3};
	struct pair p;
	struct handoff_entry *e;
	char big[2 * STATE_SIZE];
	unsigned calls = 0;
	int fd, client;
	uint64_t id;

	(void)state;
	open_versions(&p, &calls);
	e = side_deposit(&p.a, &fd, &client, "first", "old");
	id = handoff_entry_id(e);
	opts.fd = fd;
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), 0);
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	for (int i = 0; i < 2; i++) {
		e = pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE);
		assert_int_equal(handoff_entry_release(e), 0);
	}
	for (int i = 0; i < 2; i++) {
		e = pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN);
		if (handoff_entry_id(e) == id) {
			assert_state(e, "was old");
			assert_string_equal(handoff_entry_name(e), "first");
			assert_speaks(p.b.event.fd, client);
		} else {
			assert_state(e, "was log");
			assert_string_equal(handoff_entry_name(e), "data");
		}
		close(p.b.event.fd);
	}
	pair_expect(&p, &p.b, HANDOFF_PEER_OWNER);
	assert_int_equal(calls, 2);
	/* There is room for what the older program had none for. */
	memset(big, 'b', sizeof(big));
	assert_int_equal(handoff_entry_update(e, big, sizeof(big)), 0);
	/* It is one way. */
	assert_true(handoff_peer_give(p.b.peer) < 0);
	close(fd);
	close(client);
	pair_close(&p);
}

static void
states_without_a_conversion_end_alone(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	unsigned calls = 0;
	int fd[3], client[3];
	char byte;

	(void)state;
	open_versions(&p, &calls);
	side_deposit(&p.a, &fd[0], &client[0], NULL, "bad");
	side_deposit(&p.a, &fd[1], &client[1], NULL, "big");
	side_deposit(&p.a, &fd[2], &client[2], NULL, "good");
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	for (int i = 0; i < 3; i++) {
		e = pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE);
		assert_int_equal(handoff_entry_release(e), 0);
		close(fd[i]);
	}
	e = pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_state(e, "was good");
	assert_speaks(p.b.event.fd, client[2]);
	close(p.b.event.fd);
	pair_expect(&p, &p.b, HANDOFF_PEER_OWNER);
	assert_int_equal(calls, 3);
	assert_non_null(strstr(p.b.logged, "cannot be converted"));
	for (int i = 0; i < 2; i++)
		assert_int_equal(recv(client[i], &byte, 1, MSG_DONTWAIT), 0);
	for (int i = 0; i < 3; i++)
		close(client[i]);
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(state_is_old_or_new),
		handoff_test(ids_have_an_origin),
		handoff_test(long_state_has_pages_once_there_is_one),
		handoff_test(withdrawn_entry_ends_for_its_client),
		handoff_test(nothing_is_released_unasked),
		handoff_test(late_release_follows),
		handoff_test(standby_comes_when_the_last_was_accepted),
		handoff_test(standby_comes_when_nothing_is_left),
		handoff_test(give_that_moves_nothing_is_refused),
		handoff_test(listeners_come_first),
		handoff_test(older_states_are_converted),
		handoff_test(states_without_a_conversion_end_alone),
	};

	return cmocka_run_group_tests_name("entries", tests, NULL, NULL);
}
