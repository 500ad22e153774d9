/* SPDX-License-Identifier: MIT */
/*
 * The frames of the session protocol, as both ends write and read them:
 * handoff_session(7) has them byte by byte. Without memory of its own and
 * without I/O; what a frame means for a session is in flow.h.
 *
 * Integers are big-endian. A client begins a connection with 8 bytes:
 *
 *     F5 48 53 45 53 53 00 01     the preface; the last two: the version
 *
 * and then both sides send frames. Each begins with a header of 8 bytes:
 *
 *     u8 type, u24 length of the payload, u32 ack
 *
 * `ack`: the lowest 32 bits of the position up to which the sender has
 * acknowledged the other side's stream (flow.h). 0 in NEW and REFUSED, where
 * there is no session.
 *
 *     type        from    payload
 *     DATA    1   both    1 byte or more of the sender's stream
 *     ACK     2   both    none: for its `ack` alone
 *     END     3   both    none: the sender's stream ends here
 *     ABORT   4   both    u16 reason, text: the session is over at once, and
 *                         this connection with it
 *     SYNC    5   both    none: acknowledge at once what has come
 *     NEW     10  client  u32 to_server, u32 to_client
 *     RESUME  11  client  u64 number, 16 bytes token, u64 received, u64 sent
 *     WELCOME 12  server  u64 number, 16 bytes token, u64 received,
 *                         u32 to_server, u32 to_client, u32 timeout in
 *                         milliseconds, u8 resumed
 *     REFUSED 13  server  u16 reason, text
 *
 * (types of the handshake in hexadecimal). Lengths are exact: a longer or
 * shorter payload, an unknown type or a value out of its range is a violation,
 * and never the beginning of something newer; that is what the version is for.
 */
#ifndef HANDOFF_SESSION_FRAME_H
#define HANDOFF_SESSION_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HANDOFF__SESSION_VERSION 1

#define HANDOFF__PREFACE_LEN       8
#define HANDOFF__FRAME_HEADER      8
#define HANDOFF__FRAME_TOKEN       16
#define HANDOFF__FRAME_TEXT        200      /* bytes of a text, at most */
#define HANDOFF__FRAME_DATA_MAX    0xffffff /* bytes of one DATA */
#define HANDOFF__FRAME_WELCOME_LEN (HANDOFF__FRAME_HEADER + 45)
/* Every frame but DATA fits, and is decoded as a whole. */
#define HANDOFF__FRAME_MAX (HANDOFF__FRAME_HEADER + 2 + HANDOFF__FRAME_TEXT)

/* What the windows of NEW and WELCOME are between. */
#define HANDOFF__WINDOW_MIN 256u
#define HANDOFF__WINDOW_MAX 0x40000000u

enum handoff__frame_type {
	HANDOFF__FRAME_DATA = 1,
	HANDOFF__FRAME_ACK = 2,
	HANDOFF__FRAME_END = 3,
	HANDOFF__FRAME_ABORT = 4,
	HANDOFF__FRAME_SYNC = 5,
	HANDOFF__FRAME_NEW = 0x10,
	HANDOFF__FRAME_RESUME = 0x11,
	HANDOFF__FRAME_WELCOME = 0x12,
	HANDOFF__FRAME_REFUSED = 0x13,
};

/* Reasons of REFUSED. After all but VERSION the client may send NEW or RESUME
 * on the same connection, without a preface. */
enum handoff__refusal {
	/* No such session, it has ended, or the token is wrong: the same
	 * answer, with the same text. */
	HANDOFF__REFUSED_UNKNOWN = 1,
	/* The session cannot move now. It and its connection stay as they are:
	 * try again later. */
	HANDOFF__REFUSED_BUSY = 2,
	/* The server has no room for another session. */
	HANDOFF__REFUSED_FULL = 3,
	/* Too many wrong RESUMEs from this address: try again later. */
	HANDOFF__REFUSED_LIMIT = 4,
	/* The token is right and the positions cannot be: a byte would be lost
	 * or be there twice. The session stays until it times out. */
	HANDOFF__REFUSED_POSITION = 5,
	/* The version of the preface; REFUSED has this format in each one. */
	HANDOFF__REFUSED_VERSION = 6,
};

/* Reasons of ABORT. */
enum handoff__abort {
	HANDOFF__ABORT_APPLICATION = 1, /* it has given the session up */
	HANDOFF__ABORT_PROTOCOL = 2,    /* the other side has violated it */
};

/* A frame but the payload of DATA. What its type does not have is 0, and the
 * text empty. */
struct handoff__frame {
	enum handoff__frame_type type;
	uint32_t len; /* of the payload; to be set for DATA only */
	uint32_t ack;
	/* RESUME, WELCOME */
	uint64_t number;
	unsigned char token[HANDOFF__FRAME_TOKEN];
	uint64_t received;
	uint64_t sent; /* RESUME */
	/* NEW: the windows that the client can do with, of its own stream and
	 * of the server's. WELCOME: the windows of this session, not above. */
	uint32_t to_server, to_client;
	uint32_t timeout_ms; /* WELCOME */
	bool resumed;        /* WELCOME */
	uint16_t reason;     /* REFUSED, ABORT: known or not */
	/* REFUSED, ABORT: for people. As decoded: printable ASCII, with a '?'
	 * for each other byte. As encoded: cut after FRAME_TEXT bytes. */
	char text[HANDOFF__FRAME_TEXT + 1];
};

enum handoff__preface {
	HANDOFF__PREFACE_PLAIN,   /* not a client of sessions */
	HANDOFF__PREFACE_PARTIAL, /* as far as it goes it is one */
	HANDOFF__PREFACE_SESSION,
	/* A client of sessions of another version: answer REFUSED VERSION. */
	HANDOFF__PREFACE_VERSION,
};

extern const unsigned char handoff__preface[HANDOFF__PREFACE_LEN];

/* What the first `len` bytes of a connection are. Plain or not is known at the
 * first byte that differs, at the latest at the sixth one. */
enum handoff__preface handoff__preface_check(const void *data, size_t len);

/*
 * Decodes the frame at the start of `data`: of DATA the header only, of all
 * others the whole frame. Returns how many bytes that was, at most
 * HANDOFF__FRAME_MAX; 0 if there are too few (more than the caller has are
 * needed; never when it has HANDOFF__FRAME_MAX); -EPROTO for a violation, as
 * soon as the bytes show it, with a sentence in `*why` (may be NULL). `*frame`
 * is set only if a frame was decoded.
 */
int handoff__frame_decode(struct handoff__frame *frame, const void *data,
	size_t len, const char **why);

/* Writes the frame, of DATA the header with `len`, and returns its length; 0
 * if `size` is too small or the frame one that _decode refuses. */
size_t handoff__frame_encode(
	const struct handoff__frame *frame, void *out, size_t size);

/* "DATA"; "a frame" if unknown. */
const char *handoff__frame_name(enum handoff__frame_type type);

/* A sentence for people without a full stop; never NULL. */
const char *handoff__refusal_text(unsigned reason);

#endif
