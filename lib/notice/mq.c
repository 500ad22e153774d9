/* SPDX-License-Identifier: MIT */
/*
 * The carrier "mq:": queues, the files that register them, and the removal of
 * those of dead processes. Does not interpret notices.
 *
 * The order of steps makes a death at any point harmless. The file is created
 * before the queue and removed after it, so that a publisher can find every
 * queue by its file. The file is locked before it gets its final name, so that
 * an unlocked file is one of a dead process.
 */
#include "notice/mq.h"

#include "notice/notice.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* RLIMIT_MSGQUEUE defaults to 800 KiB per user: keep queues small */
#define QUEUE_MESSAGES 4
#define PREFIX         "handoff-"
#define TRIES          8

static void
queue_name(char *out, size_t size, const char *name)
{
	snprintf(out, size, "/%s", name);
}

static bool
is_name(const char *name)
{
	const char *p = name + strlen(PREFIX);
	size_t digits;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 ||
		strlen(name) >= HANDOFF__MQ_NAME_MAX)
		return false;
	digits = strspn(p, "0123456789");
	return digits > 0 && p[digits] == '-' &&
	       strspn(p + digits + 1, "0123456789abcdef") == 16 &&
	       p[digits + 17] == '\0';
}

static void
make_name(char name[HANDOFF__MQ_NAME_MAX])
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) !=
		(ssize_t)sizeof(number))
		number = (uint64_t)handoff__realtime_ms();
	snprintf(name, HANDOFF__MQ_NAME_MAX, PREFIX "%d-%016llx", (int)getpid(),
		(unsigned long long)number);
}

