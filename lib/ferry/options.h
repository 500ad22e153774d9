/* SPDX-License-Identifier: MIT */
/* The command line of a ferry. */
#ifndef HANDOFF_FERRY_OPTIONS_H
#define HANDOFF_FERRY_OPTIONS_H

#include "ferry/ferry.h"

/* Connections of a batch: twice as many move no faster by much, and their
 * packets wait twice as long. The most is what one message of the link takes.
 */
#define HANDOFF__FERRY_BATCH      64u
#define HANDOFF__FERRY_BATCH_MOST 253u
#define HANDOFF__FERRY_TIMEOUT_MS 30000u

enum handoff__ferry_asked {
	HANDOFF__FERRY_RUN,
	HANDOFF__FERRY_HELP,
	HANDOFF__FERRY_VERSION,
};

/* Reads the command line, whose words the options point into. Returns what it
 * asks for; -EINVAL with a sentence that names the option. */
int handoff__ferry_options_read(struct handoff__ferry_options *options,
	int argc, char **argv, struct handoff__error *error);

/* The text of --help. */
const char *handoff__ferry_options_help(void);

#endif
