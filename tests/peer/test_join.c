/* SPDX-License-Identifier: MIT */
/*
 * How peers find their places, greet each other, refuse each other and part;
 * also from processes that are no peers at all.
 */
#include "peer/fixture.h"

#include "peer/hello.h"
#include "peer/mirror.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY 65534

/* Whether a lock is held can't be told: flock fails with this, after it has
 * told it some times. */
static int blind, blind_after;

int __real_flock(int fd, int how);
int __wrap_flock(int fd, int how);

int
__wrap_flock(int fd, int how)
{
	if (!(how & LOCK_SH) || blind == 0 || blind_after-- > 0)
		return __real_flock(fd, how);
	errno = blind;
	return -1;
}

static void
first_peer_owns(void **state)
{
	struct side a;
	const char *dir = support_dir();

	(void)state;
	side_init(&a, dir, "one");
	assert_int_equal(side_open(&a, NULL), 0);
	assert_int_equal(a.pair.place, 1);
	assert_int_equal(a.pair.partner, HANDOFF__PARTNER_NONE);
	assert_false(a.pair.serving);
	assert_int_equal(handoff__pair_generation(&a.pair), 0);
	assert_int_equal(handoff__pair_own(&a.pair, 41), 0);
	assert_true(a.pair.serving);
	assert_int_equal(handoff__pair_generation(&a.pair), 41);
	assert_false(handoff__pair_away(&a.pair));
	assert_int_equal(
		atomic_load(&handoff__arena_board(&a.pair.arena)->owner), 1);
	side_close(&a);
}

static void
second_peer_joins(void **state)
{
	struct side a, b;
	char who[64], expected[64];

	(void)state;
	pair_open(&a, &b);
	assert_int_equal(b.pair.place, 2);
	assert_false(b.pair.serving);
	assert_int_equal(b.pair.arena.count, 1);
	assert_int_equal(handoff__pair_generation(&b.pair), 1);
	assert_int_equal(a.partners, 1);
	assert_int_equal(b.partners, 1);
	assert_string_equal(a.pair.other.name, "two");
	assert_string_equal(b.pair.other.name, "one");
	assert_true(b.pair.other.serving);
	assert_int_equal(a.pair.other.pid, getpid());
	snprintf(expected, sizeof(expected), "two (pid %d)", (int)getpid());
	assert_string_equal(handoff__pair_partner_text(&a.pair, who), expected);
	pair_close(&a, &b);
}

/* The alternate may be started first. */
static void
owner_may_come_second(void **state)
{
	struct side a, b;
	const char *dir = support_dir();
	struct handoff__roster_entry *e;

	(void)state;
	side_init(&a, dir, "alt");
	side_init(&b, dir, "server");
	assert_int_equal(side_open(&a, NULL), 0);
	handoff__pair_started(&a.pair);
	assert_int_equal(side_open(&b, &a), 0);
	assert_false(b.pair.other.serving);
	assert_int_equal(handoff__pair_own(&b.pair, 1), 0);
	e = pair_enter(&b, HANDOFF__LISTENER);
	handoff__pair_started(&b.pair);
	pair_run(&a, &b);
	assert_int_equal(a.partners, 1);
	assert_int_equal(a.pair.arena.count, 1);
	assert_non_null(pair_find(&a, e));
	assert_int_equal(e->view.rec->owner, 2);
	pair_close(&a, &b);
}

/* Who starts holds the directory until it has said that it is done. */
static void
directory_is_locked_while_one_starts(void **state)
{
	struct side a;
	const char *dir = support_dir();
	char line[64], expected[64];
	struct handoff__dir d;
	ssize_t n;

	(void)state;
	assert_int_equal(handoff__dir_open(&d, dir, false, 0, NULL), 0);
	side_init(&a, dir, "one");
	assert_int_equal(side_open(&a, NULL), 0);
	assert_true(handoff__dir_locked(&d, "lock"));
	assert_true(handoff__dir_locked(&d, "peer.1"));
	assert_false(handoff__dir_locked(&d, "peer.2"));
	handoff__pair_started(&a.pair);
	assert_false(handoff__dir_locked(&d, "lock"));
	n = handoff__dir_read(&d, "peer.1", line, sizeof(line));
	assert_int_equal(n, snprintf(expected, sizeof(expected), "one %d\n",
				    (int)getpid()));
	assert_memory_equal(line, expected, (size_t)n);
	side_close(&a);
	assert_false(handoff__dir_locked(&d, "peer.1"));
	/* Whoever looks now finds nobody's name. */
	assert_int_equal(
		handoff__dir_read(&d, "peer.1", line, sizeof(line)), 0);
	handoff__dir_close(&d);
}

