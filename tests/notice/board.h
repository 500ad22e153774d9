/* SPDX-License-Identifier: MIT */
/*
 * A notice board for the tests of queues: a service directory, a publisher and
 * looking at what is registered.
 */
#ifndef TESTS_NOTICE_BOARD_H
#define TESTS_NOTICE_BOARD_H

#include "support/support.h"

#include "notice/local.h"
#include "notice/publisher.h"

struct board {
	char path[128];
	char address[512];  /* that board_subscribe uses */
	const char *folder; /* of its subscribers; NULL: they are elsewhere */
	char sentence[HANDOFF_TEXT_MAX];
	struct handoff__dir dir;
	struct handoff__publisher pub;
};

extern struct board board;

/* With message queues, or the transport of that prefix. */
void board_begin(void);
void board_begin_on(const char *prefix, const char *folder);
/* With a transport whose address is no directory. */
void board_begin_at(const char *address);
void board_end(void);

/* Subscribes; what is said on failure is in board.sentence. */
int board_subscribe(struct handoff_subscriber **sub);

struct handoff_notice board_notice(
	enum handoff_notice_kind kind, uint64_t generation, uint64_t seq);

/* Publishes to all, one at a time. */
void board_publish(const struct handoff_notice *n);

/* A descriptor of the folder of subscribers, which is created. */
int board_folder(void);

/* How many files are registered, and the name of the last one seen. */
int board_files(char *name);

#endif
