/* SPDX-License-Identifier: MIT */
/* What an operator is told who interrupts a command, or whose terminal is
 * lost. */
#ifndef EXAMPLES_INTERRUPT_H
#define EXAMPLES_INTERRUPT_H

#include <stdbool.h>

/* From now on Ctrl-C, the end of the terminal and SIGTERM end the program with
 * a line that a command was sent and goes on without it; or, with `waits`, that
 * what was only waited for is not any more, in place of the line of progress.
 */
void interrupt_tells(bool waits);

#endif
