/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into programs that are to have a lease from a file: adds the test
 * engine "file:PATH" to the library that the program is linked with.
 */
#include "lease/file_engine.h"

__attribute__((constructor)) static void
add_engine(void)
{
	file_engine_add();
}
