/* SPDX-License-Identifier: MIT */
/*
 * The client's end of a session: its number and secret, its positions, the
 * frame in progress in each direction, and what became of the session before.
 * Does no I/O and knows no connection: bytes come and go in buffers. What waits
 * to be sent and to be acknowledged is in the outbox.
 */
#ifndef HANDOFF_CLIENT_TALK_H
#define HANDOFF_CLIENT_TALK_H

#include "client/fate.h"
#include "client/outbox.h"
#include "session/flow.h"

/* The preface and the longest request. */
#define HANDOFF__TALK_ASK_MAX (HANDOFF__PREFACE_LEN + HANDOFF__FRAME_MAX)

struct handoff__talk {
	bool on;    /* the client has sessions at all */
	bool known; /* there is one, which can be resumed */
	bool first; /* none has begun so far */
	uint64_t number;
	unsigned char token[HANDOFF__FRAME_TOKEN];
	uint64_t acked;    /* bytes of the own stream that are acknowledged */
	uint64_t taken;    /* that the server had at the last resume */
	uint64_t received; /* bytes of the server's */
	struct handoff__flow flow;
	struct handoff__flow_limits limits;
	struct handoff__fate fate; /* of the session before */

	/* Of the connection: what is still to be written of the frame that was
	 * begun, and what has come of the next one. */
	unsigned char head[HANDOFF__FRAME_MAX];
	size_t head_at, head_len;
	size_t body; /* bytes of the outbox behind the head */
	unsigned char in[HANDOFF__FRAME_MAX];
	size_t in_len;
};

enum handoff__talk_news {
	HANDOFF__TALK_ON,
	HANDOFF__TALK_ENDED, /* the server has ended its stream */
	HANDOFF__TALK_ABORTED,
	HANDOFF__TALK_VIOLATED, /* by the server */
};

/* Turns sessions on; the outbox is the one that messages will wait in. */
void handoff__talk_init(
	struct handoff__talk *talk, struct handoff__outbox *box);
/* Clears the secret. */
void handoff__talk_fini(struct handoff__talk *talk);

/* Writes what is to be sent first: the preface, unless the connection has had
 * it, and RESUME, or NEW if there is no session to resume. */
size_t handoff__talk_ask(const struct handoff__talk *talk, bool preface,
	unsigned char out[HANDOFF__TALK_ASK_MAX]);

/* WELCOME has answered it: what follows is on the new connection. -EPROTO if
 * it is not a right answer, and nothing has changed. */
int handoff__talk_welcome(struct handoff__talk *talk,
	struct handoff__outbox *box, const struct handoff__frame *welcome);

/*
 * Takes the bytes that came. Moves the stream's to the front of `buf` and sets
 * `*data` to their number. What goes before a violation or an abort has come;
 * `*why` is a sentence then.
 */
enum handoff__talk_news handoff__talk_input(struct handoff__talk *talk,
	struct handoff__outbox *box, unsigned char *buf, size_t len,
	size_t *data, const char **why);

/* Fills in up to three pieces to be written next; 0 if there is nothing. `end`:
 * END follows the last message. */
int handoff__talk_output(struct handoff__talk *talk,
	const struct handoff__outbox *box, bool end, struct iovec iov[3]);
/* `n` bytes of these were passed to the kernel. */
void handoff__talk_written(
	struct handoff__talk *talk, struct handoff__outbox *box, size_t n);

/* No frame is half written. */
bool handoff__talk_idle(const struct handoff__talk *talk);
/* END was framed. */
bool handoff__talk_has_ended(const struct handoff__talk *talk);
/* Both sides have ended, each of them knows, and all is written. */
bool handoff__talk_is_over(const struct handoff__talk *talk);

/* Writes ABORT, or END, in place of everything else; 0 if that cannot be, for
 * example because a frame is half written. */
size_t handoff__talk_give_up(struct handoff__talk *talk,
	enum handoff__abort reason, const char *text,
	unsigned char out[HANDOFF__FRAME_MAX]);
size_t handoff__talk_farewell(
	struct handoff__talk *talk, unsigned char out[HANDOFF__FRAME_MAX]);

/* The session is over: its fate is set, its secret cleared, and the outbox has
 * what goes to the next one. `told`: the server has said so, perhaps because of
 * the message that it was getting, which then is in doubt and not repeated. */
void handoff__talk_close(
	struct handoff__talk *talk, struct handoff__outbox *box, bool told);

#endif
