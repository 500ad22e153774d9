/* SPDX-License-Identifier: MIT */
/*
 * What the transports of one host have in common. The address of each is a
 * service directory, which must be private to one user. In it is the retained
 * notice, and a folder for each of these transports in which subscribers
 * register. A transport adds a mailbox: what a subscriber receives from.
 */
#ifndef HANDOFF_NOTICE_LOCAL_H
#define HANDOFF_NOTICE_LOCAL_H

#include "notice/registry.h"
#include "notice/transport.h"

#include <dirent.h>
#include <sys/types.h>

enum handoff__sent {
	HANDOFF__SENT_SKIPPED, /* not a subscriber, or not yet complete */
	HANDOFF__SENT_REACHED,
	HANDOFF__SENT_FULL,   /* it fetches the retained notice later */
	HANDOFF__SENT_PRUNED, /* its process was dead: removed */
	HANDOFF__SENT_FAILED,
};

/* The number of a subscriber's queue. */
struct handoff__known {
	char name[HANDOFF__SUBSCRIBER_MAX];
	int number;
	bool alive; /* it has taken the message of this round */
};

/* A folder that a publisher goes through. */
struct handoff__round {
	struct handoff__dir folder;
	int sock; /* of a transport that needs one; -1: none */
	/* of the last round, in its order, which is mostly that of this one */
	struct handoff__known *known;
	size_t known_count, at;
};

struct handoff__mailbox;

struct handoff__mailbox_ops {
	const char *folder; /* its name in the service directory */
	size_t size;        /* of the transport's structure, which begins with a
			     * struct handoff__mailbox */

	/* Creates and registers the mailbox in box->folder. */
	int (*open)(struct handoff__mailbox *box, struct handoff__error *error);
	/* Registers it again in `folder` if it is gone from there: 1 if it was
	 * registered again, 0 if it is there. */
	int (*renew)(struct handoff__mailbox *box,
		const struct handoff__dir *folder);
	/* Without `mine`, in a child of the process that has opened it, removes
	 * nothing. */
	void (*close)(struct handoff__mailbox *box, bool mine);

	int (*fd)(const struct handoff__mailbox *box);
	int (*receive)(struct handoff__mailbox *box, void *data, size_t *len);
	/* Puts a message into its own mailbox, unless that is full. */
	void (*put)(struct handoff__mailbox *box, const void *data, size_t len);

	/* Publisher: sends to the subscriber registered as `file`. Need not
	 * find out whether its process is alive if `check` does. */
	enum handoff__sent (*send)(struct handoff__round *round,
		const char *file, const void *data, size_t len);
	/* Removes a dead subscriber: PRUNED, or SKIPPED. Called in a second
	 * pass over the folder, so that the living need not wait for it. NULL:
	 * send does it. */
	enum handoff__sent (*check)(
		struct handoff__round *round, const char *file);
};

struct handoff__mailbox {
	const struct handoff__mailbox_ops *ops;
	char *path; /* the service directory, absolute */
	pid_t pid;  /* of the process that has opened it */
	struct handoff__dir folder;
	bool missed; /* it is empty, and messages may not have fitted: they are
		      * in the retained notice */
};

/* The calls of a transport. */
int handoff__local_open(void **end, const char *path,
	const struct handoff_transport_side *side,
	const struct handoff__mailbox_ops *ops, char *errbuf,
	size_t errbuf_size);
int handoff__local_fd(void *end);
int handoff__local_receive(void *end, void *data, size_t *len);
int handoff__local_publish(void *end, const void *data, size_t len);
int handoff__local_step(
	void *end, unsigned max, struct handoff_transport_told *told);
int handoff__local_retained(void *end, void *data, size_t *len);
int handoff__local_keep(void *end);
int handoff__local_tend(void *end);
void handoff__local_close(void *end);

#define HANDOFF__LOCAL_CALLS                                                   \
	.fd = handoff__local_fd, .receive = handoff__local_receive,            \
	.publish = handoff__local_publish, .close = handoff__local_close,      \
	.step = handoff__local_step, .retained = handoff__local_retained,      \
	.keep = handoff__local_keep, .tend = handoff__local_tend

/* Removes the mailboxes of dead processes, which count towards limits. */
void handoff__local_prune(const struct handoff__mailbox *box);

#endif
