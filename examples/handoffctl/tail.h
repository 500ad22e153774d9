/* SPDX-License-Identifier: MIT */
/* What a program adds to a file, line by line, with a prefix. */
#ifndef HANDOFFCTL_TAIL_H
#define HANDOFFCTL_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tail {
	int fd;        /* -1: nothing is shown */
	bool terminal; /* there may be a line to be overwritten */
	bool shared;   /* another process has the file open, too */
	bool any;      /* something has been added */
	char line[512];
	size_t len;
	char last[200]; /* the last whole line; "": none yet */
};

/* From the present end of the file on. Of what is no regular file nothing is
 * shown. If the process `other` has it open as well, the lines may be of either
 * one, and have another prefix. */
void tail_open(struct tail *tail, const char *path, pid_t other);

/* Shows on standard error what has been added since. */
void tail_show(struct tail *tail);

void tail_close(struct tail *tail);

#endif
