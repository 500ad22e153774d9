/* SPDX-License-Identifier: MIT */
/*
 * The locked files of subscribers. Does not know what they stand for.
 *
 * The order of steps makes a death at any point harmless. The file is created
 * before the queue and removed after it, so that a publisher can find every
 * queue by its file. The file is locked before it gets its final name, so that
 * an unlocked file is one of a dead process.
 */
#include "notice/registry.h"

#include "notice/notice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "handoff-"

bool
handoff__registry_is_name(const char *name)
{
	const char *p = name + strlen(PREFIX);
	size_t digits;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 ||
		strlen(name) >= HANDOFF__SUBSCRIBER_MAX)
		return false;
	digits = strspn(p, "0123456789");
	return digits > 0 && p[digits] == '-' &&
	       strspn(p + digits + 1, "0123456789abcdef") == 16 &&
	       p[digits + 17] == '\0';
}

void
handoff__registry_name(char name[HANDOFF__SUBSCRIBER_MAX])
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) !=
		(ssize_t)sizeof(number))
		number = (uint64_t)handoff__realtime_ms();
	snprintf(name, HANDOFF__SUBSCRIBER_MAX, PREFIX "%d-%016llx",
		(int)getpid(), (unsigned long long)number);
}

int
handoff__registry_folder(struct handoff__dir *folder,
	const struct handoff__dir *dir, const char *name, bool create)
{
	int len;

	folder->fd = -1;
	folder->user = dir->user;
	if (create && mkdirat(dir->fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	len = snprintf(
		folder->path, sizeof(folder->path), "%s/%s", dir->path, name);
	if (len < 0 || (size_t)len >= sizeof(folder->path))
		return -ENAMETOOLONG;
	folder->fd = openat(
		dir->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return folder->fd < 0 ? -errno : 0;
}

/* Creates and locks ".NAME". A publisher that finds the file before it is
 * locked takes its process for dead and removes it: -EAGAIN. */
static int
make_file(int folder, const char *hidden)
{
	struct stat st;
	int fd = openat(folder, hidden,
		O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err;

	if (fd < 0)
		return errno == EEXIST ? -EAGAIN : -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
		err = -errno;
	else if (st.st_nlink == 0)
		err = -EAGAIN;
	else
		return fd;
	/* On -EAGAIN the publisher has removed it or is about to. */
	if (err != -EAGAIN)
		unlinkat(folder, hidden, 0);
	close(fd);
	return err;
}

static int
cannot_register(int err, struct handoff__error *error)
{
	return handoff__fail(
		error, err, "subscriber: cannot register: %s", strerror(-err));
}

int
handoff__registry_enter(struct handoff__registration *reg,
	const struct handoff__dir *folder,
	int (*make)(void *arg, struct handoff__error *error),
	void (*unmake)(void *arg), void *arg, struct handoff__error *error)
{
	char hidden[HANDOFF__SUBSCRIBER_MAX + 1];
	int err = -EAGAIN;

	reg->lock = -1;
	for (int i = 0; i < HANDOFF__SUBSCRIBER_TRIES && err == -EAGAIN; i++) {
		handoff__registry_name(reg->name);
		snprintf(hidden, sizeof(hidden), ".%s", reg->name);
		reg->lock = make_file(folder->fd, hidden);
		if (reg->lock < 0) {
			err = cannot_register(reg->lock, error);
			continue;
		}
		err = make(arg, error);
		if (err >= 0 && renameat(folder->fd, hidden, folder->fd,
					reg->name) < 0) {
			err = cannot_register(-errno, error);
			unmake(arg);
		}
		if (err >= 0)
			return 0;
		unlinkat(folder->fd, hidden, 0);
		close(reg->lock);
		reg->lock = -1;
		if (err == -EEXIST)
			err = -EAGAIN;
	}
	return err;
}

static int
lock_and_write(int fd, const char *text)
{
	size_t len = strlen(text);

	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return write(fd, text, len) == (ssize_t)len ? 0 : -ENOSPC;
}

/* Creates and locks the file under a name that publishers ignore, then renames
 * it: its queue exists already, and a publisher that found the file unlocked
 * under its final name would remove both. Returns the lock. */
static int
register_again(int folder, const char *name, const char *text)
{
	char before[HANDOFF__SUBSCRIBER_MAX + 8];
	int fd, err;

	snprintf(before, sizeof(before), ".again-%s", name);
	fd = openat(folder, before,
		O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	err = lock_and_write(fd, text);
	if (err == 0 && renameat(folder, before, folder, name) < 0)
		err = -errno;
	if (err == 0)
		return fd;
	unlinkat(folder, before, 0);
	close(fd);
	return err;
}

int
handoff__registry_renew(struct handoff__registration *reg,
	const struct handoff__dir *folder, const char *text)
{
	int held = handoff__dir_holds(folder, reg->name, reg->lock);
	int fd = held == 0 ? register_again(folder->fd, reg->name, text) : held;

	if (held != 0 || fd < 0)
		return fd < 0 ? fd : 0;
	close(reg->lock);
	reg->lock = fd;
	return 1;
}

void
handoff__registry_leave(struct handoff__registration *reg,
	const struct handoff__dir *folder, bool mine)
{
	if (mine)
		unlinkat(folder->fd, reg->name, 0);
	close(reg->lock);
	reg->lock = -1;
}

enum handoff__found
handoff__registry_find(const struct handoff__dir *folder, const char *file,
	int *fd, const char **name)
{
	struct stat st;

	*name = file + (file[0] == '.');
	if (!handoff__registry_is_name(*name))
		return HANDOFF__FOUND_NONE;
	*fd = openat(
		folder->fd, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (*fd < 0)
		return errno == ENOENT ? HANDOFF__FOUND_NONE
				       : HANDOFF__FOUND_FAILED;
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0) {
		/* One that unsubscribes removes its file, then unlocks it. */
		if (fstat(*fd, &st) == 0 && st.st_nlink > 0)
			return HANDOFF__FOUND_DEAD;
	} else if (file[0] != '.') {
		return HANDOFF__FOUND_ALIVE;
	}
	close(*fd);
	return HANDOFF__FOUND_NONE;
}
