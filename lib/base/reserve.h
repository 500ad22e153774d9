/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that are held only so that they can be given up: numbers in the
 * table that nobody else can take, whatever else the process opens.
 */
#ifndef HANDOFF_BASE_RESERVE_H
#define HANDOFF_BASE_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed: empty. */
struct handoff__reserve {
	int *fds; /* of one eventfd that nobody writes */
	uint32_t count, room;
};

/* Opens or closes until it holds `want`. False if the table is full before. */
bool handoff__reserve_fill(struct handoff__reserve *reserve, uint32_t want);

/* Gives up to `n` of them up; returns how many. */
uint32_t handoff__reserve_release(struct handoff__reserve *reserve, uint32_t n);

void handoff__reserve_fini(struct handoff__reserve *reserve);

#endif
