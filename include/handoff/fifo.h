/* SPDX-License-Identifier: MIT */
/*
 * Lines from a named pipe (fifo(7)), so that a second terminal or a script can
 * talk to a program: echo hello > FIFO. Writers come and go; their leaving is
 * not an end.
 */
#ifndef HANDOFF_FIFO_H
#define HANDOFF_FIFO_H

#include <handoff/common.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The longest line with its newline: PIPE_BUF, up to which lines of several
 * writers do not mix (pipe(7)). */
#define HANDOFF_FIFO_LINE_MAX 4096

struct handoff_fifo;

struct handoff_fifo_opts {
	size_t size;
	const char *path; /* made with mode 0600 if it is not there; otherwise
			     must be a named pipe of this user */
	bool keep;        /* leave it at the end, e.g. for another process that
			     has it open. Without it, free() removes what open()
			     has made */
	char *errbuf;     /* where open() says what went wrong */
	size_t errbuf_size;
};

/* Opens the pipe; waits for no writer. Errors, with a sentence in `errbuf`:
 * -EINVAL, -EEXIST what is there is no named pipe, -EACCES it belongs to
 * another user, and others of mkfifo(3) and open(2). */
HANDOFF_API int handoff_fifo_open(
	struct handoff_fifo **out, const struct handoff_fifo_opts *opts);

/* Closes it and removes it if it was made here; NULL is fine. Afterwards the
 * descriptor is closed, and what lines and errmsg pointed to is gone. */
HANDOFF_API void handoff_fifo_free(struct handoff_fifo *fifo);

/* One pollable descriptor, always the same and only ever POLLIN, for a loop of
 * the program's own; the library's. Or a negative errno. A program that wants
 * bytes and not lines may read(2) it (it does not block) and leave out
 * handoff_fifo_next. */
HANDOFF_API int handoff_fifo_fd(struct handoff_fifo *fifo);

/* Waits up to `timeout_ms` (-1: for ever) until there may be a line to pull: 0,
 * also when the time is over or a signal came; or a negative errno. */
HANDOFF_API int handoff_fifo_wait(struct handoff_fifo *fifo, int timeout_ms);

/*
 * Pulls the next line, without its newline and with a terminating zero that
 * `len` does not count; the library's, valid until the next call of next.
 * Returns 1, 0 for none now, or a negative errno: -EMSGSIZE once for each line
 * that was too long and is dropped; those after it come as ever. Never blocks.
 */
HANDOFF_API int handoff_fifo_next(
	struct handoff_fifo *fifo, const char **line, size_t *len);

HANDOFF_API const char *handoff_fifo_errmsg(const struct handoff_fifo *fifo);

#ifdef __cplusplus
}
#endif

#endif
