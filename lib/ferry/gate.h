/* SPDX-License-Identifier: MIT */
/*
 * The gate: what holds, passes or forwards the packets of the service's
 * connections, and thaws sockets that their ferry has left frozen. This is the
 * ferry's side of it. The work is done by the program handoff-unfreeze, which
 * outlives the ferry; it is started here if none listens in the service
 * directory, and replaced and told everything again if it dies.
 *
 * Calls never wait for the helper's work. They are carried out in the order in
 * which they are made, so that a pass follows the unfreezing that came before
 * it, and a flip takes effect before any later packet passes. Only a hold has
 * to be waited for (`held`), before the first freeze of its batch.
 *
 * What can still reach a socket after `held`: packets that were past the hook
 * before, which is a packet on another processor at the moment in which the
 * rule was put in place, and what was in the backlog of a socket that a process
 * was just using. handoff__migrate_unchanged, asked before the commit, finds
 * both. A packet that the helper itself has let pass has reached its socket
 * when `held` is said: the verdict delivers it. Fragments have no ports: they
 * are dropped, and counted, while any flow is held or flipped.
 */
#ifndef HANDOFF_FERRY_GATE_H
#define HANDOFF_FERRY_GATE_H

#include "base/dir.h"
#include "base/loop.h"
#include "ferry/flow.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct handoff__gate;

/* The most addresses of a service, slots of the batch table, and connections
 * of one batch. */
#define HANDOFF__GATE_ADDRESSES 16
#define HANDOFF__GATE_SLOTS     64
/* Those and batches that are over, whose flows go on to be flipped. */
#define HANDOFF__GATE_ROWS  1024
#define HANDOFF__GATE_FLOWS 65536

/* What a batch is; as in its word. */
enum handoff__gate_direction {
	HANDOFF__GATE_OUT, /* leaves this host: its packets are held */
	HANDOFF__GATE_IN,  /* comes to it: its prepared sockets are kept */
};

/* What becomes of the packets of a flow. */
enum handoff__gate_verdict {
	HANDOFF__GATE_PASS, /* to this host */
	HANDOFF__GATE_HOLD, /* kept, in order, until it becomes one of the
			     * others */
	HANDOFF__GATE_FLIP, /* to the other host */
};

struct handoff__gate_address {
	uint8_t family; /* 4 or 6 */
	uint8_t ip[16]; /* network order; IPv4: the first four */
};

/* What a helper of a ferry before this one still has of one batch. The arrays
 * are the gate's and valid during the callback; the descriptors are the gate's
 * too, open until the batch is passed, flipped or forgotten: duplicate what is
 * to be kept. They are told apart by their flows (handoff__flow_of); an index
 * is that of handoff__gate_hold. */
struct handoff__gate_found {
	uint32_t slot;
	uint64_t id; /* of the batch */
	enum handoff__gate_direction direction;
	enum handoff__gate_verdict verdict; /* of an OUT batch */
	const struct handoff__flow *flows;
	const int *fds; /* -1: released, or of a batch that was flipped */
	uint32_t count;
	int images; /* memfd, see ferry/images.h; -1: none */
};

/* Counted since the helper was started. */
struct handoff__gate_counts {
	uint64_t passed, flipped; /* packets */
	uint64_t held;            /* packets that had to wait */
	uint64_t held_now, held_bytes;
	uint64_t overflowed; /* dropped: more than may be held */
	uint64_t fragments;  /* dropped */
	uint64_t malformed;  /* dropped */
	uint64_t unsent;     /* flipped, but the device did not take it */
	uint64_t lost;       /* reports that the kernel had no room for */
	uint64_t thawed, finished, stuck; /* sockets; stuck: neither worked */
	uint64_t longest_hold_us;         /* of one packet */
	uint64_t since_flip_ms; /* since the last flipped packet; UINT64_MAX if
				 * there was none */
};

/* All but `held` may be NULL. No callback comes from within a call. */
struct handoff__gate_ops {
	/* The helper is there and knows everything. `how` names the way by
	 * which packets are queued. `leftover`: rules of a helper that has died
	 * were found, which drop all packets until handoff__gate_rule; only
	 * with the first helper of this ferry. */
	void (*ready)(void *arg, const char *how, bool leftover);
	/* Before `ready`: where the words of the batches were for the ferry
	 * before this one, as in handoff__gate_arena, if the helper has had
	 * one. The descriptor is the gate's, for the callback only. If the
	 * server has died too, nobody else has these words any more. */
	void (*table)(void *arg, int segment_fd, uint64_t offset);
	/* Before `ready`, for each batch. It is this ferry's from now on, as if
	 * it had been held by it; handoff__gate_forget ends it. */
	void (*found)(void *arg, struct handoff__gate_found *found);
	/* The hold of that batch is in force (0), or was refused. */
	void (*held)(void *arg, uint32_t slot, int err, const char *text);
	/* The rule is on or off, as it was asked for, or that failed. */
	void (*ruled)(void *arg, bool on, int err, const char *text);
	void (*counted)(void *arg, const struct handoff__gate_counts *counts);
	/* The helper has died; another is being started. What was held is lost,
	 * and sent again by the clients. `held` comes again for each batch that
	 * is held. */
	void (*lost)(void *arg, const char *text);
	/* It cannot be started, or has refused something: a sentence. It is
	 * tried again once a second. */
	void (*failed)(void *arg, int err, const char *text);
};

struct handoff__gate_opts {
	struct handoff__loop *loop;
	const struct handoff__dir *dir; /* stays the caller's, and open */
	const char *program; /* NULL: handoff-unfreeze, beside this program */
	const char *name;    /* of the service; its rules have it */
	uint32_t queue;      /* the first number to try; 0: made of the name */
	const struct handoff__gate_address *addresses; /* of the service */
	uint32_t naddresses;
	int log_fd; /* where the helper writes its log; -1: nowhere */
	const struct handoff__gate_ops *ops;
	void *arg;
};

