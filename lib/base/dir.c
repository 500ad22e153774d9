/* SPDX-License-Identifier: MIT */
/*
 * The service directory and its files. Names are relative to an open
 * descriptor, so that nothing depends on the working directory.
 */
#include "base/dir.h"

#include "base/high.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG    16
#define LOCK_TRIES 1000 /* a millisecond apart */

static int
check_private(const struct handoff__dir *dir, uint32_t user,
	struct handoff__error *error)
{
	struct stat st;

	if (fstat(dir->fd, &st) < 0)
		return handoff__fail(error, -errno,
			"service directory %s: fstat: %s", dir->path,
			strerror(errno));
	if (st.st_uid != geteuid() &&
		!(geteuid() == 0 &&
			(user == HANDOFF__ANY_USER || st.st_uid == user)))
		return handoff__fail(error, -EACCES,
			"service directory %s belongs to uid %u and this is "
			"uid %u: run as that user or use another directory",
			dir->path, (unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & S_ISVTX && st.st_mode & 077)
		return handoff__fail(error, -EACCES,
			"service directory %s has mode %04o, since others use "
			"it too: name a directory of the service's own",
			dir->path, (unsigned)st.st_mode & 07777);
	if (st.st_mode & 077)
		return handoff__fail(error, -EACCES,
			"service directory %s has mode %04o and must be "
			"private: chmod 700 it, if it is the service's own, or "
			"name another",
			dir->path, (unsigned)st.st_mode & 07777);
	return 0;
}

/* The user that root will switch to must still be able to open it. */
static int
give_to_user(const struct handoff__dir *dir, int fd)
{
	return dir->user != 0 && geteuid() == 0
		       ? fchown(fd, dir->user, (gid_t)-1)
		       : 0;
}

static int
give_name_to_user(const struct handoff__dir *dir, const char *name)
{
	return dir->user != 0 && geteuid() == 0
		       ? fchownat(dir->fd, name, dir->user, (gid_t)-1,
				 AT_SYMLINK_NOFOLLOW)
		       : 0;
}

int
handoff__dir_open(struct handoff__dir *dir, const char *path, bool create,
	uint32_t user, struct handoff__error *error)
{
	bool made;
	int err;

	dir->fd = -1;
	if (!path || path[0] == '\0' || strlen(path) >= sizeof(dir->path))
		return handoff__fail(error, -EINVAL,
			"service directory: the path is empty or longer than "
			"%zu bytes",
			sizeof(dir->path) - 1);
	handoff__copy(dir->path, sizeof(dir->path), path);
	dir->user = user != HANDOFF__ANY_USER && geteuid() == 0 ? user : 0;
	made = create && mkdir(path, 0700) == 0;
	if (create && !made && errno != EEXIST)
		return handoff__fail(error, -errno,
			"service directory %s: cannot create it: %s", path,
			strerror(errno));
	dir->fd = handoff__high_raise(
		open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (dir->fd < 0)
		return handoff__fail(error, -errno,
			"service directory %s: cannot open it: %s", path,
			strerror(errno));
	err = check_private(dir, user, error);
	if (err == 0 && made && give_to_user(dir, dir->fd) < 0)
		err = handoff__fail(error, -errno,
			"service directory %s: cannot give it to uid %u: %s",
			path, (unsigned)user, strerror(errno));
	if (err < 0)
		handoff__dir_close(dir);
	return err;
}

void
handoff__dir_close(struct handoff__dir *dir)
{
	if (dir->fd >= 0)
		close(dir->fd);
	dir->fd = -1;
}

int
handoff__dir_sockaddr(const struct handoff__dir *dir, const char *name,
	struct sockaddr_un *sun)
{
	int len;

	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	len = snprintf(
		sun->sun_path, sizeof(sun->sun_path), "%s/%s", dir->path, name);
	if (dir->path[0] != '/' || len >= (int)sizeof(sun->sun_path))
		len = snprintf(sun->sun_path, sizeof(sun->sun_path),
			"/proc/self/fd/%d/%s", dir->fd, name);
	return len < (int)sizeof(sun->sun_path) ? 0 : -ENAMETOOLONG;
}

int
handoff__dir_listen(const struct handoff__dir *dir, const char *name, int type,
	struct handoff__error *error)
{
	struct sockaddr_un sun;
	int err = handoff__dir_sockaddr(dir, name, &sun);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || err < 0) {
		err = fd < 0 ? -errno : err;
		goto fail;
	}
	unlinkat(dir->fd, name, 0);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ||
		fchmodat(dir->fd, name, 0600, 0) < 0 ||
		give_name_to_user(dir, name) < 0 || listen(fd, BACKLOG) < 0) {
		err = -errno;
		goto fail;
	}
	return handoff__high_raise(fd);
fail:
	if (fd >= 0)
		close(fd);
	return handoff__fail(error, err, "socket %s/%s: cannot listen: %s",
		dir->path, name, strerror(-err));
}

