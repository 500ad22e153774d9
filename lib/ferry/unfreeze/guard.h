/* SPDX-License-Identifier: MIT */
/*
 * What a helper guards: the flows and batches that its ferry has named, the
 * rule by which packets come, and what becomes of all that when the ferry is
 * gone.
 *
 * The files of the program, from the top down; each calls only those below it:
 *   main.c     options, sockets, confinement, the loop
 *   requests.c what a ferry asks for
 *   guard.c    the rule, the ferry's death, the end
 *   thaw.c     unfreezes and finishes sockets
 *   flows.c    decides about packets
 *   queue.c    the kernel's queue of packets
 *   raw.c      sends packets to the other host
 *   sockets.c  finds out which connections this host has
 *   leftover.c rules of helpers whose directory is gone
 *   rules.c    the rules by which packets are queued
 *   legacy.c   such rules where there is no nftables
 *   packet.c   reads their headers
 *   confine.c  seccomp and capabilities
 */
#ifndef HANDOFF_FERRY_UNFREEZE_GUARD_H
#define HANDOFF_FERRY_UNFREEZE_GUARD_H

#include "base/dir.h"
#include "base/door.h"
#include "base/loop.h"
#include "ferry/unfreeze/flows.h"
#include "ferry/unfreeze/leftover.h"
#include "ferry/unfreeze/protocol.h"
#include "ferry/unfreeze/queue.h"
#include "ferry/unfreeze/raw.h"
#include "ferry/unfreeze/rules.h"
#include "ferry/unfreeze/sockets.h"
#include "ferry/unfreeze/thaw.h"

struct handoff__guard {
	struct handoff__loop loop;
	struct handoff__dir dir;
	int lock_fd, listen_fd, log_fd;
	uint32_t linger_ms; /* without a ferry and anything to guard */
	struct handoff__door door;
	struct handoff__rules rules;
	struct handoff__queue queue;
	struct handoff__watch queue_watch;
	struct handoff__raw raw;
	struct handoff__sockets sockets;
	struct handoff__flows flows;
	struct handoff__thaw thaw;
	int ferry; /* its connection, -1: none */
	struct handoff__watch ferry_watch;
	int arena_fd; /* where the table of batches is, -1: none */
	uint64_t arena_offset;
	bool opened; /* by the ferry that is connected */
	char name[HANDOFF__GATE_NAME];
	uint16_t first_queue;
	bool rule_on;
	struct handoff__leftovers leftovers; /* to be removed with it */
	struct handoff__timer leave_timer;   /* nothing is left to guard */
	struct handoff__timer again_timer; /* what failed, or waits for room */
	struct handoff__timer rest_timer;
	bool ending;
};

/* Writes a line of the log. */
void handoff__guard_log(struct handoff__guard *guard, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Opens the queue, the rules and the packet socket, and prepares the rest;
 * `loop` is open. Takes CAP_NET_ADMIN and CAP_NET_RAW. */
int handoff__guard_init(
	struct handoff__guard *guard, struct handoff__error *error);
void handoff__guard_fini(struct handoff__guard *guard);

/* Puts the rule in place or removes it. Without it what is held passes. */
int handoff__guard_rule(
	struct handoff__guard *guard, bool on, struct handoff__error *error);

/* Begins to speak to a ferry; `fn` is called for its messages. */
void handoff__guard_attach(
	struct handoff__guard *guard, int fd, handoff__ready_fn *fn);

/* The ferry is gone: acts by the words of its batches. */
void handoff__guard_detach(struct handoff__guard *guard, const char *why);

/* Forgets everything, removes the rule, and ends the loop. */
void handoff__guard_end(struct handoff__guard *guard);

#endif
