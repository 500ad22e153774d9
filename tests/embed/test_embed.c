/* SPDX-License-Identifier: MIT */
/*
 * The peer for servers with a loop of their own, by public calls only: two of
 * them in one process. Single entries are in test_entries.c.
 */
#include "embed/sides.h"

#include "embed/embed.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a side was told, a letter each, while both ran until nothing came any
 * more. What it is asked for it releases. */
struct trail {
	char text[64];
	size_t len;
};

static void
follow(struct side *side, struct trail *trail)
{
	static const char letters[] = "?OSWJLTRGXHNE"; /* by type */
	const struct handoff_peer_event *event;

	handoff_peer_wait(side->peer, 1);
	while (handoff_peer_next(side->peer, &event) > 0) {
		assert_in_range(trail->len, 0, sizeof(trail->text) - 2);
		trail->text[trail->len++] = letters[event->type];
		if (event->type == HANDOFF_PEER_RELEASE)
			assert_int_equal(
				handoff_entry_release(event->entry), 0);
		if (event->type == HANDOFF_PEER_TAKEN)
			close(event->fd);
	}
}

static void
assert_trails(struct pair *p, const char *of_a, const char *of_b)
{
	struct trail a = {.len = 0}, b = {.len = 0};

	for (int i = 0; i < 30; i++) {
		follow(&p->a, &a);
		follow(&p->b, &b);
	}
	assert_string_equal(a.text, of_a);
	assert_string_equal(b.text, of_b);
}

static void
what_is_deposited_is_taken_and_brought_back(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	int fd, client, data;
	uint64_t id;

	(void)state;
	pair_open(&p);
	e = side_deposit(&p.a, &fd, &client, "first", "old");
	id = handoff_entry_id(e);
	handoff_entry_set_data(e, &data);
	assert_ptr_equal(handoff_entry_data(e), &data);
	assert_state(e, "old");
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	assert_ptr_equal(pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE), e);
	assert_int_equal(handoff_entry_update(e, "brought up", 10), 0);
	assert_int_equal(handoff_entry_release(e), 0);
	close(fd);
	pair_expect(&p, &p.a, HANDOFF_PEER_GAVE);
	assert_non_null(strstr(p.a.event.text, "moved 1 connection,"));
	assert_int_equal(handoff_entry_update(e, "late", 4), -EINVAL);

	e = pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_int_equal(handoff_entry_id(e), id);
	assert_string_equal(handoff_entry_name(e), "first");
	assert_null(handoff_entry_data(e));
	assert_int_equal(handoff_entry_kind(e), HANDOFF_ENTRY_CONNECTION);
	assert_state(e, "brought up");
	assert_speaks(p.b.event.fd, client);
	close(p.b.event.fd);

	assert_int_equal(handoff_peer_take(p.a.peer), 0);
	e = pair_expect(&p, &p.b, HANDOFF_PEER_RELEASE);
	assert_int_equal(handoff_entry_release(e), 0);
	e = pair_expect(&p, &p.a, HANDOFF_PEER_TAKEN);
	assert_state(e, "brought up");
	assert_speaks(p.a.event.fd, client);
	close(p.a.event.fd);
	close(client);
	pair_close(&p);
}

static void
many_move_at_once(void **state)
{
	enum { N = 600 };
	struct pair p;
	const struct handoff_peer_event *event;
	int fd[N], client[N], released = 0, taken = 0;

	(void)state;
	support_need_descriptors(6 * N);
	pair_open(&p);
	for (int i = 0; i < N; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", i);
		side_deposit(&p.a, &fd[i], &client[i], text, text);
	}
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	for (int i = 0; i < 2000; i++) {
		handoff_peer_wait(p.a.peer, released < N ? 5 : 0);
		handoff_peer_wait(p.b.peer, released == N ? 5 : 0);
		while (handoff_peer_next(p.a.peer, &event) > 0) {
			if (event->type == HANDOFF_PEER_GAVE)
				p.a.event = *event;
			if (event->type != HANDOFF_PEER_RELEASE)
				continue;
			released++;
			handoff_entry_release(event->entry);
		}
		while (handoff_peer_next(p.b.peer, &event) > 0) {
			if (event->type != HANDOFF_PEER_TAKEN)
				continue;
			taken++;
			assert_state(
				event->entry, handoff_entry_name(event->entry));
			close(event->fd);
		}
		if (taken == N && p.a.event.type == HANDOFF_PEER_GAVE)
			break;
	}
	assert_int_equal(released, N);
	assert_int_equal(taken, N);
	assert_non_null(strstr(p.a.event.text, "moved 600 connections"));
	for (int i = 0; i < N; i++) {
		close(fd[i]);
		close(client[i]);
	}
	pair_close(&p);
}

