/* SPDX-License-Identifier: MIT */
/*
 * Data, KeyUpdates and alerts in TLS records. It decides what a TLS record does
 * to the keys that read, and never sends by itself: an answer is a note in
 * struct handoff__tls_messages, which lies in a state.
 */
#include "tls/update.h"

#include <errno.h>
#include <string.h>

#define KEY_UPDATE 24 /* the type of the message */
#define HEADER_LEN 4  /* of a message */

enum { WARNING = 1, FATAL = 2 };

/* A whole KeyUpdate is there, and `more` bytes after it. */
static int
updated(const struct handoff__tls_end *end,
	struct handoff__tls_messages *messages, size_t more)
{
	uint8_t request = messages->part[HEADER_LEN];

	messages->len = 0;
	if (more > 0)
		return -EPROTO; /* it would be under two keys */
	if (request > 1)
		return -EINVAL;
	if (request == 1)
		messages->answer = 1;
	return handoff__tls_dir_update(end->suite, end->dir);
}

/* Bytes of messages, at least one; they may begin and end in the middle of a
 * message. */
static int
take_messages(const struct handoff__tls_end *end,
	struct handoff__tls_messages *messages, const uint8_t *data, size_t len,
	enum handoff__tls_event *event)
{
	static const uint8_t header[HEADER_LEN] = {KEY_UPDATE, 0, 0, 1};
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned at = messages->len;

		if (at >= HANDOFF__TLS_UPDATE_LEN)
			return -EPROTO; /* a damaged state */
		messages->part[at] = data[i];
		messages->len++;
		if (at < HEADER_LEN && data[i] != header[at])
			return at == 0 ? -EPROTO : -EILSEQ;
		if (at == HEADER_LEN) {
			*event = HANDOFF__TLS_UPDATED;
			return updated(end, messages, len - i - 1);
		}
	}
	*event = HANDOFF__TLS_NOTHING;
	return 0;
}

/* The level says nothing any more (RFC 8446, section 6). */
static int
take_alert(struct handoff__tls_messages *messages, const uint8_t *data,
	size_t len, enum handoff__tls_event *event)
{
	if (len != HANDOFF__TLS_ALERT_LEN)
		return -EPROTO;
	messages->alert = data[1];
	if (data[1] == HANDOFF__TLS_CLOSE_NOTIFY)
		*event = HANDOFF__TLS_CLOSED;
	else if (data[1] == HANDOFF__TLS_USER_CANCELED)
		*event = HANDOFF__TLS_NOTHING; /* a close_notify follows */
	else
		*event = HANDOFF__TLS_ALERTED;
	return 0;
}

int
handoff__tls_receive(const struct handoff__tls_end *end,
	struct handoff__tls_messages *messages, const uint8_t *record,
	size_t len, size_t limit, uint8_t *out, enum handoff__tls_event *event)
{
	enum handoff__tls_type type;
	int n = handoff__tls_open(end, record, len, limit, out, &type);

	if (n < 0)
		return n;
	if (type == HANDOFF__TLS_HANDSHAKE)
		return take_messages(end, messages, out, (size_t)n, event);
	if (messages->len > 0)
		return -EPROTO; /* messages are not interrupted */
	if (type == HANDOFF__TLS_ALERT)
		return take_alert(messages, out, (size_t)n, event);
	*event = HANDOFF__TLS_DATA;
	return n;
}

int
handoff__tls_send_update(const struct handoff__tls_end *end,
	struct handoff__tls_messages *messages, bool request, uint8_t *out)
{
	const uint8_t message[HANDOFF__TLS_UPDATE_LEN] = {
		KEY_UPDATE, 0, 0, 1, request};
	int n = handoff__tls_seal(
		end, HANDOFF__TLS_HANDSHAKE, message, sizeof(message), out);
	int err;

	if (n < 0)
		return n;
	err = handoff__tls_dir_update(end->suite, end->dir);
	if (err < 0)
		return err;
	messages->answer = 0;
	return n;
}

int
handoff__tls_send_alert(const struct handoff__tls_end *end,
	enum handoff__tls_alert alert, uint8_t *out)
{
	bool warns = alert == HANDOFF__TLS_CLOSE_NOTIFY ||
		     alert == HANDOFF__TLS_USER_CANCELED;
	const uint8_t content[HANDOFF__TLS_ALERT_LEN] = {
		warns ? WARNING : FATAL, (uint8_t)alert};

	return handoff__tls_seal(
		end, HANDOFF__TLS_ALERT, content, sizeof(content), out);
}

bool
handoff__tls_update_due(const struct handoff__tls_suites *suites,
	const struct handoff__tls_dir *write,
	const struct handoff__tls_messages *messages)
{
	return messages->answer || write->seq >= suites->records_a_key;
}

enum handoff__tls_alert
handoff__tls_alert_of(int error)
{
	switch (error) {
	case -EPROTO:
		return HANDOFF__TLS_UNEXPECTED_MESSAGE;
	case -EBADMSG:
		return HANDOFF__TLS_BAD_RECORD_MAC;
	case -EMSGSIZE:
		return HANDOFF__TLS_RECORD_OVERFLOW;
	case -EINVAL:
		return HANDOFF__TLS_ILLEGAL_PARAMETER;
	case -EILSEQ:
		return HANDOFF__TLS_DECODE_ERROR;
	default:
		return HANDOFF__TLS_INTERNAL_ERROR;
	}
}

const char *
handoff__tls_alert_name(unsigned alert)
{
	static const struct {
		uint8_t alert;
		const char *name;
	} names[] = {
		{0, "close_notify"},
		{10, "unexpected_message"},
		{20, "bad_record_mac"},
		{22, "record_overflow"},
		{40, "handshake_failure"},
		{42, "bad_certificate"},
		{43, "unsupported_certificate"},
		{44, "certificate_revoked"},
		{45, "certificate_expired"},
		{46, "certificate_unknown"},
		{47, "illegal_parameter"},
		{48, "unknown_ca"},
		{49, "access_denied"},
		{50, "decode_error"},
		{51, "decrypt_error"},
		{70, "protocol_version"},
		{71, "insufficient_security"},
		{80, "internal_error"},
		{86, "inappropriate_fallback"},
		{90, "user_canceled"},
		{109, "missing_extension"},
		{110, "unsupported_extension"},
		{112, "unrecognized_name"},
		{113, "bad_certificate_status_response"},
		{115, "unknown_psk_identity"},
		{116, "certificate_required"},
		{120, "no_application_protocol"},
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].alert == alert)
			return names[i].name;
	return "unknown";
}
