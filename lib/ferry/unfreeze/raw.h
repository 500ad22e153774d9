/* SPDX-License-Identifier: MIT */
/* Sends packets to another host of the same link, as they are. */
#ifndef HANDOFF_FERRY_UNFREEZE_RAW_H
#define HANDOFF_FERRY_UNFREEZE_RAW_H

#include "base/text.h"

#include <stddef.h>
#include <stdint.h>

struct handoff__raw {
	int fd;
	int ifindex; /* 0: no target yet */
	uint8_t mac[6];
};

/* Takes CAP_NET_RAW; sending takes no privilege. */
int handoff__raw_open(struct handoff__raw *raw, struct handoff__error *error);
void handoff__raw_close(struct handoff__raw *raw);

/* Sends one IPv4 (4) or IPv6 (6) packet; false if the device did not take
 * it. */
bool handoff__raw_send(const struct handoff__raw *raw, int family,
	const unsigned char *data, size_t len);

#endif