/* The link breaks when the program has released all and not all has been
 * offered: every entry comes back, also beyond the first message. */
static void
what_was_released_comes_back_when_the_link_breaks(void **state)
{
	enum { N = 300 };
	struct pair p;
	const struct handoff_peer_event *event;
	int fd[N], client[N], released = 0, taken = 0;

	(void)state;
	support_need_descriptors(6 * N);
	pair_open(&p);
	for (int i = 0; i < N; i++)
		side_deposit(&p.a, &fd[i], &client[i], "one", "state");
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	for (int i = 0; i < 1000 && released < N; i++) {
		handoff_peer_wait(p.a.peer, 5);
		handoff_peer_wait(p.b.peer, 0);
		while (handoff_peer_next(p.a.peer, &event) > 0) {
			if (event->type != HANDOFF_PEER_RELEASE)
				continue;
			/* Not before the next dispatch does it move. */
			if (++released == N)
				handoff__link_fail(
					&p.a.peer->pair.link, -EPIPE);
			handoff_entry_release(event->entry);
		}
	}
	assert_int_equal(released, N);
	for (int i = 0; i < 1000 && taken < N; i++) {
		handoff_peer_wait(p.a.peer, 5);
		while (handoff_peer_next(p.a.peer, &event) > 0) {
			if (event->type != HANDOFF_PEER_TAKEN)
				continue;
			taken++;
			close(event->fd);
		}
		while (handoff_peer_next(p.b.peer, &event) > 0) {
			if (event->type != HANDOFF_PEER_TAKEN)
				continue;
			taken++;
			close(event->fd);
		}
		handoff_peer_wait(p.b.peer, 0);
	}
	assert_int_equal(taken, N);
	for (int i = 0; i < N; i++) {
		close(fd[i]);
		close(client[i]);
	}
	pair_close(&p);
}

#define OPENED 40

/* Where a descriptor lies that the program opens after `n` others. */
static int
number_after(int n)
{
	int fds[OPENED + 1] = {-1}, last;

	for (int i = 0; i <= n; i++) {
		fds[i] = dup(STDIN_FILENO);
		assert_true(fds[i] >= 0);
	}
	last = fds[n];
	for (int i = 0; i <= n; i++)
		close(fds[i]);
	return last;
}

/* What the library keeps, the copies too, takes no number that select(2) could
 * use; what it gives to the program does. */
static void
low_numbers_are_the_programs(void **state)
{
	enum { N = OPENED / 2 };
	struct pair p;
	int fd[N], client[N], taken = 0, first, last;

	(void)state;
	pair_open(&p);
	/* Two descriptors are the program's to wait for. */
	assert_in_range(handoff_peer_fd(p.a.peer), 3, FD_SETSIZE - 1);
	assert_in_range(handoff_peer_fd(p.b.peer), 3, FD_SETSIZE - 1);
	first = number_after(0);
	last = number_after(OPENED);
	for (int i = 0; i < N; i++)
		side_deposit(&p.a, &fd[i], &client[i], "one", "state");
	pair_settle(&p);
	assert_int_equal(number_after(0), last);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	for (int i = 0; i < N; i++) {
		struct handoff_entry *e =
			pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE);

		assert_int_equal(handoff_entry_release(e), 0);
	}
	for (int i = 0; i < N; i++)
		close(fd[i]);
	for (int i = 0; i < N; i++) {
		pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN);
		assert_in_range(p.b.event.fd, first, last - 1);
		fd[taken++] = p.b.event.fd;
	}
	assert_int_equal(number_after(0), last);
	for (int i = 0; i < N; i++) {
		close(fd[i]);
		close(client[i]);
	}
	pair_close(&p);
}

/* Who takes over is told so after all that came along: it knows then what it
 * has to open itself. */
static void
entries_come_before_the_role(void **state)
{
	struct pair p;
	int fd[2], client[2];

	(void)state;
	pair_open(&p);
	side_deposit(&p.a, &fd[0], &client[0], NULL, "");
	side_deposit(&p.a, &fd[1], &client[1], NULL, "");
	assert_trails(&p, "", "");
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	assert_trails(&p, "RRSG", "TTOG");
	assert_int_equal(handoff_peer_take(p.a.peer), 0);
	assert_trails(&p, "TTOG", "RRSG");
	for (int i = 0; i < 2; i++) {
		close(fd[i]);
		close(client[i]);
	}
	pair_close(&p);
}

