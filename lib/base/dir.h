/* SPDX-License-Identifier: MIT */
/*
 * The service directory: private to one user, it holds the lock files, link
 * and control sockets of the two peers, the retained notice and the
 * subscribers. What is in it is named relative to an open descriptor.
 */
#ifndef HANDOFF_BASE_DIR_H
#define HANDOFF_BASE_DIR_H

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

struct handoff__dir {
	int fd;
	char path[1024]; /* as given, for messages */
	uint32_t user; /* what root makes in it belongs to this one; 0: root */
};

#define HANDOFF__ANY_USER UINT32_MAX

/* Opens the directory, which must belong to this user, or, if this is root, to
 * `user` (0: none), and be closed to all others; with `create` it is made,
 * mode 0700, for that user. */
int handoff__dir_open(struct handoff__dir *dir, const char *path, bool create,
	uint32_t user, struct handoff__error *error);
void handoff__dir_close(struct handoff__dir *dir);

/* Holds a shared lock on the directory itself for as long as it is open:
 * systemd-tmpfiles then leaves alone what is in it, whatever its age
 * (tmpfiles.d(5)). -EWOULDBLOCK while it is at work there. */
int handoff__dir_share(const struct handoff__dir *dir);

/* Which file a name stood for. */
struct handoff__inode {
	dev_t dev;
	ino_t ino;
};

/* Notes which file has the name now; it must be kept open or bound, or its
 * number may be given to another. 0 or a negative errno. */
int handoff__dir_note(const struct handoff__dir *dir, const char *name,
	struct handoff__inode *inode);

/* Has the name that file still? 1, 0, or a negative errno if that can't be
 * told. */
int handoff__dir_is(const struct handoff__dir *dir, const char *name,
	const struct handoff__inode *inode);

/* The address of a socket `name` in the directory. A path that is too long
 * for sun_path goes through /proc/self/fd (unix(7), proc(5)). */
int handoff__dir_sockaddr(const struct handoff__dir *dir, const char *name,
	struct sockaddr_un *sun);

/* A listening SOCK_SEQPACKET or SOCK_STREAM socket, mode 0600, in place of
 * whatever was there: only the holder of the lock that guards it may call this.
 */
int handoff__dir_listen(const struct handoff__dir *dir, const char *name,
	int type, struct handoff__error *error);

/* Connects without blocking for longer than the backlog is full. */
int handoff__dir_connect(
	const struct handoff__dir *dir, const char *name, int type);

/* Opens and locks a file (flock(2): the lock ends with the process, whatever
 * ends it). Returns the descriptor, or -EWOULDBLOCK if another holds it; waits
 * for those who only ask. What is locked is the file that has the name: one
 * that is removed meanwhile is made anew. */
int handoff__dir_lock(const struct handoff__dir *dir, const char *name);

/* Is the lock of that file held? 1; 0, also if there is no such file; or a
 * negative errno: that is no answer, and never to be taken for "no". */
int handoff__dir_locked(const struct handoff__dir *dir, const char *name);

/* Has the name `name` the file that `fd` has open? 1, 0, or a negative errno
 * if that can't be told. */
int handoff__dir_holds(
	const struct handoff__dir *dir, const char *name, int fd);

/* Replaces the file as a whole: readers see the old or the new. */
int handoff__dir_write(const struct handoff__dir *dir, const char *name,
	const void *data, size_t len);

/* Reads at most `size` bytes; returns how many, or a negative errno. */
ssize_t handoff__dir_read(const struct handoff__dir *dir, const char *name,
	void *data, size_t size);

/* May the process at the other end of a connected Unix socket speak to us? It
 * runs as our user or as root, or, if we are root, as `user` (0: none);
 * SO_PEERCRED (unix(7)) says as whom it connected or listened. 0 or -EPERM. */
int handoff__pair_allowed(int sock, uint32_t user);

#endif