struct holder {
	int lock, inotify;
};

/* Holds the lock until it has been opened, in vain, by another. */
static void *
release_when_wanted(void *arg)
{
	struct holder *holder = arg;
	char events[4096];

	if (read(holder->inotify, events, sizeof(events)) > 0)
		close(holder->lock);
	return NULL;
}

static void
one_that_starts_is_waited_for(void **state)
{
	struct side a;
	struct handoff__dir dir;
	struct holder holder;
	char path[256];
	pthread_t thread;

	(void)state;
	side_init(&a, support_dir(), "one");
	assert_int_equal(
		handoff__dir_open(&dir, a.config.dir, false, 0, NULL), 0);
	holder.lock = handoff__dir_lock(&dir, "lock");
	assert_true(holder.lock >= 0);
	holder.inotify = inotify_init1(IN_CLOEXEC);
	snprintf(path, sizeof(path), "%s/lock", a.config.dir);
	assert_true(inotify_add_watch(holder.inotify, path, IN_OPEN) >= 0);
	assert_int_equal(
		pthread_create(&thread, NULL, release_when_wanted, &holder), 0);
	assert_int_equal(side_open(&a, NULL), 0);
	pthread_join(thread, NULL);
	assert_int_equal(a.pair.place, 1);
	side_close(&a);
	close(holder.inotify);
	handoff__dir_close(&dir);
}

/* A standby would wait for ever, or be a second owner. */
static void
peer_that_cannot_be_told_is_no_absent_one(void **state)
{
	struct side a, b;

	(void)state;
	side_init(&a, support_dir(), "one");
	pair_own(&a);
	side_init(&b, a.config.dir, "two");
	blind = ENOLCK;
	blind_after = 2; /* the directory is shared, its place is taken */
	assert_int_equal(side_open(&b, &a), -ENOLCK);
	blind = 0;
	assert_non_null(strstr(b.pair.error.text,
		"cannot tell whether a peer holds peer.1: No locks"));
	side_close(&b);
	side_close(&a);
}

static void
third_peer_is_refused(void **state)
{
	struct side a, b, c;
	char expected[256];

	(void)state;
	pair_open(&a, &b);
	side_init(&c, a.config.dir, "three");
	assert_int_equal(side_open(&c, &a), -EBUSY);
	snprintf(expected, sizeof(expected),
		"service directory %s has two peers already, one (pid %d) and "
		"two (pid %d): stop one of them first",
		a.config.dir, (int)getpid(), (int)getpid());
	assert_string_equal(c.pair.error.text, expected);
	side_close(&c);
	/* Nobody else is harmed. */
	pair_enter(&a, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	assert_int_equal(b.pair.roster.held, 1);
	pair_close(&a, &b);
}

/* Refused at both ends, each with a sentence; and a good one may follow. */
static void
refused_as(struct side *a, struct side *b, const char *why_b, const char *why_a)
{
	char expected[256];

	assert_int_equal(side_open(b, a), -EPROTO);
	snprintf(expected, sizeof(expected),
		"cannot join one (pid %d) in %s: %s", (int)getpid(),
		a->config.dir, why_b);
	assert_string_equal(b->pair.error.text, expected);
	side_close(b);
	pair_run(a, NULL);
	snprintf(expected, sizeof(expected), "two (pid %d): %s", (int)getpid(),
		why_a);
	assert_int_equal(a->refusals, 1);
	assert_string_equal(a->refused, expected);
	assert_int_equal(a->pair.partner, HANDOFF__PARTNER_NONE);
	/* And whoever asks for a standby later is told. */
	assert_int_equal(
		handoff__pair_give(&a->pair, HANDOFF__MAINTENANCE), -ENOTCONN);
	assert_non_null(strstr(a->pair.error.text, expected));
}

static void
strangers_are_refused(void **state)
{
	struct side a, b;

	const char *dir = support_dir();

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		side_init(&a, dir, "one");
		side_init(&b, dir, "two");
		pair_own(&a);
		if (kind == 0) {
			b.service.name = "other";
			refused_as(&a, &b, "service test there, other here",
				"service other there, test here");
		} else if (kind == 1) {
			b.service.state_size = 33;
			refused_as(&a, &b, "state of 32 bytes there, 33 here",
				"state of 33 bytes there, 32 here");
		} else {
			b.service.state_version = 2;
			refused_as(&a, &b, "state version 1 there, 2 here",
				"state version 2 there, 1 here");
		}
		assert_int_equal(a.why, (int)HANDOFF__BAD_SERVICE + kind);
		side_init(&b, dir, "two");
		assert_int_equal(side_open(&b, &a), 0);
		handoff__pair_started(&b.pair);
		pair_run(&a, &b);
		assert_int_equal(a.pair.partner, HANDOFF__PARTNER_READY);
		pair_close(&a, &b);
	}
}

