/* SPDX-License-Identifier: MIT */
/*
 * The file of a timetable: read when it has changed, replaced as a whole.
 * Names are relative to an open directory, so that it does not matter where
 * the program goes.
 */
#include "datafile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SIZE_LIMIT (16 << 20)
/* A millisecond apart; together less than what a handoff waits for a handler
 * and than what counts as hanging. */
#define LOCK_TRIES 4000

/* Whoever changes the file changes one of these; but an edit in place that
 * keeps the size may go unseen within the tick of the clock that it was read
 * in. */
static bool
unchanged(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Up to `size` bytes, or a negative errno. */
static ssize_t
read_all(int fd, char *text, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, text + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static int
load_from(struct datafile *file, int fd, char *why)
{
	struct timetable table;
	struct stat st;
	char *text;
	ssize_t len;
	int err;

	if (fstat(fd, &st) < 0)
		return explain(why, -errno, "fstat: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return explain(why, -EINVAL,
			"not a regular file: a text file is wanted");
	if (st.st_size > SIZE_LIMIT)
		return explain(why, -EFBIG,
			"larger than %d MiB: less is wanted", SIZE_LIMIT >> 20);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return explain(why, -ENOMEM, "out of memory");
	len = read_all(fd, text, (size_t)st.st_size);
	err = len < 0 ? explain(why, (int)len, "cannot read: %s",
				strerror((int)-len))
		      : timetable_read(&table, text, (size_t)len, why);
	if (err < 0) {
		free(text);
		return err;
	}
	free(file->text);
	timetable_free(&file->table);
	file->text = text;
	file->len = (size_t)len;
	file->table = table;
	file->seen = st;
	return 0;
}

/* Reads the file if it is not the one that was read. */
static int
refresh(struct datafile *file, char *why)
{
	struct stat st;
	int err, fd;

	if (fstatat(file->dir, file->name, &st, 0) == 0 &&
		unchanged(&st, &file->seen))
		return 0;
	/* O_NONBLOCK: a named pipe must not hold us up. */
	fd = openat(file->dir, file->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return explain(why, -errno, "cannot open: %s", strerror(errno));
	err = load_from(file, fd, why);
	close(fd);
	return err;
}

/* The same error in words for a client. */
static int
update(struct datafile *file, char *why)
{
	char what[WHY_SIZE];
	int err = refresh(file, what);

	return err < 0 ? explain(why, err, "the timetable: %.*s", WHY_SIZE - 32,
				 what)
		       : 0;
}

static int
open_directory(struct datafile *file, const char *path, char *why)
{
	/* Where symbolic links lead: what is replaced is the file. */
	char *real = realpath(path, NULL);
	char *slash = real ? strrchr(real, '/') : NULL;
	int err = 0;

	if (!slash)
		return explain(why, -errno, "cannot open: %s%s",
			strerror(errno),
			errno == ENOENT ? ": make it first, it may be empty"
					: "");
	if (strlen(slash + 1) + sizeof(".lock") > sizeof(file->lock)) {
		err = explain(why, -ENAMETOOLONG,
			"no room for .lock: a shorter name is wanted");
	} else {
		stpcpy(file->name, slash + 1);
		stpcpy(stpcpy(file->temp, slash + 1), ".tmp");
		stpcpy(stpcpy(file->lock, slash + 1), ".lock");
		slash[1] = '\0';
		file->dir = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (file->dir < 0)
			err = explain(why, -errno, "its directory: %s",
				strerror(errno));
	}
	free(real);
	return err;
}

int
datafile_open(struct datafile *file, const char *path, char *why)
{
	int err;

	memset(file, 0, sizeof(*file));
	file->dir = -1;
	pthread_mutex_init(&file->mutex, NULL);
	err = open_directory(file, path, why);
	if (err == 0)
		err = refresh(file, why);
	if (err < 0)
		datafile_close(file);
	return err;
}

void
datafile_close(struct datafile *file)
{
	if (file->dir >= 0)
		close(file->dir);
	file->dir = -1;
	free(file->text);
	file->text = NULL;
	timetable_free(&file->table);
	pthread_mutex_destroy(&file->mutex);
}

const struct timetable *
datafile_begin(struct datafile *file, char *why)
{
	pthread_mutex_lock(&file->mutex);
	if (update(file, why) == 0)
		return &file->table;
	pthread_mutex_unlock(&file->mutex);
	return NULL;
}

void
datafile_end(struct datafile *file)
{
	pthread_mutex_unlock(&file->mutex);
}

static int
write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* All that must be on the disc before the name changes hands. The new file
 * belongs to whom the old one did, if this process may say so. */
static int
fill(struct datafile *file, int fd, const char *text, size_t len)
{
	const struct stat *old = &file->seen;
	int err = write_all(fd, text, len);

	if (err < 0)
		return err;
	if (fchown(fd, old->st_uid, old->st_gid) < 0 && errno != EPERM)
		return -errno;
	if (fchmod(fd, old->st_mode & 0777) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

/* Replaces the file by a new one: a process that opens it finds the old or the
 * new one, whichever process dies at whatever moment. */
static int
save(struct datafile *file, const char *text, size_t len)
{
	int err, fd;

	/* rename(2) does not ask whether the file may be written. */
	if (faccessat(file->dir, file->name, W_OK, AT_EACCESS) < 0)
		return -errno;
	/* Who died in the midst of this has left one. */
	unlinkat(file->dir, file->temp, 0);
	fd = openat(file->dir, file->temp,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = fill(file, fd, text, len);
	if (err == 0 &&
		renameat(file->dir, file->temp, file->dir, file->name) < 0)
		err = -errno;
	if (err < 0)
		unlinkat(file->dir, file->temp, 0);
	close(fd);
	return err;
}

/* What was there stays as it is, and gets one more line. What is in memory
 * comes from the file only: it is read again when it is asked for. */
static int
append(struct datafile *file, const struct course *course)
{
	bool open = file->len > 0 && file->text[file->len - 1] != '\n';
	size_t room = WORD_SIZE + COURSE_SIZE + 2, len;
	char *text = malloc(file->len + room);
	char line[COURSE_SIZE];
	int err;

	if (!text)
		return -ENOMEM;
	course_text(course, line);
	memcpy(text, file->text, file->len);
	len = file->len + (size_t)snprintf(text + file->len, room, "%s%s %s\n",
				  open ? "\n" : "", course->student, line);
	err = len > SIZE_LIMIT ? -EFBIG : save(file, text, len);
	free(text);
	return err;
}

static int
wait_for_lock(int fd, int tries)
{
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK || --tries == 0)
			return -errno;
		poll(NULL, 0, 1);
	}
	return 0;
}

/* One process at a time. The descriptor is a new one each time: a child shares
 * those of its parent, and so their locks (flock(2)). A process that was
 * stopped while it held the lock must not stop the others: after one wait in
 * vain a process does not wait again. */
static int
lock(struct datafile *file, char *why)
{
	int fd = openat(file->dir, file->lock,
		O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		(file->seen.st_mode & 0666) | 0600);
	int err = fd < 0 ? -errno
			 : wait_for_lock(fd, file->stuck ? 1 : LOCK_TRIES);

	file->stuck = err == -EWOULDBLOCK;
	if (err == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return explain(why, err, "cannot save: %s (%s)",
		file->stuck ? "another process holds the lock" : strerror(-err),
		file->lock);
}

/* A process that was forked meanwhile has a copy of the descriptor. */
static void
unlock(int fd)
{
	flock(fd, LOCK_UN);
	close(fd);
}

static int
add_locked(struct datafile *file, const struct course *course, char *why)
{
	int err = update(file, why);

	if (err == 0)
		err = timetable_accepts(&file->table, course, why);
	if (err < 0)
		return err;
	if (err == 0)
		err = append(file, course);
	/* Also for a course that was there: the process that added it may have
	 * died between rename and this. */
	if (err >= 0 && fsync(file->dir) < 0 && errno != EINVAL)
		err = -errno;
	return err < 0 ? explain(why, err, "cannot save: %s", strerror(-err))
		       : 0;
}

int
datafile_add(struct datafile *file, const struct course *course, char *why)
{
	int err, fd;

	pthread_mutex_lock(&file->mutex);
	fd = lock(file, why);
	err = fd < 0 ? fd : add_locked(file, course, why);
	if (fd >= 0)
		unlock(fd);
	pthread_mutex_unlock(&file->mutex);
	return err;
}
