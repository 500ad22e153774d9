/* SPDX-License-Identifier: MIT */
/*
 * Keeps the library's descriptors at high numbers. The kernel hands out the
 * lowest free number; a program that uses select(2) cannot use numbers from
 * FD_SETSIZE on, and many programs index tables by descriptor. So the library
 * leaves the low numbers to the program, as far as the limit allows.
 */
#ifndef HANDOFF_BASE_HIGH_H
#define HANDOFF_BASE_HIGH_H

#include <stdbool.h>
#include <stddef.h>

/* The lowest number that counts as high in this process: FD_SETSIZE, or half
 * of RLIMIT_NOFILE if that is lower. */
int handoff__high_floor(void);

/* Moves the descriptor to a high number, close-on-exec, and closes the low one.
 * Returns the new number, or `fd` itself if it is high already, if no high
 * number is free, or if it is negative (errno is preserved). Call it before the
 * descriptor is added to an epoll set, which is keyed by number. */
int handoff__high_raise(int fd);

/* Duplicates to a high number, or to any number from 3 on if no high one is
 * free. -1 with errno set on failure. */
int handoff__high_dup(int fd);

/* How many more descriptors can be opened: exact where the limit is small, as
 * it matters there; otherwise an upper bound, in which those above the lowest
 * free number count as free. `fd` is any open descriptor. */
size_t handoff__high_room(int fd);

/* Returns whether `n` more descriptors can be opened, by opening them; for
 * small `n`. */
bool handoff__high_fits(int fd, size_t n);

#endif