/* Buffers are the arena's, whoever made it. */
static void
other_buffer_sizes_are_no_reason(void **state)
{
	struct side a, b;
	const char *dir = support_dir();

	(void)state;
	side_init(&a, dir, "one");
	side_init(&b, dir, "two");
	b.service.input_size = 100000;
	pair_own(&a);
	assert_int_equal(side_open(&b, &a), 0);
	handoff__pair_started(&b.pair);
	pair_run(&a, &b);
	assert_int_equal(b.pair.arena.segments[0]->geo.rx_size, 4096);
	pair_close(&a, &b);
}

static void
absurd_sizes_are_refused(void **state)
{
	struct side a;

	(void)state;
	side_init(&a, support_dir(), "one");
	a.service.state_size = HANDOFF__STATE_MAX + 1;
	assert_int_equal(side_open(&a, NULL), -EINVAL);
	assert_non_null(strstr(a.pair.error.text, "state_size is at most"));
	side_close(&a);
}

/* The client's end of the link, before any HELLO. */
static int
connect_raw(const struct side *side)
{
	int fd =
		handoff__dir_connect(&side->pair.dir, "link.1", SOCK_SEQPACKET);

	assert_true(fd >= 0);
	return fd;
}

static struct handoff__msg
good_hello(const struct side *side)
{
	struct handoff__msg msg = {.type = HANDOFF__HELLO};

	handoff__hello_make(&side->pair, &msg.hello);
	msg.hello.place = 2;
	msg.hello.serving = 0;
	strcpy(msg.hello.name, "raw");
	return msg;
}

/* What the peer answers to that HELLO; the socket is closed after. */
static struct handoff__msg
greet(struct side *side, const struct handoff__msg *hello)
{
	struct handoff__msg reply = {.type = 0};
	int fd = connect_raw(side), passed;

	assert_int_equal(handoff__link_send_sync(fd, hello, -1), 0);
	pair_run(side, NULL);
	assert_int_equal(handoff__link_recv_sync(fd, &reply, &passed, 0), 0);
	assert_int_equal(reply.type, HANDOFF__HELLO);
	assert_true(passed >= 0); /* a pidfd */
	close(passed);
	close(fd);
	pair_run(side, NULL);
	return reply;
}

