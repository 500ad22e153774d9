/* SPDX-License-Identifier: MIT */
/*
 * A record in an arena of its own, with small buffers, and the steps of a turn
 * on it: input arrives, a handler consumes and writes.
 */
#ifndef TESTS_RECORD_FIXTURE_H
#define TESTS_RECORD_FIXTURE_H

#include "support/support.h"

#include "record/handling.h"

#include <sys/stat.h>

#define SIZE 4096u /* of both buffers, and of a page */

struct fixture {
	struct handoff__arena arena;
	struct handoff__view view; /* of its own buffers */
	struct handoff__view at;   /* where a turn works: there, or on a desk */
	struct handoff__record *rec;
};

/* For handoff__arena_alloc: takes whatever is free. */
bool record_always(void *arg, uint32_t segment, uint32_t slot);

/* Allocates a record of the arena; its number, counted over all segments. */
uint32_t record_alloc(struct handoff__arena *arena, uint32_t owner);

/* An arena of one segment. */
void record_arena(struct handoff__arena *arena, uint32_t state_size);

void record_open(struct fixture *f, uint32_t state_size);
void record_close(struct fixture *f);

/* It has counted this much already when its socket's counters begin, at 0. */
void record_begin_at(struct handoff__record *rec, uint64_t rx, uint64_t tx);

/* How much can be received. */
size_t record_room(const struct fixture *f);

/* As the socket would: at most what there is room for, in one piece. */
void record_receive(const struct fixture *f, const char *data, size_t len);
void record_receive_fill(const struct fixture *f, char byte, size_t len);

/* A transaction that consumes and writes, and commits. */
void record_handle(
	const struct fixture *f, size_t consume, const void *out, size_t len);

/* Memory of its segment, in units of 512 bytes (stat(3type)). */
blkcnt_t record_blocks(const struct fixture *f);

/* What is unread and unsent in its own buffers is exactly this. */
void record_assert_input(const struct fixture *f, const char *text);
void record_assert_output(const struct fixture *f, const char *text);

#endif
