/* SPDX-License-Identifier: MIT */
/* What goes on, in one line of a terminal that the next one overwrites; nothing
 * where standard error is no terminal. */
#ifndef EXAMPLES_PROGRESS_H
#define EXAMPLES_PROGRESS_H

#include <stdbool.h>

struct progress {
	bool terminal, shown;
	const char *what;   /* goes before each line, with the seconds since */
	long long began_ms; /* the beginning; NULL: neither */
};

void progress_begin(struct progress *progress, const char *what);

/* Both take a struct progress; the second one returns true, as who waits wants
 * it. */
void progress_show(void *progress, const char *text);
bool progress_wait(void *progress, const char *text);

/* Removes the line. */
void progress_end(struct progress *progress);

#endif
