/* SPDX-License-Identifier: MIT */
/* What a ferry asks its helper for. */
#ifndef HANDOFF_FERRY_UNFREEZE_REQUESTS_H
#define HANDOFF_FERRY_UNFREEZE_REQUESTS_H

#include "ferry/unfreeze/guard.h"

/* A process has connected: it is the ferry, if there is none, and may be.
 * Takes the descriptor. */
void handoff__requests_accept(struct handoff__guard *guard, int fd);

/* Tells that connection why not, and closes it. */
void handoff__requests_refuse(int fd, int err, const char *text);

#endif
