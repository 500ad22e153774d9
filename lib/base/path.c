/* SPDX-License-Identifier: MIT */
/*
 * Paths that stay right when the working directory changes. Nothing is
 * resolved: a link in the path is followed each time it is used.
 */
#include "base/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	/* Out of reach, it reads "(unreachable)/..." (getcwd(3)). */
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
