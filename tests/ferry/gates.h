/* SPDX-License-Identifier: MIT */
/*
 * A ferry's gate and what it has called back, on one of the hosts of
 * migrate/hosts.h, with an arena whose batch table it knows.
 */
#ifndef TESTS_FERRY_GATES_H
#define TESTS_FERRY_GATES_H

#include "migrate/hosts.h"

#include "ferry/gate.h"
#include "ferry/images.h"
#include "record/batch.h"

/* What is done at once is done by then, also on a machine that does much beside
 * it; what nobody does is not done at all. */
#define GATES_SOON_US 4000000

struct gates {
	enum host host;
	const char *path;
	struct handoff__dir dir;
	struct handoff__loop loop;
	struct handoff__gate *gate;
	struct handoff__arena arena;
	struct handoff__batches *batches;
	/* what was called back */
	int ready, held, lost, failed, ruled, counted, found;
	int err; /* of the last of them */
	bool on; /* the rule */
	bool leftover;
	char text[512];
	struct handoff__gate_counts counts;
	uint32_t found_slot, found_count;
	enum handoff__gate_direction found_direction;
	enum handoff__gate_verdict found_verdict;
	int found_fd, found_images; /* duplicates */
	int tables;
	uint64_t table_word; /* of slot 0, read in the callback */
};

/* The helper: handoff-unfreeze, or one that finds no nftables. */
extern const char *gates_program;

/* Opens a gate on that host and waits until it is ready. Skips the test if the
 * host cannot queue packets. */
void gates_open(struct gates *g, enum host host, const char *path);

/* With another program; does not wait. */
void gates_open_program(
	struct gates *g, enum host host, const char *path, const char *program);

/* A ferry comes back: as gates_open, with the same arena. */
void gates_reopen(struct gates *g);

/* The ferry dies. */
void gates_die(struct gates *g);

/* Ends the helper, and asserts that nothing is left of it. */
void gates_close(struct gates *g);

/* Dispatches until `*counter` is at least `value`. */
void gates_await(struct gates *g, const int *counter, int value);

/* The rule is on. Packets that are flipped go from A to B. */
void gates_rule(struct gates *g);

/* Opens a batch of that way in the table, and holds these connections. */
uint32_t gates_hold(struct gates *g, enum handoff__gate_direction direction,
	uint64_t id, const int *fds, uint32_t n);

/* Gives the helper the images of a batch. */
void gates_images(struct gates *g, uint32_t slot,
	const struct handoff__image *const *images, uint32_t n);

/* Asks for the counters. */
const struct handoff__gate_counts *gates_count(struct gates *g);

/* The helper's process; 0: none. */
int gates_helper(const struct gates *g);

/* Waits until it is gone. */
void gates_await_end(const struct gates *g);

#endif
