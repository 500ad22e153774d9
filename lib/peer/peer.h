/* SPDX-License-Identifier: MIT */
/*
 * A peer: its place in the service directory, the arena, the roster and the
 * link to the other peer. Peers are equal; each entry has one owner, whose
 * slot (1 or 2) stands in the owner word of its record. This layer moves
 * ownership and keeps the standby's copies; it serves nothing.
 *
 * What is found in a turn of the loop, a message that can't be sent, a give
 * that has all its answers, the end of a process, is only noted there. It is
 * acted upon by handoff__peer_after_turn, so that no call from above tears
 * down what it works on.
 *
 *   join.c    places, locks, the handshake
 *   rejoin.c  a link that broke is made anew
 *   peer.c    the handle, what the link brings, what follows from it
 *   mirror.c  the standby's copies
 *   give.c    moving ownership: the side that gives
 *   take.c    the side that takes, and what got lost on the way
 *   home.c    the same for people: maintenance, and what brings service home
 *   survive.c what a dead peer leaves
 *   blame.c   inputs that kill
 *   convert.c states that an older program left
 *   loan.c    what makes a death quick, and certain
 *   pulse.c   whether the other is alive and keeps up
 *   tally.c   what it has done
 *   status.c  what is told about it
 *   last.c    and about the last time that connections changed hands
 */
#ifndef HANDOFF_PEER_PEER_H
#define HANDOFF_PEER_PEER_H

#include "base/dir.h"
#include "base/door.h"
#include "base/kernel.h"
#include "base/loop.h"
#include "peer/link.h"
#include "peer/roster.h"
#include "peer/tally.h"

#include <handoff/service.h>

#include <pthread.h>

#define HANDOFF__PENDING_MAX      4
#define HANDOFF__START_TIMEOUT_US 10000000
#define HANDOFF__HELLO_TIMEOUT_US 5000000
/* An offer is taken within a turn of the other's loop, or that is stopped. */
#define HANDOFF__TAKEN_MS 2000u
#define HANDOFF__LEND_MAX 130 /* two, and two for each of 64 workers */

struct handoff__peer;

/* How a give ended. */
struct handoff__report {
	uint64_t id; /* the generation from it on, the same in both peers; 0:
			nothing has moved */
	enum handoff__cause cause;
	enum handoff__reason reason; /* why it was refused as a whole */
	uint32_t moved;              /* connections */
	uint32_t listeners;
	uint32_t left;
	uint32_t took_us; /* first owner word until the other served */
	uint64_t unread;  /* bytes that moved in the buffers */
	uint64_t unsent;
	uint32_t nrefs; /* of those left, as many as fit */
	struct handoff__ref refs[HANDOFF_FDPASS_MAX];
};

struct handoff__peer_ops {
	/* A copy came, or a new entry of our own: watch it. Negative errno if
	 * that is not possible. */
	int (*entered)(struct handoff__peer *peer, struct handoff__entry *e);
	/* The descriptor is about to be closed: stop watching it. */
	void (*closing)(struct handoff__peer *peer, struct handoff__entry *e);
	/* May the entry move now? If not, handoff__peer_quiet follows. */
	bool (*quiesce)(struct handoff__peer *peer, struct handoff__entry *e);
	/* No new entries, please, until told otherwise. */
	void (*pause)(struct handoff__peer *peer, bool paused);
	/* `e->mine` has changed. */
	void (*moved)(struct handoff__peer *peer, struct handoff__entry *e);
	/* A batch of changes is complete. */
	void (*settle)(struct handoff__peer *peer);
	/* Which peer serves has changed, to this one or away from it: the
	 * other has taken it. */
	void (*role)(struct handoff__peer *peer, enum handoff__cause cause);
	/* This peer begins to give. Optional. */
	void (*giving)(struct handoff__peer *peer);
	/* A give by this peer or to it has ended. */
	void (*given)(struct handoff__peer *peer,
		const struct handoff__report *report);
	/* The other peer came (READY) or went. */
	void (*partner)(struct handoff__peer *peer, bool here);
	/* Shut down and end an entry that is ours and can't go on. */
	void (*discard)(struct handoff__peer *peer, struct handoff__entry *e);
	/* The other peer died owning something; see `survival`. */
	void (*failover)(struct handoff__peer *peer);
	/* `pulse.hung` or `pulse.lagging` has changed; a sentence for people.
	 */
	void (*hung)(struct handoff__peer *peer, const char *text);
	void (*lagging)(struct handoff__peer *peer, const char *text);
	/* There is something new in the bulletin. */
	void (*said)(struct handoff__peer *peer);
	/* A candidate was turned away; a sentence for people. Once for each
	 * cause in a row. */
	void (*refused)(struct handoff__peer *peer, const char *text);
	/* The link broke and the other process lives; a sentence for people.
	 * It is made anew: `partner` tells. */
	void (*apart)(struct handoff__peer *peer, const char *text);
	/* It can't be made anew, and nothing is owned here: the end. */
	void (*expelled)(struct handoff__peer *peer, const char *text);
	/* What this peer has in the service directory is in place, or is
	 * again: see to what the layers above have there. About once a
	 * second. Optional. */
	void (*kept)(struct handoff__peer *peer);
};