static void
hello_is_judged(void **state)
{
	struct side a;
	struct handoff__msg hello;

	(void)state;
	side_init(&a, support_dir(), "one");
	pair_own(&a);
	hello = good_hello(&a);
	hello.hello.version_min = HANDOFF__PROTOCOL_MAX + 1;
	hello.hello.version_max = HANDOFF__PROTOCOL_MAX + 1;
	assert_int_equal(greet(&a, &hello).hello.refusal, HANDOFF__BAD_VERSION);
	assert_non_null(
		strstr(a.refused, "link protocol 3 to 3 there, 2 to 2 here"));
	/* One that knows more versions, ours among them, is welcome. */
	hello = good_hello(&a);
	hello.hello.version_max = HANDOFF__PROTOCOL_MAX + 5;
	hello.hello.layout = hello.hello.makes = HANDOFF__LAYOUT + 2;
	assert_int_equal(greet(&a, &hello).hello.refusal, HANDOFF__BAD_LAYOUT);
	hello = good_hello(&a);
	hello.hello.place = 1;
	assert_int_equal(greet(&a, &hello).hello.refusal, HANDOFF__GARBAGE);
	hello.hello.place = 77;
	assert_int_equal(greet(&a, &hello).hello.refusal, HANDOFF__GARBAGE);
	hello = good_hello(&a);
	strcpy(hello.hello.name, "../evil\n");
	assert_int_equal(greet(&a, &hello).hello.refusal, HANDOFF__GARBAGE);
	assert_null(strchr(a.refused, '\n'));
	/* The same cause twice in a row is told once. */
	assert_int_equal(a.pair.tally.refused, 5);
	assert_int_equal(a.refusals, 4);
	hello = good_hello(&a);
	assert_int_equal(greet(&a, &hello).hello.refusal, HANDOFF__OK);
	assert_int_equal(a.refusals, 4);
	side_close(&a);
}

/* What a peer says of its layout, which of the two serves, and what this one
 * thinks of it. `reads`, `makes`: of the other; `why`: part of the sentence. */
struct layouts {
	uint32_t reads, makes;
	bool other_serves, again;
	bool fits;
	const char *why;
};

#define OWN HANDOFF__LAYOUT

static const struct layouts layouts[] = {
	{OWN, 0, false, false, true, NULL},
	{OWN, 0, true, false, true, NULL},
	{OWN - 1, OWN, false, false, true, NULL},
	/* One older: only it may serve, unless the two were linked before. */
	{OWN - 1, 0, true, false, true, NULL},
	{OWN - 2, OWN - 1, true, false, true, NULL},
	{OWN - 1, 0, false, false, false, "takes nothing over from a newer"},
	{OWN - 1, 0, false, true, true, NULL},
	/* One newer: only this one may. */
	{OWN, OWN + 1, false, false, true, NULL},
	{OWN, OWN + 1, true, false, false, "takes nothing over from a newer"},
	{OWN, OWN + 1, true, true, true, NULL},
	/* Two: neither. */
	{OWN - 2, 0, true, false, false, "by a version between them"},
	{OWN - 3, OWN - 2, true, false, false, "by a version between them"},
	{OWN - 2, 0, true, true, false, "by a version between them"},
	{OWN + 1, OWN + 2, false, false, false, "by a version between them"},
	{OWN + 2, 0, false, false, false, "by a version between them"},
};

static void
layouts_are_judged(void **state)
{
	struct side a;
	char why[128];

	(void)state;
	side_init(&a, support_dir(), "one");
	pair_own(&a);
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		const struct layouts *l = &layouts[i];
		struct handoff__msg hello = good_hello(&a);
		enum handoff__reason reason;

		hello.hello.layout = l->reads;
		hello.hello.makes = l->makes;
		hello.hello.serving = l->other_serves;
		hello.hello.again = l->again;
		a.pair.serving = !l->other_serves;
		reason = handoff__hello_judge(&a.pair, &hello.hello);
		assert_int_equal(
			reason, l->fits ? HANDOFF__OK : HANDOFF__BAD_LAYOUT);
		handoff__hello_explain(
			&a.pair, &hello.hello, reason, why, sizeof(why));
		assert_true(strlen(why) < sizeof(why) - 1);
		if (!l->fits)
			assert_non_null(strstr(why, l->why));
	}
	a.pair.serving = true;
	side_close(&a);
}

/* It finds its own layout in a HELLO of this library; and in a refusal the one
 * that it does not know. */
static void
older_library_is_told_what_it_understands(void **state)
{
	struct handoff__msg hello, answer;
	struct side a;

	(void)state;
	side_init(&a, support_dir(), "one");
	pair_own(&a);
	hello = good_hello(&a);
	assert_int_equal(hello.hello.layout, HANDOFF__LAYOUT_OLDEST);
	hello.hello.makes = 0;
	answer = greet(&a, &hello);
	assert_int_equal(answer.hello.refusal, HANDOFF__BAD_LAYOUT);
	assert_int_equal(answer.hello.layout, HANDOFF__LAYOUT);
	assert_non_null(strstr(a.refused, "record layout 5 there, 6 here"));
	side_close(&a);
}

