/* SPDX-License-Identifier: MIT */
/*
 * ZooKeeper as an engine for leases and as a transport of notices. A library of
 * its own, -lhandoff-zookeeper, built if libzookeeper_st is present.
 */
#ifndef HANDOFF_ZOOKEEPER_H
#define HANDOFF_ZOOKEEPER_H

#include <handoff/common.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Makes addresses zk:HOST:PORT[,HOST:PORT...]/SERVICE[?creds=FILE] known in
 * this process, for leases (see lease.h) and for notices (see transport.h).
 * Before a handle is opened that uses one, and for good; 0 also if it was done
 * before. -ENOSPC: too many others were added. Thread-safe.
 */
HANDOFF_API int handoff_zookeeper_register(void);

#ifdef __cplusplus
}
#endif

#endif
