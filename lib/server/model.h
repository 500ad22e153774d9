/* SPDX-License-Identifier: MIT */
/*
 * A model: who gives connections their turns, and how one becomes quiet.
 */
#ifndef HANDOFF_SERVER_MODEL_H
#define HANDOFF_SERVER_MODEL_H

#include <stdbool.h>
#include <stdint.h>

struct handoff__member;
struct handoff_server;

/* How the turns of connections are run. */
struct handoff__model_ops {
	const char *name;
	uint32_t flags;       /* of epoll for every connection */
	bool expendable;      /* a handler's death ends no more than it */
	uint32_t connections; /* accepts no more than that; 0: any number */
	uint32_t spare;       /* descriptors that each connection needs beside
				 its own while somebody has it */
	int (*start)(struct handoff_server *server);
	/* Returns how many handlers still run: nothing can be freed then. */
	uint32_t (*stop)(struct handoff_server *server);
	/* Events for a connection that this peer owns; 0: go on. */
	void (*event)(struct handoff__member *member, uint32_t events);
	/* See quiesce of the peer. */
	bool (*quiesce)(struct handoff__member *member);

	/* Optional. A turn, soon, also if somebody has it: it is kicked
	 * otherwise. */
	void (*look)(struct handoff__member *member);
	/* Optional, for connections that are not in the server's own sets. */
	void (*enter)(struct handoff__member *member);
	void (*leave)(struct handoff__member *member);
	void (*moved)(struct handoff__member *member);
	void (*kick)(struct handoff__member *member);
	/* No turn until `moved`; and one turn, after which it is given back.
	 * For models that have no `event`. */
	void (*withhold)(struct handoff__member *member);
	void (*recalled_turn)(struct handoff__member *member);
	/* Is it in a turn? If not, none begins while the server holds. */
	bool (*busy)(struct handoff__member *member);
	void (*hold)(struct handoff_server *server, bool hold);
};

extern const struct handoff__model_ops handoff__model_fork;
extern const struct handoff__model_ops handoff__model_iterative;
extern const struct handoff__model_ops handoff__model_loop;
extern const struct handoff__model_ops handoff__model_thread;
extern const struct handoff__model_ops handoff__model_workers;

#endif
