/* SPDX-License-Identifier: MIT */
/*
 * Allocations of OpenSSL that fail: the n-th one of those that are counted. For
 * one file of a program, since OpenSSL takes the functions once.
 */
#ifndef TESTS_SUPPORT_SSL_MEMORY_H
#define TESTS_SUPPORT_SSL_MEMORY_H

#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdlib.h>

static bool inside; /* whether they are counted now */
static int calls, fail_at;

static bool
fails(void)
{
	return inside && ++calls == fail_at;
}

static void *
allocate(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return fails() ? NULL : malloc(size);
}

static void *
reallocate(void *data, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return fails() ? NULL : realloc(data, size);
}

static void
release(void *data, const char *file, int line)
{
	(void)file;
	(void)line;
	free(data);
}

/* Before OpenSSL has allocated anything. */
__attribute__((constructor)) static void
before_tests(void)
{
	CRYPTO_set_mem_functions(allocate, reallocate, release);
}

#endif
