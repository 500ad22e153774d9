/* SPDX-License-Identifier: MIT */
/*
 * Where the library's descriptors lie. The kernel gives the lowest number that
 * is free; a program that uses select(2) can use no number from FD_SETSIZE on,
 * and many a program keeps tables by number. So what is the library's own goes
 * to high numbers, where the limit leaves room for that.
 */
#ifndef HANDOFF_BASE_HIGH_H
#define HANDOFF_BASE_HIGH_H

#include <stdbool.h>
#include <stddef.h>

/* The lowest number that counts as high in this process: FD_SETSIZE, or half
 * of RLIMIT_NOFILE if that is lower. */
int handoff__high_floor(void);

/* Moves the descriptor to a high number, close-on-exec, and closes the low
 * one. Returns the new number; `fd` itself if it is high already, or no high
 * number is free, or it is negative (errno is kept then). Before it is put
 * into an epoll set: those go by number. */
int handoff__high_raise(int fd);

/* A duplicate with a high number, or with any from 3 on if none is free. -1
 * with errno set if there is none at all. */
int handoff__high_dup(int fd);

/* How many more descriptors can be opened: at most that many, since holes
 * between those in use are taken for free. `fd` is any that is open. */
size_t handoff__high_room(int fd);

/* Can that many more be opened, for certain? Tries; for small `n`. */
bool handoff__high_fits(int fd, size_t n);

#endif
