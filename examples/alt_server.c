/* SPDX-License-Identifier: MIT */
/*
 * AS: the alternate. It has no addresses of its own: it becomes the standby
 * of whoever owns the directory, waits if nobody does yet, and serves the
 * very same connections when they are handed to it or when the owner dies.
 */
#include "serve.h"

int
main(int argc, char **argv)
{
	struct options options = {.server = {.name = "alt"}};

	/* Without addresses handoff_server_open never becomes the owner by
	 * itself; everything else is as in server.c. */
	parse_options(&options, "alt_server", false, argc, argv);
	return serve(&options, "alt_server");
}
