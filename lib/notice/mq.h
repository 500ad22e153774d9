/* SPDX-License-Identifier: MIT */
/*
 * The carrier of notices, "mq:DIR", the only one: a POSIX message queue per
 * subscriber, registered by a file of the same name in DIR/subscribers, which
 * the subscriber's process keeps locked (flock(2)) for life. The publisher and
 * the subscriber call it directly. A second carrier would need an interface
 * between them, and an address for the publisher, which has only a directory.
 */
#ifndef HANDOFF_NOTICE_MQ_H
#define HANDOFF_NOTICE_MQ_H

#include "base/dir.h"

#include <mqueue.h>

/* "handoff-PID-RANDOM". The queue has the same name with a leading slash, an
 * incomplete file the same with a leading dot. */
#define HANDOFF__MQ_NAME_MAX 48

struct handoff__mq {
	int subs; /* descriptor of DIR/subscribers */
	int lock; /* descriptor of the registered file */
	mqd_t queue;
	char name[HANDOFF__MQ_NAME_MAX];
};

/* Creates and registers the queue. On failure the sentence names the limit that
 * was reached, if any. */
int handoff__mq_open(struct handoff__mq *mq, const struct handoff__dir *dir,
	struct handoff__error *error);

/* Registers the queue again under its name if its file is gone. 1 if it was
 * registered again, 0 if the file is there, or a negative errno. */
int handoff__mq_renew(struct handoff__mq *mq, const struct handoff__dir *dir);

/* Unregisters and removes the queue. */
void handoff__mq_close(struct handoff__mq *mq);

/* Puts a message into the subscriber's own queue, unless it is full. */
void handoff__mq_put(struct handoff__mq *mq, const void *data, size_t len);

/* Takes the oldest message: 1 with its length, possibly 0, in `*len`; 0 if
 * there is none; or a negative errno. On input `*len` is the size of `data`, at
 * least HANDOFF__NOTICE_SIZE. */
int handoff__mq_receive(struct handoff__mq *mq, void *data, size_t *len);

enum handoff__mq_outcome {
	HANDOFF__MQ_SKIPPED, /* not a subscriber, or not yet complete */
	HANDOFF__MQ_REACHED,
	HANDOFF__MQ_PRUNED, /* its process was dead: removed */
	HANDOFF__MQ_FAILED,
};

/* Sends to the subscriber registered as `file`; a full queue drops its oldest
 * message. Without data it only removes dead subscribers. */
enum handoff__mq_outcome handoff__mq_send(
	int subs, const char *file, const void *data, size_t len);

/* Opens DIR/subscribers; with `create` a missing one is created. A negative
 * errno on failure, such as -ENOENT. */
int handoff__mq_subscribers(const struct handoff__dir *dir, bool create);

#endif
