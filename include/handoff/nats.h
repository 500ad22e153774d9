/* SPDX-License-Identifier: MIT */
/*
 * Notices by NATS, for clients on other hosts: the transports "nats:" and
 * "nats+tls:". A library of its own, -lhandoff-nats, built if libnats is
 * present. What an address may say, what is stored where, and which permissions
 * it takes: handoff_nats(3).
 */
#ifndef HANDOFF_NATS_H
#define HANDOFF_NATS_H

#include <handoff/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Adds the two to this process, before a handle is opened that uses them; 0,
 * also if they are there already, or an error of handoff_transport_add. */
HANDOFF_API int handoff_nats_register(void);

#ifdef __cplusplus
}
#endif

#endif
