/* SPDX-License-Identifier: MIT */
/* What --systemd does: see handoff_systemd(3). Without it `sd` is NULL, and
 * nothing is done. */
#ifndef EXAMPLES_MANAGER_H
#define EXAMPLES_MANAGER_H

#include <handoff.h>

struct handoff_systemd;

/* Was this program built where libsystemd is? */
bool manager_known(void);

/* Looks at what systemd gave, with a sentence in opts->errbuf if that makes no
 * sense. `listens`: its sockets are for the server, and there must be one, or
 * an address in `opts`. */
int manager_open(struct handoff_systemd **sd, struct handoff_server_opts *opts,
	bool listens);

void manager_attach(struct handoff_systemd *sd, struct handoff_server *server);
void manager_event(
	struct handoff_systemd *sd, const struct handoff_server_event *event);

/* After the server. */
void manager_free(struct handoff_systemd *sd);

#endif
