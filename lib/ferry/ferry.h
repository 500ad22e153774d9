/* SPDX-License-Identifier: MIT */
/*
 * A ferry: a peer without a service, in the second place of a service
 * directory, that carries the connections of the service to the ferry of
 * another host, and takes those that come from there. It knows the peer below,
 * lib/migrate, and the kernel's network by its own files.
 *
 * The files, from the top down; each calls only those below it:
 *   main.c       the program
 *   options.c    the command line
 *   ferry.c      the object: what it does when peers and links come and go
 *   operator.c   requests of operators
 *   report.c     the sentences about a move
 *   view.c       its state for operators, and the order to stop
 *   settle.c     an operator decides about a batch
 *   guarding.c   the gate of this ferry
 *   mover.c      one move to the other host
 *   taker.c      one move to this host
 *   retreat.c    what a server has got for one that has failed
 *   drain.c      packets that still come after a move
 *   site.c       on which host the addresses are
 *   choice.c     which connections go next
 *   outbound.c   one batch on its way to the other host
 *   shipping.c   its connections
 *   inbound.c    one batch on its way to this host
 *   salvage.c    sockets that a dead ferry, and its gate, have left
 *   unloading.c  its connections
 *   landing.c    one of its connections
 *   listeners.c  what the other host has to listen on
 *   steer.c      what the hook is told
 *   bequest.c    words of batches that only the gate still has
 *   commons.c    the service's shared region, for the other host
 *   freight.c    a batch under way, in either direction
 *   course.c     the report of the move in progress
 *   letters.c    sends messages, and says what this ferry is
 *   carrier.c    the ferry as a peer: callbacks
 *   sending.c    the states of a batch that is sent
 *   receiving.c  the states of a batch that is received
 *   message.c    the messages between two ferries
 *   channel.c    the connection to the other ferry
 *   frames.c     one connection to it, with frames
 *   tls.c        certificates and keys
 *   connector.c  sockets to the other ferry: listens, or dials again
 *   halfopen.c   connections that clients have only begun
 *   announce.c   tells the neighbours where an address is
 *   vet.c        what of the command line does not fit this host
 *   address.c    the service's addresses on this host
 *   prefix.c     addresses as text
 *   device.c     the network device, and what this process may do to it
 *   netlink.c    one question to the kernel
 *   gate.c       the helper that holds packets and thaws sockets
 *   told.c       what it was told
 *   launch.c     starts it
 *   note.c       one message between the two
 *   images.c     the images of a batch, for it
 *   finish.c     finishes what a dead ferry has prepared
 *   hook.c       a program that steers packets in place of an address
 *   flow.c       the addresses of one connection
 */
#ifndef HANDOFF_FERRY_FERRY_H
#define HANDOFF_FERRY_FERRY_H

#include "base/loop.h"
#include "base/text.h"
#include "ferry/address.h"
#include "ferry/announce.h"
#include "ferry/channel.h"
#include "ferry/finish.h"
#include "ferry/gate.h"
#include "ferry/hook.h"
#include "ferry/message.h"
#include "ferry/receiving.h"
#include "ferry/sending.h"
#include "ferry/tls.h"
#include "operator/operator.h"
#include "peer/pair.h"
#include "record/batch.h"

#define HANDOFF__FERRY_WHYS 24

struct handoff__ferry;

/* A move between the hosts, in progress or the last one: for reports. */

enum handoff__ferry_way {
	HANDOFF__FERRY_OUT = 1, /* from this host to the other */
	HANDOFF__FERRY_IN,
};

enum handoff__ferry_step {
	HANDOFF__FERRY_IDLE = 0, /* there was none, or it has ended */
	HANDOFF__FERRY_ASKING,   /* whether the other host can take them */
	HANDOFF__FERRY_BATCHES,  /* connections go in batches, and the service
				  * accepts more */
	HANDOFF__FERRY_LAST,     /* the service and what is left go together */
	HANDOFF__FERRY_ADDRESS,  /* the other host gets the addresses */
	HANDOFF__FERRY_FETCHING, /* the other host was asked to begin */
};

/* Why connections stay where they are, and how many: "MPTCP", 2. */
struct handoff__ferry_why {
	char word[48];
	uint32_t count;
};

