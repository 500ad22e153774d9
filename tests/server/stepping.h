/* SPDX-License-Identifier: MIT */
/*
 * A turn in a child that is single-stepped, and killed after so many
 * instructions: what it leaves is what a process leaves that dies there.
 */
#ifndef TESTS_SERVER_STEPPING_H
#define TESTS_SERVER_STEPPING_H

#include "server/solo.h"

/* The library tells a connection's progress by the counters of TCP: gives it a
 * socket that has them. */
void use_tcp(struct fixture *f);

/* A turn that dies after so many instructions. Returns how many it had: fewer,
 * if it ended before. Skips the test where nothing can be traced. */
unsigned die_after(struct fixture *f, unsigned most);

#endif
