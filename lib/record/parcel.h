/* SPDX-License-Identifier: MIT */
/*
 * A parcel: all that a connection's record says, as a message that another host
 * understands: its state, unread input, unsent output, positions, and what it
 * has passed to its pair. Taken from a record at rest, and filled into a fresh
 * one, possibly with other buffer sizes. What is read from shared memory or
 * from a message is bounds-checked and trusted in nothing. Knows no sockets:
 * what the kernel has of the connection is in its image (migrate/image.h). A
 * session without a connection has a parcel, and no image.
 */
#ifndef HANDOFF_RECORD_PARCEL_H
#define HANDOFF_RECORD_PARCEL_H

#include "record/record.h"

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What cannot go to another host in a parcel, by name. */
enum handoff__unparcelled {
	HANDOFF__PARCEL_FINE,
	HANDOFF__PARCEL_FREE,     /* the record has no entry */
	HANDOFF__PARCEL_LISTENER, /* the other host opens its own */
	HANDOFF__PARCEL_EXTRA,    /* an extra descriptor of the program */
	HANDOFF__PARCEL_DATA,     /* data, whose descriptor is memory */
	HANDOFF__PARCEL_DAMAGED,  /* its record is inconsistent */
	HANDOFF__PARCEL_OLDER,    /* of an older layout */
	HANDOFF__PARCEL_ENDING,   /* it ends at once, or its socket has ended */
	/* It can go later: after a turn, or a commit of its program. */
	HANDOFF__PARCEL_TURN,  /* it is in a turn, or its pair is */
	HANDOFF__PARCEL_POSTS, /* posts for it wait */
	HANDOFF__PARCEL_INBOX, /* its program has read input that its state
				* may not have */
	HANDOFF__PARCELS,
};

/* Whether it is one of those that pass. */
static inline bool
handoff__parcel_passes(enum handoff__unparcelled why)
{
	return why >= HANDOFF__PARCEL_TURN && why < HANDOFF__PARCELS;
}

/* Whether the record can go in a parcel: HANDOFF__PARCEL_FINE, or the first
 * reason why not with a sentence. It is asked again just before the commit of
 * the move, since others add posts. */
enum handoff__unparcelled handoff__parcel_refuse(
	const struct handoff__view *view, struct handoff__error *error);

/* The reason in a few words, for counts: "1 data, 2 posts waiting". */
const char *handoff__parcel_word(enum handoff__unparcelled why);

/* The longest absence: far more than any session waits. */
#define HANDOFF__PARCEL_ABSENT_MOST (UINT64_C(1) << 40)

/* The most bytes of posts that wait for an absent session; with more it stays.
 */
#define HANDOFF__PARCEL_POSTS_MOST 65536u

/* Positions count bytes of the stream from the connection's first byte. */
struct handoff__parcel {
	uint64_t id;
	uint32_t kind;     /* HANDOFF__CONNECTION */
	uint32_t activity; /* HANDOFF__AT_REST or HANDOFF__PENDING */
	uint32_t flags;    /* of the commit: enum handoff__commit_flag */
	uint32_t deaths;   /* in its handler, see handling.h */
	/* of the record it was in */
	uint32_t state_size, state_version, rx_size, tx_size, pass_size;
	uint64_t consumed, produced;       /* by the service */
	uint64_t rx_base, tx_base;         /* of the new record, see
					    * handoff__parcel_counted */
	uint64_t old_rx_base, old_tx_base; /* not sent */
	uint32_t outq;  /* the output in its image, which the new socket is
			 * to get */
	bool outq_ends; /* and its end; neither is sent */
	const unsigned char *state; /* the part in use */
	const unsigned char *in;    /* received, and not consumed */
	const unsigned char *out;   /* produced, and not sent */
	const unsigned char *pass;  /* passed, and not taken by its pair */
	uint32_t state_len, in_len, out_len, pass_len;
	uint64_t pair;                  /* id, 0: none; see pass.h */
	uint64_t leader;                /* id, 0: none */
	uint32_t pass_head, pass_tail;  /* positions; `pass` ends at the
					 * first. Without a ring: of a service
					 * that wraps another one */
	uint32_t outgoing;              /* the service has made it */
	uint32_t wish_error;            /* why there is no pair */
	char wish[HANDOFF_ADDRESS_MAX]; /* where it is to be connected to */
	uint64_t tag;
	int64_t since_ms;      /* CLOCK_REALTIME */
	bool timed;            /* it has a deadline, */
	uint64_t remaining_ms; /* which is due then; 0: at once */
	uint64_t session;      /* its number; 0: none */
	bool absent;           /* the session has no connection, and nothing in
				* its buffers, */
	uint64_t absent_ms;    /* for so long */
	const unsigned char
		*posts; /* that wait for it, see handoff__parcel_post */
	uint32_t posts_len;
	uint64_t posts_end; /* not sent: how far they were looked for */
	struct handoff__client client;
	char label[HANDOFF__LABEL_MAX];
	void *owned; /* the memory of the four byte strings, or NULL */
	size_t owned_len;
};

