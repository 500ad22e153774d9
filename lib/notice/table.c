/* SPDX-License-Identifier: MIT */
/* The transports of notices; see transport.h for how to add one. */
#include "notice/transport.h"

#include <stddef.h>

extern const struct handoff__transport handoff__mq_transport;
extern const struct handoff__transport handoff__sysv_transport;
extern const struct handoff__transport handoff__unix_transport;

const struct handoff__transport *const handoff__transports[] = {
	&handoff__mq_transport,
	&handoff__sysv_transport,
	&handoff__unix_transport,
	NULL,
};
