/* SPDX-License-Identifier: MIT */
/*
 * The carrier "mq:DIR": one POSIX message queue per subscriber, registered as
 * a file of the same name in DIR/subscribers whose flock(2) its process holds
 * for life. What other carriers there will be offers the same few functions.
 */
#ifndef HANDOFF_NOTICE_MQ_H
#define HANDOFF_NOTICE_MQ_H

#include "base/dir.h"

#include <mqueue.h>

/* "handoff-PID-RANDOM"; the queue is called the same with a slash before it,
 * a file not yet complete the same with a dot before it. */
#define HANDOFF__MQ_NAME_MAX 48

struct handoff__mq {
	int subs; /* the open directory DIR/subscribers */
	int lock; /* the registered file */
	mqd_t queue;
	char name[HANDOFF__MQ_NAME_MAX];
};

/* Makes the queue and registers it. On failure a sentence that names the
 * limit that was hit, if one was. */
int handoff__mq_open(struct handoff__mq *mq, const struct handoff__dir *dir,
	struct handoff__error *error);

/* Registers the queue again, under its name, if its file is not in the
 * directory any more. 1 if that was done, 0 if it is there, or a negative
 * errno. */
int handoff__mq_renew(struct handoff__mq *mq, const struct handoff__dir *dir);

/* Unregisters and removes the queue. */
void handoff__mq_close(struct handoff__mq *mq);

/* Puts a message into the own queue, unless it is full. */
void handoff__mq_put(struct handoff__mq *mq, const void *data, size_t len);

/* Takes the oldest message: 1 and its length, which may be 0, in `*len`; 0 if
 * there is none; or a negative errno. On input `*len` is the room in `data`,
 * HANDOFF__NOTICE_SIZE at least. */
int handoff__mq_receive(struct handoff__mq *mq, void *data, size_t *len);

enum handoff__told {
	HANDOFF__TOLD_SKIPPED, /* not a subscriber, or not one yet */
	HANDOFF__TOLD_REACHED,
	HANDOFF__TOLD_PRUNED, /* its process was dead: it is removed */
	HANDOFF__TOLD_FAILED,
};

/* Sends to the subscriber registered as `file`; the oldest message gives way
 * in a full queue. Without data it only removes the dead. */
enum handoff__told handoff__mq_tell(
	int subs, const char *file, const void *data, size_t len);

/* Opens DIR/subscribers; with `create` it is made. -errno, e.g. -ENOENT. */
int handoff__mq_subscribers(const struct handoff__dir *dir, bool create);

#endif
