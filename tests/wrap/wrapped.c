/* SPDX-License-Identifier: MIT */
/*
 * The client's side takes whole frames only, and waits for nothing.
 */
#include "wrap/wrapped.h"

#include <string.h>
#include <sys/socket.h>

#define MOST 16384

void
wrapped_init(struct wrapped *w, handoff_handle_fn *handle)
{
	memset(w, 0, sizeof(*w));
	w->inner = (struct handoff_service){.size = sizeof(w->inner),
		.name = "inner",
		.state_size = 32,
		.handle = handle,
		.arg = w};
	toy_init(&w->toy, &w->inner, SIZE);
}

void
wrapped_open(struct wrapped *w)
{
	bool last = w->toy.inner_last;
	unsigned char *scratch = w->toy.scratch;

	toy_init(&w->toy, &w->inner, w->toy.hold);
	w->toy.inner_last = last;
	w->toy.scratch = scratch;
	open_service(&w->f, &w->toy.service);
	w->f.rec->kind = HANDOFF__CONNECTION;
}

void
wrapped_close(struct wrapped *w)
{
	close_conn(&w->f);
}

void
wrapped_sends(const struct wrapped *w, char type, const void *data, size_t len)
{
	unsigned char frame[MOST];

	assert_true(len <= sizeof(frame) - TOY_HEAD);
	toy_head(frame, type, (uint32_t)len);
	memcpy(frame + TOY_HEAD, data, len);
	toy_mask(frame + TOY_HEAD, len);
	assert_int_equal(send(w->f.client, frame, TOY_HEAD + len, MSG_DONTWAIT),
		TOY_HEAD + len);
}

void
wrapped_says(const struct wrapped *w, char type, const char *text)
{
	wrapped_sends(w, type, text, strlen(text));
}

void
wrapped_hears(const struct wrapped *w, const char *text, const char *types)
{
	unsigned char data[MOST];
	char got[MOST], seen[64] = "";
	size_t at = 0, len = 0, n = 0;
	ssize_t all = recv(w->f.client, data, sizeof(data), MSG_DONTWAIT);

	while (all > 0 && at < (size_t)all) {
		uint32_t size = 0;
		int type = toy_parse(data + at, &size);

		assert_true(at + TOY_HEAD + size <= (size_t)all);
		toy_mask(data + at + TOY_HEAD, size);
		memcpy(got + len, data + at + TOY_HEAD, size);
		assert_true(n < sizeof(seen) - 1);
		seen[n++] = (char)type;
		len += size;
		at += TOY_HEAD + size;
	}
	got[len] = '\0';
	assert_string_equal(got, text);
	assert_string_equal(seen, types);
}
