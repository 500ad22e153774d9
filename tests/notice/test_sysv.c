/* SPDX-License-Identifier: MIT */
/*
 * System V queues: keys that collide, limits, a queue that somebody removes, a
 * number that is another's, and the helper thread.
 */
#include "notice/board.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <unistd.h>

/* What fails, and how: as long as more than `room` are registered. */
static int fail_msgget, fail_info, fail_thread, room;
static int same_keys; /* the files have the same keys */

key_t __real_ftok(const char *path, int project);
key_t __wrap_ftok(const char *path, int project);
int __real_msgget(key_t key, int flags);
int __wrap_msgget(key_t key, int flags);
int __real_msgctl(int id, int command, struct msqid_ds *buf);
int __wrap_msgctl(int id, int command, struct msqid_ds *buf);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
	void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
	void *(*start)(void *), void *arg);

key_t
__wrap_ftok(const char *path, int project)
{
	key_t key = __real_ftok(path, project);

	return same_keys && key != -1 ? same_keys + project : key;
}

int
__wrap_msgget(key_t key, int flags)
{
	if (fail_msgget && board_files(NULL) > room) {
		errno = fail_msgget;
		return -1;
	}
	return __real_msgget(key, flags);
}

int
__wrap_msgctl(int id, int command, struct msqid_ds *buf)
{
	int rc = __real_msgctl(id, command, buf);

	if (command == IPC_INFO && fail_info)
		((struct msginfo *)buf)->msgmax = 700;
	return rc;
}

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
	void *(*start)(void *), void *arg)
{
	return fail_thread ? fail_thread
			   : __real_pthread_create(thread, attr, start, arg);
}

static void
begin(void)
{
	board_begin_on("sysv:", "subscribers.sysv");
	fail_msgget = fail_info = fail_thread = room = same_keys = 0;
}

/* What the registered file says. */
static void
read_file(int *msqid, int *key)
{
	char name[HANDOFF__SUBSCRIBER_MAX + 1], text[64] = "";
	int folder = board_folder(), fd;

	assert_int_equal(board_files(name), 1);
	fd = openat(folder, name, O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_int_equal(sscanf(text, "%d %d", msqid, key), 2);
	close(fd);
	close(folder);
}

static bool
exists(int msqid)
{
	struct msqid_ds queue;

	return __real_msgctl(msqid, IPC_STAT, &queue) == 0;
}

static void
publish(uint64_t seq)
{
	struct handoff_notice n = board_notice(HANDOFF_NOTICE_READY, 1, seq);

	board_publish(&n);
}

static uint64_t
pull(struct handoff_subscriber *sub)
{
	const struct handoff_notice *n;

	for (int i = 0; i < 1000; i++) {
		int rc = handoff_subscriber_next(sub, &n);

		assert_true(rc >= 0);
		if (rc > 0)
			return n->seq;
		assert_int_equal(handoff_subscriber_wait(sub, 10), 0);
	}
	fail_msg("no notice");
	return 0;
}

static void
test_a_queue_as_it_should_be(void **state)
{
	struct handoff_subscriber *sub;
	struct msqid_ds queue;
	int msqid, key;

	(void)state;
	begin();
	assert_int_equal(board_subscribe(&sub), 0);
	read_file(&msqid, &key);
	assert_int_equal(__real_msgget(key, 0), msqid);
	assert_int_equal(__real_msgctl(msqid, IPC_STAT, &queue), 0);
	assert_int_equal(queue.msg_perm.mode & 0777, 0600);
	handoff_subscriber_free(sub);
	assert_false(exists(msqid));
	board_end();
}

static void
test_keys_that_collide(void **state)
{
	struct handoff_subscriber *sub[3];

	(void)state;
	begin();
	same_keys = 0x5e000000 + (getpid() << 9 & 0xfffe00);
	for (int i = 0; i < 3; i++)
		assert_int_equal(board_subscribe(&sub[i]), 0);
	publish(1);
	assert_int_equal(board.pub.told.reached, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pull(sub[i]), 1);
		handoff_subscriber_free(sub[i]);
	}
	board_end();
}

static void
test_every_failure_is_named(void **state)
{
	static const struct {
		int err;
		const char *words;
	} cases[] = {
		{ENOSPC, "/proc/sys/kernel/msgmni"},
		{ENOSYS, "no System V queues"},
		{ENOMEM, "Cannot allocate memory"},
		{EACCES, "Permission denied"},
	};
	struct handoff_subscriber *sub = NULL;

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fail_msgget = cases[i].err;
		assert_int_equal(board_subscribe(&sub), -fail_msgget);
		assert_non_null(strstr(board.sentence, cases[i].words));
	}
	fail_msgget = EEXIST;
	assert_int_equal(board_subscribe(&sub), -EAGAIN);
	assert_non_null(strstr(board.sentence, "ipcs -q"));
	fail_msgget = 0;
	fail_info = 1;
	assert_int_equal(board_subscribe(&sub), -EMSGSIZE);
	assert_non_null(strstr(board.sentence, "msgmax"));
	fail_info = 0;
	fail_thread = EAGAIN;
	assert_int_equal(board_subscribe(&sub), -EAGAIN);
	assert_non_null(strstr(board.sentence, "ulimit -u"));
	assert_null(sub);
	assert_int_equal(board_files(NULL), 0);
	board_end();
}

/* A child subscribes and ends without a word. */
static void
leave_dead_subscriber(void)
{
	int pid = fork();

	if (pid == 0) {
		struct handoff_subscriber *sub;

		_exit(board_subscribe(&sub) == 0 ? 0 : 1);
	}
	support_reap(pid);
}

