/* SPDX-License-Identifier: MIT */
/*
 * The transport "sysv:": a System V message queue per subscriber. Its key is
 * made of the locked file (ftok(3)), in which its number is kept, since keys of
 * different files may be the same. Does not interpret messages.
 *
 * A queue for all subscribers would not do: messages that one of them does not
 * read fill it, and then nobody gets any.
 */
#include "notice/helper.h"
#include "notice/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <unistd.h>

#define PROJECTS 255 /* keys of one file */
#define TEXT_MAX 32  /* "MSQID KEY", padded with blanks, and a newline */

struct sysv {
	struct handoff__mailbox box;
	struct handoff__registration reg;
	struct handoff__helper *helper;
	int msqid;
	key_t key;
};

static int
queue_error(int err, struct handoff__error *error)
{
	const char *why = strerror(-err);

	switch (err) {
	case -ENOSPC:
		why = "the limit on System V queues of this host is reached "
		      "(/proc/sys/kernel/msgmni)";
		break;
	case -EMSGSIZE:
		why = "/proc/sys/kernel/msgmax or msgmnb is below 768";
		break;
	case -EEXIST:
		why = "all keys of its file are those of other queues "
		      "(ipcs -q lists them)";
		break;
	case -ENOSYS:
		why = "this kernel has no System V queues";
		break;
	case -EAGAIN:
		why = "there may be no more threads (ulimit -u)";
		break;
	case -EMFILE:
		why = "the descriptor table is full (ulimit -n)";
		break;
	}
	return handoff__fail(
		error, err, "subscriber: cannot create its queue: %s", why);
}

/* Whether the limits let a message through. */
static int
check_limits(int msqid)
{
	struct msqid_ds queue;
	struct msginfo info;

	if (msgctl(msqid, IPC_STAT, &queue) < 0 ||
		msgctl(0, IPC_INFO, (struct msqid_ds *)&info) < 0)
		return -errno;
	return info.msgmax < HANDOFF__NOTICE_SIZE ||
			       queue.msg_qbytes < HANDOFF__NOTICE_SIZE
		       ? -EMSGSIZE
		       : 0;
}

static int
create_queue(struct sysv *sysv, const char *path)
{
	int err = -EEXIST;

	for (int project = 1; project <= PROJECTS && err == -EEXIST;
		project++) {
		sysv->key = ftok(path, project);
		if (sysv->key == -1)
			return -errno;
		sysv->msqid = msgget(sysv->key, IPC_CREAT | IPC_EXCL | 0600);
		err = sysv->msqid < 0 ? -errno : 0;
	}
	if (err == 0)
		err = check_limits(sysv->msqid);
	if (err < 0 && sysv->msqid >= 0)
		msgctl(sysv->msqid, IPC_RMID, NULL);
	return err;
}

static void
describe(const struct sysv *sysv, char text[TEXT_MAX + 1])
{
	snprintf(text, TEXT_MAX + 1, "%-15d %-15d\n", sysv->msqid,
		(int)sysv->key);
}

/* The file is registered as `name` in the folder. */
static int
make_queue(struct sysv *sysv, const char *name)
{
	const struct handoff__dir *folder = &sysv->box.folder;
	char path[sizeof(folder->path) + HANDOFF__SUBSCRIBER_MAX + 2];
	char text[TEXT_MAX + 1];
	int err;

	snprintf(path, sizeof(path), "%s/%s", folder->path, name);
	err = create_queue(sysv, path);
	if (err == -ENOSPC) {
		handoff__local_prune(&sysv->box);
		err = create_queue(sysv, path);
	}
	if (err < 0)
		return err;
	describe(sysv, text);
	if (pwrite(sysv->reg.lock, text, TEXT_MAX, 0) != TEXT_MAX)
		err = -EIO;
	if (err == 0)
		err = handoff__helper_start(sysv->helper, sysv->msqid);
	if (err < 0)
		msgctl(sysv->msqid, IPC_RMID, NULL);
	return err;
}

static int
make(void *arg, struct handoff__error *error)
{
	struct sysv *sysv = arg;
	char hidden[HANDOFF__SUBSCRIBER_MAX + 1];
	int err;

	snprintf(hidden, sizeof(hidden), ".%s", sysv->reg.name);
	err = make_queue(sysv, hidden);
	return err < 0 ? queue_error(err, error) : 0;
}

