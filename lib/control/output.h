/* SPDX-License-Identifier: MIT */
/*
 * The destination of a command's output: a file that gets its name only once it
 * is complete, or an existing pipe or device, which cannot be replaced.
 */
#ifndef HANDOFF_CONTROL_OUTPUT_H
#define HANDOFF_CONTROL_OUTPUT_H

#include "base/text.h"

#include <stdbool.h>

struct handoff__output {
	int fd;
	char *path; /* NULL: not a file created here */
	char *temp; /* temporary path beside it */
	bool named; /* `temp` exists in its directory */
};

/* "-" is standard output. */
int handoff__output_open(struct handoff__output *output, const char *path,
	struct handoff__error *error);

/* The output is complete: the file gets its name. Frees the output. */
int handoff__output_finish(
	struct handoff__output *output, struct handoff__error *error);

/* Frees the output and removes the file. */
void handoff__output_drop(struct handoff__output *output);

#endif
