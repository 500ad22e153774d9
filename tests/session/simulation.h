/* SPDX-License-Identifier: MIT */
/*
 * A client and a server with one session, in one process. What decides is the
 * shipped state machine of both ends; modelled are connections that are cut
 * anywhere, a client that resumes while the old connection is open, refusals,
 * ends that stand still, applications, and a server whose every step is a
 * transaction that a death may undo.
 *
 *   sim_wire.c         buffers, connections and what an application writes
 *   sim_client.c       the client
 *   sim_server.c       the server
 *   test_simulation.c  schedules, checks, mistakes
 */
#ifndef TESTS_SESSION_SIMULATION_H
#define TESTS_SESSION_SIMULATION_H

#include "session/flow.h"

#include <stdbool.h>
#include <stdint.h>

enum { LINKS = 4, PIPE = 500, INPUT = 400, OUTPUT = 1100, NONE = -1 };

/* Mistakes that a run makes on purpose: each must be found. */
enum bug {
	BUG_NONE,
	BUG_STOPS_READING,  /* while its application holds half of the window */
	BUG_NO_ACK,         /* no ACK, only what other frames carry */
	BUG_SENDS_ON,       /* on the old connection, after a RESUME */
	BUG_READS_ON,       /* the same for reading */
	BUG_SENT_TOO_EARLY, /* output leaves before the commit */
	BUG_FROM_THE_ACK,   /* sends again from `ack`, not from `received` */
	BUG_NOT_AGAIN,      /* sends nothing again */
	BUG_END_ONCE,       /* no END after a resume */
	BUG_FORGETS_SENT,   /* keeps nothing that was framed */
	BUG_ANY_POSITION,   /* takes every RESUME with the right token */
	BUG_OLD_STATE,      /* resumes with the state of the last cut */
	BUG_NO_SYNC,
	BUGS,
};

enum stream { UP, DOWN }; /* to the server, to the client */

struct buffer {
	unsigned len;
	unsigned char data[OUTPUT];
};

struct pipe {
	bool closed; /* what is in it can still be read */
	unsigned len;
	unsigned char data[PIPE];
};

enum stage {
	STAGE_FREE,
	STAGE_PREFACE,
	STAGE_SHAKE,
	STAGE_OPEN,
	STAGE_LAST, /* writes its last bytes, then closes */
	STAGE_DONE, /* closed by the server */
};

/* A connection; `in` and `out` are the server's, in its record. */
struct link {
	enum stage stage;
	bool client_done;
	struct pipe up, down;
	struct buffer in, out;
};

struct client {
	struct handoff__flow_limits limits;
	struct handoff__flow flow;
	bool begun, over, lost;
	uint64_t number;
	int cur, next; /* connections */
	bool wished;   /* RESUME is under way on `next` */
	struct buffer in, out, next_in, next_out;
	uint64_t total, made; /* bytes of its application */
	uint64_t base;        /* position of the first byte that it keeps */
	uint64_t got, read;   /* of the server's */
};

enum app { APP_BOTH, APP_ECHO, APP_BLOCKS, APP_ROOM, APPS };

/* In one record: what a transaction changes. */
struct server {
	struct handoff__flow flow;
	bool exists, app_ended;
	uint64_t number;
	int link; /* NONE: absent */
	uint64_t made, base, got, read;
};

enum sight {
	SAW_NEW,
	SAW_RESUMED,
	SAW_TAKEOVER, /* while the old connection was open */
	SAW_AGAIN,    /* bytes sent again */
	SAW_END_AGAIN,
	SAW_HALF_DATA, /* cut in the midst of a DATA */
	SAW_BUSY,
	SAW_UNKNOWN,
	SAW_POSITION,
	SAW_WRONG_TOKEN,
	SAW_CUT,
	SAW_UNDONE,
	SAW_FULL,      /* a window was full */
	SAW_HELD_BACK, /* an acknowledgement waited for the application */
	SAW_ACK,
	SAW_SYNC,
	SAW_STALL,
	SAW_ABORT_CLIENT,
	SAW_ABORT_SERVER,
	SAW_TIMEOUT,
	SAW_LOST_WELCOME,
	SAW_LAST_ACK_LOST,
	SAW_FORGOTTEN,
	SAW_WHOLE,
	SIGHTS,
};

struct world {
	uint64_t seed, random;
	enum bug bug;
	bool trace, quiet;
	const char *bad;
	unsigned step, faults;
	unsigned stalled[2]; /* steps that client and server stand still */
	struct client client;
	struct server server, cut;          /* `cut`: as at the last cut */
	struct handoff__flow_limits limits; /* the server's */
	enum app app;
	uint64_t server_total;
	uint32_t block;
	bool server_gone; /* its session has ended, with: */
	bool whole;       /* in order, not by abort or timeout */
	bool aborted;
	uint64_t taken; /* of the client's stream, at that end */
	uint64_t numbers;
	struct link links[LINKS];
	unsigned *seen;
};

uint32_t sim_draw(struct world *w, uint32_t most);
bool sim_chance(struct world *w, unsigned n);
void sim_trace(const struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void sim_bad(struct world *w, const char *what);
void sim_see(struct world *w, enum sight sight);

/* The byte at a position of what an application writes. */
unsigned char sim_byte(enum stream stream, uint64_t position);
void sim_fill(
	unsigned char *to, enum stream stream, uint64_t position, uint32_t len);
bool sim_same(const unsigned char *bytes, enum stream stream, uint64_t position,
	uint32_t len);

unsigned sim_room(const struct buffer *b, unsigned size);
void sim_put(struct buffer *b, const void *bytes, unsigned len);
void sim_drop(struct buffer *b, unsigned len);
void sim_put_frame(struct buffer *b, const struct handoff__frame *frame);
/* A DATA with its bytes. */
void sim_put_data(struct buffer *b, struct handoff__flow *flow,
	enum stream stream, uint32_t len);
/* Some of the bytes, as a socket takes and gives them. */
void sim_write(struct world *w, struct pipe *to, struct buffer *from);
void sim_read(
	struct world *w, struct buffer *to, struct pipe *from, unsigned size);
/* NONE if there is no room for another one. */
int sim_link_open(struct world *w);
void sim_link_cut(struct world *w, int link);
/* The client closes its end. */
void sim_link_close(struct world *w, int link);
void sim_links_clear(struct world *w);

void sim_client_step(struct world *w);
void sim_server_step(struct world *w);
/* What the mistakes have in common. */
bool sim_reads(const struct world *w, const struct handoff__flow *flow);
int sim_resume(struct world *w, struct handoff__flow *flow,
	const struct handoff__frame *frame);

#endif