static bool
remove_queue(struct sysv *sysv)
{
	return msgctl(sysv->msqid, IPC_RMID, NULL) == 0 || errno == EIDRM ||
	       errno == EINVAL;
}

static void
unmake(void *arg)
{
	struct sysv *sysv = arg;

	if (remove_queue(sysv))
		handoff__helper_join(sysv->helper);
}

static int
open_queue(struct handoff__mailbox *box, struct handoff__error *error)
{
	struct sysv *sysv = (struct sysv *)box;
	int err = handoff__helper_open(&sysv->helper);

	if (err < 0)
		return queue_error(err, error);
	err = handoff__registry_enter(
		&sysv->reg, &box->folder, make, unmake, sysv, error);
	if (err < 0)
		handoff__helper_close(sysv->helper, false, true);
	return err;
}

static int
renew(struct handoff__mailbox *box, const struct handoff__dir *folder)
{
	struct sysv *sysv = (struct sysv *)box;
	char text[TEXT_MAX + 1];
	int rc;

	describe(sysv, text);
	rc = handoff__registry_renew(&sysv->reg, folder, text);
	if (rc < 0 || !handoff__helper_ended(sysv->helper))
		return rc;
	/* somebody has removed the queue (ipcrm(1)) */
	if (sysv->msqid >= 0)
		handoff__helper_join(sysv->helper);
	sysv->msqid = -1;
	rc = make_queue(sysv, sysv->reg.name);
	if (rc < 0)
		sysv->msqid = -1;
	return rc < 0 ? rc : 1;
}

static void
close_queue(struct handoff__mailbox *box, bool mine)
{
	struct sysv *sysv = (struct sysv *)box;
	bool runs = mine && sysv->msqid >= 0;
	bool removed = runs && remove_queue(sysv);

	handoff__helper_close(sysv->helper, runs, removed);
	handoff__registry_leave(&sysv->reg, &box->folder, mine);
}

static int
helper_fd(const struct handoff__mailbox *box)
{
	return handoff__helper_fd(((const struct sysv *)box)->helper);
}

static int
receive(struct handoff__mailbox *box, void *data, size_t *len)
{
	struct sysv *sysv = (struct sysv *)box;

	return box->pid == getpid()
		       ? handoff__helper_take(sysv->helper, data, len)
		       : -ECHILD;
}

static void
put(struct handoff__mailbox *box, const void *data, size_t len)
{
	handoff__helper_put(((struct sysv *)box)->helper, data, len);
}

/* A full queue drops its oldest message. */
static enum handoff__sent
post(int msqid, const void *data, size_t len)
{
	struct handoff__typed m = {.type = HANDOFF__MESSAGE_TYPE}, oldest;

	memcpy(m.data, data, len);
	for (int i = 0; i < HANDOFF__SUBSCRIBER_TRIES; i++) {
		if (msgsnd(msqid, &m, len, IPC_NOWAIT) == 0)
			return HANDOFF__SENT_REACHED;
		if (errno != EAGAIN && errno != EINTR)
			break;
		if (errno == EAGAIN)
			(void)!msgrcv(msqid, &oldest, sizeof(oldest.data), 0,
				IPC_NOWAIT | MSG_NOERROR);
	}
	return HANDOFF__SENT_FAILED;
}

/* After a restart of the host the number may be that of a queue of anybody. */
static void
remove_dead(int msqid, int key)
{
	struct msqid_ds queue;

	if (msgctl(msqid, IPC_STAT, &queue) == 0 && queue.msg_perm.__key == key)
		msgctl(msqid, IPC_RMID, NULL);
}

static bool
read_file(int fd, int *msqid, int *key)
{
	char text[TEXT_MAX + 1] = "";

	return pread(fd, text, TEXT_MAX, 0) == TEXT_MAX &&
	       sscanf(text, "%d %d", msqid, key) == 2;
}

/* A thread that waits for the queue gets a message before that is in the queue
 * (ipc/msg.c, pipelined_send): so an empty queue is one of a living process. */
static bool
was_taken(int msqid)
{
	struct msqid_ds queue;

	return msgctl(msqid, IPC_STAT, &queue) == 0 && queue.msg_qnum == 0;
}

