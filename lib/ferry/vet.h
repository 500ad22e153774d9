/* SPDX-License-Identifier: MIT */
/* What of the command line does not fit this host: asked once, at the start. */
#ifndef HANDOFF_FERRY_VET_H
#define HANDOFF_FERRY_VET_H

#include "ferry/prefix.h"

struct handoff__device;

/* Refuses a link over an address of the service, which would move away under
 * it. `option` is "--listen" or "--to"; `text` is HOST:PORT, or NULL. A name is
 * not looked up. 0, or -EINVAL with a sentence. */
int handoff__vet_link(const struct handoff__prefix *list, uint32_t count,
	const char *option, const char *text, struct handoff__error *error);

/* Refuses a prefix of another length than the device has the address with: a
 * move would change it. 0, or a negative errno with a sentence. */
int handoff__vet_prefix(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error);

#endif
