/* SPDX-License-Identifier: MIT */
/* On which of the two hosts the service's addresses are. */
#ifndef HANDOFF_FERRY_SITE_H
#define HANDOFF_FERRY_SITE_H

#include "ferry/ferry.h"

/* At the start: on the device this host is at home. -errno with a sentence in
 * `error`. */
int handoff__site_find(struct handoff__ferry *ferry);

/* The addresses came here from the other host: that is their home, unless they
 * have come home. Outlives this ferry, as long as the service directory. */
void handoff__site_came(struct handoff__ferry *ferry);
/* What an earlier ferry knew of that; the directory is open. */
void handoff__site_remember(struct handoff__ferry *ferry);

/* Once a second: an operator may have put them on the device, or removed them.
 * Does nothing while a move is under way. */
void handoff__site_watch(struct handoff__ferry *ferry);

/* After a HELLO, or a change here: says so if both hosts have them. */
void handoff__site_compare(struct handoff__ferry *ferry);

/* Why the service cannot move, and what is to be done; `text` is for the
 * operator of either host. False if nothing is wrong. */
bool handoff__site_objection(
	const struct handoff__ferry *ferry, char text[HANDOFF_TEXT_MAX]);

/* "ip addr add 10.0.0.7/24 dev eth0", with another verb "del". */
void handoff__site_command(const struct handoff__ferry *ferry, const char *verb,
	char *text, size_t size);

#endif