/* The last time that anything has changed hands. */
struct handoff__last {
	struct handoff__report report; /* id 0: there was none */
	enum handoff__way way;
	bool death;    /* the other peer died; `left` counts what was closed */
	int64_t at_ms; /* CLOCK_REALTIME */
	char other[HANDOFF_NAME_MAX];
	uint32_t other_pid;
};

/* What the death of the other peer meant. */
struct handoff__survival {
	int64_t started_us;
	uint64_t id; /* the generation from it on */
	uint32_t took_us;
	uint32_t entries;            /* taken over */
	struct handoff__batch taken; /* of them, what is counted apart */
	uint32_t in_turn;            /* of them, found in a turn and checked */
	uint32_t repaired;   /* of those, with positions that were stale */
	uint32_t closed;     /* of them, could not go on */
	uint32_t in_handler; /* of them, with a handler that ran: suspected */
	uint32_t orphans;    /* records whose descriptor was never mirrored */
	bool serving;        /* who serves has changed */
};

enum handoff__partner_state {
	HANDOFF__PARTNER_NONE = 0,
	HANDOFF__PARTNER_GREETED, /* HELLO exchanged */
	HANDOFF__PARTNER_READY,   /* it can serve */
	HANDOFF__PARTNER_APART,   /* link closed, process not yet gone: it is
				     about to be, or the link broke */
};

enum handoff__give_step {
	HANDOFF__GIVE_NONE = 0,
	HANDOFF__GIVE_COVER, /* waits for answers to what was mirrored */
	HANDOFF__GIVE_CLOSE, /* the same, with no new entries coming */
	HANDOFF__GIVE_DRAIN, /* offered; handlers, READY to come */
};

struct handoff__give {
	enum handoff__give_step step;
	enum handoff__cause cause;
	uint32_t probe; /* batch that shows that the other responds; 0: done */
	bool ready;     /* the other has taken what it was offered */
	uint32_t away_before; /* what the board said, if it is all revoked */
	uint32_t waiting;     /* COVER, CLOSE: unanswered; DRAIN: handlers */
	int64_t started_us;
	unsigned rounds; /* of waiting for answers */
	bool asked; /* nothing moved at once: it takes as long as the answers */
	int64_t strays_us; /* when entries have followed one by one, 0: none */
	struct handoff__report report;
};

/* How long a move may still take, in either direction. */
struct handoff__move {
	struct handoff__timer deadline;
	bool late; /* it is over */
};

/* Is the other peer alive, does it keep up? */
struct handoff__pulse {
	struct handoff__timer timer;
	int64_t heard_us; /* of the other's last message */
	int64_t beat_us;  /* of our own last beat */
	bool due;         /* a beat */
	bool hung;
	bool lagging;
	bool behind;   /* as of the last beat */
	bool progress; /* a copy was confirmed since */
	bool differs;  /* the other's last beat disagreed with this peer */
	uint32_t retry, refused; /* copies tried again at a beat */
};

/* What this peer has in the service directory, and whether it is still what
 * the names there say. */
