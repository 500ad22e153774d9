/* SPDX-License-Identifier: MIT */
/*
 * What every unit test runs inside of: the number of open descriptors must be
 * the same after as before, no child may be left, and an alarm ends a test
 * that hangs. Includes cmocka with what it needs.
 */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka_unit_test with the checks around it. */
#define handoff_test(f)                                                        \
	cmocka_unit_test_setup_teardown(f, support_setup, support_teardown)

int support_setup(void **state);
int support_teardown(void **state);

/* Skips the test under valgrind (HANDOFF_VALGRIND, set by valgrind.sh), which
 * has a descriptor table and limits of its own and runs one thread at once. */
void support_not_in_valgrind(void);
bool support_in_valgrind(void);

/* How long to wait for what comes at once where it is not slow. */
int64_t support_patience_us(void);

/* How many times a limit has to be that a test sets itself, and that must not
 * pass while both sides work. */
int support_slowness(void);

/* Skips the test in a cross-build (HANDOFF_EMULATED, set by ctest), for what
 * qemu-user does not do as a kernel does. */
void support_not_emulated(const char *why);

/* Raises the soft limit so that this process may have so many descriptors
 * open, or skips the test where the hard limit is below that. */
void support_need_descriptors(unsigned count);

/* Leaves room for `room` more descriptors until it is given back. */
void support_limit_descriptors(int room);
void support_unlimit_descriptors(void);

/* How many descriptors this process has open. */
int support_open_fds(void);

/* Makes a private directory for the test and returns its path (static
 * memory); support_teardown removes it with all that is in it. */
const char *support_dir(void);

/* Waits for the child and asserts that it left by _exit(0). */
void support_reap(int pid);

/* Polls one descriptor for up to twenty seconds; the revents, 0 on timeout. */
int support_poll(int fd, int events);

#endif
