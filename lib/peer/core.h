/* SPDX-License-Identifier: MIT */
/*
 * What all files of the peer share: the structure, in which each state machine
 * has its own part, and notes of work to be done after the iteration. Knows
 * none of the state machines.
 */
#ifndef HANDOFF_PEER_CORE_H
#define HANDOFF_PEER_CORE_H

#include "base/deadman.h"
#include "base/dir.h"
#include "base/door.h"
#include "base/kernel.h"
#include "base/loop.h"
#include "lease/lease.h"
#include "peer/link.h"
#include "peer/roster.h"
#include "peer/tally.h"

#include <handoff/service.h>

#include <pthread.h>

#define HANDOFF__PENDING_MAX 4
#define HANDOFF__LEND_MAX    130 /* two, and two for each of 64 workers */

struct handoff__pair;

/* The outcome of a give. */
struct handoff__report {
	uint64_t id; /* the generation it leads to, the same in both peers; 0:
		      * nothing moved */
	enum handoff__cause cause;
	enum handoff__reason reason; /* why the whole give was refused */
	uint32_t moved;              /* connections */
	uint32_t listeners;
	uint32_t left;
	uint32_t took_us; /* from the first owner word until the other peer
			   * served */
	uint64_t unread;  /* bytes that moved in buffers */
	uint64_t unsent;
	uint32_t left_by[HANDOFF__REASONS]; /* 0: unknown */
	uint32_t nrefs; /* of the entries left, as many as fit */
	struct handoff__ref refs[HANDOFF_FDPASS_MAX];
};

struct handoff__pair_ops {
	/* A copy has arrived, or this peer has a new entry: watch it. Negative
	 * errno if that is impossible. */
	int (*entered)(
		struct handoff__pair *pair, struct handoff__roster_entry *e);
	/* The descriptor is about to be closed: stop watching it. */
	void (*closing)(
		struct handoff__pair *pair, struct handoff__roster_entry *e);
	/* May the entry move now? If not, handoff__pair_quiet follows later. */
	bool (*quiesce)(
		struct handoff__pair *pair, struct handoff__roster_entry *e);
	/* The entry was quiet and waited for others to move with it, which they
	 * do not, yet or at all: serve it again. Optional, if entries are quiet
	 * at once. */
	void (*resume)(
		struct handoff__pair *pair, struct handoff__roster_entry *e);
	/* Stop, or resume, creating new entries. */
	void (*pause)(struct handoff__pair *pair, bool paused);
	/* `e->mine` has changed. */
	void (*moved)(
		struct handoff__pair *pair, struct handoff__roster_entry *e);
	/* A batch of changes is complete. */
	void (*settle)(struct handoff__pair *pair);
	/* The service's owner has changed, to this peer or to the other one,
	 * which has accepted it. */
	void (*role)(struct handoff__pair *pair, enum handoff__cause cause);
	/* This peer begins to give. Optional. */
	void (*giving)(struct handoff__pair *pair);
	/* A give by this peer or to it has ended. */
	void (*given)(struct handoff__pair *pair, enum handoff__way way,
		const struct handoff__report *report);
	/* The arena is about to be unmapped; another may follow. Optional. */
	void (*unmapping)(struct handoff__pair *pair);
	/* The other peer came (READY) or went. */
	void (*partner)(struct handoff__pair *pair, bool here);
	/* Shut down and end an entry of this peer that cannot continue. */
	void (*discard)(
		struct handoff__pair *pair, struct handoff__roster_entry *e);
	/* A connection of the dead peer has ended: there is no descriptor of it
	 * here. Its record is freed next. Optional. */
	void (*orphan)(
		struct handoff__pair *pair, const struct handoff__view *view);
	/* The other peer died owning something; see `survival`. */
	void (*failover)(struct handoff__pair *pair);
	/* `pulse.hung` or `pulse.lagging` has changed; `text` is a sentence. */
	void (*hung)(struct handoff__pair *pair, const char *text);
	void (*lagging)(struct handoff__pair *pair, const char *text);
	/* There are new posts. */
	void (*said)(struct handoff__pair *pair);
	/* A candidate was refused; `text` is a sentence. Called once for
	 * consecutive refusals with the same cause. */
	void (*refused)(struct handoff__pair *pair, enum handoff__reason reason,
		const char *text);
	/* The link broke and the other process lives; `text` is a sentence.
	 * `partner` reports the new link. */
	void (*apart)(struct handoff__pair *pair, const char *text);
	/* The link cannot be renewed, and this peer owns nothing: it must
	 * end. */
	void (*expelled)(struct handoff__pair *pair, const char *text);
	/* The lease: WON, the service begins; RESET, it ends, and what this
	 * peer owns has to; DOUBTED and CERTAIN. It is told of others, too.
	 * Optional. */
	void (*leased)(
		struct handoff__pair *pair, enum handoff__lease_action action);
	/* What the engine has kept for other hosts: the highest token there.
	 * Optional. */
	uint32_t (*retained)(
		struct handoff__pair *pair, const void *data, size_t len);
	/* This peer's files in the service directory are in place, or are
	 * again: check those of the layers above. About once a second.
	 * Optional. */
	void (*kept)(struct handoff__pair *pair);