int
handoff__dir_connect(const struct handoff__dir *dir, const char *name, int type)
{
	struct sockaddr_un sun;
	int err = handoff__dir_sockaddr(dir, name, &sun);
	int fd;

	if (err < 0)
		return err;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Calls on network and FUSE file systems may be interrupted. */
static int
open_name(const struct handoff__dir *dir, const char *name, int flags)
{
	int fd;

	do {
		fd = openat(
			dir->fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static int
try_lock(int fd, int how)
{
	int rc;

	do {
		rc = flock(fd, how | LOCK_NB);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

/* A peer holds the lock exclusively for its whole life. handoff__dir_locked
 * holds it shared for a moment to test it: that is not a peer, so wait for
 * it. */
static int
lock_exclusive(int fd)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		int err = try_lock(fd, LOCK_EX);

		if (err == -EWOULDBLOCK)
			err = try_lock(fd, LOCK_SH);
		else
			return err;
		if (err < 0)
			return err;
		flock(fd, LOCK_UN);
		poll(NULL, 0, 1);
	}
	return -EWOULDBLOCK;
}

int
handoff__dir_share(const struct handoff__dir *dir)
{
	return try_lock(dir->fd, LOCK_SH);
}

int
handoff__dir_note(const struct handoff__dir *dir, const char *name,
	struct handoff__inode *inode)
{
	struct stat st;

	if (fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	inode->dev = st.st_dev;
	inode->ino = st.st_ino;
	return 0;
}

int
handoff__dir_is(const struct handoff__dir *dir, const char *name,
	const struct handoff__inode *inode)
{
	struct handoff__inode now = {.dev = 0};
	int err = handoff__dir_note(dir, name, &now);

	if (err < 0)
		return err == -ENOENT ? 0 : err;
	return now.dev == inode->dev && now.ino == inode->ino;
}

int
handoff__dir_holds(const struct handoff__dir *dir, const char *name, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return handoff__dir_is(dir, name,
		&(struct handoff__inode){.dev = st.st_dev, .ino = st.st_ino});
}

int
handoff__dir_lock(const struct handoff__dir *dir, const char *name)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		int fd = open_name(dir, name, O_RDWR | O_CREAT);
		int err;

		if (fd < 0)
			return fd;
		err = lock_exclusive(fd);
		if (err == 0 && give_to_user(dir, fd) < 0)
			err = -errno;
		if (err == 0)
			err = handoff__dir_holds(dir, name, fd);
		if (err > 0)
			return handoff__high_raise(fd);
		close(fd);
		if (err < 0)
			return err;
	}
	return -ESTALE;
}

int
handoff__dir_locked(const struct handoff__dir *dir, const char *name)
{
	int fd = open_name(dir, name, O_RDONLY | O_NONBLOCK);
	int err;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	err = try_lock(fd, LOCK_SH);
	close(fd);
	return err == -EWOULDBLOCK ? 1 : err;
}

static int
write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int
handoff__dir_write(const struct handoff__dir *dir, const char *name,
	const void *data, size_t len)
{
	char temp[64];
	int err, fd;

	snprintf(temp, sizeof(temp), ".%.40s.%d", name, (int)getpid());
	fd = open_name(dir, temp, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0)
		return fd;
	err = write_all(fd, data, len);
	if (err == 0 && give_to_user(dir, fd) < 0)
		err = -errno;
	/* On EINTR, Linux has closed the descriptor all the same (close(2)). */
	if (close(fd) < 0 && err == 0 && errno != EINTR)
		err = -errno;
	if (err == 0 && renameat(dir->fd, temp, dir->fd, name) < 0)
		err = -errno;
	if (err < 0)
		unlinkat(dir->fd, temp, 0);
	return err;
}

ssize_t
handoff__dir_read(const struct handoff__dir *dir, const char *name, void *data,
	size_t size)
{
	int fd = open_name(dir, name, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	do {
		n = read(fd, data, size);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		n = -errno;
	close(fd);
	return n;
}

int
handoff__dir_allows(int sock, uint32_t user)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	return cred.uid == geteuid() || cred.uid == 0 ||
			       (user != 0 && cred.uid == user)
		       ? 0
		       : -EPERM;
}
