/* SPDX-License-Identifier: MIT */
/* The version of the linked library. */
#include <handoff/common.h>

#define STR_(x) #x
#define STR(x)  STR_(x)

const char *
handoff_version(void)
{
	return STR(HANDOFF_VERSION_MAJOR) "." STR(
		HANDOFF_VERSION_MINOR) "." STR(HANDOFF_VERSION_PATCH);
}
