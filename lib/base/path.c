/* SPDX-License-Identifier: MIT */
/*
 * Makes paths absolute without resolving them: a symbolic link in the path is
 * followed anew at each use. Opens files where others could replace them.
 */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Stats the directory that contains the name. */
static int
parent_of(const char *path, struct stat *st)
{
	const char *slash = strrchr(path, '/');
	char *dir =
		slash ? strndup(path, (size_t)(slash + 1 - path)) : strdup(".");
	int err = !dir ? -ENOMEM : stat(dir, st) < 0 ? -errno : 0;

	free(dir);
	return err;
}

static bool
is_shared(const struct stat *parent)
{
	return (parent->st_mode & S_ISVTX) &&
	       (parent->st_mode & (S_IWOTH | S_IWGRP));
}

static int
check_path_owner(const struct stat *st, const struct stat *parent,
	const char *what, struct handoff__error *why)
{
	if (st->st_uid == geteuid() || st->st_uid == parent->st_uid)
		return 0;
	return handoff__fail(why, -EACCES,
		"%s of uid %u, in a directory where others can write: use "
		"another path",
		what, (unsigned)st->st_uid);
}

int
handoff__path_link(const char *path, struct handoff__error *why)
{
	struct stat st, parent;
	int err;

	if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode))
		return 0;
	err = parent_of(path, &parent);
	if (err < 0)
		return handoff__fail(why, err, "%s", strerror(-err));
	err = is_shared(&parent)
		      ? check_path_owner(&st, &parent, "it is a link", why)
		      : 0;
	return err < 0 ? err : 1;
}

static int
check_opened(int fd, const struct stat *parent, struct handoff__error *why)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return handoff__fail(why, -errno, "%s", strerror(errno));
	if (S_ISREG(st.st_mode) && st.st_nlink > 1)
		return handoff__fail(why, -EACCES,
			"it has further hard links, in a directory where "
			"others can write: use another path");
	return check_path_owner(&st, parent, "it is a file", why);
}

int
handoff__path_open(
	const char *path, int flags, mode_t mode, struct handoff__error *why)
{
	int link = handoff__path_link(path, why);
	struct stat parent;
	bool shared;
	int err, fd;

	if (link < 0)
		return link;
	shared = parent_of(path, &parent) == 0 && is_shared(&parent);
	/* O_NOFOLLOW: a link that appears after the check is not followed. */
	fd = open(path, flags | (shared && !link ? O_NOFOLLOW : 0), mode);
	if (fd < 0)
		return handoff__fail(why, -errno, "%s", strerror(errno));
	err = shared && !link ? check_opened(fd, &parent, why) : 0;
	if (err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

int
handoff__path_absolute(char **out, const char *path)
{
	char *cwd, *text;
	int len;

	if (path[0] == '/') {
		text = strdup(path);
		*out = text ? text : *out;
		return text ? 0 : -ENOMEM;
	}
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return -errno;
	/* getcwd(3) returns "(unreachable)/..." outside the root. */
	if (cwd[0] != '/') {
		free(cwd);
		return -ENOENT;
	}
	len = asprintf(&text, "%s/%s", cwd[1] ? cwd : "", path);
	free(cwd);
	if (len < 0)
		return -ENOMEM;
	*out = text;
	return 0;
}
