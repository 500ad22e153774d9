/* SPDX-License-Identifier: MIT */
/*
 * Lets a socket stand still, and go on. A socket filter drops every packet that
 * comes to it, so that no acknowledgement lets the kernel send what still waits
 * in its queue, and neither a RST nor a FIN has an effect. The filter belongs
 * to the open file: all processes that have a descriptor of it see the same.
 *
 * Without a privilege the kernel still sends again what it has sent before. And
 * within a retransmission timeout (200 ms, or longer on a slow path) of the
 * last packet it may send one segment for the first time: as a probe for a loss
 * at the end of what it has sent, or into a window smaller than a segment. In
 * repair mode, which takes CAP_NET_ADMIN, the former is not sent either, and
 * calls that read or write fail with EPERM.
 */
#ifndef HANDOFF_BASE_STILL_H
#define HANDOFF_BASE_STILL_H

#include <stdbool.h>

/* What was done to a socket. */
enum {
	HANDOFF__STILL_DEAF = 1,   /* nothing is received */
	HANDOFF__STILL_REPAIR = 2, /* and nothing is sent but what was before */
};

/* Freezes a listener, or a connection of any kind; what no network reaches, a
 * Unix socket, needs none of it. Returns the bits of what was done, 0 for such
 * a socket, or a negative errno: then it is as before. Doing it again is
 * harmless. A filter that the program has attached itself is replaced for good.
 */
int handoff__still_freeze(int fd);

/* Lets it go on where it stands: what came meanwhile is sent again by the other
 * end, and the kernel sends what it could not. Harmless if it was not frozen.
 * 0, or a negative errno. */
int handoff__still_thaw(int fd);

/* Whether a TCP socket is in repair mode, whatever has put it there. */
bool handoff__still_in_repair(int fd);

/* Resets the connection, frozen or not: what is not sent is dropped, and every
 * descriptor of it, also of another process, is that of a socket without a
 * connection from now on. Of a listener, it listens no more. 0, also if there
 * is no connection (any more), or a negative errno. */
int handoff__still_reset(int fd);

#endif
