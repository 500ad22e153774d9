/* SPDX-License-Identifier: MIT */
/* Paths that stay valid when the working directory changes, and safe opening of
 * files in directories where others may write. */
#ifndef HANDOFF_BASE_PATH_H
#define HANDOFF_BASE_PATH_H

#include "base/text.h"

#include <sys/types.h>

/*
 * open(2), with extra rules in a sticky directory that others can write to: a
 * symbolic link or a file there must belong to the effective user or to the
 * directory's owner, and a file must have no further hard links. The kernel has
 * the same rules (fs.protected_symlinks, proc(5)) where they are enabled.
 * Returns a negative errno on failure; `why` is then half a sentence with the
 * cause.
 */
int handoff__path_open(
	const char *path, int flags, mode_t mode, struct handoff__error *why);

/* Returns 1 if the path is a symbolic link that may be followed, 0 if it is
 * none, or -EACCES as above. */
int handoff__path_link(const char *path, struct handoff__error *why);

/* Stores the path made absolute against the current working directory, to be
 * freed with free(3). -ENOMEM, or -ENOENT if that directory has no path any
 * more. */
int handoff__path_absolute(char **out, const char *path);

#endif