/* For the next round; without memory that looks again. */
static void
remember(struct handoff__round *round, const char *name, int msqid)
{
	size_t size = (round->at + 1) * 2;
	struct handoff__known *known = round->known;

	if (round->at >= round->known_count) {
		known = realloc(known, size * sizeof(*known));
		if (!known)
			return;
		memset(&known[round->known_count], 0,
			(size - round->known_count) * sizeof(*known));
		round->known = known;
		round->known_count = size;
	}
	known = &known[round->at++];
	handoff__copy(known->name, sizeof(known->name), name);
	known->number = msqid;
	known->alive = was_taken(msqid);
}

enum state {
	GONE, /* or not a subscriber */
	ALIVE,
	DEAD, /* removed */
	UNKNOWN,
};

/* Whether its process is alive, and the number of its queue, -1 if the file
 * does not say it. */
static enum state
look(struct handoff__round *round, const char *file, int *msqid)
{
	const char *name;
	int fd, key;

	*msqid = -1;
	switch (handoff__registry_find(&round->folder, file, &fd, &name)) {
	case HANDOFF__FOUND_NONE:
		return GONE;
	case HANDOFF__FOUND_FAILED:
		return UNKNOWN;
	case HANDOFF__FOUND_ALIVE:
		if (!read_file(fd, msqid, &key))
			*msqid = -1;
		close(fd);
		return ALIVE;
	case HANDOFF__FOUND_DEAD:
		break;
	}
	if (read_file(fd, msqid, &key))
		remove_dead(*msqid, key);
	unlinkat(round->folder.fd, file, 0);
	close(fd);
	return DEAD;
}

static enum handoff__sent
check(struct handoff__round *round, const char *file)
{
	int msqid;

	if (round->at < round->known_count &&
		strcmp(round->known[round->at].name, file) == 0 &&
		round->known[round->at++].alive)
		return HANDOFF__SENT_SKIPPED;
	return look(round, file, &msqid) == DEAD ? HANDOFF__SENT_PRUNED
						 : HANDOFF__SENT_SKIPPED;
}

/* By what its file said in the last round, if there is still such a queue. */
static bool
send_as_before(struct handoff__round *round, const char *file, const void *data,
	size_t len)
{
	struct handoff__known *known;

	if (round->at >= round->known_count)
		return false;
	known = &round->known[round->at];
	if (strcmp(known->name, file) != 0 ||
		post(known->number, data, len) != HANDOFF__SENT_REACHED)
		return false;
	known->alive = was_taken(known->number);
	round->at++;
	return true;
}

static enum handoff__sent
look_and_send(struct handoff__round *round, const char *file, const void *data,
	size_t len)
{
	int msqid;

	switch (look(round, file, &msqid)) {
	case GONE:
		return HANDOFF__SENT_SKIPPED;
	case DEAD:
		return HANDOFF__SENT_PRUNED;
	case UNKNOWN:
		return HANDOFF__SENT_FAILED;
	case ALIVE:
		break;
	}
	if (msqid < 0 || post(msqid, data, len) != HANDOFF__SENT_REACHED)
		return HANDOFF__SENT_FAILED;
	remember(round, file, msqid);
	return HANDOFF__SENT_REACHED;
}

static enum handoff__sent
send_to(struct handoff__round *round, const char *file, const void *data,
	size_t len)
{
	if (!handoff__registry_is_name(file))
		return HANDOFF__SENT_SKIPPED;
	return send_as_before(round, file, data, len)
		       ? HANDOFF__SENT_REACHED
		       : look_and_send(round, file, data, len);
}

static const struct handoff__mailbox_ops ops = {
	.folder = HANDOFF__NOTICE_SUBSCRIBERS ".sysv",
	.size = sizeof(struct sysv),
	.open = open_queue,
	.renew = renew,
	.close = close_queue,
	.fd = helper_fd,
	.receive = receive,
	.put = put,
	.send = send_to,
	.check = check,
};

static int
open_sysv(void **end, const char *path,
	const struct handoff_transport_side *side, char *errbuf,
	size_t errbuf_size)
{
	return handoff__local_open(end, path, side, &ops, errbuf, errbuf_size);
}

const struct handoff_transport handoff__sysv_transport = {
	.size = sizeof(struct handoff_transport),
	.prefix = "sysv:",
	.form = "sysv:DIR",
	.open = open_sysv,
	HANDOFF__LOCAL_CALLS,
};
