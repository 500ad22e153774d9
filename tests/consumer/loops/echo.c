/* SPDX-License-Identifier: MIT */
/*
 * The buffers of a connection and how a handoff carries them. Does no reading
 * or sending.
 */
#include "echo.h"

#include <errno.h>
#include <string.h>

void
echo_received(struct echo *c, size_t len)
{
	c->unanswered += len;
	c->read += len;
}

bool
echo_answer(struct echo *c)
{
	size_t len = ECHO_OUT - c->unsent;

	if (len > c->unanswered)
		len = c->unanswered;
	memcpy(c->out + c->unsent, c->in, len);
	memmove(c->in, c->in + len, c->unanswered - len);
	c->unsent += len;
	c->unanswered -= len;
	return len > 0;
}

void
echo_sent(struct echo *c, size_t len)
{
	c->written += len;
	c->unsent -= len;
	memmove(c->out, c->out + len, c->unsent);
}

void
echo_note(struct echo *c)
{
	struct echo_state *s = handoff_entry_edit(c->entry);
	struct echo_book book = {c->read, c->written};
	struct handoff_change changes[] = {
		{.entry = c->entry,
			.len = offsetof(struct echo_state, bytes) + c->unsent +
			       c->unanswered},
		{.entry = c->book, .state = &book, .len = sizeof(book)}};

	s->read = c->read;
	s->written = c->written;
	s->unanswered = (uint32_t)c->unanswered;
	s->unsent = (uint32_t)c->unsent;
	memcpy(s->bytes, c->out, c->unsent);
	memcpy(s->bytes + c->unsent, c->in, c->unanswered);
	handoff_peer_commit(
		c->peer, changes, c->book ? 2 : 1, sizeof(changes[0]));
}

/* A connection without a book may go on: there was no copy of it. */
static bool
book_agrees(const struct echo *c)
{
	size_t len;
	const struct echo_book *book;

	if (!c->book)
		return true;
	book = handoff_entry_state(c->book, &len);
	return len == sizeof(*book) && book->read == c->read &&
	       book->written == c->written;
}

static int
load(struct echo *c)
{
	size_t len, head = offsetof(struct echo_state, bytes);
	const struct echo_state *s = handoff_entry_state(c->entry, &len);

	if (len < head || s->unanswered > ECHO_IN || s->unsent > ECHO_OUT ||
		len != head + s->unsent + s->unanswered)
		return -EBADMSG;
	c->read = s->read;
	c->written = s->written;
	c->unanswered = s->unanswered;
	c->unsent = s->unsent;
	memcpy(c->out, s->bytes, c->unsent);
	memcpy(c->in, s->bytes + c->unsent, c->unanswered);
	return 0;
}

/* What the dead owner had read and not noted, if it was kept. */
static int
recover(struct echo *c)
{
	const void *data;
	size_t len;
	int rc = handoff_entry_recover(c->entry, c->read, &data, &len);

	if (rc <= 0 || len > ECHO_IN - c->unanswered)
		return -ENODATA;
	memcpy(c->in + c->unanswered, data, len);
	echo_received(c, len);
	return 1;
}

int
echo_resume(struct echo *c)
{
	size_t sent;
	int mended, err = load(c);

	if (err < 0 || !book_agrees(c))
		return -EBADMSG;
	mended = handoff_entry_mend(
		c->entry, c->read, c->written, c->unsent, &sent);
	if (mended >= 0 || mended == -ENODATA)
		echo_sent(c, sent);
	return mended == -ENODATA ? recover(c) : mended;
}
