/* SPDX-License-Identifier: MIT */
/* Paths that stay right when the working directory changes, and the opening of
 * those that lie where others may write. */
#ifndef HANDOFF_BASE_PATH_H
#define HANDOFF_BASE_PATH_H

#include "base/text.h"

#include <sys/types.h>

/*
 * open(2), but for a directory with the sticky bit that others can write to: in
 * it, neither a link is followed nor a file used that belongs to a user other
 * than this one and the directory's, or that has other names. The kernel has
 * the same rules (fs.protected_symlinks, proc(5)), where they are switched on.
 * A negative errno, and what is wrong as half a sentence.
 */
int handoff__path_open(
	const char *path, int flags, mode_t mode, struct handoff__error *why);

/* Is it a symbolic link? 1, and it may be followed; 0; or -EACCES as above. */
int handoff__path_link(const char *path, struct handoff__error *why);

/* Stores the path as seen from the working directory of now, to be freed with
 * free(3). -ENOMEM, or -ENOENT if that directory has no path any more. */
int handoff__path_absolute(char **out, const char *path);

#endif
