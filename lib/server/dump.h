/* SPDX-License-Identifier: MIT */
/*
 * A dump: a picture of all entries that a child process writes while the
 * server goes on. One at a time.
 */
#ifndef HANDOFF_SERVER_DUMP_H
#define HANDOFF_SERVER_DUMP_H

#include "server/internal.h"
#include "server/picture.h"

#include <stdnoreturn.h>
#include <time.h>

/* How the child fared; in memory that it shares with its parent, so that it
 * does not matter who has reaped it. */
struct handoff__dump_end {
	bool whole; /* everything is written, `bytes` of it */
	int err;    /* why not, or 0: it came to no end of its own */
	uint64_t bytes;
};

struct handoff__dump {
	struct handoff_server *server;
	struct handoff__request *request;
	struct handoff__watch watch; /* of the child's pidfd */
	struct handoff__timer timer;
	const char *why; /* it was killed, or NULL */
	struct handoff__dump_end *end;
	uint32_t count;
	int64_t pause_us;
};

/* What the child works on: nothing that anyone else changes. */
struct handoff__dumper {
	const struct handoff_service *service;
	struct handoff__picture picture;
	struct timespec time; /* of the picture */
	uint64_t generation;
	const char *name;      /* of this peer */
	const char *owners[3]; /* by owner word; NULL: nobody known */
	int fd;                /* to write to */
	int parent;            /* its process */
	struct handoff__dump_end *end;
};

/* In the child: writes everything and leaves. */
noreturn void handoff__dumper_run(const struct handoff__dumper *dumper);

#endif
