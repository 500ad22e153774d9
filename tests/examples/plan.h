/* SPDX-License-Identifier: MIT */
/*
 * A timetable in a file of its own, and what is done with it. `why` has the
 * reason of the last call that failed.
 */
#ifndef TESTS_EXAMPLES_PLAN_H
#define TESTS_EXAMPLES_PLAN_H

#include "support/support.h"

#include "datafile.h"

#define PLAIN "# mine\n\nanna  monday 09:30 art r1 # soon\n"

extern char why[WHY_SIZE];
extern char path[128];

void plan_put(const char *name, const char *text);

/* All of it (static memory). */
const char *plan_get(void);

/* The path with that suffix (static memory). */
const char *plan_beside(const char *suffix);

/* A directory with nothing but the file in it. */
void plan_new(const char *text);
struct datafile plan_open(void);
void plan_no_temp(void);
int plan_add(struct datafile *file, const char *line);

/* How many courses the student has on monday; negative: no timetable. */
int plan_mondays(struct datafile *file, const char *student);

#endif
