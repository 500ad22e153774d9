/* SPDX-License-Identifier: MIT */
/*
 * The layout of a session in the state of its record: checked when it is read,
 * moved when a part grows or shrinks. Knows lengths, and nothing of frames.
 * Writes the state of a transaction only.
 */
#include "session/state.h"

#include <handoff/wrap.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEAD_SIZE sizeof(struct handoff__session_head)
#define PAGE      4096u

static size_t
align16(size_t len)
{
	return (len + 15u) & ~(size_t)15u;
}

size_t
handoff__session_pending_at(const struct handoff__session_head *head)
{
	return HEAD_SIZE + head->kept_len;
}

size_t
handoff__session_inner_at(const struct handoff__session_head *head)
{
	return align16(HEAD_SIZE + head->kept_len + (size_t)head->pending_len);
}

size_t
handoff__session_len(const struct handoff__session_head *head)
{
	return handoff__session_inner_at(head) + head->inner_len;
}

/* No sum overflows: 64-bit or not, each length is below the state's. */
static bool
is_sound(const struct handoff__session_head *head, size_t len)
{
	if (head->layout != HANDOFF__SESSION_LAYOUT ||
		head->mode > HANDOFF__SESSION_ON || head->kept_len > len ||
		head->pending_len > len || head->inner_len > len ||
		handoff__session_len(head) > len)
		return false;
	return head->mode != HANDOFF__SESSION_ON ||
	       (handoff__flow_valid(&head->flow) &&
		       handoff__flow_kept(&head->flow) == head->kept_len);
}

const struct handoff__session_head *
handoff__session_head(const void *state, size_t len, bool *damaged)
{
	const struct handoff__session_head *head = state;
	bool sound = len >= HEAD_SIZE && is_sound(head, len);

	if (damaged)
		*damaged = len > 0 && !sound;
	return sound ? head : NULL;
}

size_t
handoff__session_used(const void *state, size_t size)
{
	const struct handoff__session_head *head =
		handoff__session_head(state, size, NULL);

	return head ? handoff__session_len(head) : 0;
}

struct handoff__session_head *
handoff__session_begin(struct handoff_conn *conn)
{
	struct handoff__session_head *head;

	if (handoff_conn_state_len(conn) > 0)
		return handoff__session_head(handoff_conn_state(conn),
			       handoff_conn_state_len(conn), NULL)
			       ? handoff_conn_state(conn)
			       : NULL;
	head = handoff_conn_state_resize(conn, HEAD_SIZE);
	if (head)
		head->layout = HANDOFF__SESSION_LAYOUT;
	return head;
}

int
handoff__session_give_state(struct handoff_conn *conn, size_t len)
{
	struct handoff__session_head *head = handoff_conn_state(conn);
	size_t at = handoff__session_inner_at(head);

	/* without the old inner state, so that the new one is zero */
	handoff_conn_state_resize(conn, at);
	if (!handoff_conn_state_resize(conn, at + len))
		return -EMSGSIZE;
	head->inner_len = (uint32_t)len;
	return 0;
}

/* Moves pending input and inner state to where they are with these lengths; of
 * one that shrinks the last bytes are lost. Only one of them changes. */
static int
reshape(struct handoff_conn *conn, size_t kept, size_t pending)
{
	struct handoff__session_head *head = handoff_conn_state(conn);
	unsigned char *state = handoff_conn_state(conn);
	size_t pending_from = handoff__session_pending_at(head);
	size_t inner_from = handoff__session_inner_at(head);
	size_t pending_to = HEAD_SIZE + kept;
	size_t inner_to = align16(pending_to + pending);
	size_t moved =
		pending < head->pending_len ? pending : head->pending_len;

	if (inner_to > PAGE)
		conn->view.rec->touched |= HANDOFF__PAGES;
	if (inner_to > inner_from) {
		if (!handoff_conn_state_resize(
			    conn, inner_to + head->inner_len))
			return -EMSGSIZE;
		memmove(state + inner_to, state + inner_from, head->inner_len);
	}
	if (pending_to != pending_from)
		memmove(state + pending_to, state + pending_from, moved);
	if (inner_to < inner_from) {
		memmove(state + inner_to, state + inner_from, head->inner_len);
		handoff_conn_state_resize(conn, inner_to + head->inner_len);
	}
	head->kept_len = (uint32_t)kept;
	head->pending_len = (uint32_t)pending;
	return 0;
}

int
handoff__session_keep(
	struct handoff_conn *conn, const struct iovec *pieces, int count)
{
	struct handoff__session_head *head = handoff_conn_state(conn);
	size_t len = 0, before = head->kept_len;
	unsigned char *at;

	for (int i = 0; i < count; i++)
		len += pieces[i].iov_len;
	if (reshape(conn, before + len, head->pending_len) < 0)
		return -EMSGSIZE;
	at = (unsigned char *)handoff_conn_state(conn) + HEAD_SIZE + before;
	for (int i = 0; i < count; i++) {
		memcpy(at, pieces[i].iov_base, pieces[i].iov_len);
		at += pieces[i].iov_len;
	}
	return 0;
}

void
handoff__session_unkeep(struct handoff_conn *conn, size_t len)
{
	struct handoff__session_head *head = handoff_conn_state(conn);
	unsigned char *kept = (unsigned char *)(head + 1);

	if (len == 0)
		return;
	assert(len <= head->kept_len);
	memmove(kept, kept + len, head->kept_len - len);
	reshape(conn, head->kept_len - len, head->pending_len);
}