struct handoff__upkeep {
	struct handoff__timer timer;
	char *path; /* of the directory: absolute, no links; NULL: unknown */
	struct handoff__inode root; /* that the path is of (chroot(2)) */
	struct handoff__inode link; /* the socket of this peer */
	bool shared;                /* the lock on the directory is held */
	bool lost;                  /* something is not in place: told */
};

struct handoff__candidate {
	int fd; /* -1: not in use */
	struct handoff__peer *peer;
	struct handoff__watch watch;
	struct handoff__timer timer;
	bool greeted;
	int passed; /* the pidfd that came with its HELLO, or -1 */
	struct handoff__hello hello;
};

/* A link that broke is dialled again, by one of the two peers. */
struct handoff__rejoin {
	struct handoff__candidate dial;
	struct handoff__timer timer;
	int64_t since_us; /* the break */
	unsigned tries;
	bool told;
	bool again; /* the partner of now came back over a new link */
};

struct handoff__peer_config {
	const char *dir;
	const char *name;
	const struct handoff_service *service;
	uint32_t give_timeout_ms;
	uint32_t hang_timeout_ms; /* of silence */
	bool fence;               /* kill a peer that hangs */
	uint32_t
		user; /* that may join too, beside root and this one; 0: none */
	size_t cell_size;
	uint32_t own_fds; /* that the layer above needs for an entry of its own,
			     beside the copy */
	const int *lend;  /* epoll sets that the other peer keeps open */
	size_t nlend;
	int life; /* a pipe whose other end each process has that may touch
		     what is owned; 0: it is this one alone */
	uint64_t config_hash; /* of the user's configuration, 0: none */
	bool config_strict;   /* another one is refused, not only told of */
	bool may_own;         /* becomes the owner where there is none */
	bool streamless;      /* records tell nothing of bytes that pass */
	const char *model;    /* that serves, and by how many; for the status */
	uint32_t workers;
	bool trace; /* logs each connection that comes, moves or goes */
};

struct handoff__peer {
	struct handoff__peer_config config;
	char name[HANDOFF_NAME_MAX];
	struct handoff__dir dir;
	struct handoff__loop *loop;
	const struct handoff__log *log;
	const struct handoff__peer_ops *ops;
	void *arg;
	int slot;       /* 1 or 2 */
	uint32_t lacks; /* what of the kernel, bits 1 << enum handoff__lack */
	uint64_t instance; /* random, of this peer since it was opened */
	int lock_fd, start_fd, listen_fd;
	struct handoff__door door; /* at listen_fd */
	struct handoff__candidate pending[HANDOFF__PENDING_MAX];

	struct handoff__geometry geo;
	struct handoff__arena arena;
	struct handoff__roster roster;
	uint32_t segments_sent;
	bool grown; /* a segment was added: it is sent before what lies in it */

	bool serving; /* this peer owns the listeners */
	struct handoff__link link;
	enum handoff__partner_state partner;
	struct handoff__hello other;
	char cut_why[192];  /* what broke the link, if that is known */
	bool other_leaving; /* it stops, or has: it takes nothing */
	bool other_left;    /* it said BYE: it touches nothing any more */
	bool leaving;       /* this one */
	bool left;          /* has retired: nothing is taken any more */
	bool noted;         /* there may be something for after_turn; also to
			       be set by a caller that dispatched the loop */
	bool ended;         /* a process may be gone */
	bool unfenced;      /* it could not be killed */
	struct handoff__rejoin rejoin;
	int pidfd; /* of the other process, -1 once it is gone */
	int life;  /* the other's, -1 once its children are gone too */
	struct handoff__watch pidfd_watch, life_watch;

	uint32_t mirror_max; /* descriptors a message, adapts */
	uint32_t batch;      /* of the last MIRROR sent */
	struct handoff__move move;
	struct handoff__give give;
	bool taking;    /* we sent TAKE and wait for GAVE */
	bool receiving; /* the other gives, and has not said GAVE */
	struct handoff__report incoming; /* of what it gives, as far as that is
					    seen from here */
	struct handoff__tally tally;
	struct handoff__last last;
	struct handoff__survival survival;
	struct handoff__pulse pulse;
	struct handoff__upkeep upkeep;
	int borrowed[HANDOFF__LEND_MAX]; /* the other's epoll sets */
	size_t nborrowed;
	pthread_t closer; /* closes them */
	bool closing;
	char refusal[HANDOFF_TEXT_MAX]; /* of the last candidate */
	unsigned refusals;              /* with that text in a row */
	struct handoff__error error;
};

