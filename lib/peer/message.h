/* SPDX-License-Identifier: MIT */
/*
 * The messages of the link, byte by byte: pure codecs. A message is the payload
 * of one fdpass frame: u32 type, then the fields below in order, little-endian,
 * fixed sizes. Peers exchange enums defined here, never an errno.
 */
#ifndef HANDOFF_PEER_MESSAGE_H
#define HANDOFF_PEER_MESSAGE_H

#include <handoff/common.h>
#include <handoff/fdpass.h>

#include <stdbool.h>
#include <stdint.h>

#define HANDOFF__PROTOCOL_MIN 2u
#define HANDOFF__PROTOCOL_MAX 3u

/* The first version with the message LOADING. */
#define HANDOFF__PROTOCOL_LOADING 3u
/* The first one in which any peer may ask for single entries (TAKE). */
#define HANDOFF__PROTOCOL_LISTS 3u
/* The first one with carriers. */
#define HANDOFF__PROTOCOL_CARRIER 3u

#define HANDOFF__LOADING_MAX 128 /* bytes of the sentence, with its end */

/* Append only: numbers are never used again. An older peer ends the link on a
 * type that it does not know, so a new message is a new version of the protocol
 * (handoff_protocol(7), VERSIONS): check the versions in the other peer's HELLO
 * before sending it. */
enum handoff__msg_type {
	HANDOFF__HELLO = 1,   /* what the sender is, with its pidfd; the answer
			       * may be a refusal */
	HANDOFF__SEGMENT = 2, /* a segment of the arena; 1 descriptor */
	HANDOFF__MIRROR = 3,  /* copies of the sender's entries; a descriptor
			       * each */
	HANDOFF__HELD = 4,    /* answers the MIRROR it names: held, or the
			       * reason why not */
	HANDOFF__DROP = 5,    /* the sender closed these: close the copies */
	HANDOFF__MOVE = 6,    /* the sender offers entries */
	HANDOFF__TAKE = 7,    /* the sender asks for entries */
	HANDOFF__READY = 8,   /* the sender can serve; after MOVE: it has
			       * accepted and serves */
	HANDOFF__GAVE = 9,    /* how a give ended and what was left behind */
	HANDOFF__BYE = 10,    /* the sender leaves and touches its entries no
			       * more */
	HANDOFF__BEAT = 11,   /* sign of life, with the sender's view */
	HANDOFF__LEND = 12,   /* keep this epoll set open while the sender
			       * lives */
	HANDOFF__LIFE = 13,   /* a pipe at its end once no process of the sender
			       * is left, child or parent */
	HANDOFF__SAY = 14,    /* there are new posts */
	HANDOFF__LEAVE = 15,  /* the sender is stopping: give it nothing more */
	HANDOFF__LOST = 16,   /* the sender could not keep that SEGMENT: send it
			       * again later */
	HANDOFF__LOADING = 17, /* the sender is not ready to serve yet, and why;
				* or is now */
	HANDOFF__ROOM = 18,    /* from a carrier: free records are needed; the
				* answer: they are there, or why not */
};

enum handoff__reason {
	HANDOFF__OK = 0,
	HANDOFF__BAD_VERSION = 1,
	HANDOFF__BAD_SERVICE = 2,
	HANDOFF__BAD_STATE_SIZE = 3,
	HANDOFF__BAD_STATE_VERSION = 4,
	HANDOFF__BAD_LAYOUT = 5,
	HANDOFF__TAKEN = 6,      /* there are two peers already */
	HANDOFF__TABLE_FULL = 7, /* the standby's descriptor table */
	HANDOFF__BAD_RECORD = 8, /* no such record, or its id differs */
	HANDOFF__NO_MEMORY = 9,
	HANDOFF__HANDLER_BUSY = 10, /* its handler has not returned */
	HANDOFF__UNANSWERED = 11,   /* the standby has not sent HELD in time */
	HANDOFF__BUSY = 12,         /* a handoff is in progress */
	HANDOFF__NOT_OWNER = 13,
	HANDOFF__LEAVING = 14,
	HANDOFF__GARBAGE = 15,
	HANDOFF__BAD_CONFIG = 16,
	HANDOFF__UNTAKEN = 17,   /* offered, and not accepted in time */
	HANDOFF__UNWATCHED = 18, /* its process cannot be watched */
	HANDOFF__STRANGER = 19,  /* not the peer that it claims to be */
	/* Never sent: these candidates get no answer. */
	HANDOFF__ANOTHER_USER = 20, /* it runs as another user */
	HANDOFF__CROWDED = 21,      /* too many candidates are being greeted */
	HANDOFF__BAD_SHARED = 22,   /* another size or version of the region */
	HANDOFF__UNREADY = 23,      /* not ready to serve yet */
	HANDOFF__BAD_LEASE = 24,    /* another lease, or none */
	HANDOFF__NO_LEASE = 25,     /* this host does not have it, or it is in
				     * doubt */
};

