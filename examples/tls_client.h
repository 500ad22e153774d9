/* SPDX-License-Identifier: MIT */
/* TLS for the client of a program: --tls, --ca and so on. */
#ifndef EXAMPLES_TLS_CLIENT_H
#define EXAMPLES_TLS_CLIENT_H

#include <handoff.h>

/* Takes these options out of argv. False: opts->errbuf says what is wrong. */
bool tls_client_read_options(
	struct handoff_client_opts *opts, int *argc, char **argv);

/* Sets `layer` if TLS was asked for. False: opts->errbuf says what is wrong. */
bool tls_client_wrap(struct handoff_client_opts *opts);

/* The --help text of these options. */
const char *tls_client_help(void);

#endif
