/* SPDX-License-Identifier: MIT */
/* The busiest connections and the last handoffs, drawn again and again. */
#ifndef HANDOFFCTL_TOP_H
#define HANDOFFCTL_TOP_H

#include "sample.h"

#define TOP_MS 2000 /* the default period */

/* Draws until q, a signal, or until its output is closed; with `once` one time,
 * after one period. Waits for a server that is not there, unless `once`.
 * Returns the exit status. */
int run_top(const char *dir, int period_ms, bool once);

/* The text of one frame, to be freed; NULL: memory is out. `now_ms` is the time
 * of day. */
char *top_frame(const struct sample *sample, const struct gives *gives,
	long long now_ms, size_t rows, size_t columns);

#endif
