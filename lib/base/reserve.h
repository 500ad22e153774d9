/* SPDX-License-Identifier: MIT */
/*
 * Spare descriptors, held only to be released when numbers in the descriptor
 * table are needed; nothing else in the process can take them.
 */
#ifndef HANDOFF_BASE_RESERVE_H
#define HANDOFF_BASE_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

/* valid when zeroed: empty */
struct handoff__reserve {
	int *fds; /* duplicates of one unused eventfd */
	uint32_t count, room;
};

/* Opens or closes descriptors until it holds `want`. False if the table is full
 * before that. */
bool handoff__reserve_fill(struct handoff__reserve *reserve, uint32_t want);

/* Closes up to `n` of them; returns how many. */
uint32_t handoff__reserve_release(struct handoff__reserve *reserve, uint32_t n);

void handoff__reserve_fini(struct handoff__reserve *reserve);

#endif
