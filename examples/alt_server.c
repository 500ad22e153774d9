/* SPDX-License-Identifier: MIT */
/*
 * AS: the alternate. It has no addresses of its own: it becomes the standby
 * of whoever owns the directory, waits if nobody does yet, and serves the
 * very same connections when they are handed to it or when the owner dies.
 */
#include "echo.h"
#include "options.h"
#include "schedule.h"

#include <stdio.h>

int
main(int argc, char **argv)
{
	char why[HANDOFF_TEXT_MAX] = "";
	struct options options = {
		.server = {.size = sizeof(options.server),
			.name = "alt",
			.errbuf = why,
			.errbuf_size = sizeof(why)},
	};
	struct handoff_server_event event = {0};
	struct handoff_server *server;

	parse_options(&options, "alt_server", false, argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);

	/* Without addresses handoff_server_open never becomes the owner by
	 * itself; everything else is as in server.c. */
	options.server.service =
		options.data ? schedule_service(options.data, options.verbose,
				       why, sizeof(why))
			     : echo_service(options.verbose);
	if (!options.server.service ||
		handoff_server_open(&server, &options.server) < 0) {
		fprintf(stderr, "alt_server: %s\n", why);
		return 1;
	}
	handoff_server_signals(server);
	if (options.console &&
		handoff_server_console(server, options.console) < 0) {
		fprintf(stderr, "alt_server: %s\n",
			handoff_server_errmsg(server));
		handoff_server_free(server);
		return 1;
	}

	do {
		while (handoff_server_next(server, &event) > 0)
			printf("%s: %s\n", options.server.name, event.text);
	} while (event.type != HANDOFF_SERVER_STOPPED &&
		 handoff_server_wait(server, -1) >= 0);

	handoff_server_free(server);
	return event.type == HANDOFF_SERVER_STOPPED ? 0 : 1;
}