/* Whoever it is that says HELLO while two are there. */
static void
taken_names_the_two(void **state)
{
	struct side a, b;
	struct handoff__msg hello, reply;

	(void)state;
	pair_open(&a, &b);
	hello = good_hello(&a);
	reply = greet(&a, &hello);
	assert_int_equal(reply.hello.refusal, HANDOFF__TAKEN);
	assert_string_equal(reply.hello.name, "one");
	assert_string_equal(reply.hello.partner, "two");
	assert_int_equal(reply.hello.partner_pid, getpid());
	pair_run(&a, &b);
	assert_int_equal(a.pair.partner, HANDOFF__PARTNER_READY);
	pair_close(&a, &b);
}

static void
garbage_before_hello_is_refused(void **state)
{
	static const char *const garbage[] = {"x", "GET / HTTP/1.0\r\n\r\n"};
	struct handoff__msg beat = {.type = HANDOFF__BEAT};
	struct side a;
	char byte;
	int fd;

	(void)state;
	side_init(&a, support_dir(), "one");
	pair_own(&a);
	for (unsigned i = 0; i < 3; i++) {
		fd = connect_raw(&a);
		if (i < 2)
			assert_true(send(fd, garbage[i], strlen(garbage[i]),
					    MSG_NOSIGNAL) > 0);
		else
			assert_int_equal(
				handoff__link_send_sync(fd, &beat, -1), 0);
		pair_run(&a, NULL);
		assert_int_equal(a.pair.tally.refused, i + 1);
		assert_int_equal(a.refusals, 1);
		assert_string_equal(
			a.refused, "a process that sent what is not a HELLO");
		assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
		close(fd);
	}
	side_close(&a);
}

static void
descriptors_before_hello_are_closed(void **state)
{
	struct side a;
	struct handoff__msg hello;
	unsigned char data[1024];
	size_t len;
	int fd, fds[3];

	(void)state;
	side_init(&a, support_dir(), "one");
	pair_own(&a);
	hello = good_hello(&a);
	len = handoff__msg_encode(&hello, data, sizeof(data));
	fd = connect_raw(&a);
	fds[0] = fds[1] = fds[2] = fd;
	assert_int_equal(handoff_fdpass_send(fd, fds, 3, data, len), 1);
	pair_run(&a, NULL);
	assert_int_equal(a.refusals, 1);
	close(fd);
	side_close(&a);
}

static unsigned
pending(const struct side *side)
{
	unsigned n = 0;

	for (int i = 0; i < HANDOFF__PENDING_MAX; i++)
		n += side->pair.pending[i].fd >= 0;
	return n;
}

static void
silent_candidate_is_turned_away(void **state)
{
	struct side a;
	struct handoff__timer *timer;
	int fd;

	(void)state;
	side_init(&a, support_dir(), "one");
	pair_own(&a);
	fd = connect_raw(&a);
	pair_run(&a, NULL);
	assert_int_equal(pending(&a), 1);
	timer = &a.pair.pending[0].timer;
	assert_true(timer->armed);
	assert_in_range(
		timer->deadline_us - handoff__now_us(), 1000000, 10000000);
	handoff__timer_arm(&a.loop, timer, 1);
	pair_wait(&a, &a.refusals, 1);
	assert_string_equal(
		a.refused, "a process that sent no HELLO within 5 s");
	assert_int_equal(pending(&a), 0);
	close(fd);
	side_close(&a);
}

static void
candidates_are_limited_and_leave(void **state)
{
	struct side a;
	int fds[HANDOFF__PENDING_MAX + 1];
	char byte;

	(void)state;
	side_init(&a, support_dir(), "one");
	pair_own(&a);
	for (int i = 0; i <= HANDOFF__PENDING_MAX; i++) {
		fds[i] = connect_raw(&a);
		pair_run(&a, NULL);
	}
	assert_int_equal(pending(&a), HANDOFF__PENDING_MAX);
	assert_int_equal(
		recv(fds[HANDOFF__PENDING_MAX], &byte, 1, MSG_DONTWAIT), 0);
	for (int i = 0; i <= HANDOFF__PENDING_MAX; i++)
		close(fds[i]);
	pair_run(&a, NULL);
	assert_int_equal(pending(&a), 0);
	/* A client that only looked is no refusal; one too many is. */
	assert_int_equal(a.refusals, 1);
	assert_non_null(strstr(a.refused, "too many are being greeted"));
	side_close(&a);
}

