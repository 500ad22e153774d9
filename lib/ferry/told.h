/* SPDX-License-Identifier: MIT */
/* What a ferry has told its helper, so that it can tell another one the same,
 * and the connection to it. */
#ifndef HANDOFF_FERRY_TOLD_H
#define HANDOFF_FERRY_TOLD_H

#include "ferry/gate.h"
#include "ferry/note.h"

struct handoff__told_slot {
	bool used, held;
	bool known; /* the helper has it from before this ferry */
	bool owned; /* the descriptors are not borrowed */
	uint64_t id;
	enum handoff__gate_direction direction;
	enum handoff__gate_verdict verdict;
	struct handoff__flow *flows;
	int *fds;       /* -1: none */
	bool *released; /* of each */
	uint32_t count;
	int images; /* memfd, -1: none */
};

struct handoff__told {
	int fd;      /* -1: no helper, or it is not ready to be told */
	bool broken; /* sending has failed */
	struct handoff__told_slot slots[HANDOFF__GATE_ROWS];
	int arena_fd;
	uint64_t arena_offset;
	int ifindex;
	uint8_t mac[6];
	bool ruled, rule_on; /* something was said about it */
	bool defaulted;
	enum handoff__gate_verdict unknown;
	bool sought, seeking;
};

void handoff__told_init(struct handoff__told *told);
void handoff__told_fini(struct handoff__told *told);

/* Sends it, if there is a connection; waits a second for room at most. */
void handoff__told_send(
	struct handoff__told *told, const struct handoff__note *note);
void handoff__told_number(struct handoff__told *told,
	enum handoff__gate_message type, uint32_t number);

/* Tells all, except slots that the helper has already. */
void handoff__told_all(struct handoff__told *told);

/* The helper is gone: it holds nothing any more. */
void handoff__told_lost(struct handoff__told *told);

/* The slot, or NULL if it is not in use. */
struct handoff__told_slot *handoff__told_slot(
	struct handoff__told *told, uint32_t slot);
/* Room for `n` more connections; -ENOMEM. */
int handoff__told_grow(struct handoff__told_slot *slot, uint32_t n);
/* Closes what is its own. */
void handoff__told_clear(struct handoff__told_slot *slot);

/* These note it and send it; see ferry/gate.h. */
int handoff__told_arena(
	struct handoff__told *told, int segment_fd, uint64_t offset);
void handoff__told_target(
	struct handoff__told *told, int ifindex, const uint8_t mac[6]);
void handoff__told_rule(struct handoff__told *told, bool on);
void handoff__told_default(
	struct handoff__told *told, enum handoff__gate_verdict verdict);
void handoff__told_seek(struct handoff__told *told, bool on);
int handoff__told_take(struct handoff__told *told, uint32_t slot, uint64_t id,
	enum handoff__gate_direction direction,
	const struct handoff__flow *flows, const int *fds, uint32_t count);
/* Takes the descriptor. */
void handoff__told_images(struct handoff__told *told, uint32_t slot, int fd);
int handoff__told_release(struct handoff__told *told, uint32_t slot,
	const uint32_t *indices, uint32_t count);
int handoff__told_flip(struct handoff__told *told, uint32_t slot);
int handoff__told_settle(struct handoff__told *told, uint32_t slot);
/* LEAVE or FORGET: the slot is free. */
int handoff__told_end(struct handoff__told *told, uint32_t slot,
	enum handoff__gate_message type);

#endif
