/* SPDX-License-Identifier: MIT */
/*
 * A layer for the tests of the client, and the server's end of it, which the
 * test plays: a handshake of two messages, then frames whose bytes are not
 * those of the program.
 */
#ifndef TESTS_CLIENT_TOY_H
#define TESTS_CLIENT_TOY_H

#include "client/fixture.h"

/* What the next handshakes and ends do; all zero: what they should. */
struct toy_script {
	int begins;        /* how many there were */
	int open;          /* how many are not freed */
	bool no_memory;    /* begin fails */
	bool distrusts;    /* the client does not like the server's answer */
	char endpoint[64]; /* the last one that began was to */
};
extern struct toy_script toy_script;

/* The client's end. */
extern const struct handoff_client_layer toy_layer;

/* The server's end, without a connection. */
struct toy;
struct toy *toy_server(void);
void toy_free(struct toy *toy);
bool toy_is_open(const struct toy *toy);
/* The client has ended in order. */
bool toy_is_ended(const struct toy *toy);
void toy_input(struct toy *toy, const void *data, size_t len);
size_t toy_read(struct toy *toy, void *data, size_t size);
void toy_write(struct toy *toy, const void *data, size_t len);
void toy_end(struct toy *toy);
size_t toy_output(struct toy *toy, const void **data);
void toy_sent(struct toy *toy, size_t len);

/* The same on a connection. */
struct toy_conn {
	int fd;
	struct toy *toy;
};

/* Accepts while the client does its part, without a handshake; and with. */
struct toy_conn toy_take(
	struct handoff_client *client, const struct site *site);
struct toy_conn toy_accept(
	struct handoff_client *client, const struct site *site);
void toy_close(struct toy_conn *conn);

/* Reads what is there, after waiting for it. False at the end of the
 * connection. */
bool toy_receive(struct handoff_client *client, struct toy_conn *conn);
/* Reads exactly this; or the end in order, and then that of the connection. */
void toy_expect(
	struct handoff_client *client, struct toy_conn *conn, const char *text);
void toy_expect_end(struct handoff_client *client, struct toy_conn *conn);
void toy_say(struct toy_conn *conn, const char *text);
void toy_say_end(struct toy_conn *conn);
/* Sends the output that waits, at most so many bytes. */
void toy_flush(struct toy_conn *conn, size_t limit);

#endif
