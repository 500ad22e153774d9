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

/*
 * The operations of a model. All have `name`, `start`, `stop` and `quiesce`.
 * One whose connections are in the server's own sets also has `event`; one
 * whose connections are in the sets of workers has, instead of it, `enter`,
 * `leave`, `moved`, `kick`, `busy`, `hold`, `withhold`, `timed` and
 * `recalled_turn`, all of them. `enter` tells the two apart. All are called in
 * the loop's thread.
 */
struct handoff__model_ops {
	const char *name; /* as in --model, and in the status */
	/* For epoll_ctl of every connection: EPOLLONESHOT if a thread or a
	 * child may have it. */
	uint32_t flags;
	/* A death in a handler ends only its connection, so that suspects are
	 * tried without a standby, too (suspects.c). */
	bool expendable;
	/* Maximum number of connections, instead of the option; 0: the
	 * option. */
	uint32_t connections;
	/* Further descriptors that each connection needs while a thread or
	 * child has it; spare.c holds them, and the peer counts them. */
	uint32_t spare;

	/* Called once by the open of a server, before the peer is opened. A
	 * negative errno fails it. */
	int (*start)(struct handoff_server *server);
	/* Called by the free of a server, also after a failed start. Returns
	 * how many handlers still run: nothing can be freed then. */
	uint32_t (*stop)(struct handoff_server *server);
	/* Whether the connection may move now: no turn of it is in progress.
	 * If not, it is recalled, and handoff__pair_quiet follows when it is
	 * back: `quiesce` of struct handoff__pair_ops. */
	bool (*quiesce)(struct handoff__member *member);

	/* In the server's sets: events of a connection of this peer that no
	 * thread or child has; 0: continue with what is there. */
	void (*event)(struct handoff__member *member, uint32_t events);
	/* Optional: causes a turn soon, even if a thread or child has the
	 * connection. Without it the member is kicked. */
	void (*look)(struct handoff__member *member);

	/* In the sets of workers: a new connection, which is about to be added
	 * to a set. Assigns the worker, and thus the sets. */
	void (*enter)(struct handoff__member *member);
	/* It ends, or could not be added. */
	void (*leave)(struct handoff__member *member);
	/* `entry.mine` has changed, or it is no longer withheld: serve it if it
	 * is this peer's. */
	void (*moved)(struct handoff__member *member);
	/* A turn without an event. */
	void (*kick)(struct handoff__member *member);
	/* No turn until `moved` or `recalled_turn`. */
	void (*withhold)(struct handoff__member *member);
	/* One turn, then the connection is given back. */
	void (*recalled_turn)(struct handoff__member *member);
	/* Whether it is in a turn, or with the server after one; if not, none
	 * begins while the server holds. */
	bool (*busy)(struct handoff__member *member);
	/* Its worker watches its deadline, if it has one and is not in a turn.
	 * -ENOMEM. */
	int (*timed)(struct handoff__member *member);
	/* Workers begin no turn, until the same with false. */
	void (*hold)(struct handoff_server *server, bool hold);
};

extern const struct handoff__model_ops handoff__model_fork;
extern const struct handoff__model_ops handoff__model_iterative;
extern const struct handoff__model_ops handoff__model_loop;
extern const struct handoff__model_ops handoff__model_thread;
extern const struct handoff__model_ops handoff__model_workers;

#endif
