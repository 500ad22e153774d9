/* SPDX-License-Identifier: MIT */
/*
 * Files that appear complete or not at all. Until it is finished a file has no
 * name, if the file system supports that (open(2), O_TMPFILE), and leaves
 * nothing behind however the process ends; otherwise it has a temporary name
 * beside the final one.
 */
#include "control/output.h"

#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE 0600 /* it may contain data of clients */

static int
fail_output(struct handoff__error *error, int err, const char *what,
	const char *path)
{
	return handoff__fail(
		error, err, "%s: %s: %s", path, what, strerror(-err));
}

static size_t
directory_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash + 1 - path) : 0;
}

static int
open_unnamed(const char *path)
{
	size_t len = directory_length(path);
	char *dir = len > 0 ? strndup(path, len) : strdup(".");
	int fd = dir ? open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, MODE) : -1;

	free(dir);
	return fd;
}

/* Creates the file that will be renamed to `path`. */
static int
open_new(struct handoff__output *output, struct handoff__error *error)
{
	const char *path = output->path;
	int dir = (int)directory_length(path);

	if (asprintf(&output->temp, "%.*s.%.200s.%d", dir, path, path + dir,
		    (int)getpid()) < 0) {
		output->temp = NULL;
		return fail_output(error, -ENOMEM, "cannot open it", path);
	}
	output->fd = open_unnamed(path);
	if (output->fd >= 0)
		return 0;
	unlink(output->temp);
	output->fd = open(
		output->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
	if (output->fd < 0)
		return fail_output(error, -errno, "cannot create it", path);
	output->named = true;
	return 0;
}

/* Opens a pipe or a device. A pipe without a reader is an error, not a wait. */
static int
open_other(struct handoff__output *output, const char *path,
	struct handoff__error *error)
{
	struct handoff__error why;

	output->fd = handoff__path_open(
		path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0, &why);
	return output->fd < 0
		       ? handoff__fail(error, output->fd,
				 "%s: cannot open it: %s", path, why.text)
		       : 0;
}

int
handoff__output_open(struct handoff__output *output, const char *path,
	struct handoff__error *error)
{
	struct handoff__error why;
	struct stat st;
	int link, err;

	memset(output, 0, sizeof(*output));
	output->fd = -1;
	if (strcmp(path, "-") == 0) {
		output->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		return output->fd < 0
			       ? fail_output(error, -errno, "it is closed",
					 "standard output")
			       : 0;
	}
	link = handoff__path_link(path, &why);
	if (link < 0)
		return handoff__fail(
			error, link, "%s: cannot open it: %s", path, why.text);
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return open_other(output, path, error);
	/* replaces the target of a link, not the link */
	output->path = link ? realpath(path, NULL) : NULL;
	if (!output->path)
		output->path = strdup(path);
	err = output->path
		      ? open_new(output, error)
		      : fail_output(error, -ENOMEM, "cannot open it", path);
	if (err < 0)
		handoff__output_drop(output);
	return err;
}

/* Gives the file its name, atomically replacing an existing file. */
static int
rename_output(struct handoff__output *output)
{
	char link[32];

	if (fsync(output->fd) < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", output->fd);
	if (!output->named) {
		unlink(output->temp);
		if (linkat(AT_FDCWD, link, AT_FDCWD, output->temp,
			    AT_SYMLINK_FOLLOW) < 0)
			return -errno;
	}
	output->named = true;
	if (rename(output->temp, output->path) < 0)
		return -errno;
	output->named = false;
	return 0;
}

int
handoff__output_finish(
	struct handoff__output *output, struct handoff__error *error)
{
	int err = output->path ? rename_output(output) : 0;

	if (err < 0)
		fail_output(error, err, "cannot give the file its name",
			output->path);
	handoff__output_drop(output);
	return err;
}

void
handoff__output_drop(struct handoff__output *output)
{
	if (output->named)
		unlink(output->temp);
	if (output->fd >= 0)
		close(output->fd);
	free(output->path);
	free(output->temp);
	memset(output, 0, sizeof(*output));
	output->fd = -1;
}
