/* SPDX-License-Identifier: MIT */
/*
 * Buffers and connections of the simulator: bytes arrive in parts, in order,
 * and those under way are lost when a connection is cut.
 */
#include "session/simulation.h"

#include <string.h>

unsigned char
sim_byte(enum stream stream, uint64_t position)
{
	uint64_t v = (position + 1) * UINT64_C(0x9e3779b97f4a7c15);

	return (unsigned char)((v >> 56) + (stream == UP ? 0 : 77));
}

void
sim_fill(unsigned char *to, enum stream stream, uint64_t position, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		to[i] = sim_byte(stream, position + i);
}

bool
sim_same(const unsigned char *bytes, enum stream stream, uint64_t position,
	uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		if (bytes[i] != sim_byte(stream, position + i))
			return false;
	}
	return true;
}

unsigned
sim_room(const struct buffer *b, unsigned size)
{
	return b->len < size ? size - b->len : 0;
}

void
sim_put(struct buffer *b, const void *bytes, unsigned len)
{
	memcpy(b->data + b->len, bytes, len);
	b->len += len;
}

void
sim_drop(struct buffer *b, unsigned len)
{
	b->len -= len;
	memmove(b->data, b->data + len, b->len);
}

void
sim_put_frame(struct buffer *b, const struct handoff__frame *frame)
{
	b->len += (unsigned)handoff__frame_encode(
		frame, b->data + b->len, sizeof(b->data) - b->len);
}

void
sim_put_data(struct buffer *b, struct handoff__flow *flow, enum stream stream,
	uint32_t len)
{
	uint64_t position = flow->tx_next;

	handoff__flow_data(flow, len, b->data + b->len);
	b->len += HANDOFF__FRAME_HEADER;
	sim_fill(b->data + b->len, stream, position, len);
	b->len += len;
}

void
sim_write(struct world *w, struct pipe *to, struct buffer *from)
{
	unsigned n = PIPE - to->len;

	if (to->closed) {
		from->len = 0;
		return;
	}
	if (n > from->len)
		n = from->len;
	if (n == 0)
		return;
	if (sim_chance(w, 2))
		n = 1 + sim_draw(w, n);
	memcpy(to->data + to->len, from->data, n);
	to->len += n;
	sim_drop(from, n);
}

void
sim_read(struct world *w, struct buffer *to, struct pipe *from, unsigned size)
{
	unsigned n = sim_room(to, size);

	if (n > from->len)
		n = from->len;
	if (n == 0)
		return;
	if (sim_chance(w, 2))
		n = 1 + sim_draw(w, n);
	sim_put(to, from->data, n);
	from->len -= n;
	memmove(from->data, from->data + n, from->len);
}

int
sim_link_open(struct world *w)
{
	for (int i = 0; i < LINKS; i++) {
		struct link *l = &w->links[i];

		if (l->stage != STAGE_FREE)
			continue;
		l->stage = STAGE_PREFACE;
		l->client_done = l->up.closed = l->down.closed = false;
		l->up.len = l->down.len = l->in.len = l->out.len = 0;
		return i;
	}
	return NONE;
}

static void
cut(struct world *w, struct pipe *p)
{
	if (!p->closed && p->len > 0)
		p->len = sim_draw(w, p->len + 1);
	p->closed = true;
}

void
sim_link_cut(struct world *w, int link)
{
	struct link *l = &w->links[link];

	if (l->stage == STAGE_FREE || l->up.closed)
		return;
	sim_trace(w, "connection %d is cut", link);
	sim_see(w, SAW_CUT);
	cut(w, &l->up);
	cut(w, &l->down);
}

void
sim_link_close(struct world *w, int link)
{
	struct link *l = &w->links[link];

	(void)w;
	l->client_done = true;
	l->up.closed = true;
	l->down.closed = true;
	l->down.len = 0;
}

void
sim_links_clear(struct world *w)
{
	for (int i = 0; i < LINKS; i++) {
		struct link *l = &w->links[i];

		if (l->client_done && l->stage == STAGE_DONE)
			l->stage = STAGE_FREE;
	}
}
