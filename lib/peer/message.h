/* SPDX-License-Identifier: MIT */
/*
 * The messages of the link, byte by byte: pure codecs. A message is the
 * payload of one fdpass frame: u32 type, then the fields below in order,
 * little-endian, fixed sizes. Peers tell each other enums of the wire, never
 * an errno.
 */
#ifndef HANDOFF_PEER_MESSAGE_H
#define HANDOFF_PEER_MESSAGE_H

#include <handoff/common.h>
#include <handoff/fdpass.h>

#include <stdbool.h>
#include <stdint.h>

#define HANDOFF__PROTOCOL_MIN 2u
#define HANDOFF__PROTOCOL_MAX 2u

enum handoff__msg_type {
	HANDOFF__HELLO = 1,   /* what I am, with a pidfd of this process; the
				 answer may be a refusal */
	HANDOFF__SEGMENT = 2, /* a piece of the arena; 1 descriptor */
	HANDOFF__MIRROR = 3,  /* copies of entries I own; a descriptor each */
	HANDOFF__HELD = 4,    /* answer to the MIRROR it names: held, or why
				 not */
	HANDOFF__DROP = 5,    /* these are closed; close your copies */
	HANDOFF__MOVE = 6,    /* entries are offered to you */
	HANDOFF__TAKE = 7,    /* I want entries */
	HANDOFF__READY = 8,   /* I can serve; after MOVE: I took them and serve
				 them now */
	HANDOFF__GAVE = 9,    /* how a give ended, what was left behind */
	HANDOFF__BYE = 10,    /* I leave and touch nothing any more */
	HANDOFF__BEAT = 11,   /* I am alive, and what I believe */
	HANDOFF__LEND = 12,   /* keep this epoll set open while I live */
	HANDOFF__LIFE = 13,   /* a pipe that is at its end once no process of
				 mine is left, child or parent */
	HANDOFF__SAY = 14,    /* there are lines in the bulletin */
	HANDOFF__LEAVE = 15,  /* I am stopping: give me nothing any more */
	HANDOFF__LOST = 16,   /* I could not take that SEGMENT: later */
};

enum handoff__reason {
	HANDOFF__OK = 0,
	HANDOFF__BAD_VERSION = 1,
	HANDOFF__BAD_SERVICE = 2,
	HANDOFF__BAD_STATE_SIZE = 3,
	HANDOFF__BAD_STATE_VERSION = 4,
	HANDOFF__BAD_LAYOUT = 5,
	HANDOFF__TAKEN = 6,      /* two peers are there already */
	HANDOFF__TABLE_FULL = 7, /* the standby's descriptor table */
	HANDOFF__BAD_RECORD = 8, /* no such record, or not the one named */
	HANDOFF__NO_MEMORY = 9,
	HANDOFF__HANDLER_BUSY = 10, /* its handler has not returned */
	HANDOFF__UNANSWERED = 11,   /* the standby has not said HELD in time */
	HANDOFF__BUSY = 12,         /* a handoff is under way */
	HANDOFF__NOT_OWNER = 13,
	HANDOFF__LEAVING = 14,
	HANDOFF__GARBAGE = 15,
	HANDOFF__BAD_CONFIG = 16,
	HANDOFF__UNTAKEN = 17,   /* offered, and not taken in time */
	HANDOFF__UNWATCHED = 18, /* its process can't be watched */
	HANDOFF__STRANGER = 19,  /* not the peer that it says it is */
	/* Never sent: those are not answered. */
	HANDOFF__ANOTHER_USER = 20, /* it runs as one */
	HANDOFF__CROWDED = 21,      /* too many are being greeted */
};

#define HANDOFF__REASONS (HANDOFF__CROWDED + 1)

/* A phrase for people. */
const char *handoff__reason_text(enum handoff__reason reason);

/* Why entries move; tells the taker what to do and what to publish. */
enum handoff__cause {
	HANDOFF__MAINTENANCE = 1,
	HANDOFF__HOME = 2,        /* ready: listeners now, clients follow */
	HANDOFF__HOME_SILENT = 3, /* everything, and no client is told */
	HANDOFF__REST = 4,        /* entries only, not the service */
};

struct handoff__hello {
	uint32_t version_min, version_max;
	uint32_t refusal; /* answer: a reason, 0 for welcome */
	uint32_t layout;
	uint32_t state_size, state_version;
	uint32_t pid;
	uint32_t place;   /* 1 or 2: the name in owner words */
	uint32_t serving; /* 1: an owner is there, and it is I */
	uint64_t generation;
	char service[HANDOFF_NAME_MAX];
	char name[HANDOFF_NAME_MAX];
	char partner[HANDOFF_NAME_MAX]; /* TAKEN: the peer beside me */
	uint32_t partner_pid;
	/* Absent in a shorter HELLO, and zero then. */
	uint64_t config_hash;
	uint32_t config_strict;
	uint32_t converts; /* 1 + the oldest state version that I can convert;
			      0: none */
	uint64_t instance; /* random, of this peer since it was opened */
	uint64_t arena;    /* its id, 0: I have none */
	uint32_t segments; /* of it that I have */
	uint32_t again;    /* 1: we were linked before, and the link broke */
	uint32_t hang_ms;  /* silence after which I take you for hung */
};

/* Names an entry: its record, and the number that the record must carry. */
struct handoff__ref {
	uint64_t id;
	uint32_t segment, slot;
	uint32_t arg; /* MIRROR: the kind; HELD, GAVE: a reason */
};

struct handoff__msg {
	uint32_t type;
	uint32_t batch;  /* MIRROR: counted from 1; HELD: which it answers */
	uint32_t reason; /* HELD: for all of the batch; GAVE, BYE */
	uint32_t cause;  /* MOVE, TAKE */
	uint32_t index;  /* SEGMENT, LOST */
	uint32_t all;    /* MOVE: look at every owner word */
	uint64_t generation; /* MOVE */
	int64_t at_us;       /* CLOCK_MONOTONIC, MOVE: at the first owner word;
				READY: when this peer could serve */
	int64_t offer_us;    /* READY: at_us of the MOVE that it answers */
	uint32_t moved, listeners, left; /* GAVE, counts */
	uint32_t took_us;                /* GAVE */
	uint32_t serving;                /* BEAT: the service is mine */
	uint32_t covered;                /* BEAT: entries that you have copies
					    of, as far as I know */
	struct handoff__hello hello;
	uint32_t nrefs;
	struct handoff__ref refs[HANDOFF_FDPASS_MAX];
};

/* Returns the length, at most HANDOFF_FDPASS_PAYLOAD_MAX. */
size_t handoff__msg_encode(
	const struct handoff__msg *msg, unsigned char *data, size_t size);

/* 0, or -EBADMSG for anything that is not a whole message of a known type. */
int handoff__msg_decode(
	struct handoff__msg *msg, const unsigned char *data, size_t len);

#endif