static void
hello_twice_ends_the_link(void **state)
{
	struct side a, b;
	struct handoff__msg hello;

	(void)state;
	pair_open(&a, &b);
	hello = good_hello(&a);
	assert_int_equal(handoff__link_try(&b.pair.link, &hello, NULL, 0), 1);
	pair_run(&a, &b);
	assert_int_equal(a.pair.link.fd, -1);
	assert_int_equal(a.pair.partner, HANDOFF__PARTNER_APART);
	pair_close(&a, &b);
}

static void
descriptors_where_none_belong_end_the_link(void **state)
{
	static const uint32_t types[] = {HANDOFF__BEAT, HANDOFF__HELD,
		HANDOFF__MIRROR, HANDOFF__SEGMENT};
	const char *dir = support_dir();

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct side a, b;
		struct handoff__msg msg = {.type = types[i], .nrefs = 1};
		int fds[2];

		pair_open_in(dir, &a, &b);
		fds[0] = fds[1] = b.loop.epfd;
		assert_int_equal(
			handoff__link_try(&b.pair.link, &msg, fds, 2), 1);
		pair_run(&a, &b);
		assert_int_equal(a.pair.link.fd, -1);
		pair_close(&a, &b);
	}
}

static void
bad_segment_ends_the_link(void **state)
{
	struct side a, b;
	struct handoff__msg msg = {.type = HANDOFF__SEGMENT, .index = 1};

	(void)state;
	pair_open(&a, &b);
	handoff__link_send(&b.pair.link, &msg, b.loop.epfd);
	pair_run(&a, &b);
	assert_int_equal(a.pair.link.fd, -1);
	assert_int_equal(a.pair.arena.count, 1);
	pair_close(&a, &b);
}

/* It touches nothing any more: what it owned is taken at once, though its
 * process lives. */