	/* The rest is for carriers (carrier.h), and optional. */

	/* The service is known, from a peer that joins, which has no answer
	 * yet: with handoff__pair_own now, it is the standby of this peer;
	 * otherwise it owns the service. */
	void (*known)(struct handoff__pair *pair);
	/* The other peer has accepted what it will of the last
	 * handoff__pair_offer_list. */
	void (*accepted)(struct handoff__pair *pair);
	/* The answer to handoff__pair_room: 0, or a negative errno. */
	void (*room)(struct handoff__pair *pair, int err);
	/* The other peer asks for the service. OK: give it; or the reason not
	 * to. Without the callback it is given. */
	enum handoff__reason (*asked)(
		struct handoff__pair *pair, enum handoff__cause cause);
	/* A server wants this peer's place. True: it will be left soon, by
	 * handoff__pair_close after this iteration. False, or no callback: the
	 * server is refused. */
	bool (*yield)(struct handoff__pair *pair);
};

/* What a carrier knows of the service. */
struct handoff__identity {
	char service[HANDOFF_NAME_MAX];
	uint32_t state_size, state_version;
	uint32_t input_size, output_size, pass_size, post_size; /* 0: default */
	uint32_t shared_size, shared_version;
	uint64_t config_hash;
	bool grows; /* a new connection uses none of its state */
};

/* The last handoff or failover. */
struct handoff__last {
	struct handoff__report report; /* id 0: there was none */
	enum handoff__way way;
	bool death;    /* the other peer died; `left` counts closed entries */
	int64_t at_ms; /* CLOCK_REALTIME */
	char other[HANDOFF_NAME_MAX];
	uint32_t other_pid;
};

/* The outcome of the other peer's death. */
struct handoff__survival {
	bool bye; /* it had announced its end */
	int64_t started_us;
	uint64_t id; /* the generation it leads to */
	uint32_t took_us;
	uint32_t entries;            /* taken over */
	struct handoff__moved taken; /* connections and listeners among them */
	uint32_t in_turn;            /* of them, found in a turn and checked */
	uint32_t repaired;           /* of those, with stale positions */
	uint32_t closed;             /* of them, could not continue */
	uint32_t in_handler; /* of them, with a running handler: suspects */
	uint32_t orphans;    /* records whose descriptor was never mirrored */
	uint32_t away;       /* entries that are another host's */
	uint32_t in_doubt;   /* that wait for the next carrier */
	uint32_t finished;   /* commits of several records, of which some were
			      * not flipped yet */
	bool serving;        /* the service's owner has changed */
};

enum handoff__partner_state {
	HANDOFF__PARTNER_NONE = 0,
	HANDOFF__PARTNER_GREETED, /* HELLO exchanged */
	HANDOFF__PARTNER_READY,   /* it can serve */
	HANDOFF__PARTNER_APART,   /* the link is closed and the process has not
				   * ended: it is about to, or only the link
				   * broke */
};

enum handoff__give_step {
	HANDOFF__GIVE_NONE = 0,
	HANDOFF__GIVE_LOAD,   /* waits until the other peer can serve */
	HANDOFF__GIVE_COVER,  /* waits for the answers to all MIRRORs */
	HANDOFF__GIVE_CLOSE,  /* the same, without new entries */
	HANDOFF__GIVE_QUIET,  /* nothing is offered: waits until something is
			       * quiet, or with `whole` everything */
	HANDOFF__GIVE_DRAIN,  /* offered; waits for handlers and READY */
	HANDOFF__GIVE_ACCEPT, /* waits until what has followed is accepted;
			       * nothing more is offered */
};

