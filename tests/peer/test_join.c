/* SPDX-License-Identifier: MIT */
/*
 * How peers find their places in a directory, join each other, and refuse each
 * other; also when one starts while another does, or when the state of locks is
 * unknown.
 */
#include "peer/fixture.h"

#include "peer/mirror.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
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
	(void)state;
	assert_int_equal(side_open(&one, NULL), 0);
	assert_int_equal(one.pair.place, 1);
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_NONE);
	assert_false(one.pair.serving);
	assert_int_equal(handoff__pair_generation(&one.pair), 0);
	assert_int_equal(handoff__pair_own(&one.pair, 41), 0);
	assert_true(one.pair.serving);
	assert_int_equal(handoff__pair_generation(&one.pair), 41);
	assert_false(handoff__pair_away(&one.pair));
	assert_int_equal(
		atomic_load(&handoff__arena_board(&one.pair.arena)->owner), 1);
}

static void
second_peer_joins(void **state)
{
	char who[64], expected[64];

	(void)state;
	assert_int_equal(two.pair.place, 2);
	assert_false(two.pair.serving);
	assert_int_equal(two.pair.arena.count, 1);
	assert_int_equal(handoff__pair_generation(&two.pair), 1);
	assert_int_equal(one.partners, 1);
	assert_int_equal(two.partners, 1);
	assert_string_equal(one.pair.other.name, "two");
	assert_string_equal(two.pair.other.name, "one");
	assert_true(two.pair.other.serving);
	assert_int_equal(one.pair.other.pid, getpid());
	snprintf(expected, sizeof(expected), "two (pid %d)", (int)getpid());
	assert_string_equal(
		handoff__pair_partner_text(&one.pair, who), expected);
}

/* The alternate may be started first. */
static void
owner_may_come_second(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	side_init(&one, one.config.dir, "alt");
	side_init(&two, one.config.dir, "server");
	assert_int_equal(side_open(&one, NULL), 0);
	handoff__pair_started(&one.pair);
	assert_int_equal(side_open(&two, &one), 0);
	assert_false(two.pair.other.serving);
	assert_int_equal(handoff__pair_own(&two.pair, 1), 0);
	e = pair_enter(&two, HANDOFF__LISTENER);
	handoff__pair_started(&two.pair);
	pair_run(&one, &two);
	assert_int_equal(one.partners, 1);
	assert_int_equal(one.pair.arena.count, 1);
	assert_non_null(pair_find(&one, e));
	assert_int_equal(e->view.rec->owner, 2);
}

/* Who starts holds the directory until it has said that it is done. */
static void
directory_is_locked_while_one_starts(void **state)
{
	char line[64], expected[64];
	struct handoff__dir d;
	ssize_t n;

	(void)state;
	assert_int_equal(
		handoff__dir_open(&d, one.config.dir, false, 0, NULL), 0);
	assert_int_equal(side_open(&one, NULL), 0);
	assert_true(handoff__dir_locked(&d, "lock"));
	assert_true(handoff__dir_locked(&d, "peer.1"));
	assert_false(handoff__dir_locked(&d, "peer.2"));
	handoff__pair_started(&one.pair);
	assert_false(handoff__dir_locked(&d, "lock"));
	n = handoff__dir_read(&d, "peer.1", line, sizeof(line));
	assert_int_equal(n, snprintf(expected, sizeof(expected), "one %d\n",
				    (int)getpid()));
	assert_memory_equal(line, expected, (size_t)n);
	side_close(&one);
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
	struct handoff__dir dir;
	struct holder holder;
	char path[256];
	pthread_t thread;

	(void)state;
	assert_int_equal(
		handoff__dir_open(&dir, one.config.dir, false, 0, NULL), 0);
	holder.lock = handoff__dir_lock(&dir, "lock");
	assert_true(holder.lock >= 0);
	holder.inotify = inotify_init1(IN_CLOEXEC);
	snprintf(path, sizeof(path), "%s/lock", one.config.dir);
	assert_true(inotify_add_watch(holder.inotify, path, IN_OPEN) >= 0);
	assert_int_equal(
		pthread_create(&thread, NULL, release_when_wanted, &holder), 0);
	assert_int_equal(side_open(&one, NULL), 0);
	pthread_join(thread, NULL);
	assert_int_equal(one.pair.place, 1);
	side_close(&one);
	close(holder.inotify);
	handoff__dir_close(&dir);
}

/* A standby would wait for ever, or be a second owner. */
static void
peer_that_cannot_be_told_is_no_absent_one(void **state)
{
	(void)state;
	pair_own(&one);
	blind = ENOLCK;
	blind_after = 2; /* the directory is shared, its place is taken */
	assert_int_equal(side_open(&two, &one), -ENOLCK);
	blind = 0;
	assert_non_null(strstr(two.pair.error.text,
		"cannot tell whether a peer holds peer.1: No locks"));
}