static void
what_a_peer_leaves_is_taken_when_it_says_bye(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *mine, *its, *ended;

	(void)state;
	pair_open(&a, &b);
	mine = pair_enter(&a, HANDOFF__CONNECTION);
	ended = pair_enter(&a, HANDOFF__CONNECTION);
	its = pair_enter(&b, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	its = pair_find(&a, its);
	handoff__pair_end(&a.pair, ended);
	assert_int_not_equal(ended->id, 0);
	side_close(&b);
	pair_turn(&a);
	assert_int_equal(ended->id, 0); /* no DROP is to be sent */
	assert_int_equal(a.pair.partner, HANDOFF__PARTNER_NONE);
	assert_int_equal(a.pair.link.fd, -1);
	assert_int_equal(mine->copy, HANDOFF__COPY_NONE);
	assert_true(its->mine);
	assert_int_equal(its->view.rec->owner, 1);
	assert_int_equal(a.pair.roster.uncovered, 2);
	assert_int_equal(a.failovers, 1);
	side_close(&a);
}

/* The link ends and its process lives on: what it owns is not touched, and
 * what it was sent counts as lost. */
static void
end_of_the_link_is_no_end_of_a_peer(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *mine, *its;

	(void)state;
	pair_open(&a, &b);
	mine = pair_enter(&a, HANDOFF__CONNECTION);
	its = pair_enter(&b, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	its = pair_find(&a, its);
	handoff__link_close(&b.pair.link);
	pair_turn(&a);
	assert_int_equal(a.pair.partner, HANDOFF__PARTNER_APART);
	assert_int_equal(a.pair.link.fd, -1);
	assert_int_equal(mine->copy, HANDOFF__COPY_NONE);
	assert_int_equal(a.pair.roster.uncovered, 1);
	assert_false(its->mine);
	assert_int_equal(its->view.rec->owner, 2);
	assert_int_equal(a.failovers, 0);
	/* Entries come and go without anyone to be told. */
	handoff__pair_end(&a.pair, mine);
	pair_enter(&a, HANDOFF__CONNECTION);
	pair_turn(&a);
	assert_int_equal(a.pair.roster.owned, 1);
	assert_int_equal(
		handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), -ENOTCONN);
	pair_close(&a, &b);
}

/* Both dispatched until they are linked again. */
static void
run_until_linked(struct side *a, struct side *b)
{
	int64_t end = handoff__now_us() + 5000000;

	while (a->pair.partner != HANDOFF__PARTNER_READY ||
		b->pair.partner != HANDOFF__PARTNER_READY) {
		assert_true(handoff__now_us() < end);
		handoff__loop_dispatch(&a->loop, 5);
		handoff__pair_proceed(&a->pair);
		handoff__loop_dispatch(&b->loop, 5);
		handoff__pair_proceed(&b->pair);
	}
	pair_run(a, b);
}

/* It is made anew, whatever came and went meanwhile on either side. */
static void
broken_link_is_made_anew(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *kept, *gone, *other, *its;

	(void)state;
	pair_open(&a, &b);
	kept = pair_enter(&a, HANDOFF__CONNECTION);
	gone = pair_enter(&a, HANDOFF__CONNECTION);
	its = pair_enter(&b, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	handoff__core_break(&a.pair, "of the test");
	handoff__pair_proceed(&a.pair);
	assert_int_equal(a.pair.partner, HANDOFF__PARTNER_APART);
	handoff__pair_end(&a.pair, gone);
	other = pair_enter(&a, HANDOFF__CONNECTION);
	run_until_linked(&a, &b);
	assert_int_equal(a.aparts, 1);
	assert_int_equal(a.partners, 2);
	assert_int_equal(b.partners, 2);
	assert_int_equal(a.failovers + b.failovers, 0);
	assert_int_equal(kept->copy, HANDOFF__COPY_HELD);
	assert_int_equal(other->copy, HANDOFF__COPY_HELD);
	assert_non_null(pair_find(&b, kept));
	assert_non_null(pair_find(&b, other));
	assert_true(pair_same_file(pair_find(&b, other)->fd, other->fd));
	assert_non_null(pair_find(&a, its));
	assert_int_equal(a.pair.roster.uncovered, 0);
	assert_int_equal(b.pair.roster.held, 2);
	/* And is as good as the first. */
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&a, &b);
	assert_int_equal(a.report.moved, 2);
	assert_true(b.pair.serving);
	pair_close(&a, &b);
}

/* A copy whose entry ended while the two were apart, in a record that nobody
 * uses again, is closed by the beats. */
static void
stale_copies_are_closed(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *gone;
	int64_t end = handoff__now_us() + 5000000;

	(void)state;
	side_init(&a, support_dir(), "one");
	side_init(&b, support_dir(), "two");
	a.config.hang_timeout_ms = b.config.hang_timeout_ms = 400;
	pair_own(&a);
	assert_int_equal(side_open(&b, &a), 0);
	handoff__pair_started(&b.pair);
	pair_run(&a, &b);
	pair_enter(&a, HANDOFF__CONNECTION);
	gone = pair_enter(&a, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	handoff__core_break(&a.pair, "of the test");
	handoff__pair_proceed(&a.pair);
	handoff__pair_end(&a.pair, gone);
	run_until_linked(&a, &b);
	while (b.pair.roster.held != 1) {
		assert_true(handoff__now_us() < end);
		handoff__loop_dispatch(&a.loop, 5);
		handoff__pair_proceed(&a.pair);
		handoff__loop_dispatch(&b.loop, 5);
		handoff__pair_proceed(&b.pair);
	}
	pair_close(&a, &b);
}

/* A program that opens the peer as root and then becomes another user keeps no
 * standby out that starts as root too. */
static void
root_joins_a_peer_that_was_root(void **state)
{
	struct side a;
	pid_t child;
	int told;

	(void)state;
	if (geteuid() != 0)
		skip();
	side_init(&a, support_dir(), "one");
	pair_own(&a);
	child = pair_child(a.config.dir, &told);
	assert_int_equal(seteuid(NOBODY), 0);
	pair_wait(&a, &a.partners, 1);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(a.refusals, 0);
	pair_kill(child, told);
	pair_wait(&a, &a.partings, 1);
	side_close(&a);
}

/* The table of a peer that joins is full when the arena comes, and READY comes
 * before it is sent again. */
static void
late_arena_is_told_of(void **state)
{
	struct side a, b;

	(void)state;
	support_not_in_valgrind();
	side_init(&a, support_dir(), "one");
	side_init(&b, support_dir(), "two");
	pair_own(&a);
	assert_int_equal(side_open(&b, &a), 0);
	handoff__pair_started(&b.pair);
	pair_limit_descriptors(0);
	pair_run(NULL, &b);
	pair_unlimit_descriptors();
	assert_int_equal(b.pair.partner, HANDOFF__PARTNER_READY);
	assert_int_equal(b.pair.arena.count, 0);
	assert_int_equal(b.partners, 1);
	pair_run(&a, &b);
	handoff__mirror_retry(&a.pair, 0);
	pair_run(&a, &b);
	assert_int_equal(b.pair.arena.count, 1);
	assert_int_equal(b.partners, 2);
	pair_close(&a, &b);
}

/* Its lock went with it; its socket is still there and is replaced. */
static void
place_of_the_dead_is_free(void **state)
{
	struct side a;
	struct stat st;
	int told;
	pid_t pid;

	(void)state;
	side_init(&a, support_dir(), "one");
	pid = pair_child(a.config.dir, &told);
	assert_true(support_poll(told, POLLIN) & POLLIN);
	pair_kill(pid, told);
	assert_int_equal(side_open(&a, NULL), 0);
	assert_int_equal(a.pair.place, 1);
	assert_int_equal(fstatat(a.pair.dir.fd, "link.1", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	side_close(&a);
}

static void
death_of_a_standby_is_seen_and_another_may_come(void **state)
{
	struct side a, b;
	int told;
	pid_t pid;

	(void)state;
	side_init(&a, support_dir(), "one");
	pair_own(&a);
	pair_enter_many(&a, 3);
	for (unsigned i = 1; i <= 2; i++) {
		pid = pair_child(a.config.dir, &told);
		pair_wait(&a, &a.partners, i);
		assert_int_equal(a.pair.other.pid, pid);
		pair_kill(pid, told);
		pair_wait(&a, &a.partings, i);
		assert_int_equal(a.pair.partner, HANDOFF__PARTNER_NONE);
		assert_int_equal(a.failovers, 0);
		assert_int_equal(a.pair.roster.uncovered, 3);
	}
	side_init(&b, a.config.dir, "two");
	assert_int_equal(side_open(&b, &a), 0);
	handoff__pair_started(&b.pair);
	pair_run(&a, &b);
	assert_int_equal(b.pair.roster.held, 3);
	assert_int_equal(a.pair.roster.uncovered, 0);
	pair_close(&a, &b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(first_peer_owns),
		handoff_test(second_peer_joins),
		handoff_test(owner_may_come_second),
		handoff_test(directory_is_locked_while_one_starts),
		handoff_test(one_that_starts_is_waited_for),
		handoff_test(peer_that_cannot_be_told_is_no_absent_one),
		handoff_test(third_peer_is_refused),
		handoff_test(strangers_are_refused),
		handoff_test(other_buffer_sizes_are_no_reason),
		handoff_test(absurd_sizes_are_refused),
		handoff_test(hello_is_judged),
		handoff_test(layouts_are_judged),
		handoff_test(older_library_is_told_what_it_understands),
		handoff_test(taken_names_the_two),
		handoff_test(garbage_before_hello_is_refused),
		handoff_test(descriptors_before_hello_are_closed),
		handoff_test(silent_candidate_is_turned_away),
		handoff_test(candidates_are_limited_and_leave),
		handoff_test(hello_twice_ends_the_link),
		handoff_test(descriptors_where_none_belong_end_the_link),
		handoff_test(bad_segment_ends_the_link),
		handoff_test(what_a_peer_leaves_is_taken_when_it_says_bye),
		handoff_test(end_of_the_link_is_no_end_of_a_peer),
		handoff_test(broken_link_is_made_anew),
		handoff_test(stale_copies_are_closed),
		handoff_test(root_joins_a_peer_that_was_root),
		handoff_test(late_arena_is_told_of),
		handoff_test(place_of_the_dead_is_free),
		handoff_test(death_of_a_standby_is_seen_and_another_may_come),
	};

	return cmocka_run_group_tests_name("join", tests, NULL, NULL);
}
