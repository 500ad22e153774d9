/* SPDX-License-Identifier: MIT */
/*
 * A TCP connection, one end of which is deposited, and its client.
 */
#ifndef TESTS_EMBED_STREAM_H
#define TESTS_EMBED_STREAM_H

#include "embed/sides.h"

struct stream {
	struct pair p;
	struct handoff_entry *entry;
	int fd, client;
};

void connect_tcp(int *accepted, int *connected);

/* Deposits s->fd with the owner of a new pair. */
void deposit_stream(struct stream *s);

/* Both, of the accepted end. */
void open_stream(struct stream *s);
void close_stream(struct stream *s);

/* From the client, and it has come. */
void put(const struct stream *s, const char *text);

void assert_progress(const struct stream *s, uint64_t read, uint64_t written);

#endif
