/* SPDX-License-Identifier: MIT */
/* Starts the helper program, which outlives the process. */
#ifndef HANDOFF_FERRY_LAUNCH_H
#define HANDOFF_FERRY_LAUNCH_H

#include "base/text.h"

#include <stdint.h>

/* The path of a program in the directory of this one; allocated. NULL: no
 * memory, or the path is not known. */
char *handoff__launch_beside(const char *name);

/* Starts the program in a session of its own and as no child of this process,
 * with an empty environment. Returns the connection to it (SOCK_SEQPACKET), by
 * which it also says why it does not start; or -errno with a sentence. `log_fd`
 * (-1: none) is where it writes its log. */
int handoff__launch(const char *program, const char *dir, uint32_t user,
	int log_fd, struct handoff__error *error);

#endif