/* The reason of those whose clients lose nothing by the move. */
#define HANDOFF__FERRY_NOT_MOVING "to an address that does not move"

struct handoff__ferry_report {
	enum handoff__ferry_way way; /* 0: there was none */
	enum handoff__ferry_step step;
	bool whole, dry; /* as requested; dry: nothing was moved */
	bool rest;    /* of what an interrupted move had brought to the sender,
		       * whose host has not the addresses */
	bool ok;      /* it has ended and the service is on the other host */
	bool partial; /* it has failed, and some connections have moved */
	int64_t began_us;
	int64_t ended_ms;   /* CLOCK_REALTIME; 0: it is in progress */
	uint32_t took_us;   /* all of it */
	uint32_t hold_us;   /* the longest time that packets of a batch waited
			     */
	uint32_t total;     /* connections when it began, and those that came
			     * since */
	uint32_t moved;     /* of them, served by the other host */
	uint32_t left;      /* stay here; counted by reason in `whys` */
	uint32_t doubt;     /* in batches of which this host does not know
			     * whether they are decided */
	uint32_t listeners; /* moved */
	uint32_t batches;
	uint32_t again; /* connections that came back and were tried again */
	uint32_t nwhys;
	struct handoff__ferry_why whys[HANDOFF__FERRY_WHYS];
	char text[HANDOFF_TEXT_MAX]; /* why it failed; a sentence */
};

enum handoff__ferry_site {
	HANDOFF__FERRY_NOWHERE = 0, /* on neither device, as far as is known */
	HANDOFF__FERRY_HERE,
	HANDOFF__FERRY_THERE,
};

/* A batch that waits for the other host's word. */
struct handoff__ferry_doubt {
	uint64_t id;
	uint32_t count; /* of its connections */
	bool out;       /* it has left this host */
};

/* The state of a ferry, for the status and for monitors. */
struct handoff__ferry_status {
	bool linked;          /* to the other ferry */
	char other_host[256]; /* its name as it says; "": was never linked */
	char other_name[HANDOFF_NAME_MAX]; /* of the other ferry */
	char other_address[HANDOFF_ADDRESS_MAX];
	const char *link_text;         /* why there is no link; "" */
	bool other_has_server;         /* one that can serve is there */
	enum handoff__ferry_site site; /* of the service's addresses */
	/* what is wrong with that; "" */
	char site_text[HANDOFF_TEXT_MAX];
	const char *addresses;         /* as given by --address */
	char absent[HANDOFF_TEXT_MAX]; /* of them, those that the device lacks
					* while it has others; "" */
	const char *device;            /* --dev */
	bool gate;                     /* the helper is here */
	const char *gate_text;         /* how packets get to it, or why not */
	const char *hook;              /* --hook */
	const char *hook_text;         /* why its last run failed; "" */
	uint32_t batches_doubt;        /* that wait for the other host's word */
	uint32_t doubt;                /* connections in them */
	struct handoff__ferry_doubt doubts[HANDOFF__BATCHES]; /* the batches */
	uint32_t holding;  /* connections that nobody serves until a server
			    * joins */
	uint32_t stays;    /* while the service is there: those that have not
			    * moved with it */
	uint32_t cut;      /* of them, those to an address that has */
	uint32_t astray;   /* while the addresses are here: connections to them
			    * that the other host serves */
	uint32_t visiting; /* while they are there: connections to them that an
			    * interrupted move has brought here */
	bool forwards;     /* the addresses are here, and packets of connections
			    * that have moved are sent to the other host */
	/* of the last move before the report, where that is of a dry run; NULL
	 */
	const struct handoff__ferry_report *before;
	uint32_t moves_out, moves_in; /* ended well */
	uint32_t moves_failed;
	uint64_t sent, received; /* connections that have changed hosts */
};

void handoff__ferry_status(
	struct handoff__ferry *ferry, struct handoff__ferry_status *status);

/* Begins to stop: gives what it holds to a server. */
void handoff__ferry_stop(struct handoff__ferry *ferry);

/* Begins to move the service to the other host; `whole`: everything in one
 * batch or nothing; `dry`: only asks and counts what could not move. 0: its end
 * is reported by `ended`, which may be before this returns. -EBUSY, -ENOTCONN,
 * -EPERM with a sentence in `error`. */
