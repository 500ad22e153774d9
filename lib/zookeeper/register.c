/* SPDX-License-Identifier: MIT */
/*
 * Adds the engine and the transport to the process. All else is behind their
 * tables.
 */
#include "zookeeper/component.h"

#include <errno.h>

int
handoff_zookeeper_register(void)
{
	int lease = handoff_lease_engine_add(&handoff__zk_engine, NULL, 0);
	int notices = handoff_transport_add(&handoff__zk_transport, NULL, 0);

	if (lease < 0 && lease != -EEXIST)
		return lease;
	return notices < 0 && notices != -EEXIST ? notices : 0;
}
