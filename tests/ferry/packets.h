/* SPDX-License-Identifier: MIT */
/* Questions of one host to its neighbours, and what it hears on its device. */
#ifndef TESTS_FERRY_PACKETS_H
#define TESTS_FERRY_PACKETS_H

#include "ferry/lan.h"

/* What a frame says about an address. */
struct heard {
	unsigned kind;   /* 1, 2: ARP request, reply; 135, 136: NS, NA */
	uint8_t from[6]; /* its link-layer address */
	uint8_t sender[16], target[16];
	uint8_t told[6]; /* of the sender (ARP), or of the target (NA) */
	bool override;   /* NA */
};

/* A socket that hears all ARP, NS and NA on e0 of this host. */
int packets_open(void);

/* The next one that it has heard; false after `ms` without. */
bool packets_next(int fd, struct heard *heard, int ms);

/* The next one of that kind that host `mac` (its last byte) has sent. Fails the
 * test if none comes in a second. */
struct heard packets_await(int fd, unsigned kind, uint8_t mac);

/* Asks the host with that last byte of its link-layer address (0: all) for an
 * address, in the name of C. */
void packets_ask(int fd, const struct handoff__prefix *target, uint8_t mac);

#endif
