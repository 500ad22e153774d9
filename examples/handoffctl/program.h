/* SPDX-License-Identifier: MIT */
/* A program that handoffctl starts: whether it runs, how it has ended, what it
 * prints, and its end. */
#ifndef HANDOFFCTL_PROGRAM_H
#define HANDOFFCTL_PROGRAM_H

#include "tail.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct program {
	pid_t starter; /* 0: released, or ended */
	int line;      /* to the starter */
	int pidfd;     /* of the peer, -1: not known yet */
	struct tail tail;
	bool begun;    /* it could be executed, as far as is known */
	char how[120]; /* how it has ended; "" while it runs */
};

/* Starts it, with its output at the end of the file `log` (NULL: what
 * handoffctl has). 0, or -1 and the reason in `why`. That it cannot be executed
 * is seen later, as its end. `old` is the process in whose place it comes. */
int program_start(struct program *p, char *const argv[], const char *log,
	pid_t old, char *why, size_t size);

/* Readable when there is something to look at. */
int program_fd(const struct program *p);

/* Shows on standard error what it has printed. */
void program_show(struct program *p);

/* Whether it has ended; shows the same. */
bool program_ended(struct program *p);

/* Whether that process is it or was started by it, and so is the peer: 1, it
 * is; 0, it is not; -1, there is no such process. */
int program_claims(struct program *p, pid_t pid);

/* It goes on when handoffctl ends. */
void program_release(struct program *p);

/* Ends it: SIGTERM, and SIGKILL if that is not enough. Once it is released this
 * ends the peer alone. */
void program_end(struct program *p);

/* Waits for its end, once it is released; false: not in this time. */
bool program_wait(struct program *p, int ms);

void program_kill(struct program *p);

/* Frees what it holds; the program is as it is. */
void program_close(struct program *p);

#endif
