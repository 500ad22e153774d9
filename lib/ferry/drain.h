/* SPDX-License-Identifier: MIT */
/* Packets that still come to this host once the addresses have left it. */
#ifndef HANDOFF_FERRY_DRAIN_H
#define HANDOFF_FERRY_DRAIN_H

#include "ferry/ferry.h"

/* A move has ended, or had before this ferry was there. */
void handoff__drain_begin(struct handoff__ferry *ferry);

/* Looks whether that is over: then the rule of the gate is removed. */
void handoff__drain_proceed(struct handoff__ferry *ferry);

#endif