int
handoff__mq_subscribers(const struct handoff__dir *dir, bool create)
{
	int fd;

	if (create && mkdirat(dir->fd, HANDOFF__NOTICE_SUBSCRIBERS, 0700) < 0 &&
		errno != EEXIST)
		return -errno;
	fd = openat(dir->fd, HANDOFF__NOTICE_SUBSCRIBERS,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Creates and locks ".NAME". A publisher that finds the file before it is
 * locked takes its process for dead and removes it: -EAGAIN. */
static int
make_file(int subs, const char *hidden)
{
	struct stat st;
	int fd = openat(subs, hidden,
		O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err;

	if (fd < 0)
		return errno == EEXIST ? -EAGAIN : -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
		err = -errno;
	else if (st.st_nlink == 0)
		err = -EAGAIN;
	else
		return fd;
	/* On -EAGAIN the publisher has removed it or is about to. */
	if (err != -EAGAIN)
		unlinkat(subs, hidden, 0);
	close(fd);
	return err;
}

static int
queue_error(int err, int any_fd, struct handoff__error *error)
{
	const char *why = strerror(-err);
	int copy;

	switch (err) {
	case -EMFILE:
		/* mq_open(3) uses EMFILE for two limits: find out which. */
		copy = fcntl(any_fd, F_DUPFD_CLOEXEC, 0);
		if (copy >= 0)
			close(copy);
		why = copy < 0 ? "the descriptor table is full (ulimit -n)"
			       : "the limit RLIMIT_MSGQUEUE on bytes in "
				 "message queues per user is reached "
				 "(ulimit -q)";
		break;
	case -ENFILE:
		why = "the system's table of open files is full "
		      "(/proc/sys/fs/file-max)";
		break;
	case -ENOSPC:
		why = "the limit on message queues of this host is reached "
		      "(/proc/sys/fs/mqueue/queues_max)";
		break;
	case -EINVAL:
		why = "/proc/sys/fs/mqueue/msg_max is below 4 or msgsize_max "
		      "below 768";
		break;
	case -ENOSYS:
		why = "this kernel has no POSIX message queues";
		break;
	case -EACCES:
		why = "no permission to create a message queue "
		      "(mq_overview(7))";
		break;
	}
	return handoff__fail(
		error, err, "subscriber: cannot create its queue: %s", why);
}

static int
make_queue(struct handoff__mq *mq)
{
	struct mq_attr attr = {
		.mq_maxmsg = QUEUE_MESSAGES,
		.mq_msgsize = HANDOFF__NOTICE_SIZE,
	};
	char queue[HANDOFF__MQ_NAME_MAX + 1];

	queue_name(queue, sizeof(queue), mq->name);
	/* Linux makes every queue descriptor close-on-exec. O_RDWR, so that the
	 * subscriber can put the retained notice into its own queue. */
	mq->queue = mq_open(queue, O_RDWR | O_NONBLOCK | O_CREAT | O_EXCL,
		(mode_t)0600, &attr);
	return mq->queue == (mqd_t)-1 ? -errno : 0;
}

/* Removes the queues of dead processes, which count towards the limits. */
static void
prune_all(int subs)
{
	int fd = openat(subs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!list) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(list)))
		handoff__mq_send(subs, entry->d_name, NULL, 0);
	closedir(list);
}

/* One attempt with one name: the file, the queue, the final name. */
static int
try_open(struct handoff__mq *mq, struct handoff__error *error)
{
	char hidden[HANDOFF__MQ_NAME_MAX + 1];
	int err;

	make_name(mq->name);
	snprintf(hidden, sizeof(hidden), ".%s", mq->name);
	mq->lock = make_file(mq->subs, hidden);
	if (mq->lock < 0)
		return handoff__fail(error, mq->lock,
			"subscriber: cannot register: %s", strerror(-mq->lock));
	err = make_queue(mq);
	if (err == -EMFILE || err == -ENOSPC) {
		prune_all(mq->subs);
		err = make_queue(mq);
	}
	if (err < 0) {
		err = queue_error(err, mq->subs, error);
	} else if (renameat(mq->subs, hidden, mq->subs, mq->name) < 0) {
		err = handoff__fail(error, -errno,
			"subscriber: cannot register: %s", strerror(errno));
	} else {
		return 0;
	}
	if (mq->queue != (mqd_t)-1) {
		char queue[HANDOFF__MQ_NAME_MAX + 1];

		queue_name(queue, sizeof(queue), mq->name);
		mq_unlink(queue);
		mq_close(mq->queue);
		mq->queue = (mqd_t)-1;
	}
	unlinkat(mq->subs, hidden, 0);
	close(mq->lock);
	mq->lock = -1;
	return err == -EEXIST ? -EAGAIN : err;
}

int
handoff__mq_open(struct handoff__mq *mq, const struct handoff__dir *dir,
	struct handoff__error *error)
{
	int err = -EAGAIN;

	mq->lock = -1;
	mq->queue = (mqd_t)-1;
	mq->subs = handoff__mq_subscribers(dir, true);
	if (mq->subs < 0)
		return handoff__fail(error, mq->subs,
			"subscriber: cannot open %s/%s: %s", dir->path,
			HANDOFF__NOTICE_SUBSCRIBERS, strerror(-mq->subs));
	/* keeps systemd-tmpfiles away, see lib/peer/upkeep.c */
	handoff__dir_share(&(struct handoff__dir){.fd = mq->subs});
	for (int i = 0; i < TRIES && err == -EAGAIN; i++)
		err = try_open(mq, error);
	if (err < 0) {
		close(mq->subs);
		mq->subs = -1;
	}
	return err;
}

/* Creates and locks the file under a name that publishers ignore, then renames
 * it: its queue exists already, and a publisher that found the file unlocked
 * under its final name would remove both. Returns the lock. */
static int
register_again(int subs, const char *name)
{
	char before[HANDOFF__MQ_NAME_MAX + 8];
	int fd, err = 0;

	snprintf(before, sizeof(before), ".again-%s", name);
	fd = openat(subs, before,
		O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 ||
		renameat(subs, before, subs, name) < 0)
		err = -errno;
	if (err == 0)
		return fd;
	unlinkat(subs, before, 0);
	close(fd);
	return err;
}

int
handoff__mq_renew(struct handoff__mq *mq, const struct handoff__dir *dir)
{
	int subs = handoff__mq_subscribers(dir, true);
	struct handoff__dir there = {.fd = subs};
	int held, fd;

	if (subs < 0)
		return subs;
	held = handoff__dir_holds(&there, mq->name, mq->lock);
	fd = held == 0 ? register_again(subs, mq->name) : held;
	if (held != 0 || fd < 0) {
		close(subs);
		return fd < 0 ? fd : 0;
	}
	close(mq->lock);
	close(mq->subs);
	mq->lock = fd;
	mq->subs = subs;
	handoff__dir_share(&there);
	return 1;
}

void
handoff__mq_close(struct handoff__mq *mq)
{
	char queue[HANDOFF__MQ_NAME_MAX + 1];

	queue_name(queue, sizeof(queue), mq->name);
	mq_unlink(queue);
	mq_close(mq->queue);
	unlinkat(mq->subs, mq->name, 0);
	close(mq->lock);
	close(mq->subs);
}

void
handoff__mq_put(struct handoff__mq *mq, const void *data, size_t len)
{
	/* if the queue is full, all its messages are newer than this one */
	mq_send(mq->queue, data, len, 0);
}

int
handoff__mq_receive(struct handoff__mq *mq, void *data, size_t *len)
{
	ssize_t n;

	do {
		n = mq_receive(mq->queue, data, *len, NULL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	*len = (size_t)n;
	return 1;
}

static enum handoff__mq_outcome
post(const char *name, const void *data, size_t len)
{
	char queue[HANDOFF__MQ_NAME_MAX + 1], oldest[HANDOFF__NOTICE_SIZE];
	enum handoff__mq_outcome outcome = HANDOFF__MQ_FAILED;
	mqd_t q;

	queue_name(queue, sizeof(queue), name);
	q = mq_open(queue, O_RDWR | O_NONBLOCK);
	if (q == (mqd_t)-1)
		return HANDOFF__MQ_FAILED;
	for (int i = 0; i < TRIES; i++) {
		if (mq_send(q, data, len, 0) == 0) {
			outcome = HANDOFF__MQ_REACHED;
			break;
		}
		if (errno != EAGAIN && errno != EINTR)
			break;
		if (errno == EAGAIN)
			(void)!mq_receive(q, oldest, sizeof(oldest), NULL);
	}
	mq_close(q);
	return outcome;
}

static void
prune(int subs, const char *file, const char *name)
{
	char queue[HANDOFF__MQ_NAME_MAX + 1];

	queue_name(queue, sizeof(queue), name);
	mq_unlink(queue);
	unlinkat(subs, file, 0);
}

enum handoff__mq_outcome
handoff__mq_send(int subs, const char *file, const void *data, size_t len)
{
	bool hidden = file[0] == '.';
	const char *name = file + hidden;
	enum handoff__mq_outcome outcome = HANDOFF__MQ_SKIPPED;
	int fd;

	if (!is_name(name))
		return HANDOFF__MQ_SKIPPED;
	fd = openat(subs, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? HANDOFF__MQ_SKIPPED
				       : HANDOFF__MQ_FAILED;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		prune(subs, file, name);
		outcome = HANDOFF__MQ_PRUNED;
	} else if (data && !hidden) {
		outcome = post(name, data, len);
	}
	close(fd);
	return outcome;
}
