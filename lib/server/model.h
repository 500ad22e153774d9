/* SPDX-License-Identifier: MIT */
/*
 * A model: who runs the turns of connections, and how one becomes quiet.
 */
#ifndef HANDOFF_SERVER_MODEL_H
#define HANDOFF_SERVER_MODEL_H

#include <stdbool.h>
#include <stdint.h>

struct handoff__member;
struct handoff_server;

/* The operations of a model. */
struct handoff__model_ops {
	const char *name;
	uint32_t flags;       /* for epoll_ctl of every connection */
	bool expendable;      /* a death in a handler ends only its
			       * connection */
	uint32_t connections; /* maximum number of connections; 0: no limit */
	uint32_t spare;       /* further descriptors that each connection needs
			       * while a thread or child has it */
	int (*start)(struct handoff_server *server);
	/* Returns how many handlers still run: nothing can be freed then. */
	uint32_t (*stop)(struct handoff_server *server);
	/* Events for a connection of this peer; 0: continue. */
	void (*event)(struct handoff__member *member, uint32_t events);
	/* See quiesce of the peer. */
	bool (*quiesce)(struct handoff__member *member);

	/* Optional: causes a turn soon, even if a thread or child has the
	 * connection. Without it the member is kicked. */
	void (*look)(struct handoff__member *member);
	/* Optional, for connections that are not in the server's own sets. */
	void (*enter)(struct handoff__member *member);
	void (*leave)(struct handoff__member *member);
	void (*moved)(struct handoff__member *member);
	void (*kick)(struct handoff__member *member);
	/* No turn until `moved`; one turn, then the connection is given back.
	 * For models without `event`. */
	void (*withhold)(struct handoff__member *member);
	void (*recalled_turn)(struct handoff__member *member);
	/* Whether it is in a turn; if not, none begins while the server
	 * holds. */
	bool (*busy)(struct handoff__member *member);
	void (*hold)(struct handoff_server *server, bool hold);
};

extern const struct handoff__model_ops handoff__model_fork;
extern const struct handoff__model_ops handoff__model_iterative;
extern const struct handoff__model_ops handoff__model_loop;
extern const struct handoff__model_ops handoff__model_thread;
extern const struct handoff__model_ops handoff__model_workers;

#endif
