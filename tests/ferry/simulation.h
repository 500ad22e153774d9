/* SPDX-License-Identifier: MIT */
/*
 * A world of two hosts with three processes each, in one process and without
 * time: connections move from A to B in batches while messages are lost and
 * processes die at any point. What decides is the shipped code: the two state
 * machines of a batch (ferry/sending.c, receiving.c), the table of batches and
 * the rule for survivors (record/batch.c), the owner words. What is modelled is
 * all around it: sockets, the packets of clients, links, what each process does
 * as its machine says. A move home is the same with the hosts exchanged.
 */
#ifndef TESTS_FERRY_SIMULATION_H
#define TESTS_FERRY_SIMULATION_H

#include "ferry/message.h"
#include "ferry/receiving.h"
#include "ferry/sending.h"
#include "record/batch.h"

#include <stdbool.h>
#include <stdint.h>

enum { A, B, HOSTS };
enum { SERVER, FERRY, GATE, ROLES };
enum { CONNS = 5, MACHINES = 8, QUEUE = 64, IDS = 256, STALE = 8 };

#define S       0
#define FA      1
#define GA      2
#define AS      3
#define FB      4
#define GB      5
#define PARTIES 6

/* Places of the owner words, on either host. */
#define PLACE_SERVER 1u
#define PLACE_FERRY  2u

/* Mistakes that a run makes on purpose: each must be found. */
enum bug {
	BUG_NONE,
	BUG_UNGUARDED,       /* PREPARED before the server and the gate have
			      * everything */
	BUG_SURVIVOR_CLAIMS, /* S claims what is elsewhere, whatever the batch
			      * says */
	BUG_FREES_EARLY,     /* the sender frees its word after COMMIT */
	BUG_CLAIMS_IN_DOUBT, /* AS claims what is in doubt */
	BUG_ANSWERS_EARLY,   /* the ferry answers before it has read the
			      * table */
	BUG_UNCHECKED,       /* what is stale is committed */
	BUG_UNKNOWN_COMMITS, /* the verdict on an unknown batch is committed */
	BUG_SENDS_FIRST,     /* COMMIT before the word */
	BUG_GATE_FINISHES,   /* B's gate finishes what is in doubt */
	BUG_NO_FORGET,       /* the receiver frees its word with SERVING */
	BUG_GATE_THAWS,      /* A's gate thaws whatever the word says */
	BUG_LEAVES_RECORDS,  /* a ferry that resumes frees the word alone */
	BUG_GIVES_UP,        /* the receiver gives up what it has promised */
	BUGS,
};

/* Between two processes. */
struct note {
	uint32_t type; /* a letter, or one of these: */
	uint8_t mask;  /* connections */
	bool flag;
	uint32_t slot, round, pos;
	uint64_t id;
};

enum local_note {
	TAKE = 100, /* ferry to server */
	CAME,
	HOLD, /* ferry to gate */
	HOLDING,
	PASS,
	FLIP,
	TELL,
	GUARD,
	GUARDED,
	UNGUARD,
	MIRROR, /* ferry to server, B */
	HELD,
	OFFER,
};

struct queue {
	struct note notes[QUEUE];
	unsigned head, len;
};

/* The arena has the image: as long as any process has the arena. */
#define KEPT 3

/* DEAD: of a session without a connection. Nothing comes to it, it is neither
 * frozen nor finished, and the gates do not know it. */
enum socket_state { NONE, LIVE, FROZEN, DEAD };

struct sock {
	enum socket_state state;
	uint8_t holders; /* roles that have a descriptor */
	uint8_t images;  /* roles that have its image, and KEPT */
	uint32_t pos, image_pos;
};

struct host {
	struct handoff__batches table;
	handoff__owner owner[CONNS]; /* of the records; 0: free */
	uint32_t batch[CONNS];       /* that it left or came with */
	struct sock sock[CONNS];
	struct queue to[ROLES][ROLES]; /* [to][from] */
	/* Deaths that were not noticed yet, by whom of whom. */
	bool server_notice, gate_notice, ferry_of_server, ferry_of_gate;
	bool joined; /* the ferry has read the table */
};

struct out {
	struct handoff__sending m;
	bool used;
	uint32_t slot;
	/* connections: asked for, given by the server, in the batch, leaving */
	uint8_t asked, came, in, back;
};

struct in {
	struct handoff__receiving m;
	bool used;
	uint32_t slot;
	/* in the batch, without an answer of the server, refused by us, by the
	 * server, withdrawn */
	uint8_t in, waiting, refused, unheld, back;
	bool ended; /* END came */
	bool resumed;
};

enum flow { DROPPED, PASSED, HELD_BACK, FLIPPED };

struct gate {
	enum flow flow[CONNS];
	uint32_t slot[CONNS]; /* A: held for; B: guarded for */
	uint64_t id[CONNS];   /* 0: not guarded */
	uint8_t held[CONNS];  /* packets */
};

struct link {
	bool open[HOSTS]; /* this side does not know that it has ended */
	bool up[HOSTS];   /* HELLO was read */
	bool cut;
	struct queue to[HOSTS];
};

