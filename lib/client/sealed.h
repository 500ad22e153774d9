/* SPDX-License-Identifier: MIT */
/*
 * A session through a layer. Messages wait in the client's outbox, which is
 * plain text; what the session carries, keeps and repeats is cipher text, in an
 * outbox of its own. This knows which bytes of the one are in which of the
 * other, and so what became of a message. Does no I/O and knows no connection.
 */
#ifndef HANDOFF_CLIENT_SEALED_H
#define HANDOFF_CLIENT_SEALED_H

#include "client/fate.h"
#include "client/layer.h"
#include "client/outbox.h"

/* Cipher text up to there has the plain text up to there in it, whole. */
struct handoff__piece {
	uint64_t cipher, plain;
};

/* Positions are bytes since the session began. */
struct handoff__sealed {
	struct handoff__layered layered;
	struct handoff__outbox cipher;
	struct handoff__piece *pieces; /* not acknowledged whole; a ring */
	size_t cap, head, count;
	size_t passed;     /* of these, the kernel has whole */
	uint64_t end;      /* of all cipher text so far */
	uint64_t written;  /* plain text that the layer has */
	uint64_t acked;    /* that the server has acknowledged */
	uint64_t received; /* of the server's, that the program has */
	size_t chunk;      /* plain text of one piece, at most */
	bool ending;       /* the layer's sending direction has ended */
	bool starved;      /* there was no memory for what waits */
	bool held;         /* the layer may have something to be read */
};

/* For messages in this outbox, whose longest is set. */
void handoff__sealed_init(
	struct handoff__sealed *sealed, struct handoff__outbox *plain);
void handoff__sealed_fini(struct handoff__sealed *sealed);

/* The conversation of a new session begins. False if there is no memory. */
bool handoff__sealed_begin(struct handoff__sealed *sealed,
	const struct handoff_client_layer *layer, const char *endpoint);
/* It is over, and so is its cipher text. */
void handoff__sealed_close(struct handoff__sealed *sealed);

/* Seals as much of the messages as is to be sent next; with `end`, after the
 * last one, the layer's end. True if that is in the cipher text: the session's
 * own may follow. */
bool handoff__sealed_fill(struct handoff__sealed *sealed,
	const struct handoff__outbox *plain, bool end);

/* The server has acknowledged cipher text up to `acked`, and the kernel has it
 * as far as the outbox says, which may be less than before. */
void handoff__sealed_follow(struct handoff__sealed *sealed,
	struct handoff__outbox *plain, uint64_t acked);

/* What became of the messages, if the server certainly has the cipher text up
 * to `certain`. Those that are repeated are left in the outbox. */
void handoff__sealed_fate(struct handoff__sealed *sealed,
	struct handoff__outbox *plain, uint64_t certain, bool told,
	struct handoff__fate *fate);

#endif
