/* SPDX-License-Identifier: MIT */
/* Moves a process into the background and reports the outcome to its
 * starter. */
#ifndef HANDOFF_DAEMON_LAUNCH_H
#define HANDOFF_DAEMON_LAUNCH_H

#include "base/text.h"

/* Forks twice. Returns 0 in the new process, with `*line` the socket to the
 * waiting starter. In the starter it returns 1 once the daemon serves, or the
 * negative errno that it reported or died with. */
int handoff__launch(int *line, struct handoff__error *error);

/* Reports to the starter: 0, it serves; or a negative errno and the reason.
 * -EPIPE: the starter has ended. */
int handoff__launch_report(int line, int err, const char *text);

#endif
