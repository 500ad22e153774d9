/* SPDX-License-Identifier: MIT */
/*
 * The ZooKeeper component from the inside: it knows the library only by its
 * public tables, the encoding of notices and base/text.
 *
 * Each file calls only those below it:
 *
 *   register.c   adds the engine and the transport to the process
 *   notices.c    the transport of notices "zk:"
 *   lease.c      the engine of leases "zk:"
 *   lock.c       which session has the lock of a service
 *   queue.c      the events that the engine has not told yet
 *   members.c    the hosts that take part
 *   nodes.c      the nodes of a service, their paths and who may use them
 *   session.c    a session with an ensemble, behind one descriptor
 *   place.c      addresses and files of credentials
 */
#ifndef HANDOFF_ZOOKEEPER_COMPONENT_H
#define HANDOFF_ZOOKEEPER_COMPONENT_H

#include <handoff/lease.h>
#include <handoff/transport.h>
#include <handoff/zookeeper.h>

#define HANDOFF__ZK_PREFIX "zk:"
#define HANDOFF__ZK_FORM   "zk:HOST:PORT[,HOST:PORT...]/SERVICE[?creds=FILE]"

extern const struct handoff_lease_engine handoff__zk_engine;
extern const struct handoff_transport handoff__zk_transport;

#endif
