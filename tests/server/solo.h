/* SPDX-License-Identifier: MIT */
/*
 * Shared by the tests of a turn: one connection with small buffers, some
 * services, and the client's side of the socket, played by the test.
 */
#ifndef TESTS_SERVER_SOLO_H
#define TESTS_SERVER_SOLO_H

#include "support/support.h"

#include "server/conn.h"

#define SIZE      4096u /* of both buffers of the connection */
#define TURNS_MAX 100000

/* What the services of the tests have seen. */
struct seen {
	unsigned calls, opens, eofs;
	int fail; /* what the handler returns */
	uint32_t activity;
};

/* The desk of every turn; 0: none. For a group of tests, its setup. */
extern uint32_t turn_desk;
int on_no_desk(void **state);
int on_a_desk(void **state);

struct fixture {
	struct handoff__arena arena;
	struct handoff__view view;
	struct handoff__record *rec;
	struct handoff_service service;
	struct seen seen;
	int fd, client; /* the two ends; -1: closed */
	struct handoff__turn_result result;
};

void open_service(struct fixture *f, const struct handoff_service *service);
void open_conn(
	struct fixture *f, handoff_handle_fn *handle, handoff_handle_fn *open);
void close_conn(struct fixture *f);

/* A client that reads nothing can then not take much. */
void shrink(const struct fixture *f);

/* One turn; and turns for as long as there is something to do without the
 * client. */
enum handoff__turn turn(struct fixture *f, uint32_t events);
enum handoff__turn turns(struct fixture *f);

void client_says(const struct fixture *f, const char *text);
/* Exactly this has come, and the end if `end`. */
void client_hears(const struct fixture *f, const char *text, bool end);
void client_ends_sending(const struct fixture *f);

/* Bytes that are known by their positions. Return the position after. */
size_t client_sends_some(const struct fixture *f, size_t sent, size_t total);
size_t client_reads_some(const struct fixture *f, size_t got, size_t most);

/* Sends back what it gets. */
int echo(struct handoff_conn *conn, void *arg);

/* Answers whole lines, one a call, in capital letters; at the end also what
 * is no whole line. "quit" ends the connection. Fails when told to. */
int lines(struct handoff_conn *conn, void *arg);

/* For `open`. */
int greet(struct handoff_conn *conn, void *arg);

#endif