struct handoff__give {
	enum handoff__give_step step;
	enum handoff__cause cause;
	uint32_t ping; /* batch that probes the other peer; 0: answered */
	bool ready;    /* the other peer has accepted the offer */
	bool whole;    /* everything moves, or nothing */
	bool paused;   /* no new entries are created */
	uint32_t away_before; /* the board's `away` before the offer, for a
			       * revocation */
	uint32_t waiting;     /* COVER, CLOSE: unanswered MIRRORs; QUIET, DRAIN:
			       * handlers */
	int64_t started_us;
	unsigned rounds;   /* of waiting for answers */
	bool recheck;      /* a copy of a waiting entry was answered */
	bool none_at_once; /* nothing could be offered at once, so took_us
			    * includes waiting for handlers */
	/* Entries that were offered one by one, after the rest. */
	bool follows;   /* whether all of them were accepted is not known yet */
	bool more;      /* others were offered since `asked` was sent */
	bool untaken;   /* some came back from a silent peer: they are offered
			 * again once it answers */
	uint32_t asked; /* batch of a MIRROR that was sent after them; 0:
			 * answered; UINT32_MAX: the link broke */
	int64_t followed_us; /* when the oldest of them was offered, 0: all are
			      * known to be accepted or revoked */
	int64_t again_us;    /* not before this time, */
	unsigned backs;      /* after so many times in a row */
	struct handoff__report report;
};

/* A stop that is requested twice grants a move in progress this many more
 * milliseconds. */
#define HANDOFF__HURRY_MS 500

/* The time limit of a move, in either direction. */
struct handoff__move {
	struct handoff__timer deadline;
	int64_t began_us;
	bool late;    /* the deadline has passed */
	bool hurried; /* a stop is in a hurry */
};

/* Whether the other peer is alive and keeps up. */
struct handoff__pulse {
	struct handoff__timer timer;
	int64_t received_us; /* time of the other peer's last message */
	int64_t beat_us;     /* time of our last beat */
	bool due;            /* a beat is due */
	bool hung;
	bool lagging;
	bool behind;   /* as of the last beat */
	bool progress; /* a copy was confirmed since */
	bool differs;  /* the other peer's last beat disagreed with this peer */
	uint32_t retry;   /* refused copies to retry at the next beat */
	uint32_t refused; /* how many there were at the last one */
};

/* This peer's files in the service directory, and whether the names there still
 * refer to them. */
struct handoff__upkeep {
	struct handoff__timer timer;
	char *path; /* of the directory: absolute, no links; NULL: unknown */
	struct handoff__inode root; /* root directory that the path belongs to
				     * (chroot(2)) */
	struct handoff__inode link; /* this peer's socket file */
	bool shared;                /* the directory's shared lock is held */
	bool lost;                  /* a file is missing, and that was logged */
};

struct handoff__keeper;

/* The lease, see guard.c. */
struct handoff__guard {
	struct handoff__keeper *keeper; /* of the peer that owns the board */
	struct handoff__watch watch, timer_watch;
	int timerfd;
	uint64_t due_ns; /* its setting; 0: none */
	struct handoff__timer again;
	struct handoff__deadman deadman;
	bool mortal;           /* it could not be set, and that was logged */
	bool frozen;           /* everything stands still, */
	uint32_t exposed;      /* but for these, which could not be frozen */
	uint64_t frozen_token; /* of the lease that was not valid then */
	bool resetting;        /* what this peer owns was reset */
	bool emptying;         /* and the lease is lost once nothing is left */
	bool releasing, released;
	bool lingers;   /* a retired peer keeps the lease until it is closed */
	bool succeeds;  /* another host has had the service */
	uint32_t early; /* actions that came while the keeper was opened */
	char trouble[HANDOFF_TEXT_MAX]; /* why it cannot be opened; "" */
	unsigned char notice[HANDOFF_LEASE_NOTICE_MAX]; /* to be retained */
	size_t notice_len;                              /* 0: none */
};