/* What a run has seen: a simulator that never sees it proves nothing. */
enum sight {
	SAW_COMMIT,
	SAW_ABORT,
	SAW_OVERLAP,
	SAW_OVERLAP_CUT,
	SAW_STALE,
	SAW_REFUSED,
	SAW_DOUBT,
	SAW_DOUBT_COMMITTED,
	SAW_DOUBT_ABORTED,
	SAW_RESUMED_DOUBT,
	SAW_RESUMED_COMMIT,
	SAW_COMMIT_AGAIN,
	SAW_SERVING_AGAIN,
	SAW_LOST,
	SAW_GATE_THAW,
	SAW_GATE_FLIP,
	SAW_GATE_FINISH,
	SAW_SERVER_CLAIM,
	SAW_SERVER_CLOSE,
	SAW_SERVER_ABORTS,
	SAW_STANDBY_CLAIM,
	SAW_STANDBY_KEEPS,
	SAW_EXCUSED,
	SAW_TOO_EARLY,
	SAW_LATE_LETTER,
	SAW_UNHELD,
	SAW_UNGUARDED,
	SIGHTS,
};

struct world {
	uint64_t seed, random;
	enum bug bug;
	const char *bad; /* the first violation */
	unsigned step;
	bool trace;              /* prints what happens */
	bool quiet;              /* nothing more goes wrong */
	unsigned faults, deaths; /* one in so many events, actions */
	bool stale;              /* letters of an old link come late */
	bool network;
	bool alive[PARTIES];
	struct host host[HOSTS];
	struct link link;
	struct note late[STALE];
	uint8_t late_to[STALE];
	unsigned nlate;
	struct out out[MACHINES];
	struct in in[MACHINES];
	struct gate gate[HOSTS];
	uint32_t next_id;
	bool committed[IDS];
	/* clients */
	uint32_t acked[CONNS];
	uint8_t inflight[CONNS];   /* packets that are past A's gate */
	uint8_t ended, excused;    /* connections */
	uint8_t absent;            /* sessions without one */
	uint32_t lost_at_b[CONNS]; /* B had lost it while this batch was open */
	unsigned *seen;
};

/* test_simulation.c */
uint32_t sim_draw(struct world *w, uint32_t most);
/* One in `n`, while things go wrong. */
bool sim_chance(struct world *w, unsigned n);

/* sim_world.c: processes, sockets, links */
void sim_bad(struct world *w, const char *what);
void sim_see(struct world *w, enum sight sight);
void sim_trace(const struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void sim_begin(struct world *w, uint64_t seed, enum bug bug);
void sim_kill(struct world *w, int party);
/* Whether the process is dead, possibly since now. */
bool sim_dies(struct world *w, int party);
void sim_push(struct queue *queue, const struct note *note);
bool sim_pop(struct queue *queue, struct note *note);
/* From `from` to `to`, roles of the same host. */
void sim_tell(
	struct world *w, int host, int from, int to, const struct note *note);
/* From the ferry of that host to the other. */
void sim_send(struct world *w, int host, const struct note *note);
void sim_unhold(struct world *w, int host, int conn, int role);
void sim_cut(struct world *w);
uint32_t sim_owner(const struct world *w, int host, int conn);
void sim_set_owner(struct world *w, int host, int conn, uint32_t word);
/* Whose an entry with such an owner word is: the shipped rule. */
enum handoff__elsewhere sim_whose(
	const struct world *w, int host, uint32_t owner);

/* sim_packets.c: packets and the gates' part in them */
void sim_client_sends(struct world *w, int conn);
void sim_arrive(struct world *w, int host, int conn);
void sim_flow(struct world *w, int conn, enum flow flow);
void sim_thaw(struct world *w, int conn);
void sim_finish(struct world *w, int conn, int role);

/* sim_sender.c: host A */
void sim_move(struct world *w);
void sim_run_out(struct world *w, struct out *o, uint32_t actions);
void sim_a_letter(struct world *w, const struct note *note);
void sim_a_note(struct world *w, int to, int from);
void sim_a_join(struct world *w);
void sim_a_ferry_lost(struct world *w, int role);
void sim_a_link(struct world *w, bool up);
void sim_a_poll(struct world *w);
void sim_a_late(struct world *w, bool all);

/* sim_receiver.c: host B */
void sim_run_in(struct world *w, struct in *r, uint32_t actions);
void sim_b_letter(struct world *w, const struct note *note);
void sim_b_note(struct world *w, int to, int from);
void sim_b_join(struct world *w);
void sim_b_ferry_lost(struct world *w, int role);
void sim_b_link(struct world *w, bool up);
void sim_b_poll(struct world *w);
void sim_b_late(struct world *w);

/* sim_survive.c: the server and the gate after the death of their ferry */
void sim_a_server_survives(struct world *w);
void sim_a_gate_survives(struct world *w);
void sim_b_server_survives(struct world *w);
void sim_b_gate_survives(struct world *w);

/* sim_check.c: the invariants */
void sim_check(struct world *w);
void sim_check_end(struct world *w);
bool sim_is_excused(const struct world *w, int conn);

#endif
