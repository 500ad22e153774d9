/* SPDX-License-Identifier: MIT */
/* Adopts listening sockets that another process has opened. */
#ifndef HANDOFF_BASE_ADOPT_H
#define HANDOFF_BASE_ADOPT_H

#include "base/text.h"

#include <stdbool.h>

/* Duplicates a listening socket and sets the options that a listener needs
 * here. The caller keeps its own descriptor; both share the options. Returns
 * the duplicate and stores the address it is bound to; -EBADF or -EINVAL with a
 * sentence. */
int handoff__adopt(
	int fd, char bound[HANDOFF_ADDRESS_MAX], struct handoff__error *error);

/* Returns whether the listener is bound to this address, whose host must be
 * numeric. Port 0 matches any. ":port" matches only what accepts IPv6 as well
 * as IPv4, if the host has IPv6. */
bool handoff__adopt_is(int fd, const char *text);

#endif
