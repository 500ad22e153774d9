/* SPDX-License-Identifier: MIT */
/*
 * Keeps this peer's files in the service directory for as long as it runs. A
 * cleaner of temporary files, or a person, may remove or replace the directory
 * or its files: then `status` would find no peer, and the next start would
 * become a second owner. So the names are compared with the files held, and
 * missing ones are recreated. A file that another peer has taken meanwhile is
 * left alone, with an error in the log.
 */
#include "peer/upkeep.h"

#include "peer/candidates.h"
#include "peer/core.h"
#include "peer/places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PERIOD_US 1000000

static int
note_path(const char *path, struct handoff__inode *inode)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	inode->dev = st.st_dev;
	inode->ino = st.st_ino;
	return 0;
}

static bool
same(const struct handoff__inode *a, const struct handoff__inode *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

/* a lock that is not available is retried by the timer */
static void
share(struct handoff__pair *pair)
{
	struct handoff__upkeep *upkeep = &pair->upkeep;

	if (!upkeep->shared)
		upkeep->shared = handoff__dir_share(&pair->dir) == 0;
}

void
handoff__upkeep_init(struct handoff__pair *pair)
{
	struct handoff__upkeep *upkeep = &pair->upkeep;

	upkeep->path = realpath(pair->config.dir, NULL);
	if (upkeep->path && note_path("/", &upkeep->root) < 0) {
		free(upkeep->path);
		upkeep->path = NULL;
	}
	share(pair);
}

/* Whether the path still refers to the directory. True also if that cannot be
 * determined, for example after chroot(2). */
static bool
dir_in_place(const struct handoff__pair *pair)
{
	const struct handoff__upkeep *upkeep = &pair->upkeep;
	struct handoff__inode root = {.dev = 0}, there = {.dev = 0};
	struct stat st;
	int err;

	if (!upkeep->path || fstat(pair->dir.fd, &st) < 0 ||
		note_path("/", &root) < 0 || !same(&root, &upkeep->root))
		return true;
	err = note_path(upkeep->path, &there);
	if (err < 0)
		return err != -ENOENT && err != -ENOTDIR;
	return there.dev == st.st_dev && there.ino == st.st_ino;
}

static int
keep_directory(struct handoff__pair *pair)
{
	struct handoff__dir anew;
	int err;

	if (dir_in_place(pair)) {
		share(pair);
		return 0;
	}
	err = handoff__dir_open(
		&anew, pair->upkeep.path, true, false, &pair->error);
	if (err < 0)
		return err;
	handoff__log(pair->log, HANDOFF_LOG_WARNING,
		"service directory %s was removed or replaced: recreated",
		pair->upkeep.path);
	handoff__dir_close(&pair->dir);
	pair->dir = anew;
	pair->upkeep.shared = false;
	share(pair);
	return 0;
}

static int
keep_lock(struct handoff__pair *pair)
{
	const char *name = handoff__places_lock_name((uint32_t)pair->place);
	int fd, err = handoff__dir_holds(&pair->dir, name, pair->lock_fd);
	char who[64];

	if (err == 1)
		return 0;
	fd = err < 0 ? err : handoff__dir_lock(&pair->dir, name);
	if (fd == -EWOULDBLOCK) {
		handoff__places_holder(pair, pair->place, who);
		return handoff__fail(&pair->error, fd,
			"service directory %s: %s was removed, and %s holds it "
			"now: both may serve; stop one of them",
			pair->dir.path, name, who);
	}
	err = fd < 0 ? handoff__fail(&pair->error, fd,
			       "service directory %s: %s was removed and "
			       "cannot be recreated: %s",
			       pair->dir.path, name, strerror(-fd))
		     : handoff__places_sign(pair, fd);
	if (err < 0) {
		if (fd >= 0)
			close(fd);
		return err;
	}
	close(pair->lock_fd);
	pair->lock_fd = fd;
	handoff__log(pair->log, HANDOFF_LOG_WARNING,
		"service directory %s: %s was removed or replaced: recreated",
		pair->dir.path, name);
	return 0;
}

/* the socket belongs to the lock's holder, which is this peer */
static int
keep_link(struct handoff__pair *pair)
{
	const char *name = handoff__places_link_name((uint32_t)pair->place);

	if (handoff__dir_is(&pair->dir, name, &pair->upkeep.link) == 1)
		return 0;
	return handoff__candidates_listen(pair);
}

static int
keep_all(struct handoff__pair *pair)
{
	int err = keep_directory(pair);

	if (err >= 0)
		err = keep_lock(pair);
	if (err >= 0)
		err = keep_link(pair);
	if (err >= 0 && pair->ops->kept)
		pair->ops->kept(pair);
	return err;
}

/* Logs a problem once, until it is solved. */
static void
on_upkeep(struct handoff__timer *timer)
{
	struct handoff__pair *pair = timer->arg;
	struct handoff__upkeep *upkeep = &pair->upkeep;
	bool lost = keep_all(pair) < 0;

	if (lost && !upkeep->lost)
		handoff__log(
			pair->log, HANDOFF_LOG_ERROR, "%s", pair->error.text);
	if (!lost && upkeep->lost)
		handoff__log(pair->log, HANDOFF_LOG_WARNING,
			"service directory %s: all files are in place again",
			pair->dir.path);
	upkeep->lost = lost;
	handoff__timer_arm(pair->loop, timer, PERIOD_US);
}

void
handoff__upkeep_start(struct handoff__pair *pair)
{
	struct handoff__timer *timer = &pair->upkeep.timer;

	timer->fn = on_upkeep;
	timer->arg = pair;
	handoff__timer_arm(pair->loop, timer, PERIOD_US);
}

void
handoff__upkeep_stop(struct handoff__pair *pair)
{
	handoff__timer_disarm(pair->loop, &pair->upkeep.timer);
}

void
handoff__upkeep_fini(struct handoff__pair *pair)
{
	handoff__upkeep_stop(pair);
	free(pair->upkeep.path);
	pair->upkeep.path = NULL;
}
