/* SPDX-License-Identifier: MIT */
/*
 * A picture: a snapshot of all entries in private memory, taken in one pause.
 */
#ifndef HANDOFF_SERVER_PICTURE_H
#define HANDOFF_SERVER_PICTURE_H

#include "peer/roster.h"
#include "record/snapshot.h"

#define HANDOFF__PICTURE_EACH  4096u      /* bytes kept per buffer */
#define HANDOFF__PICTURE_BYTES (4u << 20) /* and of all buffers */

struct handoff__shot {
	struct handoff__snapshot snap;
	int fd;                     /* -1: only the other peer has one */
	const unsigned char *state; /* 16-byte aligned; NULL: there is none */
	uint32_t state_size;        /* bytes of it */
	uint32_t state_version;     /* of the record's own segment */
	const unsigned char *bytes; /* of the buffers, snap.in + snap.out */
};

struct handoff__picture {
	struct handoff__shot *shots;
	uint32_t count;
	void *base; /* of all its memory */
	size_t size;
};

/* Takes it: of every record in use, including those that only the other peer
 * has a descriptor for. A negative errno if memory is out. */
int handoff__picture_take(
	struct handoff__picture *picture, struct handoff__roster *roster);
void handoff__picture_free(struct handoff__picture *picture);

#endif
