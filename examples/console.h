/* SPDX-License-Identifier: MIT */
/* What client has to do with people: its command line, and the lines that it
 * tells on standard error. */
#ifndef EXAMPLES_CONSOLE_H
#define EXAMPLES_CONSOLE_H

#include <handoff.h>

#define ENDPOINTS_MAX 16

struct console {
	struct handoff_client_opts client;
	const char *endpoints[ENDPOINTS_MAX];
	char notices[4096];
	const char *name; /* the default is the caller's */
};

/* Fills in what the command line says. Prints --help and exits 0, or says in
 * one line what is wrong and exits 2. */
void read_command_line(struct console *console, int argc, char **argv);

/* Tells one line with the time. */
void tell(const struct console *console, const char *text);

/* Says what failed, and exits 1. */
void fail(const struct console *console, const char *what, const char *why);

#endif
