/* SPDX-License-Identifier: MIT */
/*
 * A named pipe as a source of lines. Owns the descriptor, the incomplete line,
 * and the file if it created it. Does not interpret the lines.
 */
#include "base/loop.h"
#include "base/text.h"

#include <handoff/fifo.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* bounds one call when a writer is faster than the reader */
#define READS_PER_CALL 16

struct handoff_fifo {
	int fd;
	char *made;        /* absolute path, if the file is to be removed */
	bool skipping;     /* in the rest of a line that is too long */
	size_t len, taken; /* of buf: filled, and returned as lines */
	char buf[HANDOFF_FIFO_LINE_MAX];
	struct handoff__error error;
};

/* O_NOFOLLOW: in a directory that others can write to, a symbolic link would
 * let them choose which file is opened. */
static int
open_pipe(struct handoff_fifo *fifo, const char *path)
{
	struct stat st;

	/* O_RDWR: with a writer of its own the pipe never reaches end of file,
	 * and opening it does not block (fifo(7), Linux). */
	fifo->fd = open(
		path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	if (fifo->fd < 0 && errno != ENXIO && errno != EISDIR && errno != ELOOP)
		return handoff__fail(&fifo->error, -errno,
			"fifo %.120s: cannot open it: %s", path,
			strerror(errno));
	if (fifo->fd < 0 || fstat(fifo->fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return handoff__fail(&fifo->error, -EEXIST,
			"fifo %.120s: it exists and is not a named pipe: "
			"remove it or use another path",
			path);
	if (st.st_uid != geteuid())
		return handoff__fail(&fifo->error, -EACCES,
			"fifo %.120s belongs to uid %u and this is uid %u: "
			"use another path",
			path, (unsigned)st.st_uid, (unsigned)geteuid());
	return 0;
}

static int
make_and_open(struct handoff_fifo *fifo, const char *path, bool keep)
{
	bool made;
	int err;

	if (!path)
		return handoff__fail(
			&fifo->error, -EINVAL, "fifo: opts.path is missing");
	made = mkfifo(path, 0600) == 0;
	if (!made && errno != EEXIST)
		return handoff__fail(&fifo->error, -errno,
			"fifo %.120s: cannot create it: %s", path,
			strerror(errno));
	err = open_pipe(fifo, path);
	/* absolute, since a daemon changes its working directory */
	if (err == 0 && made && !keep) {
		fifo->made = realpath(path, NULL);
		if (!fifo->made)
			err = handoff__fail(&fifo->error, -errno,
				"fifo %.120s: cannot make its path absolute: "
				"%s",
				path, strerror(errno));
	}
	if (err < 0 && made)
		unlink(path);
	return err;
}

int
handoff_fifo_open(
	struct handoff_fifo **out, const struct handoff_fifo_opts *opts)
{
	struct handoff_fifo_opts o;
	struct handoff_fifo *fifo;
	int err = handoff__opts_copy(
		&o, sizeof(o), opts, offsetof(struct handoff_fifo_opts, keep));

	if (err < 0 || !out)
		return err < 0 ? err : -EINVAL;
	fifo = calloc(1, sizeof(*fifo));
	if (!fifo)
		return handoff__no_memory("fifo", o.errbuf, o.errbuf_size);
	fifo->fd = -1;
	err = make_and_open(fifo, o.path, o.keep);
	if (err < 0) {
		handoff__error_copy(&fifo->error, o.errbuf, o.errbuf_size);
		handoff_fifo_free(fifo);
		return err;
	}
	*out = fifo;
	return 0;
}

/* The path may refer to another file by now. */
static void
remove_own(const struct handoff_fifo *fifo)
{
	struct stat own, there;

	if (fstat(fifo->fd, &own) == 0 && lstat(fifo->made, &there) == 0 &&
		own.st_dev == there.st_dev && own.st_ino == there.st_ino)
		unlink(fifo->made);
}

void
handoff_fifo_free(struct handoff_fifo *fifo)
{
	if (!fifo)
		return;
	if (fifo->made)
		remove_own(fifo);
	if (fifo->fd >= 0)
		close(fifo->fd);
	free(fifo->made);
	free(fifo);
}

int
handoff_fifo_fd(struct handoff_fifo *fifo)
{
	return fifo ? fifo->fd : -EINVAL;
}

/* The descriptor does not show lines that were read already. */
int
handoff_fifo_wait(struct handoff_fifo *fifo, int timeout_ms)
{
	int rc;

	if (!fifo)
		return -EINVAL;
	if (memchr(fifo->buf + fifo->taken, '\n', fifo->len - fifo->taken))
		return 0;
	rc = handoff__await(fifo->fd, timeout_ms);
	if (rc < 0 && rc != -EINTR)
		return handoff__fail(
			&fifo->error, rc, "fifo: poll: %s", strerror(-rc));
	return 0;
}

/* Takes the next complete line out of the buffer: 1, or -EMSGSIZE at the end of
 * a line that was too long, or 0. */
static int
take_line(struct handoff_fifo *fifo, const char **line, size_t *len)
{
	char *start = fifo->buf + fifo->taken;
	char *end = memchr(start, '\n', fifo->len - fifo->taken);

	if (!end)
		return 0;
	fifo->taken = (size_t)(end + 1 - fifo->buf);
	if (fifo->skipping) {
		fifo->skipping = false;
		return handoff__fail(&fifo->error, -EMSGSIZE,
			"fifo: a line of more than %d bytes was dropped",
			HANDOFF_FIFO_LINE_MAX);
	}
	*end = '\0';
	*line = start;
	*len = (size_t)(end - start);
	return 1;
}

/* Makes room, then reads once. Returns what read(2) returns, or -errno. */
static ssize_t
fill_buffer(struct handoff_fifo *fifo)
{
	ssize_t n;

	fifo->len -= fifo->taken;
	memmove(fifo->buf, fifo->buf + fifo->taken, fifo->len);
	fifo->taken = 0;
	if (fifo->len == sizeof(fifo->buf)) {
		fifo->skipping = true;
		fifo->len = 0;
	}
	do {
		n = read(fifo->fd, fifo->buf + fifo->len,
			sizeof(fifo->buf) - fifo->len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	fifo->len += (size_t)n;
	return n;
}

int
handoff_fifo_next(struct handoff_fifo *fifo, const char **line, size_t *len)
{
	int rc;

	if (!fifo || !line || !len)
		return -EINVAL;
	rc = take_line(fifo, line, len);
	for (int i = 0; rc == 0 && i < READS_PER_CALL; i++) {
		ssize_t n = fill_buffer(fifo);

		if (n == -EAGAIN || n == 0)
			return 0;
		if (n < 0)
			return handoff__fail(&fifo->error, (int)n,
				"fifo: read: %s", strerror((int)-n));
		rc = take_line(fifo, line, len);
	}
	return rc;
}

const char *
handoff_fifo_errmsg(const struct handoff_fifo *fifo)
{
	return fifo ? fifo->error.text : "";
}