#define HANDOFF__REASONS (HANDOFF__NO_LEASE + 1)

/* A phrase for people. */
const char *handoff__reason_text(enum handoff__reason reason);

/* Why entries move; determines the taker's actions and notices. */
enum handoff__cause {
	HANDOFF__MAINTENANCE = 1,
	HANDOFF__HOME = 2,        /* ready: listeners now, clients follow */
	HANDOFF__HOME_SILENT = 3, /* everything, without notifying clients */
	HANDOFF__REST = 4,        /* entries only, not the service */
};

struct handoff__hello {
	uint32_t version_min, version_max;
	uint32_t refusal; /* in an answer: a reason, 0 for a welcome */
	uint32_t layout;  /* oldest layout that the sender can take over from
			   * (older libraries read it as the sender's own). In
			   * a refusal: the layout that the sender creates */
	uint32_t state_size, state_version;
	uint32_t pid;
	uint32_t place;   /* 1 or 2: the sender's name in owner words */
	uint32_t serving; /* 1: the sender is the owner */
	uint64_t generation;
	char service[HANDOFF_NAME_MAX];
	char name[HANDOFF_NAME_MAX];
	char partner[HANDOFF_NAME_MAX]; /* with TAKEN: the peer that is here
					 * already */
	uint32_t partner_pid;
	/* Absent in a shorter HELLO, and then zero. */
	uint64_t config_hash;
	uint32_t config_strict;
	uint32_t converts; /* 1 + the oldest state version it can convert; 0:
			    * none */
	uint64_t instance; /* random, chosen when the peer was opened */
	uint64_t arena;    /* the arena's id, 0: none */
	uint32_t segments; /* number of its segments that the sender has */
	uint32_t again;    /* 1: the two were linked before, and the link
			    * broke */
	uint32_t hang_ms;  /* silence after which the sender considers a peer
			    * hung */
	uint32_t makes;    /* layout of the records that the sender creates; 0:
			    * `layout` */
	/* of the arena's shared region, or of the sender's service; size 0:
	 * none */
	uint32_t shared_size, shared_version;
	uint32_t carrier; /* 1: the sender has no service (carrier.h); its
			   * `service` may be "", and its states of size 0 */
	/* of the sender's service, for a carrier */
	uint32_t input_size, output_size, pass_size, post_size;
	uint32_t grows; /* 1: a new connection uses none of its state */
	uint64_t lease; /* a hash of its address; 0: the service has none */
};

/* Refers to an entry: its record, and the id that the record must have. */
struct handoff__ref {
	uint64_t id;
	uint32_t segment, slot;
	uint32_t arg; /* MIRROR: the kind; HELD, GAVE: a reason */
};

/* What the receiver of MOVE does beside accepting the entries that are named.
 */
enum handoff__move_all {
	HANDOFF__MOVE_NAMED = 0,
	HANDOFF__MOVE_ALL = 1,    /* checks every owner word, and answers */
	HANDOFF__MOVE_ANSWER = 2, /* answers; to a peer of version 3 only */
};

/* ROOM: the records that are needed, or are there. */
struct handoff__room {
	uint32_t count;
	uint32_t state_size, state_version;
	uint32_t input_size, output_size, pass_size;
};

struct handoff__msg {
	uint32_t type;
	uint32_t batch;      /* MIRROR: counted from 1; HELD: the batch it
			      * answers */
	uint32_t reason;     /* HELD: for the whole batch; GAVE, BYE; ROOM: the
			      * answer to one */
	uint32_t cause;      /* MOVE, TAKE */
	uint32_t index;      /* SEGMENT, LOST */
	uint32_t all;        /* MOVE: enum handoff__move_all */
	uint64_t generation; /* MOVE */
	int64_t at_us;       /* CLOCK_MONOTONIC. MOVE: at the first owner word;
			      * READY: when the sender could serve */
	int64_t offer_us;    /* READY: at_us of the MOVE that it answers */
	uint32_t moved, listeners, left; /* GAVE, counts */
	uint32_t took_us;                /* GAVE */
	uint32_t serving;                /* BEAT: the sender owns the service */
	uint32_t covered;                /* BEAT: the sender's entries that the
					  * receiver has copies of, as far as it
					  * knows */
	char loading[HANDOFF__LOADING_MAX]; /* LOADING: "": it is ready */
	struct handoff__room room;
	struct handoff__hello hello;
	uint32_t nrefs;
	struct handoff__ref refs[HANDOFF_FDPASS_MAX];
};

/* Returns the length, at most HANDOFF_FDPASS_PAYLOAD_MAX. */
size_t handoff__msg_encode(
	const struct handoff__msg *msg, unsigned char *data, size_t size);

/* 0, or -EBADMSG for anything but a complete message of a known type. */
int handoff__msg_decode(
	struct handoff__msg *msg, const unsigned char *data, size_t len);

#endif
