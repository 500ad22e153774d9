/* SPDX-License-Identifier: MIT */
/*
 * One end of a session: positions, acknowledgements, windows, resuming and the
 * end. A state machine without I/O, clock or memory; the same for both ends.
 * The bytes are the caller's, and so are token and number.
 *
 * A session has two streams. A position counts the bytes of a stream's DATA
 * since the session began; END counts as one byte behind the last. Of its own
 * stream (tx) and of the other side's (rx) an end knows:
 *
 *     tx_acked <= tx_next <= tx_sent        rx_read, rx_told <= rx_taken
 *        |           |          |              |        |          |
 *        |           |          framed ever    |        |          received
 *        |           framed on this connection |        the other side knows
 *        the other side has acknowledged       the application has consumed
 *
 *  - The caller keeps the bytes [tx_acked, tx_sent): handoff__flow_kept. They
 *    are at most the window of its stream: tx_sent - tx_acked <= tx_window
 *    (END needs no memory and does not count).
 *  - An end ALWAYS READS: what its application does not consume must not stop
 *    it, as acknowledgements are behind those bytes: both ends could wait for
 *    each other forever. So an end acknowledges only as far as everything that
 *    the other side may send after it fits into its memory:
 *
 *         rx_told + rx_window - rx_read <= rx_memory
 *
 *    With a memory that is twice the window an acknowledgement waits only for
 *    an application that is a window behind. An application that waits for L
 *    bytes at once needs rx_memory >= L + rx_window / 4.
 *  - Every frame carries the acknowledgement; an ACK is due when a quarter of
 *    the window could be acknowledged and was not told; at once after END or
 *    SYNC. So without SYNC a quarter of a window may stay taken for ever: an
 *    end that waits for more room than three quarters sends one.
 *  - A new connection: both sides tell what they have received; what is behind
 *    that is sent again, END as well.
 *  - The session is over at an end when both streams have ended, and both
 *    ends' END are acknowledged: handoff__flow_over.
 *
 * The structure is plain and of fixed size, so that it may lie in the state of
 * a record: copied by assignment, undone with the transaction. One that comes
 * from shared memory is to be checked by handoff__flow_valid before use.
 *
 * The server's side:                   The client's side:
 *   NEW:    _serve, _welcome             _ask; WELCOME: _begin
 *   RESUME: _check, _resume, _welcome    _wish; WELCOME: _resume
 *   then the bytes [tx_next, tx_sent) again by _data, and _end if _end_due.
 *   For what comes: _input; of DATA: _take, and _read when consumed.
 *   To send: _room, _data; _end; _ack if _ack_due; _sync if more room is
 *   needed than there is, and _sync_due.
 * Each header that one of these writes has to go out in this order, on this
 * connection, or the connection be given up.
 */
#ifndef HANDOFF_SESSION_FLOW_H
#define HANDOFF_SESSION_FLOW_H

#include "session/frame.h"

/* What an end can do. */
struct handoff__flow_limits {
	uint32_t keep;   /* bytes of its own stream that it can keep */
	uint32_t take;   /* window of the other side's stream, at most */
	uint32_t memory; /* bytes of it that it can hold: `take` at least */
};

#define HANDOFF__FLOW_RX_ENDED 0x1u /* END was received */
#define HANDOFF__FLOW_TX_ENDED 0x2u /* END was framed, perhaps before */
#define HANDOFF__FLOW_ABORTED  0x4u /* by either side */

struct handoff__flow {
	uint64_t tx_acked, tx_next, tx_sent;
	uint64_t rx_taken, rx_read, rx_told;
	uint64_t tx_synced; /* a SYNC was sent for all before it */
	uint64_t rx_synced; /* to be acknowledged at once: SYNC has come */
	uint32_t tx_window, rx_window, rx_memory;
	uint32_t rx_left; /* of the DATA that is being received */
	uint32_t flags;
	uint32_t unused; /* 0 */
};

/* Whether all that is said above holds: of a structure from shared memory. */
bool handoff__flow_valid(const struct handoff__flow *flow);

/* --- the handshake --- */

/* Client: fills in a NEW. */
void handoff__flow_ask(
	const struct handoff__flow_limits *limits, struct handoff__frame *out);

/* Server: begins a session as this NEW asks. */
void handoff__flow_serve(struct handoff__flow *flow,
	const struct handoff__flow_limits *limits,
	const struct handoff__frame *asked);

/* Client: begins the session of a WELCOME that answers a NEW. -EPROTO if it is
 * not such a one: `flow` is unchanged. */
int handoff__flow_begin(struct handoff__flow *flow,
	const struct handoff__flow_limits *limits,
	const struct handoff__frame *welcome);

