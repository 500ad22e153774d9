/* SPDX-License-Identifier: MIT */
/*
 * Shared by the libraries that are preloaded into a server: a number and a name
 * for each function of libc that they stand in for, the real one, and a file
 * that a test maps too. Included when FUNCTIONS(X) is defined.
 */
#ifndef TESTS_TOOLS_PRELOAD_H
#define TESTS_TOOLS_PRELOAD_H

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum function {
#define X(name) AT_##name,
	FUNCTIONS(X)
#undef X
		COUNT
};

static const char *const names[] = {
#define X(name) #name,
	FUNCTIONS(X)
#undef X
};

/* The function of libc, as bytes: ISO C has no cast for it. A call before the
 * constructor ran finds it too. */
static void
real(enum function f, void *fn)
{
	static _Atomic(void *) found[COUNT];
	void *address = atomic_load(&found[f]);

	if (!address) {
		address = dlsym(RTLD_NEXT, names[f]);
		if (!address)
			abort();
		atomic_store(&found[f], address);
	}
	memcpy(fn, &address, sizeof(address));
}

/* The file named by that variable, shared; NULL: no variable. Ends a process
 * that can't map it, since the test would wait in vain. */
static void *
map_shared(const char *variable, size_t size)
{
	const char *path = getenv(variable);
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map;

	if (!path)
		return NULL;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		fprintf(stderr, "%s: cannot map %s\n", variable, path);
		_exit(125);
	}
	close(fd);
	return map;
}

#endif
