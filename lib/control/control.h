/* SPDX-License-Identifier: MIT */
/*
 * The control socket of a peer: one request line, one reply, end. Does not
 * interpret the requests.
 */
#ifndef HANDOFF_CONTROL_CONTROL_H
#define HANDOFF_CONTROL_CONTROL_H

#include "base/dir.h"
#include "base/door.h"

#define HANDOFF__REQUEST_MAX  4200 /* bytes, including the newline */
#define HANDOFF__REQUESTS_MAX 16   /* at the same time */

struct handoff__control;
struct handoff__request;

/* Replies now, or later by handoff__control_reply. `line` has no newline. */
typedef void handoff__request_fn(
	void *arg, struct handoff__request *request, const char *line);

enum handoff__request_step {
	HANDOFF__REQUEST_FREE = 0,
	HANDOFF__REQUEST_READ,    /* waits for the line */
	HANDOFF__REQUEST_WORK,    /* waits for the reply */
	HANDOFF__REQUEST_WRITE,   /* sends it */
	HANDOFF__REQUEST_DISCARD, /* discards further input */
};

struct handoff__request {
	struct handoff__control *control;
	enum handoff__request_step step;
	int fd;
	struct handoff__watch watch;
	struct handoff__timer timer;
	char line[HANDOFF__REQUEST_MAX];
	size_t len;
	int passed;              /* descriptor that came with the request, or
				  * -1 */
	void (*gone)(void *arg); /* see handoff__control_on_gone */
	void *gone_arg;
	char *reply;
	size_t reply_len, reply_pos;
};

struct handoff__control {
	struct handoff__loop *loop;
	const struct handoff__dir *dir;
	const struct handoff__log *log;
	char name[16];               /* of the socket in the directory */
	struct handoff__inode inode; /* identifies the socket file */
	bool lost;                   /* it cannot be recreated, and that was
				      * logged */
	int fd;
	struct handoff__door door;
	handoff__request_fn *fn;
	void *arg;
	struct handoff__request requests[HANDOFF__REQUESTS_MAX];
};

/* Listens on control.PLACE. Everything passed in must outlive the control. */
int handoff__control_open(struct handoff__control *control,
	struct handoff__loop *loop, const struct handoff__dir *dir, int place,
	const struct handoff__log *log, handoff__request_fn *fn, void *arg,
	struct handoff__error *error);
void handoff__control_close(struct handoff__control *control);

/* Listens again if the name in the directory is gone or refers to another file;
 * only while the place's lock is held. Connected clients stay. */
void handoff__control_keep(struct handoff__control *control);

/* Takes the descriptor that came with the request, which the caller then owns;
 * -1 if there was none. A descriptor not taken within the request's callback is
 * closed. */
int handoff__control_take(struct handoff__request *request);

/* Calls `fn` if the client hangs up before the reply, possibly more than
 * once. */
void handoff__control_on_gone(
	struct handoff__request *request, void (*fn)(void *arg), void *arg);

/* Sends the text, which it takes over and frees, then closes. No error if the
 * client is gone. */
void handoff__control_reply(struct handoff__request *request, char *text);

/* Sends as much of all replies as can be sent without blocking: for the end of
 * a process. */
void handoff__control_flush(struct handoff__control *control);

/* In a child of this process: closes all descriptors. */
void handoff__control_forked(struct handoff__control *control);

#endif
