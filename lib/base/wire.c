/* SPDX-License-Identifier: MIT */
/*
 * Little-endian fields in a bounded buffer. Pure: no I/O, no allocation.
 */
#include "base/wire.h"

#include <string.h>

static unsigned char *
take_bytes(struct handoff__wire *w, size_t len)
{
	if (w->bad || w->size - w->pos < len) {
		w->bad = true;
		return NULL;
	}
	w->pos += len;
	return w->data + w->pos - len;
}

static void
put_number(struct handoff__wire *w, uint64_t v, size_t len)
{
	unsigned char *p = take_bytes(w, len);

	for (size_t i = 0; p && i < len; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t
get_number(struct handoff__wire *w, size_t len)
{
	const unsigned char *p = take_bytes(w, len);
	uint64_t v = 0;

	for (size_t i = 0; p && i < len; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

void
handoff__put_u16(struct handoff__wire *w, uint16_t v)
{
	put_number(w, v, 2);
}

void
handoff__put_u32(struct handoff__wire *w, uint32_t v)
{
	put_number(w, v, 4);
}

void
handoff__put_u64(struct handoff__wire *w, uint64_t v)
{
	put_number(w, v, 8);
}

void
handoff__put_text(struct handoff__wire *w, const char *text, size_t width)
{
	size_t len = strnlen(text, width);
	unsigned char *p = take_bytes(w, width);

	if (!p)
		return;
	if (len == width) {
		w->bad = true;
		return;
	}
	memset(p, 0, width);
	memcpy(p, text, len);
}

void
handoff__put_bytes(struct handoff__wire *w, const void *bytes, size_t len)
{
	unsigned char *p = take_bytes(w, len);

	if (p && len > 0)
		memcpy(p, bytes, len);
}

uint16_t
handoff__get_u16(struct handoff__wire *w)
{
	return (uint16_t)get_number(w, 2);
}

uint32_t
handoff__get_u32(struct handoff__wire *w)
{
	return (uint32_t)get_number(w, 4);
}

uint64_t
handoff__get_u64(struct handoff__wire *w)
{
	return get_number(w, 8);
}

void
handoff__get_text(struct handoff__wire *w, char *text, size_t width)
{
	const unsigned char *p = take_bytes(w, width);

	memset(text, 0, width);
	if (!p)
		return;
	if (!memchr(p, 0, width))
		w->bad = true;
	else
		memcpy(text, p, strnlen((const char *)p, width));
}

void
handoff__get_bytes(struct handoff__wire *w, void *bytes, size_t len)
{
	const unsigned char *p = take_bytes(w, len);

	if (p && len > 0)
		memcpy(bytes, p, len);
}
