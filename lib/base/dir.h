/* SPDX-License-Identifier: MIT */
/*
 * The service directory: private to one user, it holds the lock files, link
 * sockets and control sockets of the two peers, the retained notice and the
 * subscribers. All file names are relative to an open descriptor of the
 * directory.
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
	uint32_t user; /* owner of the files that root creates in it; 0: root */
};

#define HANDOFF__ANY_USER UINT32_MAX

/* Opens the directory. It must belong to the effective user, or, for root, to
 * `user` (0: no other user), and must be inaccessible to all others. With
 * `create` a missing directory is created, mode 0700, for that user. */
int handoff__dir_open(struct handoff__dir *dir, const char *path, bool create,
	uint32_t user, struct handoff__error *error);
void handoff__dir_close(struct handoff__dir *dir);

/* Holds a shared lock on the directory itself for as long as the descriptor is
 * open: systemd-tmpfiles then spares the directory's contents, whatever their
 * age (tmpfiles.d(5)). -EWOULDBLOCK while it is cleaning there. */
int handoff__dir_share(const struct handoff__dir *dir);

/* Identifies the file behind a name. */
struct handoff__inode {
	dev_t dev;
	ino_t ino;
};

/* Records which file the name refers to now. The caller keeps that file open or
 * bound, or the kernel may reuse its inode number. 0 or a negative errno. */
int handoff__dir_note(const struct handoff__dir *dir, const char *name,
	struct handoff__inode *inode);

/* Returns 1 if the name still refers to that file, 0 if not, or a negative
 * errno if that cannot be determined. */
int handoff__dir_is(const struct handoff__dir *dir, const char *name,
	const struct handoff__inode *inode);

/* Builds the address of a socket `name` in the directory. A path too long for
 * sun_path goes through /proc/self/fd (unix(7), proc(5)). */
int handoff__dir_sockaddr(const struct handoff__dir *dir, const char *name,
	struct sockaddr_un *sun);

/* Opens a listening SOCK_SEQPACKET or SOCK_STREAM socket, mode 0600, and
 * replaces any file of that name: only the holder of the lock that guards the
 * name may call this. */
int handoff__dir_listen(const struct handoff__dir *dir, const char *name,
	int type, struct handoff__error *error);

/* Connects without blocking: -EAGAIN if the backlog is full. */
int handoff__dir_connect(
	const struct handoff__dir *dir, const char *name, int type);

/* Opens and locks a file (flock(2): the lock ends with the process, however the
 * process ends). Returns the descriptor, or -EWOULDBLOCK if another process
 * holds the lock; waits out the brief shared lock of handoff__dir_locked. The
 * lock is on the file that has the name: if that is removed meanwhile, a new
 * one is created. */
int handoff__dir_lock(const struct handoff__dir *dir, const char *name);

/* Returns 1 if the lock of that file is held, 0 if not or if there is no such
 * file, or a negative errno. An error is no answer and must never be taken for
 * "not held". */
int handoff__dir_locked(const struct handoff__dir *dir, const char *name);

/* Returns 1 if `name` refers to the file that `fd` has open, 0 if not, or a
 * negative errno if that cannot be determined. */
int handoff__dir_holds(
	const struct handoff__dir *dir, const char *name, int fd);

/* Replaces the file atomically: readers see the old contents or the new. */
int handoff__dir_write(const struct handoff__dir *dir, const char *name,
	const void *data, size_t len);

/* Reads at most `size` bytes; returns how many, or a negative errno. */
ssize_t handoff__dir_read(const struct handoff__dir *dir, const char *name,
	void *data, size_t size);

/* Checks that the process at the other end of a connected Unix socket runs as
 * our user or as root, or, if we are root, as `user` (0: no other). SO_PEERCRED
 * (unix(7)) has the credentials it connected or listened with. 0 or -EPERM. */
int handoff__dir_allows(int sock, uint32_t user);

#endif
