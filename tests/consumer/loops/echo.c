/* SPDX-License-Identifier: MIT */
/*
 * The buffers of a connection and how a handoff carries them. Does no reading
 * or sending, except for bytes that a dead process had noted but not taken.
 */
#include "echo.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

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

	s->read = c->read;
	s->written = c->written;
	s->unanswered = (uint32_t)c->unanswered;
	s->unsent = (uint32_t)c->unsent;
	memcpy(s->bytes, c->out, c->unsent);
	memcpy(s->bytes + c->unsent, c->in, c->unanswered);
	handoff_entry_commit(c->entry,
		offsetof(struct echo_state, bytes) + c->unsent + c->unanswered);
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

int
echo_resume(struct echo *c, int fd)
{
	uint64_t in, out;
	int err = load(c);

	if (err == 0)
		err = handoff_entry_progress(c->entry, &in, &out);
	if (err < 0)
		return err;
	if (in > c->read || out < c->written || out - c->written > c->unsent)
		return -EIO;
	err = in < c->read || out > c->written;
	/* Noted, and not taken: it is in our buffers and still in the kernel's.
	 * MSG_TRUNC drops it there, see tcp(7). */
	if (in < c->read &&
		recv(fd, NULL, c->read - in, MSG_TRUNC | MSG_DONTWAIT) !=
			(ssize_t)(c->read - in))
		return -EIO;
	/* Sent, and not noted. */
	echo_sent(c, out - c->written);
	return err;
}
