/* SPDX-License-Identifier: MIT */
/*
 * Keeps in the service directory what this peer has there, for as long as it
 * runs. A cleaner of temporary files, or a hand, may remove or replace the
 * directory and the files in it: then `status` would find nobody, and the next
 * start would become a second owner. So the names are compared with what is
 * held, and what is gone is made anew. What another peer has taken meanwhile
 * is left to it, loudly.
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

/* A lock that can't be had is asked for again by the timer. */
static void
share(struct handoff__peer *peer)
{
	struct handoff__upkeep *upkeep = &peer->upkeep;

	if (!upkeep->shared)
		upkeep->shared = handoff__dir_share(&peer->dir) == 0;
}

/* The directory has just been opened by the path that was given. */
void
handoff__upkeep_init(struct handoff__peer *peer)
{
	struct handoff__upkeep *upkeep = &peer->upkeep;

	upkeep->path = realpath(peer->config.dir, NULL);
	if (upkeep->path && note_path("/", &upkeep->root) < 0) {
		free(upkeep->path);
		upkeep->path = NULL;
	}
	share(peer);
}

/* Is the directory still what its path says? Yes also if that can't be told:
 * by a process that is in another root directory by now, say. */
static bool
in_place(const struct handoff__peer *peer)
{
	const struct handoff__upkeep *upkeep = &peer->upkeep;
	struct handoff__inode root = {.dev = 0}, there = {.dev = 0};
	struct stat st;
	int err;

	if (!upkeep->path || fstat(peer->dir.fd, &st) < 0 ||
		note_path("/", &root) < 0 || !same(&root, &upkeep->root))
		return true;
	err = note_path(upkeep->path, &there);
	if (err < 0)
		return err != -ENOENT && err != -ENOTDIR;
	return there.dev == st.st_dev && there.ino == st.st_ino;
}

static int
keep_directory(struct handoff__peer *peer)
{
	struct handoff__dir anew;
	int err;

	if (in_place(peer)) {
		share(peer);
		return 0;
	}
	err = handoff__dir_open(
		&anew, peer->upkeep.path, true, false, &peer->error);
	if (err < 0)
		return err;
	handoff__log(peer->log, HANDOFF_LOG_WARNING,
		"service directory %s was removed or replaced: it is used anew",
		peer->upkeep.path);
	handoff__dir_close(&peer->dir);
	peer->dir = anew;
	peer->upkeep.shared = false;
	share(peer);
	return 0;
}

static int
keep_lock(struct handoff__peer *peer)
{
	const char *name = handoff__places_lock_name((uint32_t)peer->slot);
	int fd, err = handoff__dir_holds(&peer->dir, name, peer->lock_fd);
	char who[64];

	if (err == 1)
		return 0;
	fd = err < 0 ? err : handoff__dir_lock(&peer->dir, name);
	if (fd == -EWOULDBLOCK) {
		handoff__places_holder(peer, peer->slot, who);
		return handoff__fail(&peer->error, fd,
			"service directory %s: %s was removed, and %s holds it "
			"now: both may serve; stop one of them",
			peer->dir.path, name, who);
	}
	err = fd < 0 ? handoff__fail(&peer->error, fd,
			       "service directory %s: %s was removed and "
			       "cannot be made anew: %s",
			       peer->dir.path, name, strerror(-fd))
		     : handoff__places_sign(peer, fd);
	if (err < 0) {
		if (fd >= 0)
			close(fd);
		return err;
	}
	close(peer->lock_fd);
	peer->lock_fd = fd;
	handoff__log(peer->log, HANDOFF_LOG_WARNING,
		"service directory %s: %s was removed or replaced: made anew",
		peer->dir.path, name);
	return 0;
}

/* The socket belongs to the holder of the lock, which is this peer. */
static int
keep_link(struct handoff__peer *peer)
{
	const char *name = handoff__places_link_name((uint32_t)peer->slot);

	if (handoff__dir_is(&peer->dir, name, &peer->upkeep.link) == 1)
		return 0;
	return handoff__candidates_listen(peer);
}

static int
keep_all(struct handoff__peer *peer)
{
	int err = keep_directory(peer);

	if (err >= 0)
		err = keep_lock(peer);
	if (err >= 0)
		err = keep_link(peer);
	if (err >= 0 && peer->ops->kept)
		peer->ops->kept(peer);
	return err;
}

/* What is wrong is said once, until it is well again. */
static void
on_upkeep(struct handoff__timer *timer)
{
	struct handoff__peer *peer = timer->arg;
	struct handoff__upkeep *upkeep = &peer->upkeep;
	bool lost = keep_all(peer) < 0;

	if (lost && !upkeep->lost)
		handoff__log(
			peer->log, HANDOFF_LOG_ERROR, "%s", peer->error.text);
	if (!lost && upkeep->lost)
		handoff__log(peer->log, HANDOFF_LOG_WARNING,
			"service directory %s: all is in place again",
			peer->dir.path);
	upkeep->lost = lost;
	handoff__timer_arm(peer->loop, timer, PERIOD_US);
}

void
handoff__upkeep_start(struct handoff__peer *peer)
{
	struct handoff__timer *timer = &peer->upkeep.timer;

	timer->fn = on_upkeep;
	timer->arg = peer;
	handoff__timer_arm(peer->loop, timer, PERIOD_US);
}

void
handoff__upkeep_stop(struct handoff__peer *peer)
{
	handoff__timer_disarm(peer->loop, &peer->upkeep.timer);
}

void
handoff__upkeep_fini(struct handoff__peer *peer)
{
	handoff__upkeep_stop(peer);
	free(peer->upkeep.path);
	peer->upkeep.path = NULL;
}
