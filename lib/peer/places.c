/* SPDX-License-Identifier: MIT */
/*
 * The two places of a service directory. A place is a lock that the kernel
 * releases when its holder dies; the sockets of a place belong to the lock's
 * holder, so a stale one is replaced and a live one never stolen. A third lock
 * keeps two peers from starting at once. Does not communicate with other peers.
 */
#include "peer/places.h"

#include "peer/core.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* a killed process may keep its lock for a moment */
#define DYING_TIMEOUT_US 1000000
#define PAUSE_NS         5000000 /* between two checks */

static const char *const lock_names[] = {"", "peer.1", "peer.2"};
static const char *const link_names[] = {"", "link.1", "link.2"};

const char *
handoff__places_lock_name(uint32_t place)
{
	return lock_names[place];
}

const char *
handoff__places_link_name(uint32_t place)
{
	return link_names[place];
}

void
handoff__places_pause(void)
{
	struct timespec ts = {.tv_nsec = PAUSE_NS};

	nanosleep(&ts, NULL);
}

void
handoff__places_holder(struct handoff__pair *pair, int place, char text[64])
{
	char line[64] = "", name[HANDOFF_NAME_MAX] = "?";
	int pid = 0;
	ssize_t n = handoff__dir_read(
		&pair->dir, lock_names[place], line, sizeof(line) - 1);

	if (n > 0)
		sscanf(line, "%31s %d", name, &pid);
	snprintf(text, 64, "%s (pid %d)", name, pid);
}

int
handoff__places_sign(struct handoff__pair *pair, int lock_fd)
{
	char line[64];
	int len = snprintf(
		line, sizeof(line), "%s %d\n", pair->name, (int)getpid());
	ssize_t n = ftruncate(lock_fd, 0);
	int err;

	if (n == 0)
		n = pwrite(lock_fd, line, (size_t)len, 0);
	if (n == len)
		return 0;
	err = n < 0 ? -errno : -ENOSPC;
	return handoff__fail(&pair->error, err,
		"service directory %s: cannot write %s: %s", pair->dir.path,
		lock_names[pair->place], strerror(-err));
}

/* A carrier tries again later: it has other things to do, and nothing to
 * serve. */
static int64_t
until(const struct handoff__pair *pair, int64_t us)
{
	return pair->config.carrier ? 0 : handoff__now_us() + us;
}

/* Serialises starting peers. */
static int
lock_start(struct handoff__pair *pair)
{
	int64_t deadline = until(pair, HANDOFF__START_TIMEOUT_US);

	for (;;) {
		pair->start_fd = handoff__dir_lock(&pair->dir, "lock");
		if (pair->start_fd >= 0)
			return 0;
		if (pair->start_fd != -EWOULDBLOCK)
			return handoff__fail(&pair->error, pair->start_fd,
				"service directory %s: cannot lock it: %s",
				pair->dir.path, strerror(-pair->start_fd));
		if (pair->config.carrier)
			return handoff__fail(&pair->error, -EBUSY,
				"service directory %s: another peer is "
				"starting: try again",
				pair->dir.path);
		if (handoff__now_us() > deadline)
			return handoff__fail(&pair->error, -ETIMEDOUT,
				"service directory %s: another peer has been "
				"starting for 10 s; is it stopped?",
				pair->dir.path);
		handoff__places_pause();
	}
}

/* Takes the first free place. -EWOULDBLOCK if there is none. */
static int
try_places(struct handoff__pair *pair)
{
	for (pair->place = 1; pair->place <= 2; pair->place++) {
		pair->lock_fd =
			handoff__dir_lock(&pair->dir, lock_names[pair->place]);
		if (pair->lock_fd != -EWOULDBLOCK)
			break;
	}
	return pair->lock_fd;
}

static int
lock_place(struct handoff__pair *pair, int64_t deadline)
{
	char one[64], two[64];
	int err;

	while ((err = try_places(pair)) == -EWOULDBLOCK &&
		handoff__now_us() < deadline)
		handoff__places_pause();
	if (err == -EWOULDBLOCK) {
		handoff__places_holder(pair, 1, one);
		handoff__places_holder(pair, 2, two);
		return handoff__fail(&pair->error, -EBUSY,
			"service directory %s has two peers already, %s and "
			"%s: stop one of them first",
			pair->dir.path, one, two);
	}
	if (err < 0)
		return handoff__fail(&pair->error, err,
			"service directory %s: cannot lock %s: %s",
			pair->dir.path, lock_names[pair->place],
			strerror(-err));
	handoff__arena_name(
		&pair->arena, handoff__lock_name((uint32_t)pair->place, 0));
	return handoff__places_sign(pair, pair->lock_fd);
}

int
handoff__places_enter(struct handoff__pair *pair)
{
	int err = lock_start(pair);

	return err < 0 ? err : lock_place(pair, until(pair, DYING_TIMEOUT_US));
}

int
handoff__places_again(struct handoff__pair *pair)
{
	return lock_place(pair, 0);
}

void
handoff__places_leave(struct handoff__pair *pair)
{
	if (pair->start_fd >= 0)
		close(pair->start_fd);
	if (pair->lock_fd >= 0) {
		/* from now on the place's file names no holder */
		(void)!ftruncate(pair->lock_fd, 0);
		close(pair->lock_fd);
	}
	pair->start_fd = pair->lock_fd = -1;
}
