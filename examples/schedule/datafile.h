/* SPDX-License-Identifier: MIT */
/*
 * A timetable in a text file that several threads and several processes read
 * and change at once: the two peers, and the children of each.
 *
 * Changes are made under a lock, FILE.lock, and replace the file as a whole,
 * so that a reader sees it as it was before or after. Every look at the
 * timetable asks first whether the file has changed, by whomever.
 */
#ifndef EXAMPLES_DATAFILE_H
#define EXAMPLES_DATAFILE_H

#include "timetable.h"

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>

struct datafile {
	pthread_mutex_t mutex; /* protects all that follows */
	int dir;               /* the directory that the file is in */
	char name[NAME_MAX + 1], temp[NAME_MAX + 1], lock[NAME_MAX + 1];
	bool stuck;       /* the lock was not to be had */
	struct stat seen; /* the file, when it was read */
	char *text;       /* what it says, with its comments */
	size_t len;
	struct timetable table; /* the same */
};

/* Reads the file, which must be there: a new one would hide a typing error in
 * its path. */
int datafile_open(struct datafile *file, const char *path, char *why);
void datafile_close(struct datafile *file);

/* The timetable as the file has it now, until datafile_end. NULL: the file
 * can't be read or is damaged, and datafile_end must not be called. */
const struct timetable *datafile_begin(struct datafile *file, char *why);
void datafile_end(struct datafile *file);

/*
 * Adds a course, and returns when it is on the disc. A course that is there
 * already is as good as added: so this may be done twice. If it can't be saved
 * nothing is changed.
 */
int datafile_add(struct datafile *file, const struct course *course, char *why);

#endif
