/* SPDX-License-Identifier: MIT */
/*
 * Two servers of one service in one process, by public calls only, and their
 * clients. Neither sees the other die, since both are the same process.
 */
#ifndef TESTS_SERVER_DUO_H
#define TESTS_SERVER_DUO_H

#include "support/support.h"

#include <handoff/server.h>

#include <stdatomic.h>

/* A server, what it is opened with, and what its service has seen. */
struct host {
	struct handoff_server *server;
	struct handoff_server_opts opts;
	struct handoff_service service;
	const char *listen[1];
	char address[HANDOFF_ADDRESS_MAX]; /* that it said it listens on */
	char why[HANDOFF_TEXT_MAX];        /* of an open that failed */
	char text[HANDOFF_TEXT_MAX];       /* of the last event expected */
	uint64_t generation;               /* the same */
	struct handoff_server_event event; /* the same, and what it pointed */
	struct handoff_outcome outcome;    /* to; else zero */
	atomic_uint handled;               /* calls of the handler here */
	atomic_bool hold;    /* handlers wait for as long as this is set */
	atomic_uint holding; /* how many do */
};

struct duo {
	struct host a, b;
};

/* The model of a test, as its setup chose it. */
#define DUO_WORKERS ((enum handoff_model)100) /* loop with three workers */
enum handoff_model duo_model(void **state);
int duo_setup_thread(void **state);
int duo_setup_workers(void **state);

#define each_model(f) handoff_test(f), thread_and_workers(f)
#define thread_and_workers(f)                                                  \
	{#f " (thread)", f, duo_setup_thread, support_teardown, NULL},         \
	{                                                                      \
#f " (workers)", f, duo_setup_workers, support_teardown, NULL  \
	}

/* Fills in: `a` listens on a loopback port, `b` on nothing; both serve lines
 * (see serve_lines) by that model. */
void duo_init(struct duo *duo, enum handoff_model model);

/* Opens both and waits until `b` is the standby of `a`. */
void duo_open(struct duo *duo, enum handoff_model model);

/* Stops and frees both; clients must be closed. */
void duo_close(struct duo *duo);

/* Opens one while the other does its part in a thread. */
int host_open(struct host *host, struct host *other);

/* Gives both what is ready; waits a moment if nothing is. False if nothing
 * happened. */
bool duo_turn(struct duo *duo);

/* Turns until an event of that type comes from the host; those before it are
 * dropped. */
void duo_expect(struct duo *duo, struct host *host,
	enum handoff_server_event_type type);

/* Pulls everything; true if there was one of that type. */
bool host_had(struct host *host, enum handoff_server_event_type type);

/* A new client of whoever listens there. */
int client_open(const char *address);
void client_send(int fd, const char *text);
/* Turns until exactly this text has come; "" waits for the end. */
void client_expect(struct duo *duo, int fd, const char *text);
/* Sends a line and gets it back with that number before it. */
void client_line(struct duo *duo, int fd, unsigned number);

/* Answers each line with its number on this connection, counted in the
 * connection's state: "3 hello". "quit" ends the connection. `arg` is the
 * host; blocks while `hold` is set (model thread only). */
int serve_lines(struct handoff_conn *conn, void *arg);

#endif
