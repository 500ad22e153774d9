/* SPDX-License-Identifier: MIT */
/* A program that knows addresses "nats:". */
#include <handoff.h>
#include <handoff/nats.h>

#include <stdio.h>

int
main(void)
{
	int err = handoff_nats_register();

	printf("handoff %s: %s\n", handoff_version(),
		err == 0 ? "hello" : "not registered");
	return err < 0;
}