/* Takes a parcel from a record that nobody serves, or that this process serves;
 * it has memory of its own (handoff__parcel_free). `now_ms` is CLOCK_BOOTTIME.
 * -EBUSY if handoff__parcel_refuse says so, with its sentence; -EBADMSG if the
 * record is damaged or changes meanwhile; -ENOMEM. */
int handoff__parcel_take(struct handoff__parcel *parcel,
	const struct handoff__view *view, uint64_t now_ms,
	struct handoff__error *error);
void handoff__parcel_free(struct handoff__parcel *parcel);

/*
 * What the kernel says of the frozen socket: how much was read from it and
 * written to it (base/progress.h), and the length of the output in its image,
 * which is not acknowledged. Before the parcel is encoded. From that follow the
 * bases of the new record's positions, since the new socket's counters begin
 * with what the image has: its output counts as written, and its unread input
 * as not read; so on the other host nothing is to be done, whatever the new
 * socket takes of the output.
 *
 * Not for a session without a connection, which has no use for counters. The
 * server's own records have the positions themselves, and without this call
 * they are as if there were no such output. A connection of handoff_peer(3),
 * whose program does its own input and output, has them nowhere else. -EBADMSG,
 * with a sentence, if the record has positions which say something else.
 */
int handoff__parcel_counted(struct handoff__parcel *parcel, uint64_t read,
	uint64_t written, uint64_t outq, struct handoff__error *error);

/* Whether every field is within its range and they agree with each other.
 * -EBADMSG with a sentence that names the field. */
int handoff__parcel_check(
	const struct handoff__parcel *parcel, struct handoff__error *error);

/* The length of the parcel as a message; the most that it can be. */
size_t handoff__parcel_size(const struct handoff__parcel *parcel);
#define HANDOFF__PARCEL_MOST                                                   \
	(1024u + 3u * HANDOFF__BUFFER_MAX + HANDOFF__STATE_MAX +               \
		HANDOFF__PARCEL_POSTS_MOST)

/* The next one of the posts, and its bytes; `*at` is 0 at first. False if there
 * is none. */
bool handoff__parcel_post(const struct handoff__parcel *parcel, uint32_t *at,
	struct handoff__post *post, const unsigned char **bytes);

/* Whether posts for the absent session have come that this parcel of it has
 * not. */
bool handoff__parcel_outdated(
	const struct handoff__view *view, uint64_t posts_end);

/* The head of a post in a parcel: length, flags, from, request, source, number,
 * and then its bytes. */
#define HANDOFF__PARCEL_POST_HEAD (2u * 4u + 4u * 8u)
void handoff__parcel_put_post(
	unsigned char *at, const struct handoff__post *post);

/* Writes the message, which has exactly handoff__parcel_size bytes. -EMSGSIZE
 * if `size` is another, -EBADMSG as handoff__parcel_check. */
int handoff__parcel_encode(const struct handoff__parcel *parcel,
	unsigned char *data, size_t size, struct handoff__error *error);

/* Reads a message of exactly `size` bytes. The byte strings of the parcel point
 * into `data`, which must stay. -EPROTO for another version, -EBADMSG for what
 * is no parcel; both with a sentence, `parcel` untouched. */
int handoff__parcel_decode(struct handoff__parcel *parcel,
	const unsigned char *data, size_t size, struct handoff__error *error);

/* The geometry of the record that the parcel was taken from: the sizes of its
 * buffers, and of its state with the version. For a segment to be made for it,
 * or for handoff__arena_alloc_fit. -EINVAL: impossible sizes. */
int handoff__parcel_geometry(
	const struct handoff__parcel *parcel, struct handoff__geometry *geo);

/*
 * Fills a fresh record (handoff__arena_alloc_fit), which has the state size and
 * version of the parcel, and possibly other buffers. Sets all but the owner
 * word, and the id last. Posts that are there already are not for it; its pair
 * and its leader are not known yet (handoff__parcel_link). -EMSGSIZE, with the
 * sizes in the sentence, if a buffer is too small; -EPROTO: another state. The
 * record is then as it was.
 *
 * The caller then enters it for posts, handoff__posts_enter, and adds those of
 * the parcel.
 */
int handoff__parcel_fill(const struct handoff__view *view,
	const struct handoff__parcel *parcel, uint64_t now_ms,
	struct handoff__error *error);

/* Lets a filled record find the one of its pair or of its leader, which has
 * come too, by their ids. Which of the two `other` is, if either, is found out;
 * false if it is neither. To be called in both directions for a pair. */
bool handoff__parcel_link(
	const struct handoff__view *view, const struct handoff__view *other);

/* Puts `len` bytes back in front of the unsent output: what the send buffer of
 * the new socket did not take of the image's output (from restore.taken on).
 * Before anybody serves the record; takes effect by one store. -EMSGSIZE if its
 * buffer cannot hold them with what is there. */
int handoff__parcel_put_back(const struct handoff__view *view,
	const unsigned char *bytes, size_t len, struct handoff__error *error);

#endif
