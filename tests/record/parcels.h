/* SPDX-License-Identifier: MIT */
/*
 * Two hosts with an arena each, and a connection with everything that a parcel
 * can carry.
 */
#ifndef TESTS_RECORD_PARCELS_H
#define TESTS_RECORD_PARCELS_H

#include "record/fixture.h"

#include "record/parcel.h"

#define STATE   48u
#define VERSION 3u
#define NOW_MS  1000000u /* at the one, */
#define THEN_MS 5000u    /* and at the other, which has booted later */

struct host {
	struct handoff__arena arena;
	struct handoff__geometry geo;
	uint32_t fold; /* of its records, as of large states; 0: none */
};

/* `pass`: of the ring to a pair, or 0. */
void parcels_host(struct host *h, uint32_t rx, uint32_t tx, uint32_t pass);
void parcels_end(struct host *h);

/* A free record of the host, in no place. */
void parcels_record(struct host *h, struct handoff__view *view);

/* One that is in use: it has consumed "12345", has "input" unread, "output"
 * unsent behind 3 bytes that were sent, and a state of 20 bytes. */
void parcels_connection(
	struct host *h, struct handoff__view *view, uint64_t id);

/* As a message, which is to be freed. */
unsigned char *parcels_message(
	const struct handoff__parcel *parcel, size_t *size);

/* Takes a parcel, and fills a record of the other host with what its message
 * says. */
void parcels_send(const struct handoff__view *from, struct host *to,
	struct handoff__view *view);

/* Everything but the place of the bytes is the same in both. */
void parcels_assert_same(
	const struct handoff__view *a, const struct handoff__view *b);

#endif
