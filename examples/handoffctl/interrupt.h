/* SPDX-License-Identifier: MIT */
/* What an operator is told who interrupts a command, or whose terminal is
 * lost. */
#ifndef EXAMPLES_INTERRUPT_H
#define EXAMPLES_INTERRUPT_H

/* From now on Ctrl-C, the end of the terminal and SIGTERM end the program with
 * a line that a command was sent and goes on without it. */
void interrupt_tells(void);

#endif
