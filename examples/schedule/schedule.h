/* SPDX-License-Identifier: MIT */
/* A service that answers when and where a student's courses are; the
 * protocol is in schedule(7). */
#ifndef EXAMPLES_SCHEDULE_H
#define EXAMPLES_SCHEDULE_H

#include <handoff.h>

/* The service on the timetable in the file `path`. NULL: the file can't be
 * read or is damaged, and `why` has a line that says so. With `verbose`, prints
 * each request with its connection's number. */
const struct handoff_service *schedule_service(
	const char *path, bool verbose, char *why, size_t size);

#endif
