/* SPDX-License-Identifier: MIT */
/*
 * Keeps the lease of a host: drives an engine with the state machine, behind
 * one descriptor. It knows nothing of peers or connections: what has to be done
 * about them it says by hooks, which are called from open, dispatch, publish,
 * emptied and release only, never from elsewhere or another thread.
 *
 * One process of a host runs it: the one that owns the service. To hand it to
 * another (a give), close it there, without release, and open it here with what
 * the `store` hook has stored: session, token and validity go on. After a death
 * it is the same without the close. The hook `store` is called before any other
 * hook of the same change, so a survivor never misses a token that was won.
 *
 * A process without a keeper needs only `valid_until_ns` and the TTL: it
 * freezes at the end of validity by a timer of its own.
 */
#ifndef HANDOFF_LEASE_KEEPER_H
#define HANDOFF_LEASE_KEEPER_H

#include "base/text.h"
#include "lease/lease.h"
#include "lease/opening.h"

struct handoff__keeper;

/* All may be NULL. `arg` is that of the options. */
struct handoff__keeper_hooks {
	/* Session, token or TTL have changed (and perhaps validity). Store the
	 * structure as a whole; the session is secret. A validity of 0 means
	 * that nothing may be served by it. */
	void (*store)(void *arg, const struct handoff__lease_saved *saved,
		uint64_t ttl_ns);

	/* Only the validity has moved: every TTL/6, and to 0 before RESET. If
	 * it is in the future, what the other peer has frozen by the one before
	 * is to be thawed: this process knows nothing of that. */
	void (*valid)(void *arg, uint64_t valid_until_ns);

	/* One of WON, DOUBTED, FREEZE, THAW, CERTAIN, RESET, PUBLISHED,
	 * RELEASED. Several changes come in this order, one call each. After
	 * RESET the lease is asked for again only after
	 * handoff__keeper_emptied, which may be called from the hook, at its
	 * end. */
	void (*act)(void *arg, enum handoff__lease_action action);

	/* What the engine has retained, before the lease is asked for the first
	 * time; `len` 0: nothing. Returns the highest token that is in use as
	 * far as is known, 0 for none: the one that is won will be larger. */
	uint32_t (*retained)(void *arg, const void *data, size_t len);

	/* The hosts that take part have changed: handoff__keeper_member. */
	void (*members)(void *arg);
};

/* For an operator. Strings are valid until the next call. */
struct handoff__keeper_view {
	const char *address;
	enum handoff_lease_state state;
	bool frozen, connected;
	uint64_t token;        /* 0: none */
	uint64_t valid_ns;     /* how long it is valid yet */
	uint64_t ttl_ns;       /* in force */
	const char *by;        /* the host that had it last, as told; "" */
	const char *engine;    /* a sentence of the engine; "" */
	const char *error;     /* the last sentence about an error; "" */
	bool published;        /* the engine has the latest notice */
	uint64_t proofs, late; /* sent; answered after DOUBT */
	uint64_t proof_ns;     /* how long the last proof took */
};

/* Opens the engine and starts the machine. The hooks may be called before it
 * returns: a saved token whose validity has ended gets FREEZE here. */
int handoff__keeper_open(struct handoff__keeper **out,
	const struct handoff__keeper_opts *opts, struct handoff__error *error);

/* One descriptor, always the same, readable when dispatch has work. */
int handoff__keeper_fd(const struct handoff__keeper *keeper);

/* Takes what the engine tells and what is due; never blocks. 0 or a negative
 * errno: the engine cannot be asked any more; time goes on counting. */
int handoff__keeper_dispatch(struct handoff__keeper *keeper);

/* RESET was carried out in every process of this host. */
void handoff__keeper_emptied(struct handoff__keeper *keeper);

/* The engine retains this notice for those that ask later, as soon as the lease
 * is certain, unless a newer one or a newer token comes first. PUBLISHED when
 * it has; a refusal is RESET. -EMSGSIZE if it is too long, -ENOLCK if this host
 * does not own the lease. */
int handoff__keeper_publish(
	struct handoff__keeper *keeper, const void *data, size_t len);

/* What this host says of itself from now on. */
void handoff__keeper_describe(struct handoff__keeper *keeper, const char *text);

/* Nothing is served any more, in no process of this host: another host can have
 * the lease at once. RELEASED follows when the engine has confirmed it: wait
 * for it, a little, before close. */
void handoff__keeper_release(struct handoff__keeper *keeper);

/* Lets go of the lease without giving it up. NULL is fine. Not from a hook. In
 * a child (fork(2)) it frees what the child has. */
void handoff__keeper_close(struct handoff__keeper *keeper);

/* Read-only: state, token, validity; see lease.h for the questions. */
const struct handoff__lease *handoff__keeper_lease(
	const struct handoff__keeper *keeper);

/* What `store` was last called with. */
const struct handoff__lease_saved *handoff__keeper_saved(
	const struct handoff__keeper *keeper);

void handoff__keeper_view(
	struct handoff__keeper *keeper, struct handoff__keeper_view *view);

/* Member `i`, from 0: 1, or 0 if there are fewer. */
int handoff__keeper_member(struct handoff__keeper *keeper, size_t i,
	struct handoff_lease_member *member);

/* Whether something may be accepted, published or begun now. */
bool handoff__keeper_may_begin(const struct handoff__keeper *keeper);

/* Whether something may be sent and committed now. */
bool handoff__keeper_valid(const struct handoff__keeper *keeper);

#endif
