/* SPDX-License-Identifier: MIT */
/*
 * The files of a peer in the service directory are removed, replaced or
 * renamed: the peer creates them again, but leaves alone what another process
 * has taken in the meantime. Tests bring the timer forward instead of waiting.
 */
#include "peer/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct handoff__dir dir;

/* What was logged, by level. */
static unsigned logged[HANDOFF_LOG_DEBUG + 1];
static char last_error[HANDOFF_TEXT_MAX];

static void
note_log(enum handoff_log_level level, const char *text, void *arg)
{
	(void)arg;
	logged[level]++;
	if (level == HANDOFF_LOG_ERROR)
		handoff__copy(last_error, sizeof(last_error), text);
}

static void
open_pair(struct side *a, struct side *b, const char *path)
{
	memset(logged, 0, sizeof(logged));
	pair_open_in(path, a, b);
	a->log.fn = b->log.fn = note_log;
	assert_int_equal(handoff__dir_open(&dir, path, false, false, NULL), 0);
}

/* The directory as others find it now. */
static void
look_again(const char *path)
{
	handoff__dir_close(&dir);
	assert_int_equal(handoff__dir_open(&dir, path, false, false, NULL), 0);
}

static const char *
own_dir(void)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/service", support_dir());
	return path;
}

/* A second passes for one peer, with nothing else to do. */
static void
second_passes(struct side *side)
{
	assert_true(side->pair.upkeep.timer.armed);
	handoff__timer_arm(&side->loop, &side->pair.upkeep.timer, 0);
	assert_true(handoff__loop_dispatch(&side->loop, 5000) > 0);
	pair_run(side, NULL);
}

static void
remove_names(const char *const *names)
{
	for (; *names; names++)
		assert_int_equal(unlinkat(dir.fd, *names, 0), 0);
}

static const char *const all[] = {
	"peer.1", "link.1", "peer.2", "link.2", "lock", NULL};

static void
remove_dir(const char *path)
{
	remove_names(all);
	assert_int_equal(rmdir(path), 0);
}

/* Both hold their places, and another that starts is turned away. */
static void
both_are_there(struct side *a, const char *path)
{
	struct side third;

	look_again(path);
	assert_int_equal(handoff__dir_locked(&dir, "peer.1"), 1);
	assert_int_equal(handoff__dir_locked(&dir, "peer.2"), 1);
	for (int i = 0; i < 2; i++) {
		static const char *const names[] = {"link.1", "link.2"};
		int fd = handoff__dir_connect(&dir, names[i], SOCK_SEQPACKET);

		assert_true(fd >= 0);
		close(fd);
	}
	side_init(&third, path, "three");
	assert_int_equal(side_open(&third, a), -EBUSY);
	assert_non_null(strstr(third.pair.error.text, "two peers already"));
	side_close(&third);
}

static void
close_pair(struct side *a, struct side *b)
{
	pair_close(a, b);
	handoff__dir_close(&dir);
}

