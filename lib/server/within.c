/* SPDX-License-Identifier: MIT */
/*
 * The mark of each thread of the library's own, set once and for all.
 */
#include "server/internal.h"

_Thread_local bool handoff__is_servant;
