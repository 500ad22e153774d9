/* SPDX-License-Identifier: MIT */
/*
 * The optional components of the library that were found when these programs
 * were built: CMakeLists.txt defines a macro for each. A program of your own
 * calls the functions of those that it links with.
 */
#include "components.h"

#include <stdio.h>
#include <string.h>

#ifdef EXAMPLES_NATS
#include <handoff/nats.h>
#endif
#ifdef EXAMPLES_ZOOKEEPER
#include <handoff/zookeeper.h>
#endif

#if defined(EXAMPLES_NATS) || defined(EXAMPLES_ZOOKEEPER)
static void
check(const char *component, int err)
{
	if (err < 0)
		fprintf(stderr, "%s: %s\n", component, strerror(-err));
}
#endif

void
components_register(void)
{
#ifdef EXAMPLES_NATS
	check("nats", handoff_nats_register()); /* --notices nats://... */
#endif
#ifdef EXAMPLES_ZOOKEEPER
	check("zookeeper", handoff_zookeeper_register()); /* zk:... */
#endif
}