/* Client: fills in a RESUME, but number and token. From then until the answer
 * it neither reads nor writes an older connection: after BUSY that one goes
 * on, after WELCOME it is closed. The flow stays as it is. */
void handoff__flow_wish(
	const struct handoff__flow *flow, struct handoff__frame *out);

/* Server: whether a RESUME with the right token may have this session: 0;
 * -ENOENT if it is over, -ERANGE for positions that cannot be. */
int handoff__flow_check(
	const struct handoff__flow *flow, const struct handoff__frame *resume);

/*
 * Goes on with a new connection. Server: after a RESUME, checked in the same
 * way. Client: after the WELCOME (resumed) that answers one; -EPROTO there
 * means that the server is wrong: the session is lost. `flow` is unchanged
 * then. Afterwards tx_acked may have moved, and tx_next is where the sending
 * begins again: the bytes handoff__flow_again, then END if due.
 */
int handoff__flow_resume(
	struct handoff__flow *flow, const struct handoff__frame *frame);

/* Server: fills in the WELCOME, but number, token and timeout; after _serve
 * or _resume. It is the first frame on the connection. */
void handoff__flow_welcome(
	struct handoff__flow *flow, bool resumed, struct handoff__frame *out);

/* --- what comes --- */

enum handoff__flow_event {
	HANDOFF__FLOW_NOTHING, /* an ACK or a SYNC */
	HANDOFF__FLOW_DATA,    /* `rx_left` bytes follow: take them */
	HANDOFF__FLOW_END,     /* the last byte of its stream is here */
	HANDOFF__FLOW_ABORT,   /* the session is over; reason in the frame */
};

/* A frame that was decoded, while rx_left is 0: an event, or -EPROTO for a
 * violation, with a sentence in `*why` (may be NULL), and `flow` unchanged;
 * answer it with ABORT. tx_acked may have moved with each event. */
int handoff__flow_input(struct handoff__flow *flow,
	const struct handoff__frame *frame, const char **why);

/* `len` bytes of the DATA have come, at most rx_left; they are the caller's
 * now, in its memory or already with its application. */
void handoff__flow_take(struct handoff__flow *flow, uint32_t len);

/* The application has consumed `len` bytes more, of those taken. */
void handoff__flow_read(struct handoff__flow *flow, uint64_t len);

/* Bytes taken that the application has not consumed: <= rx_memory. */
uint64_t handoff__flow_held(const struct handoff__flow *flow);

/* --- what goes --- */

/* Bytes of the own stream that may be framed now; after END none but those
 * that are sent again. */
uint64_t handoff__flow_room(const struct handoff__flow *flow);

/* Bytes that were framed on an earlier connection, and are to be framed again
 * before any others: those from tx_next on. */
uint64_t handoff__flow_again(const struct handoff__flow *flow);

/* Bytes from tx_acked on that the caller has to keep, as far as framed. */
uint64_t handoff__flow_kept(const struct handoff__flow *flow);

/* Writes the header of a DATA with the next `len` bytes: at least 1, at most
 * _room and HANDOFF__FRAME_DATA_MAX. */
void handoff__flow_data(struct handoff__flow *flow, uint32_t len,
	unsigned char header[HANDOFF__FRAME_HEADER]);

/* Whether an ACK is to be sent if nothing else is. */
bool handoff__flow_ack_due(const struct handoff__flow *flow);
void handoff__flow_ack(struct handoff__flow *flow,
	unsigned char header[HANDOFF__FRAME_HEADER]);

/* SYNC asks for the acknowledgement of all that was framed, as far as the other
 * side can give it; it is not due twice for the same bytes, and is after a
 * resume. */
bool handoff__flow_sync_due(const struct handoff__flow *flow);
void handoff__flow_sync(struct handoff__flow *flow,
	unsigned char header[HANDOFF__FRAME_HEADER]);

/* END, when all that the stream has was framed; once, and again after a resume
 * if due. */
bool handoff__flow_end_due(const struct handoff__flow *flow);
void handoff__flow_end(struct handoff__flow *flow,
	unsigned char header[HANDOFF__FRAME_HEADER]);

/* Gives the session up: fills in the ABORT, whose `ack` is all that was
 * received. Nothing goes afterwards, and what still comes is thrown away. */
void handoff__flow_abort(struct handoff__flow *flow, enum handoff__abort reason,
	const char *text, struct handoff__frame *out);

/* Both streams have ended and are acknowledged: when what was written has gone
 * out, the connection can be closed, and the session be forgotten. Also after
 * an abort. */
bool handoff__flow_over(const struct handoff__flow *flow);

#endif
