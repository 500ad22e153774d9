/* SPDX-License-Identifier: MIT */
/*
 * S: serves echo, or the schedule, on a service directory. The first on a
 * directory binds its addresses and serves; where an owner is there already it
 * becomes the standby and binds nothing. The same program hands over and takes
 * back: what it does from its beginning to its end is in serve.c.
 */
#include "serve.h"

int
main(int argc, char **argv)
{
	struct options options = {.server = {.name = "server"}};

	parse_options(&options, "server", true, argc, argv);
	return serve(&options, "server");
}
