/* SPDX-License-Identifier: MIT */
/*
 * S: serves echo, or the schedule, on a service directory. The first on a
 * directory binds its addresses and serves; where an owner is there already it
 * becomes the standby and binds nothing. The same program hands over and takes
 * back.
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
			.name = "server",
			.errbuf = why,
			.errbuf_size = sizeof(why)},
	};
	struct handoff_server_event event = {0};
	struct handoff_server *server;

	parse_options(&options, "server", true, argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);

	/* The service is the same in both peers, see echo.c and schedule.c. */
	options.server.service =
		options.data ? schedule_service(options.data, options.verbose,
				       why, sizeof(why))
			     : echo_service(options.verbose);
	if (!options.server.service ||
		handoff_server_open(&server, &options.server) < 0) {
		fprintf(stderr, "server: %s\n", why);
		return 1;
	}

	/* SIGUSR1 maintenance, SIGUSR2 ready, SIGTERM and SIGINT stop; the
	 * same as `handoffctl`, which needs nothing from this program. */
	handoff_server_signals(server);
	if (options.console &&
		handoff_server_console(server, options.console) < 0) {
		fprintf(stderr, "server: %s\n", handoff_server_errmsg(server));
		handoff_server_free(server);
		return 1;
	}

	/* One turn serves what there is to serve. A program with a loop of
	 * its own polls handoff_server_fd and calls handoff_server_dispatch. */
	do {
		while (handoff_server_next(server, &event) > 0)
			printf("%s: %s\n", options.server.name, event.text);
	} while (event.type != HANDOFF_SERVER_STOPPED &&
		 handoff_server_wait(server, -1) >= 0);

	handoff_server_free(server);
	return event.type == HANDOFF_SERVER_STOPPED ? 0 : 1;
}
