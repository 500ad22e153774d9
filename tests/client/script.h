/* SPDX-License-Identifier: MIT */
/*
 * A server of sessions for the tests of the client, which the test itself
 * plays, frame by frame. It may also do what a server must not.
 */
#ifndef TESTS_CLIENT_SCRIPT_H
#define TESTS_CLIENT_SCRIPT_H

#include "client/service.h"

#include "session/frame.h"

enum { SCRIPT_WINDOW = 4096, SCRIPT_NUMBER = 4711 };

/* Reads the next frame; the payload of DATA, up to 64 KiB, is in
 * script_payload, with a 0 behind it. */
extern char script_payload[65536 + 1];
struct handoff__frame script_read(
	struct handoff_client *client, int conn, enum handoff__frame_type type);

/* The first request on a connection: the preface and a frame. */
struct handoff__frame script_asked(
	struct handoff_client *client, int conn, enum handoff__frame_type type);

/* Reads DATA until all of `text` has come; nothing else may come. */
void script_read_data(
	struct handoff_client *client, int conn, const char *text);

void script_write(int conn, const struct handoff__frame *frame);
void script_data(int conn, uint32_t ack, const char *text);
/* A frame that has nothing but its type. */
void script_say(int conn, enum handoff__frame_type type, uint32_t ack);
void script_refuse(int conn, enum handoff__refusal reason);

/* WELCOME to a new session, whose number is at the end of its secret; and to
 * one that goes on. */
void script_welcome(int conn);
void script_resume(int conn, uint64_t received, uint32_t ack);

/* A client whose session has begun, and the server's end of its connection. */
struct handoff_client *script_begin(const struct handoff_client_opts *opts,
	const struct site *site, int *conn);

/* After LOST and RETRY: the next connection to that site, on which the client
 * asks to resume `received` bytes. */
int script_again(struct handoff_client *client, const struct site *site,
	uint64_t received);

#endif
