/* SPDX-License-Identifier: MIT */
/*
 * The peer for servers with a loop of their own, by its public calls alone:
 * two of them in one process.
 */
#include "support/support.h"

#include <handoff/peer.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STATE_SIZE 1000u

struct side {
	struct handoff_peer *peer;
	struct handoff_peer_opts opts;
	struct handoff_peer_event event; /* the last that was expected */
	char why[HANDOFF_TEXT_MAX];
	char logged[HANDOFF_TEXT_MAX]; /* the last warning */
};

struct pair {
	struct side a, b;
};

static void
note(void *arg, enum handoff_log_level level, const char *text)
{
	struct side *side = arg;

	if (level <= HANDOFF_LOG_WARNING)
		snprintf(side->logged, sizeof(side->logged), "%s", text);
}

static void
init(struct side *side, const char *dir, const char *name)
{
	memset(side, 0, sizeof(*side));
	side->opts = (struct handoff_peer_opts){
		.size = sizeof(side->opts),
		.dir = dir,
		.name = name,
		.service = "test",
		.state_version = 1,
		.state_size = STATE_SIZE,
		.may_own = true,
		.log = note,
		.log_arg = side,
		.errbuf = side->why,
		.errbuf_size = sizeof(side->why),
	};
}

struct helper {
	struct side *side;
	atomic_bool stop;
};

static void *
keep_dispatching(void *arg)
{
	struct helper *helper = arg;

	while (!atomic_load(&helper->stop))
		handoff_peer_wait(helper->side->peer, 5);
	return NULL;
}

/* Opens one while the other does its part. */
static int
join(struct side *side, struct side *other)
{
	struct helper helper = {.side = other};
	pthread_t thread;
	int err;

	assert_int_equal(
		pthread_create(&thread, NULL, keep_dispatching, &helper), 0);
	err = handoff_peer_open(&side->peer, &side->opts);
	atomic_store(&helper.stop, true);
	pthread_join(thread, NULL);
	return err;
}

/* Dispatches both until one of them has this event. */
static struct handoff_entry *
expect(struct pair *p, struct side *side, enum handoff_peer_event_type type)
{
	struct side *other = side == &p->a ? &p->b : &p->a;

	for (int i = 0; i < 2000; i++) {
		struct pollfd fd = {
			.fd = handoff_peer_fd(side->peer), .events = POLLIN};

		while (handoff_peer_next(side->peer, &side->event) > 0) {
			if (side->event.type == type)
				return side->event.entry;
			assert_int_not_equal(
				side->event.type, HANDOFF_PEER_TAKEN);
		}
		if (other->peer)
			handoff_peer_wait(other->peer, 0);
		if (poll(&fd, 1, 5) > 0)
			handoff_peer_dispatch(side->peer);
	}
	fail_msg("%s: event %d never came", side->opts.name, (int)type);
	return NULL;
}

/* Both have nothing more to do. */
static void
settle(struct pair *p)
{
	for (int i = 0; i < 20; i++) {
		handoff_peer_wait(p->a.peer, 1);
		handoff_peer_wait(p->b.peer, 1);
	}
}

static void
open_pair(struct pair *p)
{
	const char *dir = support_dir();

	init(&p->a, dir, "one");
	init(&p->b, dir, "two");
	assert_int_equal(handoff_peer_open(&p->a.peer, &p->a.opts), 0);
	expect(p, &p->a, HANDOFF_PEER_OWNER);
	assert_int_equal(join(&p->b, &p->a), 0);
	expect(p, &p->b, HANDOFF_PEER_STANDBY);
	expect(p, &p->a, HANDOFF_PEER_JOINED);
}

static void
close_pair(struct pair *p)
{
	handoff_peer_free(p->b.peer);
	handoff_peer_free(p->a.peer);
}

