/* SPDX-License-Identifier: MIT */
/*
 * Looks into the arena of a running peer, and damages one record of it.
 *
 *   arena PID [--state-size N]            prints every record in use
 *   arena PID [--state-size N] ID WHAT    damages the record of connection ID
 *
 * WHAT: "commit" scribbles over both commits, "sequence" over the count that
 * says which is valid, "ahead" and "behind" move positions to where they can't
 * be, "turn" says that the connection is in a turn and moves a hint too far.
 * Knows the library's internals; nothing else may.
 */
#include "record/arena.h"
#include "record/older.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FD_MOST 65536 /* the library keeps its own above FD_SETSIZE */

static bool
is_segment(const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = '\0';
	return strstr(target, "memfd:handoff-arena") != NULL;
}

/* Maps what the process has open, in the order of its descriptors. */
static int
map_all(struct handoff__arena *arena, const char *pid, uint32_t state_size)
{
	for (int fd = 0; fd < FD_MOST; fd++) {
		struct handoff__error error = {{0}};
		char path[64];
		int own;

		snprintf(path, sizeof(path), "/proc/%.16s/fd/%d", pid, fd);
		if (!is_segment(path))
			continue;
		own = open(path, O_RDWR | O_CLOEXEC);
		if (own < 0)
			return -errno;
		if (handoff__arena_add(
			    arena, arena->count, own, state_size, &error) < 0) {
			fprintf(stderr, "arena: %s\n", error.text);
			return -EBADMSG;
		}
	}
	return arena->count > 0 ? 0 : -ENOENT;
}

static void
print_record(const struct handoff__segment *seg, uint32_t slot)
{
	const struct handoff__record *rec;
	struct handoff__commit commit, *c = &commit;
	struct handoff__view view;

	handoff__view_make(&view, seg, slot);
	rec = view.rec;
	handoff__older_commit(&view, handoff__record_sequence(rec) & 1, c);

	printf("{\"id\":%" PRIu64 ",\"owner\":%u,\"kind\":%u,"
	       "\"activity\":%u,\"flags\":%u,\"received\":%" PRIu64
	       ",\"consumed\":%" PRIu64 ",\"produced\":%" PRIu64
	       ",\"sent\":%" PRIu64 "}\n",
		rec->id, rec->owner, rec->kind, rec->activity, c->flags,
		rec->rx_head, c->rx_tail, c->tx_head, rec->tx_tail);
}

static int
damage(struct handoff__record *rec, const char *what)
{
	if (strcmp(what, "commit") == 0)
		memset(rec->commit, 0xa5, sizeof(rec->commit));
	else if (strcmp(what, "sequence") == 0)
		rec->sequence = 0x5a5a5a5a;
	else if (strcmp(what, "ahead") == 0)
		rec->rx_head = UINT64_MAX / 2;
	else if (strcmp(what, "behind") == 0)
		rec->commit[rec->sequence & 1].rx_tail = rec->rx_head + 1;
	else if (strcmp(what, "turn") == 0) {
		rec->rx_head += 1;
		rec->activity = HANDOFF__IN_TURN;
	} else
		return -EINVAL;
	return 0;
}

static int
each(struct handoff__arena *arena, uint64_t id, const char *what)
{
	int rc = id ? -ENOENT : 0;

	for (uint32_t i = 0; i < arena->count; i++) {
		for (uint32_t s = 0; s < arena->segments[i]->geo.slots; s++) {
			struct handoff__record *rec =
				handoff__arena_record(arena, i, s);

			if (rec->owner == 0)
				continue;
			if (id == 0)
				print_record(arena->segments[i], s);
			else if (rec->id == id &&
				 rec->kind == HANDOFF__CONNECTION)
				rc = damage(rec, what);
		}
	}
	return rc;
}

int
main(int argc, char **argv)
{
	struct handoff__arena arena;
	uint32_t state_size = 0;
	const char *pid;
	int rc;

	if (argc > 2 && strcmp(argv[2], "--state-size") == 0 && argc > 3) {
		state_size = (uint32_t)strtoul(argv[3], NULL, 10);
		argv[3] = argv[1];
		argv += 2;
		argc -= 2;
	}
	if (argc != 2 && argc != 4) {
		fputs("usage: arena PID [--state-size N] [ID WHAT]\n", stderr);
		return 2;
	}
	pid = argv[1];
	handoff__arena_init(&arena);
	rc = map_all(&arena, pid, state_size);
	if (rc == 0)
		rc = each(&arena, argc == 4 ? strtoull(argv[2], NULL, 10) : 0,
			argc == 4 ? argv[3] : NULL);
	handoff__arena_fini(&arena);
	if (rc < 0)
		fprintf(stderr, "arena: %s\n", strerror(-rc));
	return rc < 0;
}
