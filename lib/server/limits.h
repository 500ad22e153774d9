/* SPDX-License-Identifier: MIT */
/*
 * How many connections one address may have, and how many were refused.
 */
#ifndef HANDOFF_SERVER_LIMITS_H
#define HANDOFF_SERVER_LIMITS_H

#include "record/record.h"

struct handoff__address_count;
struct handoff_server;

enum handoff__limit {
	HANDOFF__LIMIT_TOTAL = 0, /* max_connections */
	HANDOFF__LIMIT_ADDRESS,   /* max_per_address */
	HANDOFF__LIMITS,
};

struct handoff__limits {
	struct handoff__address_count *nodes; /* the first is not used */
	uint32_t *buckets;                    /* as many as nodes */
	uint32_t size, unused; /* unused: the first of the free nodes */
	uint64_t seed;         /* so that clients cannot choose collisions */
	uint64_t refused[HANDOFF__LIMITS];
	uint32_t unlogged[HANDOFF__LIMITS];
	int64_t logged_us[HANDOFF__LIMITS]; /* 0: never */
};

/* Counts a connection from that address. Returns its number for `leave`, 0 if
 * it is not counted: it has no address, or memory is out. */
uint32_t handoff__limits_enter(
	struct handoff__limits *limits, const struct handoff__client *client);
void handoff__limits_leave(struct handoff__limits *limits, uint32_t number);

/* The connections that are counted for that address. */
uint32_t handoff__limits_count(
	struct handoff__limits *limits, const struct handoff__client *client);

void handoff__limits_free(struct handoff__limits *limits);

/* A client is refused: counts it, and logs it if none was logged lately. */
void handoff__limits_refuse(
	struct handoff_server *server, enum handoff__limit limit);
struct handoff__buf;
void handoff__limits_metrics(
	const struct handoff_server *server, struct handoff__buf *buf);

#endif