static inline uint32_t
handoff__peer_other_slot(const struct handoff__peer *peer)
{
	return 3u - (uint32_t)peer->slot;
}

/* Is a handoff under way, in either direction? */
static inline bool
handoff__peer_moving(const struct handoff__peer *peer)
{
	return peer->give.step != HANDOFF__GIVE_NONE || peer->taking ||
	       peer->receiving;
}

/* Opens: directory, place, link, handshake. `loop`, `log` and `ops` must
 * outlive the peer. Blocks up to 10 s. The directory stays locked for others
 * that start until handoff__peer_started. */
int handoff__peer_open(struct handoff__peer *peer,
	const struct handoff__peer_config *config, struct handoff__loop *loop,
	const struct handoff__log *log, const struct handoff__peer_ops *ops,
	void *arg);

/* Closes everything. `quiet`: nothing in this process touches what it owned any
 * more; it says BYE, and the other peer takes that at once. */
void handoff__peer_close(struct handoff__peer *peer, bool quiet);

/* This peer becomes the owner of a service that has none: makes the arena. */
int handoff__peer_own(struct handoff__peer *peer, uint64_t generation);

/* Others may start now, and the other peer, if any, is told READY. */
void handoff__peer_started(struct handoff__peer *peer);

uint64_t handoff__peer_generation(struct handoff__peer *peer);
/* True while a maintenance lasts: service is away from home. */
bool handoff__peer_away(struct handoff__peer *peer);

/* Enters a new entry that this peer owns; takes the descriptor over, in any
 * case. NULL with `*err` set if there is no room. */
struct handoff__entry *handoff__peer_enter(struct handoff__peer *peer, int fd,
	enum handoff__kind kind, const char *name, int *err);

/* Ends an entry that this peer owns: closes it and has the copy dropped. The
 * caller has shut it down. */
void handoff__peer_end(
	struct handoff__peer *peer, struct handoff__entry *entry);

/* Acts upon what was noted and sends what is due to the standby; once a turn
 * of the loop, at its end. True if there was anything. */
bool handoff__peer_after_turn(struct handoff__peer *peer);

/* This peer is about to stop: the other gives it nothing any more, and what is
 * removed from the service directory stays removed. */
void handoff__peer_leave(struct handoff__peer *peer);

/* The orderly end, before the handle is closed: nothing is taken any more. What
 * is still owned passes to the other peer when the handle is closed (BYE) or
 * the process is gone. */
void handoff__peer_retire(struct handoff__peer *peer);

/* A stop that is in a hurry: a give under way ends now. */
void handoff__peer_hurry(struct handoff__peer *peer);

/* Begins to give what this peer owns (HOME: listeners and extra descriptors
 * only). -ENOTCONN, -EBUSY, -EPERM with a sentence in `error`. */
int handoff__peer_give(struct handoff__peer *peer, enum handoff__cause cause);

/* Asks the other peer, which serves, for entries. Errors as above. */
int handoff__peer_take(struct handoff__peer *peer, enum handoff__cause cause);

/* Notes on the board which peer service is away from, as of now. */
void handoff__peer_set_home(
	struct handoff__board *board, const char *name, uint64_t instance);

/* What `away` of the board says. */
enum handoff__away {
	HANDOFF__AWAY_NOT = 0,
	HANDOFF__AWAY_MAINTENANCE = 1,
	HANDOFF__AWAY_FAILOVER = 2,
};

/* Is the other peer, or this one, that which service is away from? */
bool handoff__peer_is_home(struct handoff__peer *peer);
bool handoff__peer_at_home(struct handoff__peer *peer);

/* Would a maintenance repeat the one that is under way? True with a sentence
 * that says so. `name`: of the peer that is meant, or "". Negative errno with a
 * sentence in `error` if no such peer is here. */