int handoff__ferry_move(struct handoff__ferry *ferry, bool whole, bool dry);

/* Asks the other ferry to move the service to this host. Errors as above; 0:
 * its end is reported by `ended` here, too. */
int handoff__ferry_fetch(struct handoff__ferry *ferry);

/* Decides about a batch in doubt in place of the other host, which is gone for
 * good: its connections are served `here`, or dropped. -ENOENT, -EPERM with a
 * sentence in `error`. */
int handoff__ferry_settle(struct handoff__ferry *ferry, uint64_t id, bool here);

/* What the ferry reports, for operator.c. */
struct handoff__ferry_events {
	/* The move has ended, well or not. */
	void (*ended)(struct handoff__ferry *ferry,
		const struct handoff__ferry_report *report);
	/* A line for people: a link came or went, a server joined. */
	void (*told)(struct handoff__ferry *ferry, const char *text);
};

/* How the program was called. */
struct handoff__ferry_options {
	const char *dir, *name, *log;
	const char *listen, *to; /* one of them */
	const char *cert, *key, *peer_cert;
	const char *address; /* "10.0.0.7/24,fd00::7/64" */
	const char *dev;
	const char *hook;    /* a program that steers packets */
	uint32_t batch;      /* connections per batch */
	uint32_t timeout_ms; /* of a whole move */
	bool verbose;
};

/* What the callbacks of the peer tell the files above carrier.c. */
struct handoff__ferry_hooks {
	void (*entered)(struct handoff__ferry *ferry,
		struct handoff__roster_entry *entry);
	void (*moved)(struct handoff__ferry *ferry,
		struct handoff__roster_entry *entry);
	void (*closing)(struct handoff__ferry *ferry,
		struct handoff__roster_entry *entry);
	void (*given)(struct handoff__ferry *ferry, enum handoff__way way,
		const struct handoff__report *report);
	void (*room)(struct handoff__ferry *ferry, int err);
};

/* The parts of the end of a move. */
enum handoff__mover_part {
	HANDOFF__MOVER_HOLD,     /* connections that begin wait */
	HANDOFF__MOVER_HALFOPEN, /* those that have begun are finished */
	HANDOFF__MOVER_SERVICE,  /* the server gives the service */
	HANDOFF__MOVER_REST,     /* what is left goes */
};

/* A move to the other host: mover.c. */
struct handoff__mover {
	struct handoff__timer deadline, again;
	enum handoff__mover_part part;
	bool begun;       /* BEGUN came */
	bool ruling;      /* the gate was told to see packets */
	bool ruled;       /* and does */
	bool late;        /* the deadline has passed */
	bool whole;       /* everything goes in one batch */
	bool rest;        /* only connections: the addresses are there */
	bool fetched;     /* the other ferry has asked for it */
	bool asked;       /* the service was asked for */
	bool holding;     /* connections that begin wait */
	bool addressed;   /* the addresses have left this host */
	bool draining;    /* the move has ended, and packets still come */
	uint32_t rounds;  /* without a packet, while draining */
	uint32_t small;   /* batches of few */
	uint32_t tried;   /* batches when another one was tried beside them */
	int64_t since_us; /* of the part */
	int64_t ends_us;  /* since when all that can go has gone; 0: not yet */
	uint32_t choices;
	struct handoff__roster_entry *cursor;
};

/* A move to this host: taker.c. */
struct handoff__taker {
	bool active;     /* BEGIN was answered */
	uint32_t region; /* bytes of the shared region that are to come */
	bool regioned;   /* they have */
	bool answer;     /* BEGUN is due */
	bool room;       /* free records were asked for */
	bool unused;     /* the kernel does not use the addresses on lo yet */
	bool addressing; /* they are to go to the device */
	bool addressed;  /* the addresses are on the device */
	bool late;       /* the deadline has passed */
	struct handoff__timer deadline, again;
	/* The listeners that were opened for moves to this host, by id. */
	uint64_t lent[HANDOFF__LETTER_LISTENERS];
	uint32_t nlent;
	bool lends; /* all that were opened for the service, if any, are there
		     */
};

struct handoff__freight;

