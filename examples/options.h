/* SPDX-License-Identifier: MIT */
/* The command line that server and alt_server share. */
#ifndef EXAMPLES_OPTIONS_H
#define EXAMPLES_OPTIONS_H

#include <handoff.h>

#define LISTEN_MAX 16

struct options {
	struct handoff_server_opts server;
	struct handoff_daemon_opts daemon;
	const char *listen[LISTEN_MAX];
	const char *console; /* NULL: none */
	const char *service; /* schedule, or echo; NULL: echo */
	const char *data;    /* of the schedule only */
	bool listens, systemd;
	bool verbose;
};

/* Fills `opts` from the command line. `listens`: --listen is allowed and
 * needed. Prints --help and exits 0, or says in one line what is wrong and
 * exits 2. */
void parse_options(struct options *opts, const char *program, bool listens,
	int argc, char **argv);

#endif
