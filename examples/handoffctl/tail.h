/* SPDX-License-Identifier: MIT */
/* What a program adds to a file, line by line, with a prefix. */
#ifndef HANDOFFCTL_TAIL_H
#define HANDOFFCTL_TAIL_H

#include <stdbool.h>
#include <stddef.h>

struct tail {
	int fd;        /* -1: nothing is shown */
	bool terminal; /* there may be a line to be overwritten */
	char line[512];
	size_t len;
	char last[200]; /* the last whole line; "": none yet */
};

/* From the present end of the file on. Of what is no regular file nothing is
 * shown. */
void tail_open(struct tail *tail, const char *path);

/* Shows on standard error what has been added since. */
void tail_show(struct tail *tail);

void tail_close(struct tail *tail);

#endif
