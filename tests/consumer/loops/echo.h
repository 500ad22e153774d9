/* SPDX-License-Identifier: MIT */
/*
 * A connection of an echo server, without a loop: bytes that are read but not
 * answered, answers that are not sent, and how a handoff carries both to the
 * next process. The three servers share this, so they can take over from each
 * other.
 */
#ifndef CONSUMER_ECHO_H
#define CONSUMER_ECHO_H

#include <handoff.h>

#include <sys/queue.h>

#define ECHO_IN  8192
#define ECHO_OUT 2048

struct echo {
	struct handoff_peer *peer;
	struct handoff_entry *entry, *book;
	uint64_t read, written; /* bytes of the connection, ever */
	size_t unanswered, unsent;
	unsigned char in[ECHO_IN], out[ECHO_OUT];
	bool eof;
	int fd;     /* until the loop has it */
	void *loop; /* whatever the loop has for it */
	TAILQ_ENTRY(echo) node;
};

/* How it looks in the state of its entry. Whoever changes this changes
 * ECHO_VERSION. */
#define ECHO_VERSION 2
struct echo_state {
	uint64_t read, written;
	uint32_t unanswered, unsent;
	unsigned char bytes[ECHO_OUT + ECHO_IN]; /* unsent, then unanswered */
};

/* What is known of the connection beside its state, for others to read: data of
 * its own, which moves with it and comes true with the state. */
struct echo_book {
	uint64_t read, written;
};

/* The first `len` bytes behind the input have come. */
void echo_received(struct echo *c, size_t len);

/* Turns input into output as far as there is room for that: true if any. */
bool echo_answer(struct echo *c);

/* The first `len` bytes of the output are with the kernel. */
void echo_sent(struct echo *c, size_t len);

/* Makes the connection's state and its book true for whoever goes on with it,
 * in one step. */
void echo_note(struct echo *c);

/*
 * Goes on where the state of `c->entry` was left, by this process or by one
 * that died. 0 if that was all, 1 if what the kernel knows better has been
 * mended, -EBADMSG if state and book are not of one step, -ENODATA if bytes
 * were read that no state has: then they are lost, and the connection must not
 * go on as if they were not.
 */
int echo_resume(struct echo *c);

#endif
