/* SPDX-License-Identifier: MIT */
/*
 * A dump: a snapshot of all entries (a picture) that a child process writes
 * while the server continues. One at a time.
 */
#ifndef HANDOFF_SERVER_DUMP_H
#define HANDOFF_SERVER_DUMP_H

#include "server/internal.h"
#include "server/picture.h"

#include <stdnoreturn.h>
#include <time.h>

/* The child's result, in memory shared with its parent, so that it does not
 * matter which process reaps it. */
struct handoff__dump_end {
	bool whole; /* everything is written, `bytes` of it */
	int err;    /* the reason if not, or 0: it did not finish */
	uint64_t bytes;
};

struct handoff__dump {
	struct handoff_server *server;
	struct handoff__request *request;
	struct handoff__watch watch; /* of the child's pidfd */
	struct handoff__timer timer;
	const char *why; /* why it was killed, or NULL */
	struct handoff__dump_end *end;
	uint32_t count;
	int64_t pause_us;
};

/* The child's data: nothing that another process or thread changes. */
struct handoff__dumper {
	const struct handoff_service *service;
	struct handoff__picture picture;
	struct timespec time; /* of the picture */
	uint64_t generation;
	const char *name; /* of this peer */
	/* by place, or HANDOFF__ELSEWHERE; NULL: unknown */
	const char *owners[HANDOFF__PLACE + 1];
	int fd;     /* where to write */
	int parent; /* the parent's process ID */
	struct handoff__dump_end *end;
};

/* In the child: writes everything and exits. */
noreturn void handoff__dumper_run(const struct handoff__dumper *dumper);

#endif
