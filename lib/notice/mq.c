/* SPDX-License-Identifier: MIT */
/*
 * The transport "mq:": a POSIX message queue per subscriber, which has the name
 * of its locked file with a leading slash. Does not interpret messages.
 */
#include "notice/local.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* RLIMIT_MSGQUEUE defaults to 800 KiB per user: keep queues small */
#define QUEUE_MESSAGES 4

#define QUEUE_MAX (HANDOFF__SUBSCRIBER_MAX + 1)

struct mq {
	struct handoff__mailbox box;
	struct handoff__registration reg;
	mqd_t queue;
};

static void
queue_name(char out[QUEUE_MAX], const char *name)
{
	snprintf(out, QUEUE_MAX, "/%s", name);
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
create_queue(struct mq *mq)
{
	struct mq_attr attr = {
		.mq_maxmsg = QUEUE_MESSAGES,
		.mq_msgsize = HANDOFF__NOTICE_SIZE,
	};
	char queue[QUEUE_MAX];

	queue_name(queue, mq->reg.name);
	/* Linux makes every queue descriptor close-on-exec. O_RDWR, so that the
	 * subscriber can put the retained notice into its own queue. */
	mq->queue = mq_open(queue, O_RDWR | O_NONBLOCK | O_CREAT | O_EXCL,
		(mode_t)0600, &attr);
	return mq->queue == (mqd_t)-1 ? -errno : 0;
}

static int
make(void *arg, struct handoff__error *error)
{
	struct mq *mq = arg;
	int err = create_queue(mq);

	if (err == -EMFILE || err == -ENOSPC) {
		handoff__local_prune(&mq->box);
		err = create_queue(mq);
	}
	return err < 0 ? queue_error(err, mq->box.folder.fd, error) : 0;
}

static void
remove_queue(const char *name)
{
	char queue[QUEUE_MAX];

	queue_name(queue, name);
	mq_unlink(queue);
}

static void
unmake(void *arg)
{
	struct mq *mq = arg;

	remove_queue(mq->reg.name);
	mq_close(mq->queue);
}

static int
open_queue(struct handoff__mailbox *box, struct handoff__error *error)
{
	struct mq *mq = (struct mq *)box;

	return handoff__registry_enter(
		&mq->reg, &box->folder, make, unmake, mq, error);
}

static int
renew(struct handoff__mailbox *box, const struct handoff__dir *folder)
{
	return handoff__registry_renew(&((struct mq *)box)->reg, folder, "");
}

static void
close_queue(struct handoff__mailbox *box, bool mine)
{
	struct mq *mq = (struct mq *)box;

	if (mine)
		remove_queue(mq->reg.name);
	mq_close(mq->queue);
	handoff__registry_leave(&mq->reg, &box->folder, mine);
}

static int
queue_fd(const struct handoff__mailbox *box)
{
	/* on Linux a queue descriptor is pollable (mq_overview(7)) */
	return (int)((const struct mq *)box)->queue;
}

static int
receive(struct handoff__mailbox *box, void *data, size_t *len)
{
	ssize_t n;

	do {
		n = mq_receive(((struct mq *)box)->queue, data, *len, NULL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	*len = (size_t)n;
	return 1;
}

static void
put(struct handoff__mailbox *box, const void *data, size_t len)
{
	/* if the queue is full, all its messages are newer than this one */
	mq_send(((struct mq *)box)->queue, data, len, 0);
}

/* A full queue drops its oldest message. */
static enum handoff__sent
post(const char *name, const void *data, size_t len)
{
	char queue[QUEUE_MAX], oldest[HANDOFF__NOTICE_SIZE];
	enum handoff__sent sent = HANDOFF__SENT_FAILED;
	mqd_t q;

	queue_name(queue, name);
	q = mq_open(queue, O_RDWR | O_NONBLOCK);
	if (q == (mqd_t)-1)
		return HANDOFF__SENT_FAILED;
	for (int i = 0; i < HANDOFF__SUBSCRIBER_TRIES; i++) {
		if (mq_send(q, data, len, 0) == 0) {
			sent = HANDOFF__SENT_REACHED;
			break;
		}
		if (errno != EAGAIN && errno != EINTR)
			break;
		if (errno == EAGAIN)
			(void)!mq_receive(q, oldest, sizeof(oldest), NULL);
	}
	mq_close(q);
	return sent;
}

/* Whether its process is alive: SKIPPED. */
static enum handoff__sent
check(struct handoff__round *round, const char *file)
{
	const char *name;
	int fd;

	switch (handoff__registry_find(&round->folder, file, &fd, &name)) {
	case HANDOFF__FOUND_NONE:
		return HANDOFF__SENT_SKIPPED;
	case HANDOFF__FOUND_FAILED:
		return HANDOFF__SENT_FAILED;
	case HANDOFF__FOUND_ALIVE:
		close(fd);
		return HANDOFF__SENT_SKIPPED;
	case HANDOFF__FOUND_DEAD:
		break;
	}
	remove_queue(name);
	unlinkat(round->folder.fd, file, 0);
	close(fd);
	return HANDOFF__SENT_PRUNED;
}

static enum handoff__sent
send_to(struct handoff__round *round, const char *file, const void *data,
	size_t len)
{
	enum handoff__sent sent;

	if (!handoff__registry_is_name(file))
		return HANDOFF__SENT_SKIPPED;
	sent = post(file, data, len);
	/* a dead one may have lost its queue before its file */
	if (sent == HANDOFF__SENT_FAILED &&
		check(round, file) == HANDOFF__SENT_PRUNED)
		return HANDOFF__SENT_PRUNED;
	return sent;
}

static const struct handoff__mailbox_ops ops = {
	.folder = HANDOFF__NOTICE_SUBSCRIBERS,
	.size = sizeof(struct mq),
	.open = open_queue,
	.renew = renew,
	.close = close_queue,
	.fd = queue_fd,
	.receive = receive,
	.put = put,
	.send = send_to,
	.check = check,
};

static int
open_mq(void **end, const char *path, const struct handoff_transport_side *side,
	char *errbuf, size_t errbuf_size)
{
	return handoff__local_open(end, path, side, &ops, errbuf, errbuf_size);
}

const struct handoff_transport handoff__mq_transport = {
	.size = sizeof(struct handoff_transport),
	.prefix = "mq:",
	.form = "mq:DIR",
	.open = open_mq,
	HANDOFF__LOCAL_CALLS,
};
