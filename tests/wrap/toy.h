/* SPDX-License-Identifier: MIT */
/*
 * A toy service that wraps another one: each byte is xored, and travels in
 * frames with a head of 8 bytes: "toy", a letter, and the length of what
 * follows (u32, little endian). 'd' is data, 'e' the end of the sender's
 * stream, 'b' the server's last word. What the inner service has not consumed
 * is held in the state. Knows the library by its public headers only.
 */
#ifndef TESTS_WRAP_TOY_H
#define TESTS_WRAP_TOY_H

#include <handoff/wrap.h>

#define TOY_HEAD 8u
#define TOY_MASK 0x5au

/* The service and its parts; `service.arg` is this. */
struct toy {
	struct handoff_service service;
	const struct handoff_service *inner;
	uint32_t hold;          /* bytes that it holds at most */
	bool inner_last;        /* the inner state is behind what it holds */
	unsigned char *scratch; /* not NULL: the inner service writes there,
				 * `hold` bytes at most */
};

/* Fills in toy->service; `hold` bytes of input are held at most. */
void toy_init(
	struct toy *toy, const struct handoff_service *inner, uint32_t hold);

/* For the other end: the head of a frame of `len` bytes; and what a head says,
 * -1 if it is none. The bytes themselves are xored by toy_mask. */
void toy_head(unsigned char head[TOY_HEAD], char type, uint32_t len);
int toy_parse(const unsigned char head[TOY_HEAD], uint32_t *len);
void toy_mask(void *data, size_t len);

#endif