struct handoff__candidate {
	int fd; /* -1: not in use */
	struct handoff__pair *pair;
	struct handoff__watch watch;
	struct handoff__timer timer;
	bool greeted;
	int passed; /* the pidfd that came with its HELLO, or -1 */
	struct handoff__hello hello;
};

/* Redials a broken link. */
struct handoff__rejoin {
	struct handoff__candidate dial;
	struct handoff__timer timer;
	int64_t since_us; /* the break */
	int64_t up_us;    /* when that link was established */
	unsigned brief;   /* consecutive links that broke soon */
	unsigned tries;
	bool reported;
	bool again; /* the current partner has come back over a new link */
};

/* defaults, for a server and for a program with a loop of its own */
#define HANDOFF__GIVE_TIMEOUT_MS 5000u
#define HANDOFF__HANG_TIMEOUT_MS 5000u

struct handoff__pair_config {
	const char *dir;
	const char *name;
	const struct handoff_service *service;
	uint32_t give_timeout_ms;
	uint32_t hang_timeout_ms; /* silence that counts as a hang */
	bool fence;               /* kill a peer that hangs */
	uint32_t user; /* may join too, beside root and this user; 0: none */
	size_t entry_size;
	uint32_t own_fds; /* descriptors per entry that the layer above needs
			   * beside the copy */
	const int *lend;  /* epoll sets that the other peer keeps open */
	size_t nlend;
	int life; /* a pipe whose write end is held by each process that may
		   * touch our entries; 0: only this process may */
	uint64_t config_hash; /* of the user's configuration, 0: none */
	bool config_strict;   /* refuse a different one instead of warning */
	uint32_t origin;      /* of ids, if this peer creates the arena */
	bool whole;           /* gives move everything or nothing */
	bool may_own;         /* becomes the owner if there is none */
	bool streamless;      /* records hold no stream positions */
	const char *model;    /* model and its number of workers, for the
			       * status */
	uint32_t workers;
	/* For records that do not store it (older.h): computes from the state
	 * how many of its `size` bytes are used. NULL: all of them. */
	size_t (*state_used)(const void *state, size_t size);
	/* Converts an entry whose descriptor is the memory of its state, of
	 * that version: fills in the state of the new record, and stores a new
	 * descriptor. `arg` is the service's. NULL: there is no such entry. */
	int (*convert_data)(uint32_t version, const struct handoff__view *from,
		int from_fd, const struct handoff__view *to, int *to_fd,
		void *arg);
	bool trace;       /* logs each connection that comes, moves or goes */
	bool lock_memory; /* nothing of the arena is swapped */
	/* This peer has no service of its own: `service` may be NULL, and is
	 * learned from the other peer or told (carrier.h). It runs no handler,
	 * and never converts. */
	bool carrier;
	const char *lease;      /* address of its engine; NULL: none. It must
				 * outlive the pair */
	uint32_t lease_ttl_ms;  /* 0: the default */
	const char *lease_host; /* "": the system's name; outlives the pair */
};

/* The pair of peers of a directory, as seen by this one. */
struct handoff__pair {
	struct handoff__pair_config config;
	struct handoff__identity identity; /* of a carrier */
	struct handoff_service known;      /* the same, as `config.service` */
	char name[HANDOFF_NAME_MAX];
	struct handoff__dir dir;
	struct handoff__loop *loop;
	const struct handoff__log *log;
	const struct handoff__pair_ops *ops;
	void *arg;
	int place;          /* 1 or 2 */
	uint32_t lacks;     /* missing kernel features, bits 1 << enum
			     * handoff__lack */
	int64_t started_ms; /* since 1970: when this peer was opened */
	uint64_t instance;  /* random, chosen when this peer was opened */
	int lock_fd, start_fd, listen_fd;
	struct handoff__door door; /* at listen_fd */
	struct handoff__candidate pending[HANDOFF__PENDING_MAX];

	struct handoff__geometry geo;
	struct handoff__arena arena;
	struct handoff__roster roster;
	uint32_t segments_sent;
	bool ungrown; /* the last one could not be added */
	bool grown;   /* a segment was added: send it before entries in it */

