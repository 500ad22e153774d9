/* SPDX-License-Identifier: MIT */
/* How a process gets into the background, and how its starter hears of it. */
#ifndef HANDOFF_DAEMON_LAUNCH_H
#define HANDOFF_DAEMON_LAUNCH_H

#include "base/text.h"

/* Forks twice. 0 in the new process, with the line on which its starter waits
 * to hear of it. In the starter 1 when it serves, or the negative errno that
 * it reported or died with. */
int handoff__launch(int *line, struct handoff__error *error);

/* Tells the starter: 0, it serves; or why not. -EPIPE: nobody waits. */
int handoff__launch_report(int line, int err, const char *text);

#endif