/* This is what makes systemd-tmpfiles leave it alone. */
static void
directory_is_locked_for_life(void **state)
{
	struct side a, b;
	const char *path = own_dir();

	(void)state;
	open_pair(&a, &b, path);
	assert_int_equal(flock(dir.fd, LOCK_EX | LOCK_NB), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	side_close(&a);
	assert_int_equal(flock(dir.fd, LOCK_EX | LOCK_NB), -1);
	side_close(&b);
	assert_int_equal(flock(dir.fd, LOCK_EX | LOCK_NB), 0);
	handoff__dir_close(&dir);
}

/* A cleaner is at work just when a peer starts. */
static void
directory_is_locked_when_it_can_be(void **state)
{
	struct side a;
	const char *path = own_dir();

	(void)state;
	assert_int_equal(handoff__dir_open(&dir, path, true, false, NULL), 0);
	assert_int_equal(flock(dir.fd, LOCK_EX | LOCK_NB), 0);
	side_init(&a, path, "one");
	pair_own(&a);
	assert_int_equal(flock(dir.fd, LOCK_UN), 0);
	second_passes(&a);
	assert_int_equal(flock(dir.fd, LOCK_EX | LOCK_NB), -1);
	side_close(&a);
	handoff__dir_close(&dir);
}

static void
nothing_is_touched_while_all_is_well(void **state)
{
	struct side a, b;
	struct stat before, after;
	const char *path = own_dir();
	int lock;

	(void)state;
	open_pair(&a, &b, path);
	lock = a.pair.lock_fd;
	assert_int_equal(fstat(dir.fd, &before), 0);
	for (int i = 0; i < 3; i++) {
		second_passes(&a);
		second_passes(&b);
	}
	assert_int_equal(fstat(dir.fd, &after), 0);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	assert_int_equal(a.pair.lock_fd, lock);
	assert_int_equal(logged[HANDOFF_LOG_WARNING], 0);
	close_pair(&a, &b);
}

static void
files_are_made_anew(void **state)
{
	struct side a, b;
	const char *path = own_dir();
	char line[64], expected[64];
	ssize_t n;

	(void)state;
	open_pair(&a, &b, path);
	remove_names(all);
	second_passes(&a);
	second_passes(&b);
	n = handoff__dir_read(&dir, "peer.2", line, sizeof(line));
	assert_int_equal(n, snprintf(expected, sizeof(expected), "two %d\n",
				    (int)getpid()));
	assert_memory_equal(line, expected, (size_t)n);
	both_are_there(&a, path);
	assert_int_equal(logged[HANDOFF_LOG_ERROR], 0);
	close_pair(&a, &b);
}

static void
directory_is_made_anew(void **state)
{
	struct side a, b;
	struct stat st;
	const char *path = own_dir();

	(void)state;
	open_pair(&a, &b, path);
	remove_dir(path);
	second_passes(&b);
	second_passes(&a);
	both_are_there(&a, path);
	assert_int_equal(fstat(dir.fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(flock(dir.fd, LOCK_EX | LOCK_NB), -1);
	/* And they are still one service. */
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&a, &b);
	assert_true(b.pair.serving);
	assert_false(a.pair.serving);
	close_pair(&a, &b);
}

/* The path counts, not what lies elsewhere now. */
static void
renamed_directory_is_left(void **state)
{
	struct side a, b;
	const char *path = own_dir();
	char aside[300];

	(void)state;
	open_pair(&a, &b, path);
	snprintf(aside, sizeof(aside), "%s.old", path);
	assert_int_equal(rename(path, aside), 0);
	second_passes(&a);
	second_passes(&b);
	both_are_there(&a, path);
	look_again(aside);
	assert_int_equal(handoff__dir_locked(&dir, "peer.1"), 0);
	close_pair(&a, &b);
}

/* By a relative path it is found also when the process is elsewhere by now, as
 * a daemon is. */
static void
working_directory_may_change(void **state)
{
	struct side a;
	const char *base = support_dir();
	char path[256];
	int cwd = open(".", O_PATH | O_CLOEXEC);

	(void)state;
	snprintf(path, sizeof(path), "%s/service", base);
	assert_int_equal(chdir(base), 0);
	side_init(&a, "service", "one");
	pair_own(&a);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(handoff__dir_open(&dir, path, false, false, NULL), 0);
	remove_names((const char *const[]){"peer.1", "link.1", "lock", NULL});
	assert_int_equal(rmdir(path), 0);
	second_passes(&a);
	look_again(path);
	assert_int_equal(handoff__dir_locked(&dir, "peer.1"), 1);
	side_close(&a);
	handoff__dir_close(&dir);
	assert_int_equal(fchdir(cwd), 0);
	close(cwd);
}

/* Another has started while the files were gone: it is told, once, and nothing
 * of it is taken, also at the end. */
static void
place_that_another_took_is_its(void **state)
{
	struct side a, b;
	struct handoff__inode link;
	const char *path = own_dir();
	int lock, sock;

	(void)state;
	open_pair(&a, &b, path);
	remove_names((const char *const[]){"peer.1", "link.1", NULL});
	lock = handoff__dir_lock(&dir, "peer.1");
	assert_int_equal(write(lock, "other 77\n", 9), 9);
	sock = handoff__dir_listen(&dir, "link.1", SOCK_SEQPACKET, NULL);
	assert_int_equal(handoff__dir_note(&dir, "link.1", &link), 0);
	for (int i = 0; i < 3; i++)
		second_passes(&a);
	assert_int_equal(logged[HANDOFF_LOG_ERROR], 1);
	assert_non_null(strstr(last_error,
		"peer.1 was removed, and other (pid 77) holds it now: both "
		"may serve"));
	side_close(&a);
	assert_int_equal(handoff__dir_is(&dir, "link.1", &link), 1);
	close(lock);
	close(sock);
	close_pair(&a, &b);
}

static void
place_is_taken_back_when_it_is_free(void **state)
{
	struct side a, b;
	const char *path = own_dir();
	int lock;

	(void)state;
	open_pair(&a, &b, path);
	remove_names((const char *const[]){"peer.1", NULL});
	lock = handoff__dir_lock(&dir, "peer.1");
	second_passes(&a);
	assert_int_equal(logged[HANDOFF_LOG_ERROR], 1);
	close(lock);
	second_passes(&a);
	assert_false(a.pair.upkeep.lost);
	both_are_there(&a, path);
	close_pair(&a, &b);
}

/* The directory can't be made anew: told once, tried again. */
static void
parent_that_is_gone_is_waited_for(void **state)
{
	struct side a;
	char parent[256], path[300];

	(void)state;
	memset(logged, 0, sizeof(logged));
	snprintf(parent, sizeof(parent), "%s/parent", support_dir());
	snprintf(path, sizeof(path), "%s/service", parent);
	assert_int_equal(mkdir(parent, 0700), 0);
	side_init(&a, path, "one");
	pair_own(&a);
	a.log.fn = note_log;
	assert_int_equal(handoff__dir_open(&dir, path, false, false, NULL), 0);
	remove_names((const char *const[]){"peer.1", "link.1", "lock", NULL});
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(parent), 0);
	second_passes(&a);
	second_passes(&a);
	assert_int_equal(logged[HANDOFF_LOG_ERROR], 1);
	assert_non_null(strstr(last_error, "cannot create it: No such file"));
	assert_int_equal(mkdir(parent, 0700), 0);
	second_passes(&a);
	look_again(path);
	assert_int_equal(handoff__dir_locked(&dir, "peer.1"), 1);
	side_close(&a);
	handoff__dir_close(&dir);
}

/* Removed when the service ends, it stays removed. */
static void
peer_that_leaves_makes_nothing_anew(void **state)
{
	struct side a, b;
	const char *path = own_dir();

	(void)state;
	open_pair(&a, &b, path);
	handoff__pair_leave(&a.pair);
	handoff__pair_leave(&b.pair);
	assert_false(a.pair.upkeep.timer.armed);
	remove_dir(path);
	pair_run(&a, &b);
	close_pair(&a, &b);
	assert_int_equal(access(path, F_OK), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(directory_is_locked_for_life),
		handoff_test(directory_is_locked_when_it_can_be),
		handoff_test(nothing_is_touched_while_all_is_well),
		handoff_test(files_are_made_anew),
		handoff_test(directory_is_made_anew),
		handoff_test(renamed_directory_is_left),
		handoff_test(working_directory_may_change),
		handoff_test(place_that_another_took_is_its),
		handoff_test(place_is_taken_back_when_it_is_free),
		handoff_test(parent_that_is_gone_is_waited_for),
		handoff_test(peer_that_leaves_makes_nothing_anew),
	};

	return cmocka_run_group_tests_name("upkeep", tests, NULL, NULL);
}
