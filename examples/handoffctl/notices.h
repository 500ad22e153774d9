/* SPDX-License-Identifier: MIT */
/* Notices as they come, like tail -f. */
#ifndef HANDOFFCTL_NOTICES_H
#define HANDOFFCTL_NOTICES_H

#include <stdbool.h>
#include <stddef.h>

/* Prints the notices of these addresses, the retained one first, until a signal
 * or until the reader goes away. Returns the exit status. */
int follow_notices(const char *const *addresses, size_t count, bool json);

#endif
