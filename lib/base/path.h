/* SPDX-License-Identifier: MIT */
/* Paths that stay right when the working directory changes. */
#ifndef HANDOFF_BASE_PATH_H
#define HANDOFF_BASE_PATH_H

/* Stores the path as seen from the working directory of now, to be freed with
 * free(3). -ENOMEM, or -ENOENT if that directory has no path any more. */
int handoff__path_absolute(char **out, const char *path);

#endif