static void
standby_that_comes_later_gets_everything(void **state)
{
	struct pair p;
	const char *dir = support_dir();
	int fd[3], client[3];

	(void)state;
	side_init(&p.a, dir, "one");
	side_init(&p.b, dir, "two");
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	for (int i = 0; i < 3; i++)
		side_deposit(&p.a, &fd[i], &client[i], NULL, "early");
	assert_int_equal(side_join(&p.b, &p.a), 0);
	assert_trails(&p, "OJ", "S");
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	assert_trails(&p, "RRRSG", "TTTOG");
	for (int i = 0; i < 3; i++) {
		close(fd[i]);
		close(client[i]);
	}
	pair_close(&p);
}

/* The program has not pulled TAKEN: it need not know that it was its own. */
static void
what_was_not_told_moves_on(void **state)
{
	struct pair p;
	int fd, client;

	(void)state;
	pair_open(&p);
	side_deposit(&p.a, &fd, &client, NULL, "kept");
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	assert_int_equal(handoff_entry_release(
				 pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE)),
		0);
	pair_expect(&p, &p.a, HANDOFF_PEER_GAVE);
	pair_settle(&p);
	assert_int_equal(handoff_peer_take(p.a.peer), 0);
	assert_state(pair_expect(&p, &p.a, HANDOFF_PEER_TAKEN), "kept");
	assert_speaks(p.a.event.fd, client);
	close(p.a.event.fd);
	assert_trails(&p, "OG", "OGSG");
	close(fd);
	close(client);
	pair_close(&p);
}

static void
connection_may_end_during_a_give(void **state)
{
	struct pair p;
	struct handoff_entry *told, *untold;
	int fd[2], client[2];
	char byte;

	(void)state;
	pair_open(&p);
	side_deposit(&p.a, &fd[0], &client[0], NULL, "");
	untold = side_deposit(&p.a, &fd[1], &client[1], NULL, "");
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	told = pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE);
	assert_ptr_not_equal(told, untold);
	handoff_entry_withdraw(told);
	handoff_entry_withdraw(untold);
	pair_expect(&p, &p.a, HANDOFF_PEER_GAVE);
	assert_non_null(strstr(p.a.event.text, "moved 0 connections"));
	assert_non_null(strstr(p.a.event.text, " 0 left behind"));
	assert_trails(&p, "", "OG");
	for (int i = 0; i < 2; i++) {
		close(fd[i]);
		assert_int_equal(recv(client[i], &byte, 1, MSG_DONTWAIT), 0);
		close(client[i]);
	}
	assert_int_equal(handoff_entry_release(told), -EINVAL);
	assert_null(handoff_entry_edit(told));
	handoff_entry_withdraw(told);
	pair_close(&p);
}

/* One is accepted while the listener is still here and the service away. */
static void
what_comes_late_follows(void **state)
{
	struct handoff_entry_opts opts = {
		.size = sizeof(opts), .kind = HANDOFF_ENTRY_OTHER, .fd = 1};
	struct pair p;
	struct handoff_entry *e;
	int fd[3], client[3];

	(void)state;
	pair_open(&p);
	side_deposit(&p.a, &fd[0], &client[0], NULL, "first");
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	side_deposit(&p.a, &fd[1], &client[1], NULL, "second");
	e = pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE);
	side_deposit(&p.a, &fd[2], &client[2], NULL, "third");
	assert_int_equal(handoff_entry_release(e), 0);
	assert_trails(&p, "RGRSG", "TTOGTG");
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), -EPERM);
	for (int i = 0; i < 3; i++) {
		close(fd[i]);
		close(client[i]);
	}
	assert_int_equal(
		handoff_peer_deposit(p.a.peer, &e,
			&(struct handoff_entry_opts){
				.size = sizeof(struct handoff_entry_opts),
				.kind = HANDOFF_ENTRY_OTHER,
				.fd = 1}),
		-EPERM);
	pair_close(&p);
}

/* The other is not dispatched, and then again. */
static void
silence_is_told(void **state)
{
	struct pair p;
	const char *dir = support_dir();

	(void)state;
	side_init(&p.a, dir, "one");
	side_init(&p.b, dir, "two");
	p.a.opts.hang_timeout_ms = 100;
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	assert_int_equal(side_join(&p.b, &p.a), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_JOINED);
	for (int i = 0; i < 3000 && p.a.event.type != HANDOFF_PEER_HUNG; i++) {
		handoff_peer_wait(p.a.peer, 10);
		side_next(&p.a);
	}
	assert_non_null(strstr(p.a.event.text, "has been silent for 100 ms"));
	assert_false(p.a.event.over);
	assert_int_equal(handoff_peer_give(p.a.peer), -ENOTCONN);
	pair_expect(&p, &p.a, HANDOFF_PEER_HUNG);
	assert_non_null(strstr(p.a.event.text, "responds again"));
	assert_true(p.a.event.over);
	pair_close(&p);
}

