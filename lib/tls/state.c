/* SPDX-License-Identifier: MIT */
/*
 * The layout of a connection in its state: checked when it is read, moved when
 * a part grows or shrinks. Knows lengths, and nothing of TLS records. Writes
 * the state of a transaction only.
 */
#include "tls/state.h"

#include "tls/component.h"

#include <assert.h>
#include <errno.h>
#include <handoff/wrap.h>
#include <stdio.h>
#include <string.h>

#define HEAD_SIZE sizeof(struct handoff__tls_head)
#define TEXTS_MAX                                                              \
	(HANDOFF_TLS_ALPN_MAX + HANDOFF_TLS_SERVER_NAME_MAX +                  \
		HANDOFF_TLS_PEER_MAX)

static_assert(HEAD_SIZE % 16 == 0, "what follows is aligned");

static size_t
align16(size_t len)
{
	return (len + 15u) & ~(size_t)15u;
}

const char *
handoff__tls_texts(const struct handoff__tls_head *head)
{
	return (const char *)(head + 1);
}

size_t
handoff__tls_pending_at(const struct handoff__tls_head *head)
{
	return HEAD_SIZE + head->texts_len;
}

size_t
handoff__tls_inner_at(const struct handoff__tls_head *head)
{
	return align16(handoff__tls_pending_at(head) + head->pending_len);
}

size_t
handoff__tls_len(const struct handoff__tls_head *head)
{
	return handoff__tls_inner_at(head) + head->inner_len;
}

/* Three strings, or nothing. */
static bool
has_texts(const struct handoff__tls_head *head)
{
	const char *texts = handoff__tls_texts(head);
	unsigned zeros = 0;

	if (head->texts_len == 0)
		return true;
	for (size_t i = 0; i < head->texts_len; i++)
		zeros += texts[i] == '\0';
	return zeros == 3 && texts[head->texts_len - 1] == '\0';
}

/* No sum overflows: each length is below the state's. */
static bool
is_sound(const struct handoff__tls_head *head, size_t len)
{
	if (head->layout != HANDOFF__TLS_LAYOUT ||
		head->phase > HANDOFF__TLS_OVER ||
		head->texts_len > TEXTS_MAX || head->pending_len > len ||
		head->inner_len > len || handoff__tls_len(head) > len)
		return false;
	return has_texts(head) &&
	       (head->phase != HANDOFF__TLS_OPEN ||
		       (head->fragment > 0 &&
			       head->fragment <= HANDOFF__TLS_CONTENT_MAX));
}

const struct handoff__tls_head *
handoff__tls_head(const void *state, size_t len)
{
	return state && len >= HEAD_SIZE && is_sound(state, len) ? state : NULL;
}

struct handoff__tls_head *
handoff__tls_begin(struct handoff_conn *conn)
{
	size_t len = handoff_conn_state_len(conn);
	struct handoff__tls_head *head;

	if (len > 0)
		return handoff__tls_head(handoff_conn_state(conn), len)
			       ? handoff_conn_state(conn)
			       : NULL;
	head = handoff_conn_state_resize(conn, HEAD_SIZE);
	if (head)
		head->layout = HANDOFF__TLS_LAYOUT;
	return head;
}

int
handoff__tls_set_texts(struct handoff_conn *conn, const char *alpn,
	const char *server_name, const char *peer)
{
	const char *text[3] = {alpn, server_name, peer};
	struct handoff__tls_head *head = handoff_conn_state(conn);
	size_t len = 0, at = HEAD_SIZE;

	assert(head->pending_len == 0 && head->inner_len == 0);
	for (int i = 0; i < 3; i++)
		len += strlen(text[i]) + 1;
	if (len > TEXTS_MAX ||
		!handoff_conn_state_resize(conn, align16(HEAD_SIZE + len)))
		return -EMSGSIZE;
	for (int i = 0; i < 3; i++) {
		memcpy((char *)head + at, text[i], strlen(text[i]) + 1);
		at += strlen(text[i]) + 1;
	}
	head->texts_len = (uint32_t)len;
	return 0;
}

int
handoff__tls_set_inner(struct handoff_conn *conn, size_t len)
{
	struct handoff__tls_head *head = handoff_conn_state(conn);
	size_t at = handoff__tls_inner_at(head);

	/* without the old inner state, so that the new one is zero */
	handoff_conn_state_resize(conn, at);
	if (!handoff_conn_state_resize(conn, at + len))
		return -EMSGSIZE;
	head->inner_len = (uint32_t)len;
	return 0;
}

/* Moves the inner state to where it is with so much before it. */
static int
move_inner(struct handoff_conn *conn, size_t pending)
{
	struct handoff__tls_head *head = handoff_conn_state(conn);
	unsigned char *state = handoff_conn_state(conn);
	size_t from = handoff__tls_inner_at(head);
	size_t to = align16(handoff__tls_pending_at(head) + pending);

	if (to > from && !handoff_conn_state_resize(conn, to + head->inner_len))
		return -EMSGSIZE;
	if (to != from && head->inner_len > 0)
		memmove(state + to, state + from, head->inner_len);
	if (to < from)
		handoff_conn_state_resize(conn, to + head->inner_len);
	head->pending_len = (uint32_t)pending;
	return 0;
}

