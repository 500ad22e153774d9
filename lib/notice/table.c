/* SPDX-License-Identifier: MIT */
/* The transports of notices; see transport.h for how to add one. */
#include "notice/transport.h"

#include <stddef.h>

extern const struct handoff_transport handoff__mq_transport;
extern const struct handoff_transport handoff__sysv_transport;
extern const struct handoff_transport handoff__unix_transport;

const struct handoff_transport *const handoff__transports[] = {
	&handoff__mq_transport,
	&handoff__sysv_transport,
	&handoff__unix_transport,
	NULL,
};