static void
other_configuration_is_told_or_refused(void **state)
{
	struct pair p;
	const char *dir = support_dir();

	(void)state;
	side_init(&p.a, dir, "one");
	side_init(&p.b, dir, "two");
	p.a.opts.config_hash = 1;
	p.b.opts.config_hash = 2;
	p.b.opts.config_strict = true;
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	assert_int_equal(side_join(&p.b, &p.a), -EPROTO);
	assert_non_null(strstr(p.b.why, "configuration 0000000000000001 there, "
					"0000000000000002 here"));
	p.b.peer = NULL;
	pair_expect(&p, &p.a, HANDOFF_PEER_REFUSED);
	assert_int_equal(p.a.event.reason, HANDOFF_REASON_CONFIG);
	assert_null(p.a.event.outcome);
	p.b.opts.config_strict = false;
	assert_int_equal(side_join(&p.b, &p.a), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_JOINED);
	assert_non_null(strstr(p.a.logged, "a different configuration"));
	assert_non_null(strstr(p.b.logged, "a different configuration"));
	pair_close(&p);
}

/* Those who pull no events lose the oldest, and nothing else. */
static void
oldest_events_are_dropped(void **state)
{
	struct pair p;
	const char *dir = support_dir();
	int pulled = 0;

	(void)state;
	side_init(&p.a, dir, "one");
	side_init(&p.b, dir, "two");
	p.b.opts.service = "another";
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	/* The same refusal twice in a row would be told once. */
	for (int i = 0; i < HANDOFF__RING_SIZE + 6; i++) {
		p.b.opts.service = i % 2 ? "another" : "a-third";
		assert_int_equal(side_join(&p.b, &p.a), -EPROTO);
	}
	while (side_next(&p.a)) {
		assert_int_equal(p.a.event.type, HANDOFF_PEER_REFUSED);
		pulled++;
	}
	assert_int_equal(pulled, HANDOFF__RING_SIZE);
	handoff_peer_free(p.a.peer);
}

static void
wrong_use_is_refused(void **state)
{
	struct pair p;
	struct handoff_entry_opts opts = {
		.size = sizeof(opts), .kind = HANDOFF_ENTRY_OTHER, .fd = 1};
	struct handoff_entry *e = NULL;
	const struct handoff_peer_event *event;
	const struct handoff_left *left;
	char name[200] = "";
	uint64_t n;

	(void)state;
	side_init(&p.a, support_dir(), "one");
	p.a.opts.may_own = false;
	p.b.peer = NULL;
	assert_int_equal(handoff_peer_open(NULL, &p.a.opts), -EINVAL);
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_WAITING);
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), -EPERM);
	assert_int_equal(handoff_peer_give(p.a.peer), -ENOTCONN);
	handoff_peer_free(p.a.peer);
	p.a.opts.may_own = true;
	p.a.opts.state_size = 65529;
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), -EINVAL);
	assert_non_null(strstr(p.a.why, "at most 65528"));
	p.a.opts.state_size = 0;
	p.a.opts.service = "not a name";
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), -EINVAL);
	p.a.opts.service = "test";
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	memset(name, 'n', sizeof(name) - 1);
	opts.name = name;
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), -EMSGSIZE);
	opts.name = NULL;
	opts.fd = -1;
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), -EINVAL);
	opts.fd = INT_MAX; /* beyond every limit */
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), -EBADF);
	opts.fd = 1;
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), 0);
	assert_int_equal(handoff_entry_progress(e, &n, &n) < 0, 1);
	assert_int_equal(handoff_entry_update(e, "x", 1), -EMSGSIZE);
	assert_int_equal(handoff_entry_release(NULL), -EINVAL);
	assert_int_equal(handoff_peer_next(NULL, &event), -EINVAL);
	assert_int_equal(handoff_peer_left(NULL, &left), -EINVAL);
	assert_int_equal(handoff_peer_left(p.a.peer, NULL), -EINVAL);
	assert_int_equal(handoff_peer_fd(NULL), -EINVAL);
	assert_string_equal(handoff_entry_name(e), "");
	handoff_peer_free(p.a.peer);
	handoff_peer_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(what_is_deposited_is_taken_and_brought_back),
		handoff_test(many_move_at_once),
		handoff_test(what_was_released_comes_back_when_the_link_breaks),
		handoff_test(low_numbers_are_the_programs),
		handoff_test(entries_come_before_the_role),
		handoff_test(standby_that_comes_later_gets_everything),
		handoff_test(what_was_not_told_moves_on),
		handoff_test(connection_may_end_during_a_give),
		handoff_test(what_comes_late_follows),
		handoff_test(silence_is_told),
		handoff_test(other_configuration_is_told_or_refused),
		handoff_test(oldest_events_are_dropped),
		handoff_test(wrong_use_is_refused),
	};

	return cmocka_run_group_tests_name("embed", tests, NULL, NULL);
}