int
handoff__session_hold(struct handoff_conn *conn, const void *data, size_t len)
{
	struct handoff__session_head *head = handoff_conn_state(conn);
	size_t before = head->pending_len;

	if (reshape(conn, head->kept_len, before + len) < 0)
		return -EMSGSIZE;
	memcpy((unsigned char *)handoff_conn_state(conn) +
			handoff__session_pending_at(head) + before,
		data, len);
	return 0;
}

void
handoff__session_unhold(struct handoff_conn *conn, size_t len)
{
	struct handoff__session_head *head = handoff_conn_state(conn);
	unsigned char *pending = (unsigned char *)handoff_conn_state(conn) +
				 handoff__session_pending_at(head);

	if (len == 0)
		return;
	assert(len <= head->pending_len);
	memmove(pending, pending + len, head->pending_len - len);
	reshape(conn, head->kept_len, head->pending_len - len);
}

void
handoff__session_set_held(struct handoff_conn *conn)
{
	const struct handoff__session_head *head = handoff_conn_state(conn);

	conn->next->flags &= ~(uint32_t)HANDOFF__HOLDS_INPUT;
	if (head->pending_len > 0)
		handoff_wrap_held(conn);
}

/* The first line, about the session. Returns its length. */
static size_t
print_head(const struct handoff__session_head *head, char *text, size_t size)
{
	static const char *const modes[] = {
		[HANDOFF__SESSION_UNDECIDED] = "nothing known of the client",
		[HANDOFF__SESSION_PLAIN] = "no session",
		[HANDOFF__SESSION_HELLO] = "asks for a session",
		[HANDOFF__SESSION_WISH] = "asks to resume a session",
	};
	int len;

	if (head->mode == HANDOFF__SESSION_ON)
		len = snprintf(text, size,
			"session %llu: resumed %u times, %llu B received, "
			"%llu B sent, %u B kept, %u B pending",
			(unsigned long long)head->number, head->resumed,
			(unsigned long long)head->flow.rx_taken,
			(unsigned long long)head->flow.tx_sent, head->kept_len,
			head->pending_len);
	else
		len = snprintf(text, size, "%s", modes[head->mode]);
	return len < 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1;
}

/* As bytes, as far as there is room. */
static void
print_bytes(const unsigned char *bytes, size_t len, char *text, size_t size)
{
	text[0] = '\0';
	for (size_t i = 0; i < len && size > 3; i++, text += 3, size -= 3)
		snprintf(text, size, "%02x ", bytes[i]);
}

/* Never fails: what cannot be described would be shown as bytes, and the token
 * is among them. */
int
handoff__session_print(const struct handoff_service *inner, const void *state,
	char *text, size_t size)
{
	const struct handoff__session_head *head =
		handoff__session_head(state, HANDOFF__STATE_MAX, NULL);
	const unsigned char *bytes = state;
	size_t len;

	if (!head) {
		snprintf(text, size, "damaged");
		return 0;
	}
	len = print_head(head, text, size);
	if (head->inner_len == 0 || size - len < 8)
		return 0;
	memcpy(text + len, "; ", 3);
	bytes += handoff__session_inner_at(head);
	text += len + 2;
	size -= len + 2;
	if (inner->print && inner->print(bytes, text, size, inner->arg) >= 0)
		return 0;
	if (inner->secret)
		snprintf(text, size, "secret");
	else
		print_bytes(bytes, head->inner_len, text, size);
	return 0;
}

static bool
is_convertible(const struct handoff_service *inner, uint32_t version)
{
	return version == inner->state_version ||
	       (inner->convert && version >= inner->convert_from &&
		       version < inner->state_version);
}

/* The inner state, which is to lie behind what `head` says. */
static int
convert_inner(const struct handoff_service *inner, uint32_t version,
	const void *old, size_t old_size, struct handoff__session_head *head,
	size_t size)
{
	size_t at = handoff__session_inner_at(head);
	bool same = version == inner->state_version;
	size_t len = same ? old_size : inner->state_size;
	unsigned char *state = (unsigned char *)head;

	if (!is_convertible(inner, version))
		return -EPROTO;
	if (len > inner->state_size || at + len > size)
		return -EMSGSIZE;
	head->inner_len = (uint32_t)len;
	if (!same)
		return inner->convert(
			version, old, old_size, state + at, inner->arg);
	if (len > 0)
		memcpy(state + at, old, len);
	return 0;
}

int
handoff__session_convert(const struct handoff_service *inner, uint32_t version,
	const void *old, size_t old_size, void *state, size_t size)
{
	struct handoff__session_head *head = state;
	const struct handoff__session_head *from;
	bool damaged;
	size_t at;

	if (!(version & HANDOFF__SESSION_BIT)) {
		head->layout = HANDOFF__SESSION_LAYOUT;
		head->mode = HANDOFF__SESSION_PLAIN;
		head->flags = HANDOFF__SESSION_SERVED;
		return convert_inner(inner, version, old, old_size, head, size);
	}
	from = handoff__session_head(old, old_size, &damaged);
	if (!from)
		return damaged ? -EBADMSG : 0;
	at = handoff__session_inner_at(from);
	if (at > size)
		return -EMSGSIZE;
	memcpy(head, from, at);
	head->inner_len = 0;
	if (!(head->flags & HANDOFF__SESSION_SERVED))
		return 0;
	return convert_inner(inner, version & ~HANDOFF__SESSION_BIT,
		(const unsigned char *)old + at, from->inner_len, head, size);
}
