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
 *   handshake.c one handshake, that can be run again
 *   context.c   certificates and options in generations, for each thread
 *   identity.c  what decides on the bytes of a handshake
 *   material.c  the bytes of files, and what OpenSSL makes of them
 *   settings.c  the options, checked
 *   secrets.c   what OpenSSL tells of the keys
 *   random.c    the random source
 */
#ifndef HANDOFF_TLS_COMPONENT_H
#define HANDOFF_TLS_COMPONENT_H

#include <handoff/tls.h>

#endif
