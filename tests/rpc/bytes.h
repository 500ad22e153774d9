/* SPDX-License-Identifier: MIT */
/* Messages of the tests, put together number by number. */
#ifndef TESTS_RPC_BYTES_H
#define TESTS_RPC_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	uint8_t data[8192];
	size_t len;
};

static inline void
put(struct bytes *b, uint32_t v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		b->data[b->len++] = (uint8_t)(v >> shift);
}

static inline void
put_opaque(struct bytes *b, const char *data, uint32_t len)
{
	put(b, len);
	memcpy(b->data + b->len, data, len);
	memset(b->data + b->len + len, 0, 3);
	b->len += (len + 3) & ~3u;
}

/* A call of this program up to its credentials. */
static inline struct bytes
begin_call(uint32_t xid, uint32_t prog, uint32_t vers, uint32_t proc)
{
	struct bytes b = {.len = 0};

	put(&b, xid);
	put(&b, 0); /* CALL */
	put(&b, 2); /* of RPC */
	put(&b, prog);
	put(&b, vers);
	put(&b, proc);
	return b;
}

/* The same with no credentials; arguments follow. */
static inline struct bytes
plain_call(uint32_t xid, uint32_t prog, uint32_t vers, uint32_t proc)
{
	struct bytes b = begin_call(xid, prog, vers, proc);

	for (int i = 0; i < 4; i++)
		put(&b, 0);
	return b;
}

/* The credentials of AUTH_SYS with so many groups, and no verifier. */
static inline void
put_sys(struct bytes *b, const char *machine, uint32_t groups)
{
	struct bytes body = {.len = 0};

	put(&body, 1);
	put_opaque(&body, machine, (uint32_t)strlen(machine));
	put(&body, 1000);
	put(&body, 100);
	put(&body, groups);
	for (uint32_t i = 0; i < groups; i++)
		put(&body, i);
	put(b, 1); /* AUTH_SYS */
	put_opaque(b, (char *)body.data, (uint32_t)body.len);
	put(b, 0);
	put(b, 0);
}

#endif
