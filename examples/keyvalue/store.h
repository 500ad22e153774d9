/* SPDX-License-Identifier: MIT */
/*
 * A table in memory and its log on disk, which grows by a line for each change.
 * Knows nothing of handovers: how far the log is true it is told.
 */
#ifndef EXAMPLES_STORE_H
#define EXAMPLES_STORE_H

#include <stdbool.h>
#include <stdint.h>

#define STORE_LINE 256 /* bytes of a command, an answer, a line of the log */

/* Opens or creates the log. */
bool store_open(const char *path);

/* Brings the table nearer to the log of an owner that writes to it. Nothing
 * follows a line that is not true, so the last one is left alone. True: there
 * is no more. */
bool store_follow(void);

/* The log is this process's, and true up to `end`: brings the table up to date,
 * and cuts off what is behind it. False: the log is damaged. */
bool store_own(uint64_t end);

/* The end of the last line of a log that nobody has. */
uint64_t store_end(void);

/* The answer to a command, and the line of the log that it takes: "" if it
 * changes nothing. Both have room for STORE_LINE bytes. */
void store_execute(const char *command, char *answer, char *change);

/* Writes the line behind the end of the log, which it returns: the line is not
 * true yet, and not in the table. 0 if that is not possible. */
uint64_t store_write(const char *change);

/* It has become true. */
void store_apply(const char *change);

#endif
