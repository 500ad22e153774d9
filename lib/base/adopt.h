/* SPDX-License-Identifier: MIT */
/* Listening sockets that somebody else has opened. */
#ifndef HANDOFF_BASE_ADOPT_H
#define HANDOFF_BASE_ADOPT_H

#include "base/text.h"

#include <stdbool.h>

/* Duplicates a socket that listens and makes it what a listener must be. The
 * caller keeps its own, which shares what is set. Returns the descriptor and
 * stores where it is bound; -EBADF, -EINVAL with a sentence. */
int handoff__adopt(
	int fd, char bound[HANDOFF_ADDRESS_MAX], struct handoff__error *error);

/* Does the listener have this address? Port 0 is any port. */
bool handoff__adopt_is(int fd, const char *text);

#endif
