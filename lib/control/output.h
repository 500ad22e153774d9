/* SPDX-License-Identifier: MIT */
/*
 * Where a command's output goes: a file that gets its name only when it is
 * whole, or what is there already and can't be replaced, a pipe or a device.
 */
#ifndef HANDOFF_CONTROL_OUTPUT_H
#define HANDOFF_CONTROL_OUTPUT_H

#include "base/text.h"

#include <stdbool.h>

struct handoff__output {
	int fd;
	char *path; /* NULL: not a file of ours */
	char *temp; /* beside it */
	bool named; /* `temp` is in its directory */
};

/* "-" is standard output. */
int handoff__output_open(struct handoff__output *output, const char *path,
	struct handoff__error *error);

/* What was written is whole: it gets its name. Frees the output. */
int handoff__output_finish(
	struct handoff__output *output, struct handoff__error *error);

/* Frees the output; nothing is left of it. */
void handoff__output_drop(struct handoff__output *output);

#endif
