/* SPDX-License-Identifier: MIT */
/*
 * The folder of subscribers in a service directory, and the files in it that
 * stand for them: each is locked (flock(2)) for as long as its process lives.
 */
#ifndef HANDOFF_NOTICE_REGISTRY_H
#define HANDOFF_NOTICE_REGISTRY_H

#include "base/dir.h"

/* "handoff-PID-RANDOM". An incomplete one has the same name with a leading
 * dot. */
#define HANDOFF__SUBSCRIBER_MAX 48

/* attempts with other names, or at a full queue */
#define HANDOFF__SUBSCRIBER_TRIES 8

struct handoff__registration {
	int lock; /* descriptor of the file; -1: none */
	char name[HANDOFF__SUBSCRIBER_MAX];
};

/* Opens a folder in the service directory; with `create` a missing one is
 * created. A negative errno on failure, such as -ENOENT. */
int handoff__registry_folder(struct handoff__dir *folder,
	const struct handoff__dir *dir, const char *name, bool create);

bool handoff__registry_is_name(const char *name);

/* A name that nobody has, of this process. */
void handoff__registry_name(char name[HANDOFF__SUBSCRIBER_MAX]);

/*
 * Registers under a new name. The file is locked, then `make` creates what it
 * stands for, and then it gets its name; `unmake` undoes the former if that
 * fails. `make` may return -EEXIST: another name is tried.
 */
int handoff__registry_enter(struct handoff__registration *reg,
	const struct handoff__dir *folder,
	int (*make)(void *arg, struct handoff__error *error),
	void (*unmake)(void *arg), void *arg, struct handoff__error *error);

/* Registers again under the same name, in `folder`, if the file is gone: 1 with
 * a new lock, 0 if the file is there, or a negative errno. What it stands for
 * exists. `text` is written into a new file. */
int handoff__registry_renew(struct handoff__registration *reg,
	const struct handoff__dir *folder, const char *text);

/* Removes the file. Without `mine`, in a child of the process that has
 * registered, only closes the descriptor. */
void handoff__registry_leave(struct handoff__registration *reg,
	const struct handoff__dir *folder, bool mine);

enum handoff__found {
	HANDOFF__FOUND_NONE,   /* not a subscriber, or not yet complete */
	HANDOFF__FOUND_ALIVE,  /* with its descriptor */
	HANDOFF__FOUND_DEAD,   /* the same, which holds the lock */
	HANDOFF__FOUND_FAILED, /* it cannot be told */
};

/* Looks whether the process that registered `file` is alive. Stores a
 * descriptor, to be closed, and the file's name without the dot. */
enum handoff__found handoff__registry_find(const struct handoff__dir *folder,
	const char *file, int *fd, const char **name);

#endif
