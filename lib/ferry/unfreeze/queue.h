/* SPDX-License-Identifier: MIT */
/*
 * The kernel's queue of packets that wait for a verdict (nfnetlink_queue).
 * What it delivers is written by any sender to the service.
 */
#ifndef HANDOFF_FERRY_UNFREEZE_QUEUE_H
#define HANDOFF_FERRY_UNFREEZE_QUEUE_H

#include "base/text.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* A packet: the first `len` bytes of it; `whole` if that is all. */
typedef void handoff__queued_fn(void *arg, uint32_t id,
	const unsigned char *data, size_t len, bool whole);

struct mnl_socket;

struct handoff__queue {
	struct mnl_socket *netlink;
	bool bound;
	uint16_t number;
	uint32_t seq, acked; /* of the last request, and of its answer */
	int answer;
	handoff__queued_fn *fn;
	void *arg;
	unsigned char *verdicts; /* not sent yet */
	size_t verdicts_len;
	unsigned char *buffers; /* one for each message of a reception */
};

/* Takes CAP_NET_ADMIN, as all that follows. */
int handoff__queue_open(struct handoff__queue *queue, handoff__queued_fn *fn,
	void *arg, struct handoff__error *error);
void handoff__queue_close(struct handoff__queue *queue);
int handoff__queue_fd(const struct handoff__queue *queue);

/* Gets the first free number from `first` on; no effect if there is one. A
 * packet for the queue that comes before is dropped by the kernel, so is one
 * that the queue has no room for. */
int handoff__queue_bind(struct handoff__queue *queue, uint16_t first,
	struct handoff__error *error);

/* Whether no program reads the queue of that number, this one neither: packets
 * for it are dropped. */
bool handoff__queue_is_free(struct handoff__queue *queue, uint16_t number);

/* Calls back for packets that are there, a limited number of them. Returns how
 * many came: 0 if there were none; -errno. */
int handoff__queue_receive(struct handoff__queue *queue);

/* Each packet gets one verdict. They are sent together, by the flush: it
 * delivers those that are accepted before it returns. */
void handoff__queue_verdict(
	struct handoff__queue *queue, uint32_t id, bool accept);
void handoff__queue_flush(struct handoff__queue *queue);

#endif
