/* SPDX-License-Identifier: MIT */
/*
 * TLS records after the handshake (RFC 8446, section 5): sealed and opened one
 * at a time, between buffers of the caller. Pure: it knows no connection, and
 * what it has to know of one is in a struct handoff__tls_dir. What the content
 * of a TLS record means is in update.h.
 *
 * A TLS record is 5 bytes of header, the content, a byte with its type, zeros
 * (padding), a tag of 16 bytes; this side never pads.
 */
#ifndef HANDOFF_TLS_LAYER_H
#define HANDOFF_TLS_LAYER_H

#include "tls/suite.h"

#include <stdbool.h>

#define HANDOFF__TLS_HEADER   5
#define HANDOFF__TLS_TAG      16
#define HANDOFF__TLS_OVERHEAD (HANDOFF__TLS_HEADER + 1 + HANDOFF__TLS_TAG)

#define HANDOFF__TLS_CONTENT_MAX 16384 /* bytes of content */
/* Bytes of a whole TLS record: of one that comes, and of one that is sent. */
#define HANDOFF__TLS_RECORD_MAX (HANDOFF__TLS_HEADER + 16384 + 256)
#define HANDOFF__TLS_SEALED_MAX                                                \
	(HANDOFF__TLS_CONTENT_MAX + HANDOFF__TLS_OVERHEAD)

enum handoff__tls_type {
	HANDOFF__TLS_ALERT = 21,
	HANDOFF__TLS_HANDSHAKE = 22,
	HANDOFF__TLS_APPLICATION = 23,
};

/*
 * A cipher context with its key schedule, in this process's own memory: a cache
 * that may be lost at any time. All zero is an empty one. It notices by itself
 * when the direction has other keys (a KeyUpdate, a turn that was undone, even
 * another connection), so it need not be kept in step with the state. Not for
 * two threads at a time.
 */
struct handoff__tls_key {
	EVP_CIPHER_CTX *ctx;
	uint8_t iv[HANDOFF__TLS_IV]; /* of the direction that it is for */
	uint8_t ready;               /* SEALS, OPENS; 0: nothing is set */
	uint16_t suite;
};

/* Erases what is in it and frees it; it is empty afterwards. NULL is fine. */
void handoff__tls_key_drop(struct handoff__tls_key *key);

/* What sealing or opening takes. */
struct handoff__tls_end {
	const struct handoff__tls_suite *suite;
	struct handoff__tls_dir *dir;
	struct handoff__tls_key *key;
};

/*
 * Seals `len` bytes, at most CONTENT_MAX, as one TLS record. `out` has
 * room for len + OVERHEAD bytes; the content may lie at out + HEADER already,
 * and must not overlap it otherwise. Returns len + OVERHEAD; -EOVERFLOW if the
 * sequence number is used up (never before 2^64 - 1 TLS records of a key),
 * -ENOMEM if OpenSSL failed: the connection can only end then, without an
 * alert.
 */
int handoff__tls_seal(const struct handoff__tls_end *end,
	enum handoff__tls_type type, const void *content, size_t len,
	uint8_t *out);

/*
 * Seals `len` bytes of application data, which lie at out + HEADER, as TLS
 * records of at most `fragment` bytes of content, in place. `out` has room for
 * handoff__tls_sealed_len(len, fragment) bytes. Returns that number, 0 for no
 * data; errors as handoff__tls_seal, and all of that room is erased then.
 */
int handoff__tls_seal_data(const struct handoff__tls_end *end, uint8_t *out,
	size_t len, size_t fragment);

/* How many bytes `len` bytes of data are when sealed, and how many bytes of
 * data fit into `room` bytes when sealed. */
size_t handoff__tls_sealed_len(size_t len, size_t fragment);
size_t handoff__tls_data_room(size_t room, size_t fragment);

/*
 * The length of the TLS record at the start of what has come, header included:
 * known from its header, and not all of it need be there. 0: the header is not
 * there yet. As soon as it is seen: -EPROTO if its type is not that of all TLS
 * records after the handshake, -EMSGSIZE if it is longer than allowed,
 * -EBADMSG if it is too short for a tag. These are errors of
 * handoff__tls_open, which says what to do.
 */
int handoff__tls_record_len(const void *data, size_t len);

/*
 * Opens one TLS record of exactly `len` bytes, header included. `out` has room
 * for len - HEADER - TAG bytes, and is either at record + HEADER or does not
 * overlap it; what is behind the content is undefined there afterwards.
 * Returns the length of the content, which may be 0 for application data, and
 * its type.
 *
 * Errors end the connection, with the alert handoff__tls_alert_of(error), and
 * nothing has changed but `out`, which is without plain text:
 *   -EBADMSG   forged or damaged
 *   -EMSGSIZE  too long: more than CONTENT_MAX, or `limit`, bytes of content
 *   -EPROTO    no type, an unknown one, an alert or message of 0 bytes
 *   -EOVERFLOW the sequence number is used up
 *   -ENOMEM    OpenSSL failed
 */
int handoff__tls_open(const struct handoff__tls_end *end, const uint8_t *record,
	size_t len, size_t limit, uint8_t *out, enum handoff__tls_type *type);

#endif
