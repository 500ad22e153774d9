/* SPDX-License-Identifier: MIT */
/*
 * Each call that can fail fails once in a life of something: `fail_at` says
 * which, and the calls of the library alone are counted, while `inside`. One
 * program of tests includes it once; its calls are wrapped by the linker.
 */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>

static bool inside;
static int calls, fail_at;

static inline bool
fails(int err)
{
	if (!inside || ++calls != fail_at)
		return false;
	errno = err;
	return true;
}

/* FAULT(errno, failure, type, name, parameters, arguments) */
#define FAULT(err, failure, type, name, params, args)                          \
	type __real_##name params;                                             \
	type __wrap_##name params;                                             \
	type __wrap_##name params                                              \
	{                                                                      \
		return fails(err) ? (failure) : __real_##name args;            \
	}                                                                      \
	static_assert(sizeof(type) > 0, "")

#endif
