/* SPDX-License-Identifier: MIT */
/* What is known of a session that is over; as in struct handoff_client_event.
 */
#ifndef HANDOFF_CLIENT_FATE_H
#define HANDOFF_CLIENT_FATE_H

#include <stdbool.h>
#include <stdint.h>

struct handoff__fate {
	uint64_t certain, doubtful; /* bytes of the client's */
	uint64_t received;          /* bytes of the server's */
	bool lost;
};

#endif
