/* SPDX-License-Identifier: MIT */
/* The gate of this ferry. */
#ifndef HANDOFF_FERRY_GUARDING_H
#define HANDOFF_FERRY_GUARDING_H

#include "ferry/ferry.h"

/* Opens it, as soon as there is an arena, and tells it of another one. */
void handoff__guarding_keep(struct handoff__ferry *ferry);

#endif
