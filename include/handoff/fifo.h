/* SPDX-License-Identifier: MIT */
/*
 * Lines from a named pipe (fifo(7)), so that a second terminal or a script can
 * control a program: echo hello > FIFO. Writers come and go; a writer's close
 * is not the end. It is public because a server of your own needs it to be
 * operated like the example servers, which are written with public calls only.
 */
#ifndef HANDOFF_FIFO_H
#define HANDOFF_FIFO_H

#include <handoff/common.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Maximum length of a line including its newline: PIPE_BUF, up to which lines
 * of several writers are not interleaved (pipe(7)). */
#define HANDOFF_FIFO_LINE_MAX 4096

struct handoff_fifo;

struct handoff_fifo_opts {
	size_t size;
	const char *path; /* created with mode 0600 if it does not exist;
			   * otherwise it must be a named pipe of this user */
	bool keep;        /* do not remove it at the end, e.g. because another
			   * process has it open. Otherwise free() removes a
			   * pipe that open() has created */
	char *errbuf;     /* where open() writes its error */
	size_t errbuf_size;
};

/* Opens the pipe without waiting for a writer. Errors, with a sentence in
 * `errbuf`: -EINVAL, -EEXIST the file is not a named pipe, -EACCES it belongs
 * to another user, and errors of mkfifo(3) and open(2). */
HANDOFF_API int handoff_fifo_open(
	struct handoff_fifo **out, const struct handoff_fifo_opts *opts);

/* Closes the pipe and removes it if it was created here; NULL is fine.
 * Afterwards the descriptor is closed, and what lines and errmsg pointed to is
 * invalid. */
HANDOFF_API void handoff_fifo_free(struct handoff_fifo *fifo);

/* Returns one pollable descriptor, always the same and only ever POLLIN, for
 * the program's own loop; it belongs to the library. Or a negative errno. A
 * program that wants bytes rather than lines may read(2) it (it does not block)
 * instead of calling handoff_fifo_next. */
HANDOFF_API int handoff_fifo_fd(struct handoff_fifo *fifo);

/* Waits up to `timeout_ms` (-1: forever) until there may be a line to pull: 0,
 * also after a timeout or a signal; or a negative errno. */
HANDOFF_API int handoff_fifo_wait(struct handoff_fifo *fifo, int timeout_ms);

/*
 * Pulls the next line, without its newline and with a terminating zero that
 * `len` does not count; it belongs to the library and is valid until the next
 * call of next. Returns 1, 0 if there is none, or a negative errno: -EMSGSIZE
 * once for each line that was too long and is dropped; later lines are not
 * affected. Never blocks.
 */
HANDOFF_API int handoff_fifo_next(
	struct handoff_fifo *fifo, const char **line, size_t *len);

HANDOFF_API const char *handoff_fifo_errmsg(const struct handoff_fifo *fifo);

#ifdef __cplusplus
}
#endif

#endif
