/* SPDX-License-Identifier: MIT */
/*
 * Shared by the tests of the client: the server's side of connections, which
 * the test itself plays, and pulling events until one comes.
 */
#ifndef TESTS_CLIENT_FIXTURE_H
#define TESTS_CLIENT_FIXTURE_H

#include "support/support.h"

#include <handoff/client.h>

#define PATIENCE_MS 20000

struct site {
	int fd;
	char address[HANDOFF_ADDRESS_MAX];
};

/* A listener on a loopback port of the system's choice, or a free port where
 * nobody listens. */
struct site site_open(void);
struct site site_dead(void);
/* Listens again where `site` was, which was closed. */
void site_reopen(struct site *site);
void site_close(struct site *site);

/* A port that answers no SYN: its backlog is full. `fill` gets the sockets to
 * be closed at the end. */
#define SITE_FILL 4
struct site site_full(int fill[SITE_FILL]);

/* Options with short delays for up to two endpoints. */
struct handoff_client_opts fixture_opts(const char **endpoints,
	const struct site *first, const struct site *second);

/* Opens a client with these options; to one or two of these sites; or so that
 * it is connected, and `*conn` is the server's end of its connection. */
struct handoff_client *fixture_open(const struct handoff_client_opts *opts);
struct handoff_client *fixture_open_to(
	const struct site *first, const struct site *second);
struct handoff_client *fixture_open_connected(
	const struct site *site, int *conn);

/* Accepts the next connection while the client does its part. */
int fixture_accept(struct handoff_client *client, const struct site *site);

/* Pulls the next event, which must be of that type, within five seconds. */
struct handoff_client_event fixture_expect(
	struct handoff_client *client, enum handoff_client_event_type type);

/* Pulls DATA until all of `text` has come; nothing else may come. */
void fixture_expect_data(struct handoff_client *client, const char *text);

/* Dispatches until nothing is ready and asserts that no event waits and that
 * the descriptor is quiet. */
void fixture_expect_quiet(struct handoff_client *client);

/* The server's side reads exactly `text`, or the end. */
void fixture_read(struct handoff_client *client, int fd, const char *text);
void fixture_read_end(struct handoff_client *client, int fd);
void fixture_write(int fd, const char *text);

/* Closes with a reset instead of an end. */
void fixture_reset(int fd);

/* Asserts that nothing is there to be read. */
void fixture_nothing(int fd);

#endif
