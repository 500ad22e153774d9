/* SPDX-License-Identifier: MIT */
/*
 * The table and its log. What is logged is the new value, not the change to it,
 * so that a line could even be applied twice.
 */
#include "store.h"

#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct value {
	char key[100], text[100];
};

static void *table; /* a tree of values, see tsearch(3) */
static int log_fd;
static uint64_t applied; /* the table has the log as far as that */

static int
compare(const void *a, const void *b)
{
	return strcmp(
		((const struct value *)a)->key, ((const struct value *)b)->key);
}

static const char *
look_up(const char *key)
{
	struct value wanted;
	struct value *const *found;

	snprintf(wanted.key, sizeof(wanted.key), "%s", key);
	found = tfind(&wanted, &table, compare);
	return found ? (*found)->text : "0";
}

static void
set(const char *line)
{
	struct value *new = malloc(sizeof(*new));
	struct value **found;

	if (!new || sscanf(line, "%99s %99s", new->key, new->text) != 2)
		abort();
	found = tsearch(new, &table, compare);
	if (!found)
		abort();
	if (*found != new) {
		memcpy((*found)->text, new->text, sizeof(new->text));
		free(new);
	}
}

bool
store_open(const char *path)
{
	log_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return log_fd >= 0;
}

/* Applies up to 64 KiB of lines. False if there are none. */
static bool
read_on(uint64_t end, bool last)
{
	char buf[1 << 16], *line = buf, *newline;
	size_t most = end - applied < sizeof(buf) ? (size_t)(end - applied)
						  : sizeof(buf);
	ssize_t len = pread(log_fd, buf, most, (off_t)applied);
	const char *stop = buf + (len > 0 ? len : 0);

	while ((newline = memchr(line, '\n', (size_t)(stop - line))) &&
		(last || newline + 1 < stop)) {
		*newline = '\0';
		set(line);
		line = newline + 1;
	}
	applied += (uint64_t)(line - buf);
	return line > buf;
}

bool
store_follow(void)
{
	return !read_on(UINT64_MAX, false);
}

bool
store_own(uint64_t end)
{
	while (read_on(end, true))
		;
	return applied == end && ftruncate(log_fd, (off_t)end) == 0;
}

uint64_t
store_end(void)
{
	while (read_on(UINT64_MAX, true))
		;
	return applied;
}

void
store_execute(const char *command, char *answer, char *change)
{
	char key[100], text[100];
	long long by;

	change[0] = '\0';
	if (sscanf(command, "get %99s", key) == 1) {
		snprintf(answer, STORE_LINE, "%s\n", look_up(key));
	} else if (sscanf(command, "set %99s %99s", key, text) == 2) {
		snprintf(change, STORE_LINE, "%s %s\n", key, text);
		snprintf(answer, STORE_LINE, "ok\n");
	} else if (sscanf(command, "add %99s %lld", key, &by) == 2) {
		by += atoll(look_up(key));
		snprintf(change, STORE_LINE, "%s %lld\n", key, by);
		snprintf(answer, STORE_LINE, "%lld\n", by);
	} else {
		snprintf(answer, STORE_LINE, "what?\n");
	}
}

uint64_t
store_write(const char *change)
{
	size_t len = strlen(change);

	if (pwrite(log_fd, change, len, (off_t)applied) != (ssize_t)len)
		return 0;
	return applied + len;
}

void
store_apply(const char *change)
{
	set(change);
	applied += strlen(change);
}
