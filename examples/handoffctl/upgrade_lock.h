/* SPDX-License-Identifier: MIT */
/* That a directory has one upgrade at a time. */
#ifndef HANDOFFCTL_UPGRADE_LOCK_H
#define HANDOFFCTL_UPGRADE_LOCK_H

#include <stddef.h>

/* Locks the file `upgrade` of the directory until this process, and each that
 * it has forked, ends. Returns 0, or -1 and the reason in `why`. */
int upgrade_lock(const char *dir, char *why, size_t size);

#endif
