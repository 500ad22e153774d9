/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the ZooKeeper component run in: the server that engines.py
 * has started, a service of its own for each test, and ends of the engine.
 */
#ifndef TESTS_ZOOKEEPER_FIXTURE_H
#define TESTS_ZOOKEEPER_FIXTURE_H

#include "support/support.h"

#include "zookeeper/component.h"

#include <zookeeper/zookeeper.h>

#define TTL_MS 4000

/* The address of a new service, without the prefix. */
const char *place_new(void);

/* Of the service of place_new: a file with these lines, and the address with
 * it. */
const char *place_creds(const char *text);

/* An end for a host, perhaps with a session. */
void *lease_begin(
	const char *rest, const char *host, const void *session, size_t len);
void lease_end(void *end);

/* Waits for an event of that kind, and skips others; `serial` is that of the
 * last one that was skipped or found. Fails after some seconds. */
struct handoff_lease_event lease_await(
	void *end, enum handoff_lease_event_kind kind);

/* Connected, and it is known that the lease is vacant. */
void *lease_vacant(const char *rest, const char *host);

/* Takes the lease; its token. */
uint64_t lease_take(void *end, uint64_t serial, uint64_t above);

/* Stops the server, and lets it go on. */
void server_stop(void);
void server_go_on(void);

/* A client of the tests, and what they do with it; all wait. */
zhandle_t *admin_open(const clientid_t *id);
void admin_close(zhandle_t *zh);
int admin_delete(zhandle_t *zh, const char *path);
/* Anybody may use it from now on. */
int admin_open_node(zhandle_t *zh, const char *path);
int admin_get(zhandle_t *zh, const char *path, char *out, int size);

#endif
