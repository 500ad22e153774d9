/* SPDX-License-Identifier: MIT */
/*
 * Makes a System V queue pollable: a thread waits in msgrcv(2), keeps the
 * newest messages and signals an eventfd. The thread blocks all signals and
 * calls nothing of the program.
 */
#ifndef HANDOFF_NOTICE_HELPER_H
#define HANDOFF_NOTICE_HELPER_H

#include "notice/notice.h"

#include <stdbool.h>
#include <stddef.h>

/* Of every message. */
#define HANDOFF__MESSAGE_TYPE 1

/* What msgsnd(2) and msgrcv(2) take. */
struct handoff__typed {
	long type;
	unsigned char data[HANDOFF__NOTICE_SIZE];
};

struct handoff__helper;

/* Without a thread yet. 0 or a negative errno. */
int handoff__helper_open(struct handoff__helper **out);

/* Starts the thread on a queue; none is running. 0 or a negative errno. */
int handoff__helper_start(struct handoff__helper *helper, int msqid);

/* Waits for the thread, whose queue was removed. */
void handoff__helper_join(struct handoff__helper *helper);

/* Without `mine`, in a child of the process that has opened it, there is no
 * thread. If the queue could not be removed, its thread stays and `helper` with
 * it. */
void handoff__helper_close(
	struct handoff__helper *helper, bool mine, bool removed);

/* Readable while there are messages. */
int handoff__helper_fd(const struct handoff__helper *helper);

/* The oldest message: 1 with its length in `*len`, or 0. */
int handoff__helper_take(
	struct handoff__helper *helper, void *data, size_t *len);

/* Adds a message, as if it had come by the queue; a full ring drops its oldest
 * one. */
void handoff__helper_put(
	struct handoff__helper *helper, const void *data, size_t len);

/* Whether the thread has ended since its queue is gone. */
bool handoff__helper_ended(struct handoff__helper *helper);

#endif