/* A connection with the client's end in *client and the server's in *fd. */
static struct handoff_entry *
deposit(struct side *side, int *fd, int *client, const char *name,
	const char *state)
{
	struct handoff_entry_opts opts = {
		.size = sizeof(opts),
		.kind = HANDOFF_ENTRY_CONNECTION,
		.name = name,
		.state = state,
		.len = strlen(state),
	};
	struct handoff_entry *entry;
	int sv[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	*fd = opts.fd = sv[0];
	*client = sv[1];
	assert_int_equal(handoff_peer_deposit(side->peer, &entry, &opts), 0);
	return entry;
}

static void
assert_state(const struct handoff_entry *entry, const char *wanted)
{
	size_t len;
	const char *state = handoff_entry_state(entry, &len);

	assert_int_equal(len, strlen(wanted));
	assert_memory_equal(state, wanted, len);
}

static void
assert_speaks(int fd, int client)
{
	char byte = 0;

	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(byte, 'x');
}

static void
what_is_deposited_is_taken_and_brought_back(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	int fd, client, data;
	uint64_t id;

	(void)state;
	open_pair(&p);
	e = deposit(&p.a, &fd, &client, "first", "old");
	id = handoff_entry_id(e);
	handoff_entry_set_data(e, &data);
	assert_ptr_equal(handoff_entry_data(e), &data);
	assert_state(e, "old");
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	assert_ptr_equal(expect(&p, &p.a, HANDOFF_PEER_RELEASE), e);
	assert_int_equal(handoff_entry_update(e, "brought up", 10), 0);
	assert_int_equal(handoff_entry_release(e), 0);
	close(fd);
	expect(&p, &p.a, HANDOFF_PEER_GAVE);
	assert_non_null(strstr(p.a.event.text, "moved 1 connection,"));
	assert_int_equal(handoff_entry_update(e, "late", 4), -EINVAL);

	e = expect(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_int_equal(handoff_entry_id(e), id);
	assert_string_equal(handoff_entry_name(e), "first");
	assert_null(handoff_entry_data(e));
	assert_int_equal(handoff_entry_kind(e), HANDOFF_ENTRY_CONNECTION);
	assert_state(e, "brought up");
	assert_speaks(p.b.event.fd, client);
	close(p.b.event.fd);

	assert_int_equal(handoff_peer_take(p.a.peer), 0);
	e = expect(&p, &p.b, HANDOFF_PEER_RELEASE);
	assert_int_equal(handoff_entry_release(e), 0);
	e = expect(&p, &p.a, HANDOFF_PEER_TAKEN);
	assert_state(e, "brought up");
	assert_speaks(p.a.event.fd, client);
	close(p.a.event.fd);
	close(client);
	close_pair(&p);
}

static void
many_move_at_once(void **state)
{
	enum { N = 600 };
	struct pair p;
	struct handoff_peer_event event;
	int fd[N], client[N], released = 0, taken = 0;

	(void)state;
	open_pair(&p);
	for (int i = 0; i < N; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", i);
		deposit(&p.a, &fd[i], &client[i], text, text);
	}
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	for (int i = 0; i < 2000; i++) {
		handoff_peer_wait(p.a.peer, released < N ? 5 : 0);
		handoff_peer_wait(p.b.peer, released == N ? 5 : 0);
		while (handoff_peer_next(p.a.peer, &event) > 0) {
			if (event.type == HANDOFF_PEER_GAVE)
				p.a.event = event;
			if (event.type != HANDOFF_PEER_RELEASE)
				continue;
			released++;
			handoff_entry_release(event.entry);
		}
		while (handoff_peer_next(p.b.peer, &event) > 0) {
			if (event.type != HANDOFF_PEER_TAKEN)
				continue;
			taken++;
			assert_state(
				event.entry, handoff_entry_name(event.entry));
			close(event.fd);
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
	close_pair(&p);
}

static void
state_is_old_or_new(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	char *edit, big[STATE_SIZE + 1];
	int fd, client;

	(void)state;
	open_pair(&p);
	e = deposit(&p.a, &fd, &client, NULL, "one");
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
	close_pair(&p);
}

static void
withdrawn_entry_ends_for_its_client(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	int fd, client;
	char byte;

	(void)state;
	open_pair(&p);
	e = deposit(&p.a, &fd, &client, NULL, "");
	settle(&p);
	close(fd);
	assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), -1);
	handoff_entry_withdraw(e);
	assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), 0);
	settle(&p);
	close(client);
	handoff_entry_withdraw(NULL);
	close_pair(&p);
}

