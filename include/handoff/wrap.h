/* SPDX-License-Identifier: MIT */
/*
 * Wrapping: a service made of another one. The outer service's handlers get the
 * connection as it is, with its bytes; the inner service's handlers get the
 * same connection with other bytes: what the outer one has decoded of the
 * input, and an output that the outer one encodes. Both run in one transaction:
 * their states lie one after the other in the connection's state, and all of it
 * is committed at once or not at all.
 *
 * The inner service is not changed and does not know it. All handoff_conn_*
 * calls work for it, except for pairs, which a wrapped service cannot have:
 *
 *   input, consume, eof, room, write, state, state_len, state_resize, reason,
 *   posted, request   are of its own bytes and its own state
 *   close, abort      are reported to the outer service, which acts on them
 *   deadline, hold, post, shared, shared_read, label, set_tag, id, peer, local
 *                     are those of the connection
 *   progress          counts the connection's bytes, as the outer service sees
 *                     them
 *   connect, pass     -EOPNOTSUPP, 0
 *
 * An outer service may be wrapped again.
 *
 * How an outer service is made: its own struct handoff_service has `inner` set,
 * a state_size for both (up to HANDOFF_WRAP_STATE_MAX), and each of the hooks
 * that the inner one may need: `handle`, `posted` (also for an inner service
 * without one), and as far as the inner one has them `ended`, `farewell`,
 * `left`, `idle`, `print`, `convert`; shared_size, shared_version, post_size,
 * post_gaps and, unless it has secrets of its own, `secret` are those of the
 * inner one. `open` only if the inner one's `open`
 * can run before there is input. Its hooks call handoff_wrap_run.
 *
 * These functions may be called from the handlers of the outer service only.
 */
#ifndef HANDOFF_WRAP_H
#define HANDOFF_WRAP_H

#include <handoff/common.h>
#include <handoff/service.h>

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most bytes of state of a service that wraps another one: its own part,
 * the inner state, and 2 MiB for input and output that it keeps. */
#define HANDOFF_WRAP_STATE_MAX (131072u + (2u << 20))

/* Which hook of the inner service is called. */
enum handoff_wrap_hook {
	HANDOFF_WRAP_OPEN = 0,     /* `open`; without it nothing happens */
	HANDOFF_WRAP_HANDLE = 1,   /* `handle` */
	HANDOFF_WRAP_POSTED = 2,   /* `posted`, from the outer one's `posted`
				    * only: it gets that post. Without it the
				    * post's bytes are written; -EAGAIN: no room
				    * for them, -EMSGSIZE: there never is */
	HANDOFF_WRAP_ENDED = 3,    /* `ended`, from the outer one's `ended`; no
				    * input and no room, whatever is given */
	HANDOFF_WRAP_FAREWELL = 4, /* `farewell`, likewise; no input */
};

/* A call. `size` is sizeof(struct handoff_wrap_call). */
struct handoff_wrap_call {
	size_t size;
	const struct handoff_service *service; /* the inner one */
	enum handoff_wrap_hook hook;
	/* HANDLE: what handoff_conn_reason says: HANDOFF_CONN_INPUT, _END,
	 * _ROOM or _DEADLINE. The hooks have one of their own. */
	enum handoff_conn_reason reason;
	enum handoff_end_reason ended; /* ENDED: why */
	/* The input that the inner service has not consumed yet: `input_len`
	 * contiguous bytes anywhere in memory (in the outer input, in the outer
	 * state), which stay there until the outer handler returns. `position`
	 * is that of the first in the inner service's stream: how many bytes it
	 * has consumed before, since the beginning. */
	const void *input;
	size_t input_len;
	uint64_t position;
	bool eof; /* no input comes after that */
	/* The output: the inner service writes into the connection's own
	 * output, behind `reserve` bytes that are left free for a header, at
	 * most `room` bytes, and less if there is less room. With `output` it
	 * writes there instead, at most `room` bytes, and the connection's
	 * output is not touched. */
	size_t reserve;
	size_t room;
	void *output;
	/* Where the inner state is: `state_at` bytes from the start of the
	 * outer state, a multiple of 16; `state_len` bytes of it are in use
	 * (handoff_conn_state_len; for a new connection 0, or all of its
	 * state_size zeroed, as its `state_grows` says). Either it is the last
	 * thing in the outer state, whose length then changes with it, or all
	 * of its state_size bytes are reserved there, within the outer
	 * length. */
	size_t state_at;
	size_t state_len;
};

/* What the inner service has done. Set also if it has failed. */
struct handoff_wrap_result {
	size_t size;     /* sizeof(struct handoff_wrap_result), by the caller */
	size_t consumed; /* bytes of input */
	size_t written;  /* bytes of output; 0: nothing was reserved either */
	uint64_t at;     /* where the reserved bytes begin, for
			  * handoff_wrap_fill and _output; the inner service's
			  * begin `reserve` bytes later */
	size_t state_len; /* of its state, from now on */
	bool closed;      /* it has called handoff_conn_close or _abort: no
			   * handler of it is to run any more, but `ended` */
	bool aborted;     /* it was handoff_conn_abort */
};

/*
 * Runs a hook of the inner service and returns what it returned: 0, or
 * HANDOFF_LATER or a negative errno, which the outer handler has to return too:
 * the whole transaction is undone then, with what the outer service has done in
 * it. So an outer handler calls the inner `handle` once, as its last step but
 * those that follow from the result, and consumes nothing of the outer input
 * that the inner one may have to see again, unless it is held (see
 * handoff_wrap_held).
 *
 * What the call does not do: it consumes no outer input, it does not fill the
 * reserved bytes, and it does not close the outer connection. Posts, the shared
 * region, the deadline, label and tag need nothing.
 *
 * -EINVAL, with nothing called: a hook or reason that does not fit, a state
 * that is not within the outer one, no `service`, or one with pairs; -E2BIG: a
 * field is set that this library does not know.
 */
HANDOFF_API int handoff_wrap_run(struct handoff_conn *outer,
	const struct handoff_wrap_call *call,
	struct handoff_wrap_result *result);

/* Writes `len` bytes over output that this transaction has written or reserved,
 * from position `at` on. -EINVAL if that is not wholly within it. */
HANDOFF_API int handoff_wrap_fill(
	struct handoff_conn *outer, uint64_t at, const void *data, size_t len);

/* Where `len` bytes of this transaction's output from position `at` on are in
 * memory, to read them or to change them in place, until the handler returns:
 * stores one or two pieces and returns their number; 0 without bytes. -EINVAL
 * if they are not wholly within it. */
HANDOFF_API int handoff_wrap_output(struct handoff_conn *outer, uint64_t at,
	size_t len, struct iovec pieces[2]);

/*
 * Says that the outer service holds, in its state, input for the inner one that
 * the inner one has not consumed. Then the outer `handle` is called as it would
 * be for unconsumed input of its own: once more after a transaction that has
 * changed something, when there is room, at the end of input; for the reasons
 * HANDOFF_CONN_INPUT and _ROOM, without any new input perhaps. Part of the
 * transaction, and true until the next handoff_wrap_run: so say it after each
 * call that leaves some.
 */
HANDOFF_API void handoff_wrap_held(struct handoff_conn *outer);

#ifdef __cplusplus
}
#endif

#endif