/* Connects to the helper, or starts it. -EINVAL for wrong options, -ENOMEM; if
 * the helper cannot be started, `failed` says so. */
int handoff__gate_open(struct handoff__gate **gate,
	const struct handoff__gate_opts *opts, struct handoff__error *error);

/* As if the ferry had died: the helper acts by the words of the batches. NULL
 * is fine. */
void handoff__gate_free(struct handoff__gate *gate);

/* The helper is there and knows everything. */
bool handoff__gate_is_ready(const struct handoff__gate *gate);

/* What was said about the rule and about flows without a batch last, by this
 * ferry or, once it is ready, by one before. */
bool handoff__gate_is_ruled(const struct handoff__gate *gate);
enum handoff__gate_verdict handoff__gate_unknown(
	const struct handoff__gate *gate);

/* Where the words of the batches are: the segment's descriptor (borrowed, a
 * memfd that is sealed against shrinking) and the offset of the batch table in
 * it. Call it before the first hold, and again for another arena. -EINVAL if
 * the offset is not aligned. */
int handoff__gate_arena(
	struct handoff__gate *gate, int segment_fd, uint64_t offset);

/* Where flipped packets are sent: the link address of the other host, on that
 * device. */
int handoff__gate_target(
	struct handoff__gate *gate, int ifindex, const uint8_t mac[6]);

/* Turns the queue rule on or off (`ruled`). With it off nothing is held or
 * flipped, whatever was said; turned off, what is held passes. */
int handoff__gate_rule(struct handoff__gate *gate, bool on);

/* What becomes of packets of flows that no batch has, those of connections
 * that begin included. At first they pass. With a hold only what begins a
 * connection waits, a SYN: what has begun here finishes here. What was held
 * passes or is flipped when that is the new verdict. If the ferry dies, a hold
 * becomes a pass, and a flip stays. */
int handoff__gate_default(
	struct handoff__gate *gate, enum handoff__gate_verdict verdict);

/* While nobody knows which connections are on the other host: of the flows that
 * no batch has, and that would pass, those that do not begin and that this host
 * has no socket of are flipped; dropped as long as there is no target. What
 * comes with a batch is here when that is committed. If the ferry dies it stays
 * so. */
int handoff__gate_seek(struct handoff__gate *gate, bool on);
bool handoff__gate_is_seeking(const struct handoff__gate *gate);

/* Whether packets of any batch are flipped, or may be: without the rule they
 * would be answered by a reset. */
bool handoff__gate_flips(const struct handoff__gate *gate);

/* Holds the packets of these flows (OUT), and gives the helper copies of their
 * descriptors; `id` is the batch's, as in the table. `held` says when it is in
 * force. Without the rule (`HANDOFF__GATE_IN`) there is nothing to hold: it is
 * only about the descriptors, and `held` comes as well.
 *
 * The descriptors are borrowed, for the case that the helper dies: they have to
 * stay open until the batch is passed, flipped or forgotten. Flows are copied.
 * -EEXIST if the slot is in use, -EINVAL for what it cannot hold, -ENOMEM. */
int handoff__gate_hold(struct handoff__gate *gate, uint32_t slot, uint64_t id,
	enum handoff__gate_direction direction,
	const struct handoff__flow *flows, const int *fds, uint32_t count);

bool handoff__gate_is_held(const struct handoff__gate *gate, uint32_t slot);

/* The images of the batch's connections, as ferry/images.h makes them, number i
 * that of flows[i]. Takes the memfd over, also on failure. For an IN batch,
 * before PREPARED is sent: with them the helper finishes the sockets of a dead
 * ferry. For an OUT batch, optional: with them thawing sets again the options
 * that freezing replaced. -ENOENT if the slot is not in use. */
int handoff__gate_images(struct handoff__gate *gate, uint32_t slot, int images);

/* Some of the batch stay (or do not come) after all: their packets pass, in
 * order, whatever the default is, until the slot is free or another batch holds
 * them. They have to be unfrozen before; their descriptors are not needed any
 * more. -ENOENT, -EINVAL. */
int handoff__gate_release(struct handoff__gate *gate, uint32_t slot,
	const uint32_t *indices, uint32_t count);

/* All of the batch stay: what was held passes, and the slot is free. */
int handoff__gate_pass(struct handoff__gate *gate, uint32_t slot);

/* The batch belongs to the other host: what was held and all that comes later
 * is sent there, in order. Needs a target. The slot stays in use until it is
 * forgotten. */
int handoff__gate_flip(struct handoff__gate *gate, uint32_t slot);

/* A flipped batch is over: its flows go on to be flipped, and another batch can
 * have the slot. -ENOENT, -EINVAL if it is not flipped, -ENOSPC after more than
 * HANDOFF__GATE_ROWS of them. */
int handoff__gate_settle(struct handoff__gate *gate, uint32_t slot);

/* Forgets all that was settled. */
void handoff__gate_unsettle(struct handoff__gate *gate);

/* Forgets the batch: its flows are as those that no batch has. What is held
 * still is treated so too. Nothing is unfrozen. -ENOENT if there is none. */
int handoff__gate_forget(struct handoff__gate *gate, uint32_t slot);

/* Asks for the counters (`counted`). */
int handoff__gate_count(struct handoff__gate *gate);

/* Nothing is to be guarded any more: the helper forgets everything, removes its
 * rules and ends, and no other is started. */
void handoff__gate_end(struct handoff__gate *gate);

#endif
