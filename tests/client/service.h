/* SPDX-License-Identifier: MIT */
/*
 * A service for the tests of notices: its directory and publisher, a home and
 * another endpoint. The test plays both servers.
 */
#ifndef TESTS_CLIENT_SERVICE_H
#define TESTS_CLIENT_SERVICE_H

#include "client/fixture.h"

#include "client/client.h"
#include "notice/publisher.h"

/* More than all socket buffers between two ends hold. */
enum { BIG = 300000, BIG_COUNT = 30 };

struct service {
	const char *endpoints[2];
	char notices[140];
	struct handoff__dir dir;
	struct handoff__publisher pub;
	uint64_t generation;
	const char *trap;   /* what notices name as endpoint, or NULL */
	int64_t expires_ms; /* of notices */
	struct site home, other;
	struct handoff_client_opts opts;
};

extern struct service service;

void service_begin(void);
void service_end(struct handoff_client *client);

/* Home becomes a Unix socket, to which a connection is made at once. */
void service_home_is_local(void);

struct handoff_client *service_client(void);

/* A client on its first connection, of which `*conn` is the server's end. */
struct handoff_client *service_connected(int *conn);

/* Publishes a notice of the next generation. */
void service_publish(
	enum handoff_notice_kind kind, const char *serving, uint32_t spread_ms);

void service_expect_homing(struct handoff_client *client);

/* READY, and the new connection, of which the server's end is returned. */
int service_go_home(struct handoff_client *client);

/* Queues BIG_COUNT messages of BIG bytes, more than the sockets take, each of
 * which tells its number; and reads those from number `first` on. */
void service_send_much(struct handoff_client *client);
void service_read_much(struct handoff_client *client, int conn, int first);

#endif
