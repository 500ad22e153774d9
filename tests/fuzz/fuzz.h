/* SPDX-License-Identifier: MIT */
/*
 * What every fuzzer needs: the function that libFuzzer calls, an assertion
 * that stays in every build, and bytes that end where their memory does.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void
check(bool true_for_all)
{
	if (!true_for_all)
		abort();
}

/* A copy in memory of that size, so that the sanitizer sees a byte too many;
 * to be freed. */
static inline void *
exact_copy(const void *data, size_t size)
{
	void *copy = malloc(size > 0 ? size : 1);

	check(copy);
	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

#endif
