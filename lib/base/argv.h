/* SPDX-License-Identifier: MIT */
/*
 * The command line of a program: takes the options that a table has out of it,
 * into a structure, and leaves the others to the program.
 */
#ifndef HANDOFF_BASE_ARGV_H
#define HANDOFF_BASE_ARGV_H

#include "base/text.h"

#define HANDOFF__ARGUMENTS_MAX     32 /* entries of a table */
#define HANDOFF__ARGUMENT_LIST_MAX 64

enum handoff__argument_kind {
	HANDOFF__ARGUMENT_FLAG,   /* bool; takes no value */
	HANDOFF__ARGUMENT_TEXT,   /* const char *, into argv */
	HANDOFF__ARGUMENT_NUMBER, /* uint32_t, 1 to `max` */
	HANDOFF__ARGUMENT_CHOICE, /* an enum: what `check` returns */
	HANDOFF__ARGUMENT_LIST,   /* const char *const *, into argv, and size_t
				     after it; may be repeated up to `max` times.
				     One in a table */
};

struct handoff__argument {
	const char *name; /* without the hyphens */
	enum handoff__argument_kind kind;
	size_t offset; /* of the field in the structure */
	uint32_t max;
	/* Is the value right? 0 or more, or a negative errno and a sentence
	 * that quotes it; NULL: any value is. */
	int (*check)(const char *value, struct handoff__error *error);
	const char *env; /* this variable, if the option is not given; TEXT */
};

struct handoff__arguments {
	const struct handoff__argument *table;
	size_t count;
};

/*
 * Reads `--name=VALUE` and `--name VALUE` up to `--`. `size` is that of the
 * structure `fields`: an option whose field it lacks is the program's, like all
 * that the table does not have. What is left stays in its order, with NULL at
 * argv[*argc]; a list lies in argv behind that. On an error, -EINVAL with a
 * sentence that names the option, nothing was changed.
 */
int handoff__argv_read(const struct handoff__arguments *known, void *fields,
	size_t size, int *argc, char **argv, struct handoff__error *error);

#endif
