/* SPDX-License-Identifier: MIT */
/*
 * What the content of a TLS record after the handshake means: application data,
 * KeyUpdates (RFC 8446, 4.6.3), alerts (section 6). No other message is
 * allowed: there are no tickets from a client, no renegotiation, no
 * authentication after the handshake. Pure, as layer.h is.
 */
#ifndef HANDOFF_TLS_UPDATE_H
#define HANDOFF_TLS_UPDATE_H

#include "tls/layer.h"

/* Descriptions of alerts that this side sends. */
enum handoff__tls_alert {
	HANDOFF__TLS_CLOSE_NOTIFY = 0,
	HANDOFF__TLS_UNEXPECTED_MESSAGE = 10,
	HANDOFF__TLS_BAD_RECORD_MAC = 20,
	HANDOFF__TLS_RECORD_OVERFLOW = 22,
	HANDOFF__TLS_ILLEGAL_PARAMETER = 47,
	HANDOFF__TLS_DECODE_ERROR = 50,
	HANDOFF__TLS_INTERNAL_ERROR = 80,
	HANDOFF__TLS_USER_CANCELED = 90,
};

/* Sizes of TLS records that this side sends besides data. */
#define HANDOFF__TLS_UPDATE_LEN 5
#define HANDOFF__TLS_ALERT_LEN  2
#define HANDOFF__TLS_SEALED_UPDATE                                             \
	(HANDOFF__TLS_UPDATE_LEN + HANDOFF__TLS_OVERHEAD)
#define HANDOFF__TLS_SEALED_ALERT                                              \
	(HANDOFF__TLS_ALERT_LEN + HANDOFF__TLS_OVERHEAD)
/* Room for both, so that an answer and an end are always possible. */
#define HANDOFF__TLS_RESERVE 64

/* What is known of messages of the other side; in the state, beside the
 * directions. All zero at the beginning. */
struct handoff__tls_messages {
	uint8_t len; /* of a message that is not complete */
	uint8_t part[HANDOFF__TLS_UPDATE_LEN];
	/* A KeyUpdate of this side is to be sent before any more data: the
	 * other side has asked for it, once or several times. */
	uint8_t answer;
	uint8_t alert; /* the other side's, with ALERTED */
};

enum handoff__tls_event {
	HANDOFF__TLS_DATA,    /* `length` bytes of it, or 0 */
	HANDOFF__TLS_NOTHING, /* to be ignored: no data, no end */
	HANDOFF__TLS_UPDATED, /* new keys to read with, see messages.answer */
	HANDOFF__TLS_CLOSED,  /* close_notify: what follows is to be ignored */
	HANDOFF__TLS_ALERTED, /* the other side has given up: end, send nothing
			       */
};

/*
 * Opens the TLS record as handoff__tls_open does, and acts on it: a KeyUpdate
 * changes end->dir, an answer to it is only noted. Returns the length of the
 * data, 0 for all events but DATA, or an error that ends the connection with
 * the alert handoff__tls_alert_of(error): those of handoff__tls_open, and
 *   -EPROTO a message that is not allowed, is followed by something in its TLS
 *           record, or is interrupted by something else; a malformed alert
 *   -EILSEQ a KeyUpdate of a wrong length
 *   -EINVAL a KeyUpdate with an unknown request
 * After an error `messages` and end->dir are not to be used any more.
 */
int handoff__tls_receive(const struct handoff__tls_end *end,
	struct handoff__tls_messages *messages, const uint8_t *record,
	size_t len, size_t limit, uint8_t *out, enum handoff__tls_event *event);

/*
 * Seals a KeyUpdate with the old keys, and changes to the new ones; what was
 * asked for in `messages` is answered by it. `request`: the other side is to
 * send one of its own. `out` has room for SEALED_UPDATE bytes, which is what it
 * returns; errors as handoff__tls_seal.
 */
int handoff__tls_send_update(const struct handoff__tls_end *end,
	struct handoff__tls_messages *messages, bool request, uint8_t *out);

/* Seals an alert, a warning if it is close_notify or user_canceled, else fatal.
 * `out` has room for SEALED_ALERT bytes, which is what it returns; errors as
 * handoff__tls_seal. */
int handoff__tls_send_alert(const struct handoff__tls_end *end,
	enum handoff__tls_alert alert, uint8_t *out);

/* Whether a KeyUpdate of this side is due: an answer, or the keys have sealed
 * enough (suites->records_a_key). */
bool handoff__tls_update_due(const struct handoff__tls_suites *suites,
	const struct handoff__tls_dir *write,
	const struct handoff__tls_messages *messages);

/* The alert of an error of this layer; INTERNAL_ERROR if it is none. */
enum handoff__tls_alert handoff__tls_alert_of(int error);

/* "bad_record_mac", as RFC 8446 calls it; "unknown" if it does not. */
const char *handoff__tls_alert_name(unsigned alert);

#endif
