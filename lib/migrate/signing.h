/* SPDX-License-Identifier: MIT */
/* Whether the segments of a TCP connection are signed (RFC 2385). */
#ifndef HANDOFF_MIGRATE_SIGNING_H
#define HANDOFF_MIGRATE_SIGNING_H

#include <stdbool.h>

/* No socket option tells; the kernel's diagnostics do, to CAP_NET_ADMIN. False
 * without the privilege, or in another network namespace than the socket's. */
bool handoff__migrate_signed(int fd);

#endif