static void
test_limit_prunes_the_dead(void **state)
{
	struct handoff_subscriber *sub;
	int msqid, key;

	(void)state;
	begin();
	leave_dead_subscriber();
	read_file(&msqid, &key);
	leave_dead_subscriber();
	assert_true(exists(msqid));
	fail_msgget = ENOSPC;
	room = 1;
	assert_int_equal(board_subscribe(&sub), 0);
	assert_false(exists(msqid));
	assert_int_equal(board_files(NULL), 1);
	handoff_subscriber_free(sub);
	board_end();
}

/* After a restart of the host the number in a file of a dead one may be that of
 * a queue of somebody else. */
static void
test_a_number_that_is_anothers(void **state)
{
	int other = __real_msgget(IPC_PRIVATE, 0600 | IPC_CREAT);
	int folder, fd, msqid, key;
	char name[HANDOFF__SUBSCRIBER_MAX + 1];

	(void)state;
	begin();
	assert_true(other >= 0);
	leave_dead_subscriber();
	read_file(&msqid, &key);
	board_files(name);
	folder = board_folder();
	fd = openat(folder, name, O_WRONLY);
	assert_true(dprintf(fd, "%-15d", other) > 0);
	close(fd);
	close(folder);
	publish(1);
	assert_int_equal(board.pub.told.pruned, 1);
	assert_true(exists(other));
	__real_msgctl(other, IPC_RMID, NULL);
	__real_msgctl(msqid, IPC_RMID, NULL);
	board_end();
}

/* Somebody removes the queue: it makes another, and learns what it missed. */
static void
test_a_queue_that_is_removed(void **state)
{
	struct handoff_subscriber *sub;
	int msqid, key;

	(void)state;
	begin();
	assert_int_equal(board_subscribe(&sub), 0);
	for (uint64_t seq = 1; seq <= 3; seq += 2) {
		read_file(&msqid, &key);
		assert_int_equal(__real_msgctl(msqid, IPC_RMID, NULL), 0);
		publish(seq);
		assert_int_equal(board.pub.told.failed, 1);
		assert_false(handoff__publisher_done(&board.pub));
		assert_int_equal(pull(sub), seq);
		publish(seq + 1);
		assert_int_equal(board.pub.told.reached, 1);
		assert_int_equal(pull(sub), seq + 1);
	}
	/* It cannot make one, and can later. */
	read_file(&msqid, &key);
	assert_int_equal(__real_msgctl(msqid, IPC_RMID, NULL), 0);
	fail_msgget = ENOSPC;
	publish(5);
	assert_int_equal(handoff_subscriber_wait(sub, 1500), 0);
	fail_msgget = 0;
	assert_int_equal(pull(sub), 5);
	read_file(&msqid, &key);
	assert_int_equal(__real_msgctl(msqid, IPC_RMID, NULL), 0);
	handoff_subscriber_free(sub);
	board_end();
}

static int
count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int count = 0;

	assert_non_null(tasks);
	while (readdir(tasks))
		count++;
	closedir(tasks);
	return count - 2;
}

/* The signals that the other thread of this process blocks (proc(5)). */
static unsigned long long
blocked_by_thread(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned long long mask = 0;
	struct dirent *task;

	assert_non_null(tasks);
	while ((task = readdir(tasks))) {
		char path[300], line[200];
		FILE *file;

		if (task->d_name[0] == '.' || atoi(task->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status",
			task->d_name);
		file = fopen(path, "re");
		while (file && fgets(line, sizeof(line), file))
			sscanf(line, "SigBlk: %llx", &mask);
		if (file)
			fclose(file);
	}
	closedir(tasks);
	return mask;
}

/* The thread takes no signal of the process, and ends with the handle. */
static void
test_the_thread(void **state)
{
	static const int signals[] = {
		SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM};
	struct handoff_subscriber *sub;
	int before = count_threads();
	unsigned long long mask;
	sigset_t mine;

	(void)state;
	begin();
	assert_int_equal(board_subscribe(&sub), 0);
	assert_int_equal(count_threads(), before + 1);
	/* libc blocks signals until the thread has begun */
	publish(1);
	assert_int_equal(pull(sub), 1);
	mask = blocked_by_thread();
	sigprocmask(SIG_BLOCK, NULL, &mine);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		assert_true(mask >> (signals[i] - 1) & 1);
		assert_false(sigismember(&mine, signals[i]));
	}
	handoff_subscriber_free(sub);
	assert_int_equal(count_threads(), before);
	board_end();
}

/* In a child there is no thread that could bring anything: it is told so. */
static void
test_a_child_gets_nothing(void **state)
{
	struct handoff_subscriber *sub;
	int pid;

	(void)state;
	begin();
	assert_int_equal(board_subscribe(&sub), 0);
	publish(1);
	pid = fork();
	if (pid == 0) {
		const struct handoff_notice *n;
		int rc = handoff_subscriber_next(sub, &n);

		handoff_subscriber_free(sub);
		_exit(rc != -ECHILD);
	}
	support_reap(pid);
	assert_int_equal(pull(sub), 1);
	handoff_subscriber_free(sub);
	board_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_a_queue_as_it_should_be),
		handoff_test(test_keys_that_collide),
		handoff_test(test_every_failure_is_named),
		handoff_test(test_limit_prunes_the_dead),
		handoff_test(test_a_number_that_is_anothers),
		handoff_test(test_a_queue_that_is_removed),
		handoff_test(test_the_thread),
		handoff_test(test_a_child_gets_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
