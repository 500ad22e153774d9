/* SPDX-License-Identifier: MIT */
/*
 * Finishing a connection: what is left of the commit, and its rest. Sends
 * nothing that its image does not have, and decides nothing.
 */
#include "ferry/finish.h"

#include "migrate/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct handoff__rest {
	TAILQ_ENTRY(handoff__rest) node;
	int fd; /* a copy */
	bool end_due;
	size_t len, at;
	unsigned char data[];
};

/* Without room for it the socket stays incomplete, and its owner waits: what
 * that writes must not take the place of the rest. */
static int
keep_rest(struct handoff__rests *rests, int fd,
	const struct handoff__image *image,
	const struct handoff__restore *restore, struct handoff__error *error)
{
	size_t len = image->out_len - restore->taken;
	struct handoff__rest *r;

	if (len == 0 && !restore->end_due)
		return 0;
	r = malloc(sizeof(*r) + len);
	if (r)
		r->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (!r || r->fd < 0) {
		int err = r ? -errno : -ENOMEM;

		free(r);
		return handoff__fail(
			error, err, "its output: %s", strerror(-err));
	}
	r->end_due = restore->end_due;
	r->len = len;
	r->at = 0;
	if (len > 0)
		memcpy(r->data, image->out + restore->taken, len);
	TAILQ_INSERT_TAIL(rests, r, node);
	return 0;
}

int
handoff__finish(struct handoff__rests *rests, int fd,
	const struct handoff__image *image, struct handoff__error *error)
{
	struct handoff__restore restore;
	int err = handoff__migrate_resume(&restore, fd, image, error);

	if (err == 0)
		err = handoff__options_buffers(fd, &image->options,
			image->in_len, image->out_len, error);
	/* its FIN came before, and cannot come again */
	if (err == 0 && image->input_ended)
		shutdown(fd, SHUT_RD);
	if (err == 0)
		err = handoff__migrate_commit(&restore, image, error);
	return err < 0 ? err : keep_rest(rests, fd, image, &restore, error);
}

bool
handoff__finish_again(int err)
{
	return err == -EAGAIN || err == -ENOBUFS || err == -ENOMEM ||
	       err == -EPERM;
}

static void
end_rest(struct handoff__rests *rests, struct handoff__rest *r)
{
	TAILQ_REMOVE(rests, r, node);
	close(r->fd);
	free(r);
}

/* It ends when all of it is sent, or the connection has failed. */
static void
send_rest(struct handoff__rests *rests, struct handoff__rest *r)
{
	while (r->at < r->len) {
		ssize_t n = send(r->fd, r->data + r->at, r->len - r->at,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		r->at += (size_t)n;
	}
	if (r->end_due)
		shutdown(r->fd, SHUT_WR);
	end_rest(rests, r);
}

bool
handoff__finish_rests(struct handoff__rests *rests)
{
	struct handoff__rest *r, *next;

	for (r = TAILQ_FIRST(rests); r; r = next) {
		next = TAILQ_NEXT(r, node);
		send_rest(rests, r);
	}
	return !TAILQ_EMPTY(rests);
}

void
handoff__finish_end(struct handoff__rests *rests)
{
	struct handoff__rest *r;

	while ((r = TAILQ_FIRST(rests)))
		end_rest(rests, r);
}
