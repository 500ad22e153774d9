/* SPDX-License-Identifier: MIT */
/*
 * Takes the options of a table out of a command line, into a structure, and
 * leaves the others to the program.
 */
#ifndef HANDOFF_BASE_ARGV_H
#define HANDOFF_BASE_ARGV_H

#include "base/text.h"

#define HANDOFF__ARGUMENTS_MAX     32 /* entries of a table */
#define HANDOFF__ARGUMENT_LIST_MAX 64
#define HANDOFF__ARGUMENT_LISTS    2 /* of a table */

enum handoff__argument_kind {
	HANDOFF__ARGUMENT_FLAG,   /* bool; takes no value */
	HANDOFF__ARGUMENT_TEXT,   /* const char *, into argv */
	HANDOFF__ARGUMENT_NUMBER, /* uint32_t, 1 to `max` */
	HANDOFF__ARGUMENT_CHOICE, /* an enum: the return value of `check` */
	HANDOFF__ARGUMENT_LIST,   /* const char *const *, into argv, followed by
				   * a size_t; may be repeated up to `max`
				   * times */
};

struct handoff__argument {
	const char *name; /* without the hyphens */
	enum handoff__argument_kind kind;
	size_t offset; /* of the field in the structure */
	uint32_t max;
	/* Checks the value: 0 or more, or a negative errno and a sentence that
	 * quotes it; NULL: any value is valid. */
	int (*check)(const char *value, struct handoff__error *error);
	const char *env; /* environment variable used if the option is not
			  * given; TEXT */
};

struct handoff__arguments {
	const struct handoff__argument *table;
	size_t count;
};

/*
 * Parses `--name=VALUE` and `--name VALUE` up to `--`. `size` is the size of
 * the structure `fields`: an option whose field is beyond it stays with the
 * program, like every option that is not in the table. Words that stay keep
 * their order, with NULL at argv[*argc]; lists are stored in argv behind that.
 * On an error, -EINVAL with a sentence that names the option, nothing is
 * changed.
 */
int handoff__argv_read(const struct handoff__arguments *known, void *fields,
	size_t size, int *argc, char **argv, struct handoff__error *error);

/* The same for a public call: checks its arguments, and writes the sentence to
 * the program's buffer. */
int handoff__argv_opts(const struct handoff__arguments *known, void *opts,
	size_t size, int *argc, char **argv, char *errbuf, size_t errbuf_size);

/* For `check`: an address for a server to listen on. */
int handoff__argv_address(const char *value, struct handoff__error *error);

#endif
