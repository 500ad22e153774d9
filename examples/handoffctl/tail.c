/* SPDX-License-Identifier: MIT */
/*
 * Reads a file that another process appends to. Control characters are shown as
 * '?': a terminal acts on them.
 */
#include "tail.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
has_open(pid_t pid, const struct stat *file)
{
	char path[40];
	const struct dirent *entry;
	struct stat st;
	bool found = false;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	fds = opendir(path);
	while (fds && !found && (entry = readdir(fds)))
		found = fstatat(dirfd(fds), entry->d_name, &st, 0) == 0 &&
			st.st_dev == file->st_dev && st.st_ino == file->st_ino;
	if (fds)
		closedir(fds);
	return found;
}

void
tail_open(struct tail *tail, const char *path, pid_t other)
{
	struct stat st;

	memset(tail, 0, sizeof(*tail));
	tail->terminal = isatty(STDERR_FILENO);
	tail->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (tail->fd >= 0 &&
		(fstat(tail->fd, &st) < 0 || !S_ISREG(st.st_mode) ||
			lseek(tail->fd, 0, SEEK_END) < 0))
		tail_close(tail);
	tail->shared = tail->fd >= 0 && has_open(other, &st);
}

static char
visible(char c)
{
	if ((unsigned char)c < 0x20 || c == 0x7f)
		return '?';
	return c;
}

static void
end_line(struct tail *tail)
{
	tail->line[tail->len] = '\0';
	tail->len = 0;
	fprintf(stderr, "%s%s: %s\n", tail->terminal ? "\r\033[K" : "",
		tail->shared ? "log" : "new", tail->line);
	if (tail->line[0])
		snprintf(tail->last, sizeof(tail->last), "%.199s", tail->line);
}

void
tail_show(struct tail *tail)
{
	char chunk[4096];
	ssize_t n;

	while (tail->fd >= 0 &&
		(n = read(tail->fd, chunk, sizeof(chunk))) > 0) {
		tail->any = true;
		for (ssize_t i = 0; i < n; i++) {
			char c = chunk[i];

			if (c != '\n')
				tail->line[tail->len++] = visible(c);
			if (c == '\n' || tail->len == sizeof(tail->line) - 1)
				end_line(tail);
		}
	}
}

void
tail_close(struct tail *tail)
{
	if (tail->fd >= 0)
		close(tail->fd);
	tail->fd = -1;
}