struct handoff__ferry {
	struct handoff__ferry_options options;
	struct handoff__loop loop;
	struct handoff__log log;
	struct handoff__operator op; /* the `arg` of the pair's callbacks; its
				      * own `arg` is the ferry */
	struct handoff__pair pair;
	struct handoff__ferry_events events;
	struct handoff__ferry_hooks hooks;
	struct handoff__ferry_report report; /* of the move in progress, or
					      * the last */
	struct handoff__ferry_report before; /* of the one before, if the last
					      * was a dry run */
	struct handoff__error error;
	bool stopping;
	int64_t give_us;       /* a give that was refused is tried again then */
	bool opened, operated; /* the pair is open; and the control socket */
	bool joined;           /* a place of the service directory is held */
	bool due;              /* ferry.c has to look what there is to do */
	bool returns;          /* there are entries to give back */
	bool yielded;          /* its place was left to a server */
	struct handoff__timer tick, back;
	int64_t stop_us;
	/* operator.c: requests that wait for the end of the move */
	struct handoff__waiting moves;
	uint32_t usual_ms; /* options.timeout_ms, while a request has its own */

	struct handoff__dir dir; /* for the gate */
	struct handoff__prefix prefixes[HANDOFF__PREFIXES];
	uint32_t nprefixes;
	struct handoff__device device;
	struct handoff__announce announce;
	enum handoff__ferry_site site;
	uint32_t present; /* prefixes on the device, by bits */
	bool on_both;     /* the other host has them as well */
	bool guest;       /* the service's home is the other host */
	bool recount;     /* of the following */
	uint32_t astray;  /* connections here to addresses that are not */
	struct handoff__tls *tls;
	struct handoff__channel *channel;
	struct handoff__letter_hello other; /* valid while `greeted` */
	bool greeted;
	int64_t apart_us;              /* since when it is not */
	struct handoff__letter letter; /* the one that is read */
	struct handoff__letter entry;  /* the last of its type that was sent */
	char other_host[HANDOFF__LETTER_HOST];
	char other_name[HANDOFF_NAME_MAX], other_address[HANDOFF_ADDRESS_MAX];
	/* of our last HELLO */
	uint32_t told_flags, told_astray;
	uint32_t told_version, told_size, told_converts;
	struct handoff__gate *gate;
	char gate_text[HANDOFF_TEXT_MAX];
	uint64_t gate_arena;  /* the arena that the gate knows */
	uint64_t strays;      /* slots that the gate has and no batch */
	uint64_t table_arena; /* whose batches were resumed */
	uint64_t bequest[HANDOFF__BATCHES]; /* ids, see bequest.h */
	uint32_t nbequest;
	/* QUERY and COMMIT that came before the words here were read */
	struct handoff__early {
		uint64_t batch;
		bool query;
	} early[HANDOFF__BATCHES];
	uint32_t nearly;
	bool salvages; /* a socket here may be frozen: salvage.c */
	struct handoff__rests rests;
	struct handoff__timer rest;
	struct handoff__hook hook;
	char hook_text[HANDOFF_TEXT_MAX]; /* why its last run failed */
	struct handoff__gate_counts gate_counts;
	uint32_t gate_asked, gate_answered; /* counters */

	struct handoff__mover mover;
	struct handoff__taker taker;
	bool retreating; /* the server was asked for what it had got */
	struct handoff__freight *loads[HANDOFF__BATCHES]; /* by slot */
	uint32_t nloads;
	uint32_t moves_out, moves_in, moves_failed;
	uint64_t sent, received;
	char refusal[HANDOFF__LETTER_WHY]; /* of the other host, the last */
};

/* ferry.c */
int handoff__ferry_open(struct handoff__ferry **out,
	const struct handoff__ferry_options *options,
	const struct handoff__log *log, struct handoff__error *error);
/* Until it has stopped. */
int handoff__ferry_run(
	struct handoff__ferry *ferry, struct handoff__error *error);
void handoff__ferry_free(struct handoff__ferry *ferry);

/* operator.c: ferry.c calls both once, when the pair is open and before it is
 * closed. */
extern const struct handoff__operator_ops handoff__ferry_operator_ops;
int handoff__ferry_operator_open(struct handoff__ferry *ferry);
void handoff__ferry_operator_close(struct handoff__ferry *ferry);

#endif