static void
third_peer_is_refused(void **state)
{
	struct side c;
	char expected[256];

	(void)state;
	side_init(&c, one.config.dir, "three");
	assert_int_equal(side_open(&c, &one), -EBUSY);
	snprintf(expected, sizeof(expected),
		"service directory %s has two peers already, one (pid %d) and "
		"two (pid %d): stop one of them first",
		one.config.dir, (int)getpid(), (int)getpid());
	assert_string_equal(c.pair.error.text, expected);
	side_close(&c);
	/* Nobody else is harmed. */
	pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	assert_int_equal(two.pair.roster.held, 1);
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
	for (int kind = 0; kind < 4; kind++) {
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
		} else if (kind == 2) {
			b.service.state_version = 2;
			refused_as(&a, &b, "state version 1 there, 2 here",
				"state version 2 there, 1 here");
		} else {
			b.service.state_version |= HANDOFF__SESSION_BIT;
			refused_as(&a, &b,
				"the service there has no sessions, the one "
				"here has: start both with --sessions, or both "
				"without",
				"the service there has sessions, the one here "
				"has none: start both with --sessions, or both "
				"without");
		}
		assert_int_equal(a.why,
			(int)HANDOFF__BAD_SERVICE + (kind < 2 ? kind : 2));
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
	(void)state;
	two.service.input_size = 100000;
	pair_own(&one);
	pair_join(&one, &two);
	assert_int_equal(two.pair.arena.segments[0]->geo.rx_size, 4096);
}

static void
absurd_sizes_are_refused(void **state)
{
	(void)state;
	one.service.state_size = HANDOFF__STATE_MAX + 1;
	assert_int_equal(side_open(&one, NULL), -EINVAL);
	assert_non_null(strstr(one.pair.error.text, "state_size is at most"));
}

/* A program that opens the peer as root and then becomes another user keeps no
 * standby out that starts as root too. */
static void
root_joins_a_peer_that_was_root(void **state)
{
	pid_t child;
	int told;

	(void)state;
	if (geteuid() != 0)
		skip();
	pair_own(&one);
	child = pair_child(one.config.dir, &told);
	assert_int_equal(seteuid(NOBODY), 0);
	pair_wait(&one, &one.partners, 1);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(one.refusals, 0);
	pair_kill(child, told);
	pair_wait(&one, &one.partings, 1);
}

/* The table of a peer that joins is full when the arena comes, and READY comes
 * before it is sent again. */
static void
late_arena_is_told_of(void **state)
{
	(void)state;
	support_not_in_valgrind();
	pair_own(&one);
	assert_int_equal(side_open(&two, &one), 0);
	handoff__pair_started(&two.pair);
	support_limit_descriptors(0);
	pair_run(NULL, &two);
	support_unlimit_descriptors();
	assert_int_equal(two.pair.partner, HANDOFF__PARTNER_READY);
	assert_int_equal(two.pair.arena.count, 0);
	assert_int_equal(two.partners, 1);
	pair_run(&one, &two);
	handoff__mirror_retry(&one.pair, 0);
	pair_run(&one, &two);
	assert_int_equal(two.pair.arena.count, 1);
	assert_int_equal(two.partners, 2);
}

/* Its lock went with it; its socket is still there and is replaced. */
static void
place_of_the_dead_is_free(void **state)
{
	struct stat st;
	int told;
	pid_t pid;

	(void)state;
	pid = pair_child(one.config.dir, &told);
	assert_true(support_poll(told, POLLIN) & POLLIN);
	pair_kill(pid, told);
	assert_int_equal(side_open(&one, NULL), 0);
	assert_int_equal(one.pair.place, 1);
	assert_int_equal(fstatat(one.pair.dir.fd, "link.1", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		side_test(first_peer_owns),
		pair_test(second_peer_joins),
		side_test(owner_may_come_second),
		side_test(directory_is_locked_while_one_starts),
		side_test(one_that_starts_is_waited_for),
		side_test(peer_that_cannot_be_told_is_no_absent_one),
		pair_test(third_peer_is_refused),
		handoff_test(strangers_are_refused),
		side_test(other_buffer_sizes_are_no_reason),
		side_test(absurd_sizes_are_refused),
		side_test(root_joins_a_peer_that_was_root),
		side_test(late_arena_is_told_of),
		side_test(place_of_the_dead_is_free),
	};

	return cmocka_run_group_tests_name("join", tests, NULL, NULL);
}
