/* SPDX-License-Identifier: MIT */
/*
 * A client of sessions, for the tests of the server: speaks the protocol by the
 * codec and the state machine of the library, and waits while two servers have
 * turns.
 */
#ifndef TESTS_SERVER_SPEAKER_H
#define TESTS_SERVER_SPEAKER_H

#include "server/duo.h"

#include "session/flow.h"

#define SPEAKER_KEEP 4096u

struct speaker {
	int fd; /* -1: none */
	uint64_t number;
	unsigned char token[HANDOFF__FRAME_TOKEN];
	struct handoff__flow flow;
	unsigned char kept[SPEAKER_KEEP]; /* of its own stream */
	size_t nkept;
	unsigned char raw[2 * SPEAKER_KEEP]; /* received */
	size_t nraw;
	char text[SPEAKER_KEEP]; /* of the server's stream */
	size_t ntext;
};

/* Makes the services of a duo ones with sessions; before it is opened. */
void speaker_sessions(struct duo *duo, uint32_t timeout_ms, uint32_t most);

/* A new connection with a new session. */
void speaker_begin(struct speaker *s, struct duo *duo, const char *address);

/* Sends a text, and expects one. */
void speaker_say(struct speaker *s, const char *text);
void speaker_hear(struct speaker *s, struct duo *duo, const char *text);
/* "hello", and "NUMBER hello" as the answer. */
void speaker_line(struct speaker *s, struct duo *duo, unsigned number);

/* Closes its connection without a word; with a reset. */
void speaker_cut(struct speaker *s);
void speaker_reset(struct speaker *s);

/* Connects, and asks for its session; returns the new descriptor. The present
 * connection, if there is one, stays. */
int speaker_ask(const struct speaker *s, const char *address);
/* Asks for it on a connection that has sent nothing yet. */
void speaker_wish(const struct speaker *s, int fd);
/* Waits for the answer there: 0, and that is its connection from now on, or the
 * reason, with the connection closed. */
enum handoff__refusal speaker_answer(
	struct speaker *s, struct duo *duo, int fd);
/* Both, and expects success. */
void speaker_resume(struct speaker *s, struct duo *duo, const char *address);

#endif
