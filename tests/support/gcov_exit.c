/* SPDX-License-Identifier: MIT */
/*
 * _exit for the library when it is built for coverage (lib/CMakeLists.txt
 * renames it): it writes the counts first. In no other build.
 */
#undef _exit
#include <unistd.h>

void __gcov_dump(void);
void handoff__gcov_exit(int status) __attribute__((noreturn));

void
handoff__gcov_exit(int status)
{
	__gcov_dump();
	_exit(status);
}
