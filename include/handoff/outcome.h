/* SPDX-License-Identifier: MIT */
/*
 * How a handoff has ended, for programs: the same for a server and for a peer
 * with a loop of its own. Events point to these; all are the library's and may
 * grow at their end.
 */
#ifndef HANDOFF_OUTCOME_H
#define HANDOFF_OUTCOME_H

#include <handoff/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct handoff_entry;

/* Why something was refused, or stayed behind. Later versions may have more:
 * take one that you do not know for OTHER. */
enum handoff_reason {
	HANDOFF_REASON_NONE = 0,
	HANDOFF_REASON_PROTOCOL = 1,      /* no common version of the link's */
	HANDOFF_REASON_SERVICE = 2,       /* another service */
	HANDOFF_REASON_STATE_SIZE = 3,    /* another size of states */
	HANDOFF_REASON_STATE_VERSION = 4, /* another version of them, or older
					     than is converted */
	HANDOFF_REASON_LAYOUT = 5,        /* another layout of shared memory */
	HANDOFF_REASON_TWO_PEERS = 6,     /* two are there already */
	HANDOFF_REASON_TABLE_FULL = 7,    /* the standby's descriptor table */
	HANDOFF_REASON_RECORD = 8,        /* the standby knows no such record */
	HANDOFF_REASON_NO_MEMORY = 9,     /* of the standby */
	HANDOFF_REASON_HANDLER = 10,      /* it has not returned, or RELEASE was
					     not answered, in time */
	HANDOFF_REASON_UNANSWERED = 11,   /* the other peer has not answered */
	HANDOFF_REASON_BUSY = 12,         /* a handoff is under way */
	HANDOFF_REASON_NOT_OWNER = 13,    /* the peer that was asked */
	HANDOFF_REASON_LEAVING = 14,   /* the other peer stops, or the link to
					  it broke */
	HANDOFF_REASON_GARBAGE = 15,   /* what came is not a message */
	HANDOFF_REASON_CONFIG = 16,    /* another configuration */
	HANDOFF_REASON_UNTAKEN = 17,   /* offered, and not taken in time */
	HANDOFF_REASON_UNWATCHED = 18, /* its process can't be watched */
	HANDOFF_REASON_STRANGER = 19,  /* not the peer that it says it is */
	HANDOFF_REASON_USER = 20,      /* it runs as another user */
	HANDOFF_REASON_CROWDED = 21,   /* too many come at once */
	HANDOFF_REASON_OTHER = 31,     /* one without a name here */
};

/* Room for all that there will be. */
#define HANDOFF_REASONS 32

/* A phrase for people; static memory. */
HANDOFF_API const char *handoff_reason_text(enum handoff_reason reason);

enum handoff_direction {
	HANDOFF_DIRECTION_OUT = 1, /* this peer gave */
	HANDOFF_DIRECTION_IN = 2,  /* it took */
};

/* Why things change hands. */
enum handoff_cause {
	HANDOFF_CAUSE_MAINTENANCE = 1,  /* the owner gives all */
	HANDOFF_CAUSE_READY = 2,        /* listeners go home, clients follow */
	HANDOFF_CAUSE_READY_SILENT = 3, /* everything goes home */
	HANDOFF_CAUSE_REST = 4,         /* what was left to move follows */
	HANDOFF_CAUSE_FAILOVER = 5,     /* the other peer has ended */
};

/* A handoff, or a failover, at its end. */
struct handoff_outcome {
	enum handoff_direction direction;
	enum handoff_cause cause; /* 0: it was refused before that was known */
	enum handoff_reason reason; /* why it was refused, or broke off; NONE:
				       it came to its end */
	uint32_t connections;       /* that moved */
	uint32_t listeners;
	uint32_t left; /* stayed behind, of all kinds; what waits for its client
			  to come home does not count */
	uint64_t id;   /* the generation from it on, the same in both peers; 0:
			  nothing has moved */
	uint64_t unread; /* bytes that moved in the connections' buffers; of a
			    server only */
	uint64_t unsent;
	uint32_t took_us; /* from the first that moved to when all was served */
	uint32_t closed;  /* FAILOVER: connections that could not go on */
	/* `left`, by reason. A peer that took knows the reasons of 253, the
	 * others are OTHER. */
	uint32_t left_by[HANDOFF_REASONS];
};

enum handoff_entry_kind {
	HANDOFF_ENTRY_CONNECTION = 1,
	HANDOFF_ENTRY_LISTENER = 2,
	HANDOFF_ENTRY_OTHER = 3,
};

/* What stayed behind in a handoff. */
struct handoff_left {
	enum handoff_entry_kind kind; /* OTHER: or it is gone by now */
	enum handoff_reason reason;
	uint64_t id;      /* as of handoff_conn_id or handoff_entry_id */
	const char *name; /* an address or name; "" if there is none */
	struct handoff_entry *entry; /* of a struct handoff_peer that gave;
					NULL otherwise */
};

#ifdef __cplusplus
}
#endif

#endif