int handoff__peer_repeats(
	struct handoff__peer *peer, const char *name, char *text, size_t size);

/* "maintenance under way since 2026-01-31 12:00:00: alt serves in place of
 * server", or "failed over since ..."; "" if service is at home. */
void handoff__peer_away_text(
	struct handoff__peer *peer, char *text, size_t size);

/* Brings the service home to this standby; `silent`: all of it at once. Errors
 * as above, -EALREADY if it serves already. */
int handoff__peer_home(struct handoff__peer *peer, bool silent);

/* The entry's handler has returned (see quiesce). */
void handoff__peer_quiet(
	struct handoff__peer *peer, struct handoff__entry *entry);

/* Tells the other peer that there is something new in the bulletin. */
void handoff__peer_say(struct handoff__peer *peer);

/* Whoever had the entry died, perhaps in a turn, when positions are hints:
 * asks the kernel. NULL, or why it can't go on; "" if the client is gone. */
const char *handoff__entry_repair(
	struct handoff__entry *entry, struct handoff__survival *survival);

/* The same death, and whether it came in the handler: counts that. NULL, or why
 * nobody may run that handler again. */
const char *handoff__entry_blame(
	struct handoff__entry *entry, struct handoff__survival *survival);

/* Has the handler of this connection killed as often as is allowed? */
bool handoff__entry_poisoned(const struct handoff__entry *entry);

/* Is it a connection of this peer's that may have killed another process, and
 * whose handler has not returned since? */
bool handoff__entry_suspected(const struct handoff__entry *entry);
uint32_t handoff__peer_suspects(struct handoff__peer *peer);

/* In a child of this process: closes all descriptors of the peer but that of
 * `keep`. The other peer must not take the child for this process. */
void handoff__peer_forked(
	struct handoff__peer *peer, const struct handoff__entry *keep);

/* The same for up to HANDOFF_FDPASS_MAX entries, in one message. */
void handoff__peer_quiet_all(struct handoff__peer *peer,
	struct handoff__entry **list, uint32_t count);

/* "alt (pid 12)"; for sentences. */
const char *handoff__peer_partner_text(
	const struct handoff__peer *peer, char text[64]);

/* Among the files of the peer; not for the layer above. */
extern const struct handoff__link_ops handoff__dispatch_ops;
int handoff__join(struct handoff__peer *peer);
bool handoff__candidates_answer(struct handoff__peer *peer);
void handoff__join_leave(struct handoff__peer *peer);
void handoff__candidates_deafen(struct handoff__peer *peer);
int handoff__places_sign(struct handoff__peer *peer, int lock_fd);
int handoff__candidates_listen(struct handoff__peer *peer);
const char *handoff__places_lock_name(uint32_t slot);
int handoff__places_enter(struct handoff__peer *peer);
void handoff__places_leave(struct handoff__peer *peer);
void handoff__places_pause(void);
void handoff__candidates_init(struct handoff__peer *peer);
const char *handoff__places_link_name(uint32_t slot);
void handoff__places_holder(
	struct handoff__peer *peer, int slot, char text[64]);
void handoff__candidate_close(struct handoff__candidate *c);
/* Can the two be peers? */
enum handoff__reason handoff__hello_judge(
	const struct handoff__peer *peer, const struct handoff__hello *hello);
void handoff__hello_explain(const struct handoff__peer *peer,
	const struct handoff__hello *hello, enum handoff__reason reason,
	char *text, size_t size);
int handoff__hello_say(int fd, const struct handoff__hello *hello);
void handoff__hello_refused(struct handoff__peer *peer, const char *why);
bool handoff__partner_again(
	const struct handoff__peer *peer, const struct handoff__hello *hello);
/* Does the other process live, with all that it had, while its link is closed
 * or has only just been made anew? */
bool handoff__peer_rejoining(const struct handoff__peer *peer);
void handoff__rejoin_init(struct handoff__peer *peer);
void handoff__rejoin_begin(struct handoff__peer *peer);
void handoff__rejoin_end(struct handoff__peer *peer);

