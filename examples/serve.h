/* SPDX-License-Identifier: MIT */
/* The life of a peer, which server and alt_server share. */
#ifndef EXAMPLES_SERVE_H
#define EXAMPLES_SERVE_H

#include "options.h"

/* Serves until it is stopped, in the background if the options say so. Returns
 * the exit status; what went wrong was told in one line. */
int serve(struct options *options, const char *program);

#endif
