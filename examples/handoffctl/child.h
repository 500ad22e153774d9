/* SPDX-License-Identifier: MIT */
/* What a forked child does before it becomes another program. */
#ifndef HANDOFFCTL_CHILD_H
#define HANDOFFCTL_CHILD_H

/* In the child: a session of its own, without the terminal's signals; the
 * default for all signals; no input; `out` (-1: unchanged) as output. If it
 * cannot become the program it writes the errno, an int, to `failed` (-1:
 * nowhere) and ends with exit status 127. */
_Noreturn void child_exec(char *const argv[], int out, int failed);

#endif
