/* SPDX-License-Identifier: MIT */
/*
 * What all files of the peer share: the structure, in which each machine has
 * its own part, and notes of what is to be acted upon after the iteration.
 * Nothing in here knows any of the machines.
 */
#ifndef HANDOFF_PEER_CORE_H
#define HANDOFF_PEER_CORE_H

#include "base/dir.h"
#include "base/door.h"
#include "base/kernel.h"
#include "base/loop.h"
#include "peer/link.h"
#include "peer/roster.h"
#include "peer/tally.h"

#include <handoff/service.h>

#include <pthread.h>

#define HANDOFF__PENDING_MAX 4
#define HANDOFF__LEND_MAX    130 /* two, and two for each of 64 workers */

struct handoff__pair;

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
	uint32_t left_by[HANDOFF__REASONS]; /* 0: not known */
	uint32_t nrefs;                     /* of those left, as many as fit */
	struct handoff__ref refs[HANDOFF_FDPASS_MAX];
};

struct handoff__pair_ops {
	/* A copy came, or a new entry of our own: watch it. Negative errno if
	 * that is not possible. */
	int (*entered)(
		struct handoff__pair *pair, struct handoff__roster_entry *e);
	/* The descriptor is about to be closed: stop watching it. */
	void (*closing)(
		struct handoff__pair *pair, struct handoff__roster_entry *e);
	/* May the entry move now? If not, handoff__pair_quiet follows. */
	bool (*quiesce)(
		struct handoff__pair *pair, struct handoff__roster_entry *e);
	/* No new entries, please, until told otherwise. */
	void (*pause)(struct handoff__pair *pair, bool paused);
	/* `e->mine` has changed. */
	void (*moved)(
		struct handoff__pair *pair, struct handoff__roster_entry *e);
	/* A batch of changes is complete. */
	void (*settle)(struct handoff__pair *pair);
	/* Which peer serves has changed, to this one or away from it: the
	 * other has taken it. */
	void (*role)(struct handoff__pair *pair, enum handoff__cause cause);
	/* This peer begins to give. Optional. */
	void (*giving)(struct handoff__pair *pair);
	/* A give by this peer or to it has ended. */
	void (*given)(struct handoff__pair *pair, enum handoff__way way,
		const struct handoff__report *report);
	/* The other peer came (READY) or went. */
	void (*partner)(struct handoff__pair *pair, bool here);
	/* Shut down and end an entry that is ours and can't go on. */
	void (*discard)(
		struct handoff__pair *pair, struct handoff__roster_entry *e);
	/* The other peer died owning something; see `survival`. */
	void (*failover)(struct handoff__pair *pair);
	/* `pulse.hung` or `pulse.lagging` has changed; a sentence for people.
	 */
	void (*hung)(struct handoff__pair *pair, const char *text);
	void (*lagging)(struct handoff__pair *pair, const char *text);
	/* There is something new in the bulletin. */
	void (*said)(struct handoff__pair *pair);
	/* A candidate was turned away; a sentence for people. Once for each
	 * cause in a row. */
	void (*refused)(struct handoff__pair *pair, enum handoff__reason reason,
		const char *text);
	/* The link broke and the other process lives; a sentence for people.
	 * It is made anew: `partner` tells. */
	void (*apart)(struct handoff__pair *pair, const char *text);
	/* It can't be made anew, and nothing is owned here: the end. */
	void (*expelled)(struct handoff__pair *pair, const char *text);
	/* What this peer has in the service directory is in place, or is
	 * again: see to what the layers above have there. About once a
	 * second. Optional. */
	void (*kept)(struct handoff__pair *pair);
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
	bool bye; /* it had said that it is about to end */
	int64_t started_us;
	uint64_t id; /* the generation from it on */
	uint32_t took_us;
	uint32_t entries;            /* taken over */
	struct handoff__moved taken; /* of them, what is counted apart */
	uint32_t in_turn;            /* of them, found in a turn and checked */
	uint32_t repaired;   /* of those, with positions that were stale */
	uint32_t closed;     /* of them, could not go on */
	uint32_t in_handler; /* of them, with a handler that ran: suspected */
	uint32_t orphans;    /* records whose descriptor was never mirrored */
	bool serving;        /* which peer serves has changed */
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
	uint32_t ping; /* batch that shows that the other responds; 0: done */
	bool ready;    /* the other has taken what it was offered */
	uint32_t away_before; /* what the board said, if it is all revoked */
	uint32_t waiting;     /* COVER, CLOSE: unanswered; DRAIN: handlers */
	int64_t started_us;
	unsigned rounds; /* of waiting for answers */
	bool asked; /* nothing moved at once: it takes as long as the answers */
	int64_t strays_us; /* when entries have followed one by one, 0: none */
	struct handoff__report report;
};

/* A stop that is asked for twice lets what is under way end well: milliseconds
 * that it may still take. */
#define HANDOFF__HURRY_MS 500

/* How long a move may still take, in either direction. */
struct handoff__move {
	struct handoff__timer deadline;
	int64_t began_us;
	bool late;    /* it is over */
	bool hurried; /* a stop is in a hurry */
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
	struct handoff__pair *pair;
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
	int64_t up_us;    /* when the link that broke was made */
	unsigned brief;   /* links in a row that broke at once */
	unsigned tries;
	bool told;
	bool again; /* the partner of now came back over a new link */
};

struct handoff__pair_config {
	const char *dir;
	const char *name;
	const struct handoff_service *service;
	uint32_t give_timeout_ms;
	uint32_t hang_timeout_ms; /* of silence */
	bool fence;               /* kill a peer that hangs */
	uint32_t
		user; /* that may join too, beside root and this one; 0: none */
	size_t entry_size;
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

/* The pair of peers of a directory, as this one sees it. */
struct handoff__pair {
	struct handoff__pair_config config;
	char name[HANDOFF_NAME_MAX];
	struct handoff__dir dir;
	struct handoff__loop *loop;
	const struct handoff__log *log;
	const struct handoff__pair_ops *ops;
	void *arg;
	int place;      /* 1 or 2 */
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
handoff__pair_other_place(const struct handoff__pair *pair)
{
	return 3u - (uint32_t)pair->place;
}

/* Is a handoff under way, in either direction? */
static inline bool
handoff__pair_moving(const struct handoff__pair *pair)
{
	return pair->give.step != HANDOFF__GIVE_NONE || pair->taking ||
	       pair->receiving;
}

uint64_t handoff__pair_generation(struct handoff__pair *pair);

void handoff__core_init(struct handoff__pair *pair);

/* A record of this peer's own, whose id is still to be set. A segment that is
 * added for it is sent with the next copies. */
int handoff__core_alloc(
	struct handoff__pair *pair, uint32_t *segment, uint32_t *slot);

/* Notes that the link can't go on, and why. */
void handoff__core_break(struct handoff__pair *pair, const char *why);

/* Notes that a process of the other peer has ended. */
void handoff__core_process_ended(struct handoff__pair *pair);

/* Sets `move.late` when so much time is over. */
void handoff__core_set_deadline(struct handoff__pair *pair, int64_t ms);

#endif
