/* SPDX-License-Identifier: MIT */
/*
 * The stream of a connection whose program has buffers of its own: input that
 * is peeked at, committed and then consumed, and what the kernel knows better
 * than the state after a death. Reads through the library's descriptor, which
 * is of the same open file as the program's. Never changes a state.
 */
#include "embed/embed.h"

#include "base/progress.h"

#include <errno.h>
#include <sys/socket.h>

#define CHUNK 16384u /* of one call */

int
handoff_entry_peek(struct handoff_entry *e, void *buf, size_t size, size_t *len)
{
	ssize_t n;

	if (!handoff__embed_serves(e) || !buf || !len)
		return -EINVAL;
	if (size == 0)
		return 0; /* would look like the end of the input */
	n = recv(e->entry.fd, buf, size, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	*len = (size_t)n;
	return 1;
}

/* MSG_TRUNC lets TCP discard without copying, see tcp(7). Others copy, so there
 * is a buffer for it. */
static ssize_t
discard(int fd, uint64_t len)
{
	unsigned char buf[CHUNK];
	ssize_t n = recv(fd, buf, len < CHUNK ? (size_t)len : CHUNK,
		MSG_TRUNC | MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

/* A signal or the mark of urgent data may end a call early. */
static int
consume(int fd, uint64_t len)
{
	while (len > 0) {
		ssize_t n = discard(fd, len);

		if (n == 0 || n == -EAGAIN)
			return -ENODATA;
		if (n < 0 && n != -EINTR)
			return (int)n;
		len -= n > 0 ? (uint64_t)n : 0;
	}
	return 0;
}

int
handoff_entry_consume(struct handoff_entry *e, size_t len)
{
	return handoff__embed_serves(e) ? consume(e->entry.fd, len) : -EINVAL;
}

int
handoff__embed_progress(
	const struct handoff_entry *e, struct handoff__progress *progress)
{
	const struct handoff__record *rec = e->entry.view.rec;
	int err = handoff__progress(e->entry.fd, progress);

	if (err == 0) {
		progress->read += rec->rx_base;
		progress->written += rec->tx_base;
	}
	return err;
}

int
handoff_entry_progress(
	const struct handoff_entry *e, uint64_t *read, uint64_t *written)
{
	struct handoff__progress progress;
	int err;

	if (!e || !read || !written)
		return -EINVAL;
	err = handoff__embed_progress(e, &progress);
	if (err < 0)
		return err;
	*read = progress.read;
	*written = progress.written;
	return 0;
}

int
handoff_entry_set_progress(
	struct handoff_entry *e, uint64_t read, uint64_t written)
{
	struct handoff__progress progress;
	int err;

	if (!handoff__embed_serves(e))
		return -EINVAL;
	err = handoff__progress(e->entry.fd, &progress);
	if (err < 0)
		return err;
	/* modulo 2^64: a base may be negative */
	e->entry.view.rec->rx_base = read - progress.read;
	e->entry.view.rec->tx_base = written - progress.written;
	return 0;
}

/* What the state says must be within what the kernel can know of. */
static bool
possible(const struct handoff__progress *kernel, uint64_t written,
	uint64_t unsent)
{
	return kernel->written >= written &&
	       kernel->written - written <= unsent;
}

int
handoff_entry_mend(struct handoff_entry *e, uint64_t read, uint64_t written,
	size_t unsent, size_t *sent)
{
	struct handoff__progress kernel;
	int err;

	if (!handoff__embed_serves(e) || !sent)
		return -EINVAL;
	err = handoff__embed_progress(e, &kernel);
	if (err < 0)
		return err;
	if (!possible(&kernel, written, unsent))
		return -ERANGE;
	if (read > kernel.read)
		err = consume(e->entry.fd, read - kernel.read);
	if (err < 0)
		return err == -ENODATA ? -ERANGE : err;
	*sent = (size_t)(kernel.written - written);
	if (read < kernel.read)
		return -ENODATA;
	/* none is missing: what an inbox has is in the state */
	e->entry.view.rec->extra.inbox = 0;
	return read > kernel.read || *sent > 0;
}
