/* SPDX-License-Identifier: MIT */
/*
 * Messages between a ferry and its helper. Needs no memory, and knows nothing
 * of what they mean.
 */
#include "ferry/note.h"

#include "base/fdpass.h"
#include "base/text.h"

#include <string.h>

void
handoff__note_begin(struct handoff__note *note, enum handoff__gate_message type)
{
	note->w = (struct handoff__wire){
		.data = note->data,
		.size = sizeof(note->data),
	};
	note->nfds = 0;
	handoff__put_u32(&note->w, type);
}

void
handoff__note_put_bytes(
	struct handoff__note *note, const void *data, size_t len)
{
	if (len > note->w.size - note->w.pos) {
		note->w.bad = true;
		return;
	}
	memcpy(note->w.data + note->w.pos, data, len);
	note->w.pos += len;
}

void
handoff__note_get_bytes(struct handoff__note *note, void *data, size_t len)
{
	memset(data, 0, len);
	if (len > note->w.size - note->w.pos) {
		note->w.bad = true;
		return;
	}
	memcpy(data, note->w.data + note->w.pos, len);
	note->w.pos += len;
}

void
handoff__note_put_text(struct handoff__note *note, const char *text)
{
	char copy[HANDOFF__GATE_TEXT];

	handoff__copy(copy, sizeof(copy), text);
	handoff__put_text(&note->w, copy, sizeof(copy));
}

void
handoff__note_put_flow(struct handoff__note *note,
	const struct handoff__flow *flow, int fd, bool released)
{
	uint8_t bits = (uint8_t)((fd >= 0 ? HANDOFF__GATE_HAS_FD : 0) |
				 (released ? HANDOFF__GATE_RELEASED : 0));

	handoff__note_put_bytes(note, &flow->family, 1);
	handoff__note_put_bytes(note, flow->local, 16);
	handoff__note_put_bytes(note, flow->peer, 16);
	handoff__put_u16(&note->w, flow->local_port);
	handoff__put_u16(&note->w, flow->peer_port);
	handoff__note_put_bytes(note, &bits, 1);
	if (fd >= 0 && note->nfds < HANDOFF_FDPASS_MAX)
		note->fds[note->nfds++] = fd;
}

void
handoff__note_get_flow(
	struct handoff__note *note, struct handoff__flow *flow, uint8_t *bits)
{
	memset(flow, 0, sizeof(*flow));
	handoff__note_get_bytes(note, &flow->family, 1);
	handoff__note_get_bytes(note, flow->local, 16);
	handoff__note_get_bytes(note, flow->peer, 16);
	flow->local_port = handoff__get_u16(&note->w);
	flow->peer_port = handoff__get_u16(&note->w);
	handoff__note_get_bytes(note, bits, 1);
	if (flow->family == 4) {
		memset(flow->local + 4, 0, 12);
		memset(flow->peer + 4, 0, 12);
	}
}

int
handoff__note_send(const struct handoff__note *note, int sock)
{
	return handoff_fdpass_send(
		sock, note->fds, note->nfds, note->data, note->w.pos);
}

int
handoff__note_receive(struct handoff__note *note, int sock)
{
	size_t len = sizeof(note->data);
	int err;

	note->nfds = HANDOFF_FDPASS_MAX;
	err = handoff_fdpass_recv(
		sock, note->fds, &note->nfds, note->data, &len);
	if (err != 1)
		note->nfds = 0;
	note->w = (struct handoff__wire){
		.data = note->data,
		.size = err == 1 ? len : 0,
	};
	return err;
}

void
handoff__note_close(struct handoff__note *note)
{
	handoff__fdpass_close(note->fds, note->nfds);
	note->nfds = 0;
}

int
handoff__note_refuse(int sock, int err, const char *text)
{
	struct handoff__note note;

	handoff__note_begin(&note, HANDOFF__GATE_REFUSED);
	handoff__put_u32(&note.w, (uint32_t)-err);
	handoff__note_put_text(&note, text);
	return handoff__note_send(&note, sock);
}
