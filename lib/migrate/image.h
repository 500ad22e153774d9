/* SPDX-License-Identifier: MIT */
/*
 * The image of a TCP connection: all that another host needs to continue it,
 * and its wire format. An image from another process is the power to forge a
 * connection: decoding checks every field, but which local addresses may be
 * restored is for the caller to say.
 */
#ifndef HANDOFF_MIGRATE_IMAGE_H
#define HANDOFF_MIGRATE_IMAGE_H

#include "migrate/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* The most bytes that either queue of an image may have. */
#define HANDOFF__IMAGE_QUEUE_MAX (1u << 28)

/* What the two ends have negotiated. ECN is not among what can be restored: the
 * connection goes on without it. */
#define HANDOFF__IMAGE_WSCALE     0x1
#define HANDOFF__IMAGE_SACK       0x2
#define HANDOFF__IMAGE_TIMESTAMPS 0x4
#define HANDOFF__IMAGE_ECN        0x8
#define HANDOFF__IMAGE_USEC       0x10 /* timestamps count microseconds */

enum handoff__image_end {
	HANDOFF__IMAGE_OPEN,
	HANDOFF__IMAGE_END_DUE,  /* the FIN is queued behind unsent output */
	HANDOFF__IMAGE_END_SENT, /* acknowledged or not */
};

struct handoff__image_window { /* struct tcp_repair_window */
	uint32_t snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup;
};

/* What the kernel of the old host had counted when a connection was read. Not
 * in the message: it is of no use on another host. */
struct handoff__image_seen {
	bool known;
	unsigned state;  /* of TCP */
	uint32_t segs;   /* that had come */
	uint32_t unsent; /* with a FIN that has not left */
	int unacked;     /* the same */
};

struct handoff__image {
	int family; /* of the socket: AF_INET, AF_INET6 */
	unsigned char local[16], peer[16];  /* IPv4: the first four bytes */
	uint16_t local_port, peer_port;     /* in host order */
	bool input_ended;                   /* the peer's FIN has arrived */
	enum handoff__image_end output_end; /* the FIN of this end */
	uint32_t in_seq, out_seq; /* of the first bytes in the queues */
	uint32_t mss;             /* the peer's */
	uint32_t negotiated;
	uint32_t snd_wscale, rcv_wscale;
	uint32_t timestamp;
	struct handoff__image_window window;
	struct handoff__image_options options;
	const unsigned char *in, *out; /* unread input, unacknowledged output */
	uint32_t in_len, out_len;
	uint32_t unsent; /* how many bytes at the end of `out` */
	void *owned;     /* the memory of both queues, or NULL */
	struct handoff__image_seen seen;
};

/* Frees the queues of an image that freezing has made. */
void handoff__image_free(struct handoff__image *image);

/* Whether every field is within its range and they agree with each other.
 * -EBADMSG with a sentence that names the field. */
int handoff__image_check(
	const struct handoff__image *image, struct handoff__error *error);

/* The length of the image as a message. */
size_t handoff__image_size(const struct handoff__image *image);

/* Writes the message, which has exactly handoff__image_size bytes. -EMSGSIZE if
 * `size` is another, -EBADMSG as handoff__image_check. */
int handoff__image_encode(const struct handoff__image *image,
	unsigned char *data, size_t size, struct handoff__error *error);

/* Reads a message of exactly `size` bytes. The queues of the image point into
 * `data`, which must stay. Everything else is read once and copied, so it is of
 * no consequence if the sender goes on writing. -EPROTO for another version,
 * -EBADMSG for what is no image; both with a sentence, `image` untouched. */
int handoff__image_decode(struct handoff__image *image,
	const unsigned char *data, size_t size, struct handoff__error *error);

/* The image's ends as socket addresses; returns their length. */
socklen_t handoff__image_local(
	const struct handoff__image *image, struct sockaddr_storage *sa);
socklen_t handoff__image_peer(
	const struct handoff__image *image, struct sockaddr_storage *sa);

#endif
