/* SPDX-License-Identifier: MIT */
/* The command line of handoffd. */
#ifndef EXAMPLES_OPTIONS_H
#define EXAMPLES_OPTIONS_H

#include <handoff.h>

struct options {
	struct handoff_server_opts server;
	struct handoff_daemon_opts daemon;
	const char *console; /* NULL: none */
	const char *service; /* schedule, or echo; NULL: echo */
	const char *data;    /* of the schedule only */
	bool standby, systemd;
	bool verbose;
};

/* Fills `opts` from the command line. Prints --help and exits 0, or says in one
 * line what is wrong and exits 2. */
void parse_options(struct options *opts, int argc, char **argv);

#endif
