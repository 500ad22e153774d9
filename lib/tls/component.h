/* SPDX-License-Identifier: MIT */
/*
 * The component of TLS from the inside: it knows the library only by its public
 * calls and base/text, and of OpenSSL no socket, no session and no ticket.
 *
 * Each file calls only those below it:
 *
 *   client.c    the layer of clients: knows nothing of the server's side
 *   service.c   the wrapping service: its hooks, and how it is made
 *   update.c    what a TLS record means: data, KeyUpdates, alerts
 *   layer.c     TLS records, sealed and opened
 *   suite.c     the cipher suites and their key schedule
 */
#ifndef HANDOFF_TLS_COMPONENT_H
#define HANDOFF_TLS_COMPONENT_H

#include <handoff/tls.h>

#endif
