/* SPDX-License-Identifier: MIT */
/* What client has to do with people: its command line, where its lines come
 * from, and those that it tells on standard error. */
#ifndef EXAMPLES_CONSOLE_H
#define EXAMPLES_CONSOLE_H

#include <handoff.h>

#define ENDPOINTS_MAX 16

struct console {
	struct handoff_client_opts client;
	const char *endpoints[ENDPOINTS_MAX];
	char notices[4096];
	const char *name;          /* the default is the caller's */
	const char *path;          /* of --input */
	struct handoff_fifo *fifo; /* NULL: input is standard input */
	int input;
	char why[HANDOFF_TEXT_MAX]; /* what a handoff_*_open has to say */
};

/* Fills in what the command line says and opens the input. Prints --help and
 * exits 0, or says in one line what is wrong and exits 2, or 1 if it is the
 * input. */
void read_command_line(struct console *console, int argc, char **argv);

/* Tells one line with the time. */
void tell(const struct console *console, const char *text);

/* Says what failed, closes the input and exits 1. */
void fail(const struct console *console, const char *what, const char *why);

#endif
