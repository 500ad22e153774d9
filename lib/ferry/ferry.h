/* SPDX-License-Identifier: MIT */
/*
 * A ferry: a peer without a service, in the second place of a service
 * directory, that carries the connections of the service to the ferry of
 * another host, and takes those that come from there. It knows the peer below,
 * lib/migrate, and the kernel's network by its own files.
 *
 * The files, from the top down; each calls only those below it:
 *   ferry.c      the object: what it does when peers and links come and go
 *   operator.c   requests of operators
 *   report.c     the sentences about a move
 *   mover.c      one move to the other host
 *   taker.c      one move to this host
 *   carrier.c    the ferry as a peer: callbacks
 *   sending.c    the states of a batch that is sent
 *   receiving.c  the states of a batch that is received
 *   message.c    the messages between two ferries
 *   channel.c    the connection to the other ferry
 *   frames.c     one connection to it, with frames
 *   tls.c        certificates and keys
 *   halfopen.c   connections that clients have only begun
 *   announce.c   tells the neighbours where an address is
 *   address.c    the service's addresses on this host
 *   gate.c       the helper that holds packets and thaws sockets
 *   flow.c       the addresses of one connection
 */
#ifndef HANDOFF_FERRY_FERRY_H
#define HANDOFF_FERRY_FERRY_H

struct handoff__ferry;

#endif
