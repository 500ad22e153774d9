/* SPDX-License-Identifier: MIT */
/* The memory that all connections of the service share, on its way to the other
 * host. */
#ifndef HANDOFF_FERRY_COMMONS_H
#define HANDOFF_FERRY_COMMONS_H

#include "ferry/ferry.h"

/* Its bytes; 0: the service has none. */
uint32_t handoff__commons_size(const struct handoff__ferry *ferry);

/* Sends it as it is, when no handler runs. -errno if not all of it could be. */
int handoff__commons_send(struct handoff__ferry *ferry);

#endif
