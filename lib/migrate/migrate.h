/* SPDX-License-Identifier: MIT */
/*
 * One TCP connection leaves its host. On the one it is frozen and described by
 * an image, on the other prepared from the image and committed; then it is
 * ended on the first without a segment. Until the commit it can be unfrozen
 * where it was, and goes on exactly.
 *
 * Only system calls on one socket, no network and no policy: the caller holds
 * the packets of the connection from before the freeze until the image is
 * committed or given up (a frozen socket acknowledges what it gets, and the
 * image would be stale), decides which of the two it is, and gives the address
 * or the route to the other host. Switching repair mode takes CAP_NET_ADMIN,
 * binding to a port below 1024 also CAP_NET_BIND_SERVICE, and nothing else any
 * privilege but where a sentence says so.
 *
 * The files, from the top down; each calls only those below it:
 *   restore.c   an image becomes a connection
 *   freeze.c    a connection becomes an image, or is unfrozen, or ended
 *   image.c     the wire format and its checks
 *   refuse.c    what cannot move, by name
 *   signing.c   asks the kernel for signed segments
 *   options.c   the socket options that go along
 *   mode.c      repair mode
 */
#ifndef HANDOFF_MIGRATE_MIGRATE_H
#define HANDOFF_MIGRATE_MIGRATE_H

#include "migrate/image.h"
#include "migrate/refuse.h"

#include <stdbool.h>
#include <stdint.h>

/* Freezes the connection and describes it. The image has memory of its own
 * (handoff__image_free). -EOPNOTSUPP if it cannot move, before anything is done
 * to it; -EPERM without privilege; -EAGAIN if its packets are not held: it
 * changed while it was read. On failure it is as it was. */
int handoff__migrate_freeze(
	int fd, struct handoff__image *image, struct handoff__error *error);

/* Whether a frozen connection is still what the image says. -EAGAIN with a
 * sentence if a packet has come, or left, since: the image is stale and must
 * not be committed. Holding packets begins before the freeze, but some may have
 * been on their way to the socket already; so this is asked last, before the
 * commit is decided. */
int handoff__migrate_unchanged(int fd, const struct handoff__image *image,
	struct handoff__error *error);

/* Lets a frozen connection go on, with the options that freezing has replaced.
 * Without an image these are not set again, but for SO_REUSEADDR, which is then
 * on, or a later listener of that port could not be bound. 0 for a socket that
 * is not frozen. */
int handoff__migrate_unfreeze(int fd, const struct handoff__image *image,
	struct handoff__error *error);

/* Ends a frozen connection for all holders of a copy, without a segment: when
 * the other host serves it. -EINVAL if it is not frozen, since the peer would
 * be reset. The descriptor stays the caller's to close. */
int handoff__migrate_end(int fd, struct handoff__error *error);

enum handoff__restore_stage {
	HANDOFF__RESTORE_NONE,
	HANDOFF__RESTORE_PREPARED, /* silent, in repair mode */
	HANDOFF__RESTORE_FILLED,   /* the sent output is in its queue */
	HANDOFF__RESTORE_SERVING,  /* committed */
};

/* A connection on its way into this host. */
struct handoff__restore {
	enum handoff__restore_stage stage;
	int fd;
	uint32_t taken; /* of the image's output, how many bytes the socket has
			 */
	bool end_due;   /* after the rest of it the caller has to half-close */
};

/* Binds where the address is not configured (yet): IP_TRANSPARENT, which stays
 * on. It takes CAP_NET_ADMIN or CAP_NET_RAW. */
#define HANDOFF__RESTORE_TRANSPARENT 0x1

/* Makes a socket that is what the image says, except that it is silent: in
 * repair mode, its output not in the queue, keepalive off. On failure
 * there is nothing; the sentence names the step. -EADDRINUSE or -EADDRNOTAVAIL:
 * this host still has such a connection, or not its address. -ENOBUFS: its
 * buffers cannot hold the queues. */
int handoff__migrate_prepare(struct handoff__restore *restore,
	const struct handoff__image *image, unsigned flags,
	struct handoff__error *error);

/* The same for one of many: options that new sockets of this host have anyway
 * are not set. `usual` begins zeroed, for those that are made together. */
int handoff__migrate_prepare_with(struct handoff__restore *restore,
	const struct handoff__image *image, struct handoff__usual *usual,
	unsigned flags, struct handoff__error *error);

/* Lets it serve: `fd` is the caller's from here on. The image's output from
 * `taken` on did not fit into the send buffer, and has to be sent by the
 * caller. If it fails (-EAGAIN or -ENOBUFS: short of memory; -EPERM), nothing
 * was sent, and it can be called again, by a process with the privilege.
 *
 * If the image's input has ended, the socket does not know that: no FIN will
 * come. */
int handoff__migrate_commit(struct handoff__restore *restore,
	const struct handoff__image *image, struct handoff__error *error);

/* The second half of a commit: the connection is not frozen any more, and gets
 * its options, the output that was not sent before, and its end. A process that
 * dies between the two halves leaves a socket to which nobody else may write
 * yet. Not to be called: it has a name for tests, which stop a process here. */
void handoff__migrate_send(
	struct handoff__restore *restore, const struct handoff__image *image);

/* Finds out how far a prepared connection has come whose process has died, from
 * a copy of its descriptor and its image: it can be committed, or abandoned
 * unless that had begun. -EINVAL if it is another connection. */
int handoff__migrate_resume(struct handoff__restore *restore, int fd,
	const struct handoff__image *image, struct handoff__error *error);

/* Closes a prepared connection without a segment. No effect on one that
 * serves. */
void handoff__migrate_abandon(struct handoff__restore *restore);

#endif
