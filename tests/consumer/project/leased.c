/* SPDX-License-Identifier: MIT */
/* A program that knows addresses "zk:". */
#include <handoff.h>
#include <handoff/zookeeper.h>

#include <stdio.h>

int
main(void)
{
	int err = handoff_zookeeper_register();

	printf("handoff %s: %s\n", handoff_version(),
		err == 0 ? "hello" : "not registered");
	return err < 0;
}
