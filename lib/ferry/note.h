/* SPDX-License-Identifier: MIT */
/* One message between a ferry and its helper, with its descriptors; see
 * unfreeze/protocol.h. */
#ifndef HANDOFF_FERRY_NOTE_H
#define HANDOFF_FERRY_NOTE_H

#include "base/wire.h"
#include "ferry/flow.h"
#include "ferry/unfreeze/protocol.h"

#include <handoff/fdpass.h>

struct handoff__note {
	unsigned char data[HANDOFF_FDPASS_PAYLOAD_MAX];
	struct handoff__wire w;
	int fds[HANDOFF_FDPASS_MAX]; /* borrowed if it is sent, own if it came
				      */
	size_t nfds;
};

/* Begins a message; what follows is put into `w`, and `fds`. */
void handoff__note_begin(
	struct handoff__note *note, enum handoff__gate_message type);

void handoff__note_put_bytes(
	struct handoff__note *note, const void *data, size_t len);
/* Cut to the width of a sentence. */
void handoff__note_put_text(struct handoff__note *note, const char *text);
/* With its bits, and its descriptor unless that is -1. */
void handoff__note_put_flow(struct handoff__note *note,
	const struct handoff__flow *flow, int fd, bool released);

void handoff__note_get_bytes(
	struct handoff__note *note, void *data, size_t len);
/* The bytes that a family does not use become zero: flows can be compared. */
void handoff__note_get_flow(
	struct handoff__note *note, struct handoff__flow *flow, uint8_t *bits);

/* 1 if it was sent, 0 if there is no room now, or a negative errno. */
int handoff__note_send(const struct handoff__note *note, int sock);

/* 1 if one came, 0 if there is none now, or a negative errno: -ECONNRESET at
 * the end of the connection. */
int handoff__note_receive(struct handoff__note *note, int sock);

/* Closes the descriptors that came and were not taken: the one that takes them
 * sets `nfds` to 0. */
void handoff__note_close(struct handoff__note *note);

/* A sentence about why the connection ends, for the other side. */
int handoff__note_refuse(int sock, int err, const char *text);

#endif
