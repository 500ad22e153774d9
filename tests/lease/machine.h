/* SPDX-License-Identifier: MIT */
/*
 * One state machine and what its tests do to it. Times are seconds after an
 * hour of uptime; the TTL is 12 s: proofs every 2 s, doubt after 4, the end of
 * validity after 8.
 */
#ifndef TESTS_LEASE_MACHINE_H
#define TESTS_LEASE_MACHINE_H

#include "support/support.h"

#include "lease/lease.h"

#include <string.h>

#define TTL_MS 12000
#define S(n)   (UINT64_C(3600000000000) + (uint64_t)((n)*1e9))

#define STORE     HANDOFF__LEASE_STORE
#define VALID     HANDOFF__LEASE_VALID
#define WON       HANDOFF__LEASE_WON
#define DOUBTED   HANDOFF__LEASE_DOUBTED
#define FREEZE    HANDOFF__LEASE_FREEZE
#define THAW      HANDOFF__LEASE_THAW
#define CERTAIN   HANDOFF__LEASE_CERTAIN
#define RESET     HANDOFF__LEASE_RESET
#define READ      HANDOFF__LEASE_READ
#define ACQUIRE   HANDOFF__LEASE_ACQUIRE
#define PROVE     HANDOFF__LEASE_PROVE
#define PUBLISH   HANDOFF__LEASE_PUBLISH
#define RELEASE   HANDOFF__LEASE_RELEASE
#define PUBLISHED HANDOFF__LEASE_PUBLISHED
#define RELEASED  HANDOFF__LEASE_RELEASED
#define COMPLAIN  HANDOFF__LEASE_COMPLAIN

static struct handoff__lease l; /* of each test */

/* An event, at `n` seconds. */
static inline uint32_t
tell(double n, enum handoff_lease_event_kind kind, uint64_t serial,
	uint64_t token)
{
	struct handoff_lease_event event = {
		.kind = kind, .serial = serial, .token = token, .by = "b"};

	return handoff__lease_event(&l, S(n), &event);
}

static inline uint32_t
connect_with(double n, uint32_t ttl_ms)
{
	struct handoff_lease_event event = {
		.kind = HANDOFF_LEASE_CONNECTED, .ttl_ms = ttl_ms};

	return handoff__lease_event(&l, S(n), &event);
}

static inline void
begin(void)
{
	handoff__lease_init(&l, TTL_MS);
	assert_int_equal(l.state, HANDOFF_LEASE_FREE);
	assert_int_equal(handoff__lease_start(&l, S(0), NULL), 0);
	assert_int_equal(l.state, HANDOFF_LEASE_CANDIDATE);
}

/* A candidate that has asked at 0. */
static inline void
begin_asking(void)
{
	begin();
	assert_int_equal(connect_with(0, TTL_MS), STORE | READ);
	assert_int_equal(tell(0, HANDOFF_LEASE_RETAINED, l.read.serial, 0), 0);
	assert_int_equal(tell(0, HANDOFF_LEASE_VACANT, 0, 0), ACQUIRE);
}

/* An owner with token 7 that was asked for at 0. */
static inline void
begin_owner(void)
{
	begin_asking();
	assert_int_equal(tell(0.1, HANDOFF_LEASE_ACQUIRED, l.acquire.serial, 7),
		STORE | WON);
	assert_int_equal(l.state, HANDOFF_LEASE_OWNER);
}

static inline uint32_t
at(double n)
{
	return handoff__lease_time(&l, S(n));
}

/* Proves at `n` and hears of it at `then`. */
static inline uint32_t
prove(double n, double then)
{
	assert_int_equal(at(n), PROVE);
	return tell(then, HANDOFF_LEASE_PROVEN, l.prove_serial, 0);
}

#endif
