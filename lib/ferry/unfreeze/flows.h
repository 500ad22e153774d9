/* SPDX-License-Identifier: MIT */
/*
 * Which packets pass, which are held and which go to the other host: a table of
 * flows, the batches that have them, and the packets that wait. No system
 * calls but closing descriptors: what is decided goes to a sink.
 */
#ifndef HANDOFF_FERRY_UNFREEZE_FLOWS_H
#define HANDOFF_FERRY_UNFREEZE_FLOWS_H

#include "ferry/gate.h"

#include <sys/queue.h>

/* Where decisions go. */
struct handoff__sink {
	/* What the kernel is told about a packet that it has queued. */
	void (*verdict)(void *arg, uint32_t id, bool accept);
	/* Sends the packet to the other host; false if that failed. */
	bool (*send)(
		void *arg, int family, const unsigned char *data, size_t len);
	/* Whether this host has the connection; only asked while seeking. */
	bool (*here)(void *arg, const struct handoff__flow *flow);
	void *arg;
};

struct handoff__parked; /* a packet that waits */
TAILQ_HEAD(handoff__parking, handoff__parked);

/* One connection of a batch. */
struct handoff__flow_entry {
	struct handoff__flow flow;
	struct handoff__flow_entry *next; /* of the same bucket */
	uint32_t slot;
	int fd;        /* -1: none */
	bool released; /* it stays, and its packets pass; or does not come */
};

/* One batch. */
struct handoff__flow_slot {
	bool used;
	uint64_t id;
	enum handoff__gate_direction direction;
	enum handoff__gate_verdict verdict;
	struct handoff__flow_entry **entries;
	uint32_t count;
	struct handoff__parking parked;
	int images; /* memfd, -1: none */
};

struct handoff__flows {
	struct handoff__sink sink;
	struct handoff__flow_slot slots[HANDOFF__GATE_ROWS];
	struct handoff__flow_entry **buckets;
	uint32_t nbuckets, nflows; /* a power of two; those in buckets */
	uint64_t seed;
	enum handoff__gate_verdict unknown; /* flows that no batch has */
	bool seeking; /* of these, those that this host lacks are flipped */
	struct handoff__parking parked;    /* their packets */
	uint64_t most_packets, most_bytes; /* that may be held */
	int64_t flipped_us;                /* the last time */
	struct handoff__gate_counts counts;
};

int handoff__flows_init(
	struct handoff__flows *flows, const struct handoff__sink *sink);
/* Without a verdict for what is held: the kernel drops it with the queue. */
void handoff__flows_fini(struct handoff__flows *flows);

/* Decides about one packet, of which the first `len` bytes are there; `whole`
 * if that is all of it. */
void handoff__flows_packet(struct handoff__flows *flows, uint32_t id,
	const unsigned char *data, size_t len, bool whole);

/* Adds connections to batch `id` in that slot, which begins with the first.
 * Their descriptors are the table's from here on, if it succeeds. -EINVAL,
 * -EEXIST if the slot has another batch, or another batch a flow; -ENOSPC,
 * -ENOMEM. */
int handoff__flows_take(struct handoff__flows *flows, uint32_t slot,
	uint64_t id, enum handoff__gate_direction direction,
	const struct handoff__flow *which, const int *fds, uint32_t n);

/* The slot, or NULL if there is none in use. */
struct handoff__flow_slot *handoff__flows_slot(
	struct handoff__flows *flows, uint32_t slot);

/* These connections stay: their packets pass until the slot is free, or another
 * batch takes them. Their descriptors are closed. */
int handoff__flows_release(struct handoff__flows *flows, uint32_t slot,
	const uint32_t *indices, uint32_t n);

/* All of them stay, and the slot is free. */
int handoff__flows_pass(struct handoff__flows *flows, uint32_t slot);

/* All of the batch goes to the other host; descriptors and images are
 * closed. */
int handoff__flows_flip(struct handoff__flows *flows, uint32_t slot);

/* A flipped batch leaves its slot to others, and its flows stay flipped. */
int handoff__flows_settle(
	struct handoff__flows *flows, uint32_t slot, uint32_t row);

/* The slot is free, and its flows are as those that no batch has. */
int handoff__flows_forget(struct handoff__flows *flows, uint32_t slot);

/* What becomes of packets of flows that no batch has. */
void handoff__flows_default(
	struct handoff__flows *flows, enum handoff__gate_verdict verdict);

/* Whether flows that no batch has, and that would pass, are looked for first:
 * one that does not begin and that this host does not have is flipped. */
void handoff__flows_seek(struct handoff__flows *flows, bool on);

/* The batch that comes to this host with that connection, or NULL. */
const struct handoff__flow_slot *handoff__flows_coming(
	const struct handoff__flows *flows, const struct handoff__flow *flow);

/* Whether a batch is held, kept or flipped, or other flows are. */
bool handoff__flows_guard(const struct handoff__flows *flows);

/* What is held passes now; nothing else changes. */
void handoff__flows_let_pass(struct handoff__flows *flows);

/* Forgets everything; what is held passes. */
void handoff__flows_clear(struct handoff__flows *flows);

#endif
