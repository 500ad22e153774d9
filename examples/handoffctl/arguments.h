/* SPDX-License-Identifier: MIT */
/* The command line of handoffctl. */
#ifndef EXAMPLES_ARGUMENTS_H
#define EXAMPLES_ARGUMENTS_H

#include <handoff.h>

#include <stdbool.h>

struct args {
	const char *dir, *command, *name, *to;
	const char *check, *log;  /* of an upgrade */
	char **program;           /* the same, with its arguments */
	const char *const *words; /* notices: addresses */
	size_t nwords;
	char text[HANDOFF_SAY_MAX + 2]; /* one more than may be said */
	bool once;                      /* top */
	bool json, silent, whole, connections, dry, here, drop;
	bool for_monitor;               /* status --check */
	struct handoff_wait_opts until; /* what wait waits for */
	int every_ms;                   /* 0: the default */
	int watch_ms;                   /* 0: once */
	int wait_ms;                    /* 0: the default */
	int timeout_ms;                 /* the same */
};

/* Reads it into `args`, which is zero; --help and --version end the program. */
void arguments_read(struct args *args, int argc, char **argv);

/* Says what is wrong with a word, and exits with 2. */
void __attribute__((noreturn))
arguments_wrong(const char *why, const char *word);

#endif