	bool serving; /* this peer owns the service */
	struct handoff__link link;
	enum handoff__partner_state partner;
	struct handoff__hello other;
	char cut_why[192]; /* the reason why the link broke, if known */
	/* Why the peers are not ready to serve yet; "": they are. */
	char loading[HANDOFF__LOADING_MAX];
	char other_loading[HANDOFF__LOADING_MAX];
	bool loading_stale; /* the other peer has an older sentence */
	bool other_leaving; /* it is stopping or has stopped: it takes
			     * nothing */
	bool other_left;    /* it sent BYE: it touches its entries no more */
	bool leaving;       /* this peer is stopping */
	bool left;          /* this peer has retired: it takes nothing over */
	bool noted;         /* handoff__pair_proceed may have work to do; also
			     * set by a caller that has dispatched the loop */
	bool ended;         /* a process may have ended */
	bool unfenced;      /* the other process cannot be killed from here */
	struct handoff__rejoin rejoin;
	int pidfd; /* of the other process, -1 once it is gone */
	int life;  /* the other peer's LIFE, -1 once its children are gone
		    * too */
	struct handoff__watch pidfd_watch, life_watch;

	uint32_t mirror_max; /* descriptors per message, adapts */
	uint32_t batch;      /* of the last MIRROR sent */
	struct handoff__move move;
	struct handoff__give give;
	bool taking;    /* TAKE was sent, GAVE is awaited */
	bool receiving; /* the other peer gives, GAVE is awaited */
	struct handoff__report incoming; /* of the give in progress, as far as
					  * it is visible here */
	struct handoff__tally tally;
	struct handoff__last last;
	struct handoff__survival survival;
	struct handoff__pulse pulse;
	struct handoff__upkeep upkeep;
	struct handoff__guard guard;
	int borrowed[HANDOFF__LEND_MAX]; /* the other peer's epoll sets */
	size_t nborrowed;
	pthread_t closer; /* the thread that closes them */
	bool closing;
	char refusal[HANDOFF_TEXT_MAX]; /* of the last candidate */
	bool hosted; /* the service of the next board is on another host */
	unsigned refusals; /* consecutive ones with that text */
	struct handoff__error error;
};

static inline uint32_t
handoff__pair_other_place(const struct handoff__pair *pair)
{
	return 3u - (uint32_t)pair->place;
}

/* Whether a handoff is in progress, in either direction. */
static inline bool
handoff__pair_moving(const struct handoff__pair *pair)
{
	return pair->give.step != HANDOFF__GIVE_NONE || pair->taking ||
	       pair->receiving;
}

/* The same, and entries may be about to change their owner. */
static inline bool
handoff__pair_changing(const struct handoff__pair *pair)
{
	return handoff__pair_moving(pair) &&
	       pair->give.step != HANDOFF__GIVE_LOAD;
}

uint64_t handoff__pair_generation(struct handoff__pair *pair);

/* Lets the generation be this one at least; for the peer that serves. */
void handoff__pair_advance(struct handoff__pair *pair, uint64_t generation);

void handoff__core_init(struct handoff__pair *pair);

/* The arena's random id; 0: there is no arena yet. */
uint64_t handoff__core_arena_id(const struct handoff__pair *pair);

/* Stamps the arena's shared region as this service's, if it uses one. -EPROTO
 * if it is another's. Call it whenever a segment was added. */
int handoff__core_share(const struct handoff__pair *pair);

/* The stamp of the arena's region, or else that of this service; see
 * record/region.h. */
uint64_t handoff__core_shared(const struct handoff__pair *pair);

/* Allocates a record of this peer; the caller sets its id. A segment that is
 * added for it is sent with the next copies. */
int handoff__core_alloc(
	struct handoff__pair *pair, uint32_t *segment, uint32_t *slot);

/* Notes that the link is unusable, and why. */
void handoff__core_break(struct handoff__pair *pair, const char *why);

/* Notes that a process of the other peer has ended. */
void handoff__core_process_ended(struct handoff__pair *pair);

/* The entry does not move while it waits for others: it is served again. */
void handoff__core_resume(
	struct handoff__pair *pair, struct handoff__roster_entry *entry);

/* No give wants the entry any more. */
void handoff__core_stay(
	struct handoff__pair *pair, struct handoff__roster_entry *entry);

/* Arms the deadline, which sets `move.late`. */
void handoff__core_set_deadline(struct handoff__pair *pair, int64_t ms);

#endif
