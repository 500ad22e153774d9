/* SPDX-License-Identifier: MIT */
/* The status of a service directory, drawn again and again. */
#ifndef EXAMPLES_WATCH_H
#define EXAMPLES_WATCH_H

#include <stdbool.h>

/* Prints the status every `period_ms`: over the last one on a terminal, after
 * a blank line elsewhere. Waits for a server that is not there. Returns an exit
 * status when its output is closed, or if the directory cannot be used at the
 * beginning; says why on standard error. */
int watch_status(const char *dir, bool json, int period_ms);

#endif