static void
release_that_nobody_wants_comes_back(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	int fd, client;

	(void)state;
	open_pair(&p);
	e = deposit(&p.a, &fd, &client, NULL, "mine");
	assert_int_equal(handoff_entry_release(e), 0);
	assert_int_equal(handoff_entry_release(e), -EINVAL);
	assert_ptr_equal(expect(&p, &p.a, HANDOFF_PEER_TAKEN), e);
	assert_state(e, "mine");
	close(p.a.event.fd);
	close(fd);
	close(client);
	close_pair(&p);
}

/* It is asked for, not given up in time, and follows later. */
static void
late_release_follows(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	const char *dir = support_dir();
	int fd, client;

	(void)state;
	init(&p.a, dir, "one");
	init(&p.b, dir, "two");
	p.a.opts.give_timeout_ms = 50;
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	assert_int_equal(join(&p.b, &p.a), 0);
	expect(&p, &p.a, HANDOFF_PEER_JOINED);
	e = deposit(&p.a, &fd, &client, NULL, "busy");
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	expect(&p, &p.a, HANDOFF_PEER_RELEASE);
	expect(&p, &p.a, HANDOFF_PEER_GAVE);
	assert_non_null(strstr(p.a.event.text, "1 left behind"));
	assert_int_equal(handoff_entry_update(e, "done", 4), 0);
	assert_int_equal(handoff_entry_release(e), 0);
	handoff_peer_dispatch(p.a.peer);
	e = expect(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_state(e, "done");
	close(p.b.event.fd);
	close(fd);
	close(client);
	close_pair(&p);
}

static void
other_configuration_is_told_or_refused(void **state)
{
	struct pair p;
	const char *dir = support_dir();

	(void)state;
	init(&p.a, dir, "one");
	init(&p.b, dir, "two");
	p.a.opts.config_hash = 1;
	p.b.opts.config_hash = 2;
	p.b.opts.config_strict = true;
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	assert_int_equal(join(&p.b, &p.a), -EPROTO);
	assert_non_null(strstr(p.b.why, "configuration 0000000000000001 there, "
					"0000000000000002 here"));
	p.b.peer = NULL;
	expect(&p, &p.a, HANDOFF_PEER_REFUSED);
	p.b.opts.config_strict = false;
	assert_int_equal(join(&p.b, &p.a), 0);
	expect(&p, &p.a, HANDOFF_PEER_JOINED);
	assert_non_null(strstr(p.a.logged, "another configuration"));
	assert_non_null(strstr(p.b.logged, "another configuration"));
	close_pair(&p);
}

static void
wrong_use_is_refused(void **state)
{
	struct pair p;
	struct handoff_entry_opts opts = {
		.size = sizeof(opts), .kind = HANDOFF_ENTRY_OTHER, .fd = 1};
	struct handoff_entry *e = NULL;
	char name[200] = "";
	uint64_t n;

	(void)state;
	init(&p.a, support_dir(), "one");
	p.a.opts.may_own = false;
	p.b.peer = NULL;
	assert_int_equal(handoff_peer_open(NULL, &p.a.opts), -EINVAL);
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	expect(&p, &p.a, HANDOFF_PEER_WAITING);
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
	opts.fd = 900;
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), -EBADF);
	opts.fd = 1;
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), 0);
	assert_int_equal(handoff_entry_progress(e, &n, &n) < 0, 1);
	assert_int_equal(handoff_entry_update(e, "x", 1), -EMSGSIZE);
	assert_int_equal(handoff_entry_release(NULL), -EINVAL);
	assert_int_equal(handoff_peer_next(NULL, &p.a.event), -EINVAL);
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
		handoff_test(state_is_old_or_new),
		handoff_test(withdrawn_entry_ends_for_its_client),
		handoff_test(release_that_nobody_wants_comes_back),
		handoff_test(late_release_follows),
		handoff_test(other_configuration_is_told_or_refused),
		handoff_test(wrong_use_is_refused),
	};

	return cmocka_run_group_tests_name("embed", tests, NULL, NULL);
}
