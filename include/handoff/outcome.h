/* SPDX-License-Identifier: MIT */
/*
 * The outcome of a handoff, for programs: the same for a server and for a peer
 * with a loop of its own. Events point to these structures, which belong to the
 * library and may grow at their end.
 */
#ifndef HANDOFF_OUTCOME_H
#define HANDOFF_OUTCOME_H

#include <handoff/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct handoff_entry;

/* Why something was refused or left behind. Later versions may add reasons:
 * treat an unknown one as OTHER. */
enum handoff_reason {
	HANDOFF_REASON_NONE = 0,
	HANDOFF_REASON_PROTOCOL = 1,      /* no common version of the link
					   * protocol */
	HANDOFF_REASON_SERVICE = 2,       /* a different service */
	HANDOFF_REASON_STATE_SIZE = 3,    /* a different size of states */
	HANDOFF_REASON_STATE_VERSION = 4, /* a different version of states, or
					   * one older than can be converted */
	HANDOFF_REASON_LAYOUT = 5,        /* a different layout of shared
					   * memory */
	HANDOFF_REASON_TWO_PEERS = 6,     /* there are two peers already */
	HANDOFF_REASON_TABLE_FULL = 7,    /* the standby's descriptor table is
					   * full */
	HANDOFF_REASON_RECORD = 8,        /* the standby has no such record */
	HANDOFF_REASON_NO_MEMORY = 9,     /* of the standby */
	HANDOFF_REASON_HANDLER = 10,      /* the handler did not return, or
					   * RELEASE was not answered, in
					   * time */
	HANDOFF_REASON_UNANSWERED = 11,   /* the other peer has not answered */
	HANDOFF_REASON_BUSY = 12,         /* a handoff is in progress */
	HANDOFF_REASON_NOT_OWNER = 13,    /* the peer does not serve */
	HANDOFF_REASON_LEAVING = 14,      /* the other peer is stopping, or the
					   * link broke */
	HANDOFF_REASON_GARBAGE = 15,      /* a malformed message */
	HANDOFF_REASON_CONFIG = 16,       /* a different configuration */
	HANDOFF_REASON_UNTAKEN = 17,     /* offered, and not accepted in time */
	HANDOFF_REASON_UNWATCHED = 18,   /* its process cannot be watched */
	HANDOFF_REASON_STRANGER = 19,    /* not the peer that it claims to be */
	HANDOFF_REASON_USER = 20,        /* it runs as another user */
	HANDOFF_REASON_CROWDED = 21,     /* too many connect at once */
	HANDOFF_REASON_SHARED = 22,      /* a different shared region */
	HANDOFF_REASON_UNREADY = 23,     /* not ready to serve yet */
	HANDOFF_REASON_OTHER_LEASE = 24, /* a different lease, or none */
	HANDOFF_REASON_NO_LEASE = 25, /* this host does not hold the lease for
				       * certain */
	HANDOFF_REASON_OTHER = 31,    /* a reason without a name here */
};

/* upper bound of all future reasons */
#define HANDOFF_REASONS 32

/* A phrase for people; static memory. */
HANDOFF_API const char *handoff_reason_text(enum handoff_reason reason);

enum handoff_direction {
	HANDOFF_DIRECTION_OUT = 1, /* this peer gave */
	HANDOFF_DIRECTION_IN = 2,  /* this peer took */
};

/* Why entries move. */
enum handoff_cause {
	HANDOFF_CAUSE_MAINTENANCE = 1,  /* the owner gives everything */
	HANDOFF_CAUSE_READY = 2,        /* listeners move home, clients
					 * follow */
	HANDOFF_CAUSE_READY_SILENT = 3, /* everything moves home */
	HANDOFF_CAUSE_REST = 4,         /* entries left behind earlier follow */
	HANDOFF_CAUSE_FAILOVER = 5,     /* the other peer has ended */
};

/* The outcome of a handoff or failover. */
struct handoff_outcome {
	enum handoff_direction direction;
	enum handoff_cause cause;   /* 0: refused before it was known */
	enum handoff_reason reason; /* why it was refused or incomplete; NONE:
				     * complete */
	uint32_t connections;       /* that moved */
	uint32_t listeners;
	uint32_t left;   /* entries of all kinds left behind, not counting
			  * connections left for their clients to move
			  * (READY) */
	uint64_t id;     /* the generation that it leads to, the same in both
			  * peers; 0: nothing moved */
	uint64_t unread; /* bytes that moved in the connections' buffers;
			  * servers only */
	uint64_t unsent;
	uint32_t took_us; /* from the first entry that moved until all were
			   * served */
	uint32_t closed;  /* FAILOVER: connections that could not continue */
	/* `left`, by reason. A peer that took knows the reasons of 253 entries;
	 * the others count as OTHER. */
	uint32_t left_by[HANDOFF_REASONS];
};

enum handoff_entry_kind {
	HANDOFF_ENTRY_CONNECTION = 1,
	HANDOFF_ENTRY_LISTENER = 2,
	HANDOFF_ENTRY_OTHER = 3,
	HANDOFF_ENTRY_DATA = 4, /* a state without a descriptor; only of a
				 * struct handoff_peer */
};

/* An entry that was left behind in a handoff. */
struct handoff_left {
	enum handoff_entry_kind kind; /* OTHER: or it no longer exists */
	enum handoff_reason reason;
	uint64_t id;      /* as handoff_conn_id or handoff_entry_id returns
			   * it */
	const char *name; /* an address or name; "" if there is none */
	struct handoff_entry *entry; /* in a struct handoff_peer that gave;
				      * otherwise NULL */
};

#ifdef __cplusplus
}
#endif

#endif