void handoff__upkeep_init(struct handoff__peer *peer);
void handoff__upkeep_start(struct handoff__peer *peer);
void handoff__upkeep_stop(struct handoff__peer *peer);
void handoff__upkeep_fini(struct handoff__peer *peer);

/* Takes the link over, and `passed`, the pidfd that came with HELLO, or -1. */
int handoff__adopt_link(struct handoff__peer *peer, int fd, int passed,
	const struct handoff__hello *hello);
/* Notes that the link can't go on, and why. */
void handoff__core_break(struct handoff__peer *peer, const char *why);
bool handoff__partner_drifted(
	const struct handoff__peer *peer, const struct handoff__hello *hello);
void handoff__hello_make(
	const struct handoff__peer *peer, struct handoff__hello *hello);

void handoff__mirror_all(struct handoff__peer *peer);
void handoff__mirror_segments(struct handoff__peer *peer);
void handoff__mirror_pump(struct handoff__peer *peer);
void handoff__mirror_forget(struct handoff__peer *peer);
void handoff__mirror_retry(struct handoff__peer *peer, uint32_t most);
void handoff__copies_arrived(struct handoff__peer *peer,
	const struct handoff__msg *msg, const int *fds, size_t nfds);
void handoff__mirror_lost(
	struct handoff__peer *peer, const struct handoff__msg *msg);
void handoff__copies_overflow(
	struct handoff__peer *peer, const struct handoff__msg *msg);
void handoff__copies_on_segment(
	struct handoff__peer *peer, const struct handoff__msg *msg, int fd);
/* Its descriptor found no room in the table. */
void handoff__copies_lost_segment(
	struct handoff__peer *peer, const struct handoff__msg *msg);
void handoff__copies_sweep(struct handoff__peer *peer);
void handoff__mirror_answered(
	struct handoff__peer *peer, const struct handoff__msg *msg);
void handoff__copies_dropped(
	struct handoff__peer *peer, const struct handoff__msg *msg);

void handoff__barrier_await(struct handoff__peer *peer);
void handoff__barrier_lift(struct handoff__peer *peer);
void handoff__barrier_answered(
	struct handoff__peer *peer, struct handoff__entry *entry);
void handoff__barrier_probed(struct handoff__peer *peer, uint32_t batch);
void handoff__barrier_ended(
	struct handoff__peer *peer, bool barrier, bool leaving);
void handoff__moves_on_take(
	struct handoff__peer *peer, const struct handoff__msg *msg);
void handoff__give_begin(struct handoff__peer *peer, enum handoff__cause cause);
void handoff__give_probe(struct handoff__peer *peer);
bool handoff__offer_entry(struct handoff__peer *peer, struct handoff__entry *e,
	struct handoff__batch *batch);
void handoff__offer_ref(
	const struct handoff__entry *e, uint32_t arg, struct handoff__ref *ref);
void handoff__offer_all(
	struct handoff__peer *peer, struct handoff__batch *batch);
void handoff__offer_revoke(
	struct handoff__peer *peer, struct handoff__batch *back);
void handoff__offer_ring(struct handoff__peer *peer, struct handoff__msg *msg);
void handoff__offer_took_until(struct handoff__give *give, int64_t us);
void handoff__offer_service(struct handoff__peer *peer);
bool handoff__offer_revoke_service(struct handoff__peer *peer);
void handoff__offer_leave_waiting(
	struct handoff__peer *peer, enum handoff__reason reason);
enum handoff__reason handoff__offer_objection(struct handoff__peer *peer);
void handoff__give_on_ready(
	struct handoff__peer *peer, const struct handoff__msg *msg);
void handoff__give_broken(struct handoff__peer *peer);
void handoff__quiet_strays(struct handoff__peer *peer, int64_t now);
/* True if it went a step further. */
bool handoff__give_proceed(struct handoff__peer *peer);
int handoff__partner_check(struct handoff__peer *peer, bool give);

void handoff__take_on_move(
	struct handoff__peer *peer, const struct handoff__msg *msg);
void handoff__take_on_gave(
	struct handoff__peer *peer, const struct handoff__msg *msg);