int
handoff__tls_set_pending(
	struct handoff_conn *conn, const void *data, size_t len)
{
	struct handoff__tls_head *head = handoff_conn_state(conn);

	if (len == 0 && head->pending_len == 0)
		return 0;
	if (move_inner(conn, len) < 0)
		return -EMSGSIZE;
	if (len > 0)
		memcpy((char *)head + handoff__tls_pending_at(head), data, len);
	return 0;
}

void
handoff__tls_erase(struct handoff__tls_head *head)
{
	OPENSSL_cleanse(&head->u, sizeof(head->u));
	head->phase = HANDOFF__TLS_OVER;
}

/* The first line, about the connection. Returns its length. */
static size_t
print_head(const struct handoff__tls_head *head, char *text, size_t size)
{
	static const char *const phases[] = {
		[HANDOFF__TLS_NEW] = "nothing received",
		[HANDOFF__TLS_HANDSHAKE_ON] = "handshake",
		[HANDOFF__TLS_OPEN] = "open",
		[HANDOFF__TLS_ENDING] = "ending",
		[HANDOFF__TLS_OVER] = "over",
	};
	int len;

	if (head->phase == HANDOFF__TLS_OPEN)
		len = snprintf(text, size,
			"TLS 1.3, suite %04x: %llu and %llu TLS records, %u "
			"and %u key updates received and sent, %u B pending",
			head->suite, (unsigned long long)head->u.open.read.seq,
			(unsigned long long)head->u.open.write.seq,
			head->u.open.read.updates, head->u.open.write.updates,
			head->pending_len);
	else
		len = snprintf(text, size, "TLS: %s", phases[head->phase]);
	return len < 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1;
}

/* Never fails: what cannot be described would be shown as bytes. */
int
handoff__tls_print(const struct handoff_service *inner, const void *state,
	char *text, size_t size)
{
	const struct handoff__tls_head *head =
		handoff__tls_head(state, HANDOFF_WRAP_STATE_MAX);
	size_t len;

	if (!head) {
		snprintf(text, size, "TLS: damaged");
		return 0;
	}
	len = print_head(head, text, size);
	if (head->inner_len == 0 || size - len < 8 || !inner->print)
		return 0;
	memcpy(text + len, "; ", 3);
	if (inner->print((const char *)state + handoff__tls_inner_at(head),
		    text + len + 2, size - len - 2, inner->arg) < 0)
		text[len] = '\0';
	return 0;
}

/* The inner state, which is to lie behind what `head` says. */
static int
convert_inner(const struct handoff_service *inner, uint32_t version,
	const void *old, size_t old_size, struct handoff__tls_head *head,
	size_t size)
{
	size_t at = handoff__tls_inner_at(head);
	bool same = version == inner->state_version;
	size_t len = same ? old_size : inner->state_size;
	unsigned char *state = (unsigned char *)head;
	int rc = 0;

	if (len > inner->state_size || at + len > size)
		return -EMSGSIZE;
	if (same && len > 0)
		memcpy(state + at, old, len);
	if (!same) {
		if (!inner->convert || version < inner->convert_from ||
			version > inner->state_version)
			return -EPROTO;
		rc = inner->convert(
			version, old, old_size, state + at, inner->arg);
		if (rc < 0)
			return rc;
		if (rc > 0 && inner->state_grows && (size_t)rc <= len)
			len = (size_t)rc;
	}
	head->inner_len = (uint32_t)len;
	return 0;
}

int
handoff__tls_convert(const struct handoff_service *inner, uint32_t version,
	const void *old, size_t old_size, void *state, size_t size)
{
	struct handoff__tls_head *head = state;
	const struct handoff__tls_head *from;
	size_t at;
	int rc;

	if (!(version & HANDOFF__TLS_BIT))
		return -EPROTO; /* in plain text: it does not become TLS */
	if (old_size == 0) {
		head->layout = HANDOFF__TLS_LAYOUT;
		return (int)HEAD_SIZE;
	}
	from = handoff__tls_head(old, old_size);
	if (!from)
		return -EBADMSG;
	at = handoff__tls_inner_at(from);
	if (at > size)
		return -EMSGSIZE;
	memcpy(head, from, at);
	head->inner_len = 0;
	if (head->flags & HANDOFF__TLS_SERVED) {
		rc = convert_inner(inner, version & ~HANDOFF__TLS_BIT,
			(const unsigned char *)old + at, from->inner_len, head,
			size);
		if (rc < 0)
			return rc;
	}
	return (int)handoff__tls_len(head);
}
