/* SPDX-License-Identifier: MIT */
/*
 * The mark of the library's own threads, set once.
 */
#include "server/internal.h"

_Thread_local bool handoff__is_library_thread;
