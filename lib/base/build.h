/* SPDX-License-Identifier: MIT */
/* Which build of a program runs in this process. */
#ifndef HANDOFF_BASE_BUILD_H
#define HANDOFF_BASE_BUILD_H

#define HANDOFF__BUILD_MAX 65 /* 32 bytes in hexadecimal */

/* The build ID that the linker has put into the main program (ld(1),
 * --build-id), in hexadecimal; "" if it has none. */
void handoff__build_id(char id[HANDOFF__BUILD_MAX]);

#endif