void handoff__take_broken(struct handoff__peer *peer);
bool handoff__take_proceed(struct handoff__peer *peer);
void handoff__take_begin(struct handoff__peer *peer, enum handoff__cause cause);
void handoff__take_all(struct handoff__peer *peer, enum handoff__cause cause,
	uint64_t id, struct handoff__batch *batch);
void handoff__reconcile(struct handoff__peer *peer);

void handoff__survive(struct handoff__peer *peer);
/* If nothing but the arena has come to this peer: as if it never had. */
bool handoff__forget_service(struct handoff__peer *peer);

/* A record of this peer's own, whose id is still to be set. */
int handoff__core_alloc(
	struct handoff__peer *peer, uint32_t *segment, uint32_t *slot);
/* Is the other peer of an older version, so that it cannot take our states? */
bool handoff__partner_older(const struct handoff__peer *peer);
/* The entry, whose owner word is ours already but which is not yet `mine`,
 * with a state of our version: itself, or another in its place. NULL if that
 * can't be; it is closed then. */
struct handoff__entry *handoff__peer_convert(
	struct handoff__peer *peer, struct handoff__entry *e);
void handoff__tally_begun(
	struct handoff__peer *peer, const struct handoff__entry *e);
void handoff__tally_ended(
	struct handoff__peer *peer, const struct handoff__entry *e);
void handoff__tally_moved(struct handoff__peer *peer, enum handoff__way way,
	const struct handoff__batch *batch, struct handoff__report *report);
/* What was given has come back. */
void handoff__tally_unmoved(struct handoff__peer *peer,
	const struct handoff__batch *batch, struct handoff__report *report);
void handoff__tally_inherited(
	struct handoff__peer *peer, const struct handoff__batch *batch);
void handoff__tally_trace(struct handoff__peer *peer,
	const struct handoff__entry *e, const char *what, uint64_t id,
	const struct handoff__load *load);
void handoff__tally_left(
	struct handoff__peer *peer, enum handoff__reason reason);
void handoff__tally_handoff(struct handoff__peer *peer, enum handoff__way way,
	const struct handoff__report *report);
void handoff__tally_failover(struct handoff__peer *peer);

/* Bytes that have passed through this peer, as of now. */
void handoff__tally_passed(
	struct handoff__peer *peer, struct handoff__load *all);

void handoff__core_init(struct handoff__peer *peer);
/* Sets `move.late` when so much time is over. */
void handoff__core_set_deadline(struct handoff__peer *peer, int64_t ms);
void handoff__core_process_ended(struct handoff__peer *peer);
void handoff__death_init(struct handoff__peer *peer);
/* Watches the process that the socket ends in. `passed` is taken over, `*pid`
 * as for handoff__process_of. */
int handoff__death_watch(
	struct handoff__peer *peer, int fd, int passed, pid_t *pid);
void handoff__death_watch_children(struct handoff__peer *peer, int fd);
void handoff__death_forget_process(struct handoff__peer *peer);
void handoff__death_forget_children(struct handoff__peer *peer);
bool handoff__death_certain(const struct handoff__peer *peer);

void handoff__loan_give(struct handoff__peer *peer);
void handoff__loan_keep(struct handoff__peer *peer, int fd);
void handoff__loan_return(struct handoff__peer *peer);
void handoff__loan_fini(struct handoff__peer *peer);

void handoff__fence_check(struct handoff__peer *peer);
void handoff__fence_kill(struct handoff__peer *peer);
void handoff__pulse_start(struct handoff__peer *peer);
/* True if the two disagree for the second time in a row. */
bool handoff__pulse_on_beat(
	struct handoff__peer *peer, const struct handoff__msg *msg);
void handoff__pulse_begin(struct handoff__peer *peer, int64_t now);
void handoff__pulse_send(struct handoff__peer *peer);
uint32_t handoff__pulse_retries(struct handoff__peer *peer);
/* Judges the other, and arms the timer for the next beat. */
void handoff__pulse_end(struct handoff__peer *peer, int64_t now);
void handoff__beat(struct handoff__peer *peer);
void handoff__pulse_stop(struct handoff__peer *peer);

#endif
