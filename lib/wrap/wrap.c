/* SPDX-License-Identifier: MIT */
/*
 * The inner connection: a transaction on the outer one's record, whose view,
 * commit and sizes are private copies. The calls of the service's header work
 * on it as on any other, so nothing on the path of a plain request knows of it.
 * What the inner service has done is carried to the outer transaction after
 * the call. Knows no frames, no server, and commits nothing.
 */
#include "wrap/wrap.h"

#include <assert.h>
#include <errno.h>

static_assert(HANDOFF_WRAP_STATE_MAX == HANDOFF__STATE_MAX,
	"what a program may ask for is what a record may have");
static_assert(HANDOFF_CONN_ROOM < 4 && HANDOFF_CONN_FAREWELL < HANDOFF__GIVEN,
	"a reason that is given fits behind all others");

/* Private to the inner commit: no service has wrapped this one. */
#define INNERMOST HANDOFF__WISH

/* The effects of a transaction beside its record; they have one log. */
#define EFFECTS                                                                \
	((uint32_t)(HANDOFF__SHARED | HANDOFF__SHARED_LATE | HANDOFF__POSTING))

/* For the options of a call, as their caller was compiled. */
static int
take_call(struct handoff_wrap_call *call, const struct handoff_wrap_call *from)
{
	int err = handoff__opts_copy(call, sizeof(*call), from,
		HANDOFF__SIZE_TO(struct handoff_wrap_call, state_len));

	if (err < 0)
		return err;
	if (!call->service || call->service->pass_size > 0 ||
		(call->input_len > 0 && !call->input))
		return -EINVAL;
	return 0;
}

/* The bits of a reason in the flags; negative: it does not fit. */
static int
reason_of(const struct handoff_wrap_call *call)
{
	switch (call->hook) {
	case HANDOFF_WRAP_OPEN:
		return HANDOFF__GIVEN + HANDOFF_CONN_OPEN;
	case HANDOFF_WRAP_HANDLE:
		if (call->reason == HANDOFF_CONN_DEADLINE)
			return HANDOFF_CONN_DEADLINE;
		return call->reason == HANDOFF_CONN_INPUT ||
				       call->reason == HANDOFF_CONN_END ||
				       call->reason == HANDOFF_CONN_ROOM
			       ? HANDOFF__GIVEN + (int)call->reason
			       : -EINVAL;
	case HANDOFF_WRAP_POSTED:
		return HANDOFF_CONN_POST;
	case HANDOFF_WRAP_ENDED:
		return HANDOFF_CONN_ENDED;
	case HANDOFF_WRAP_FAREWELL:
		return HANDOFF_CONN_FAREWELL;
	}
	return -EINVAL;
}

/* A state of the inner service lies within the outer one. */
static int
set_state(struct handoff__inner *in, struct handoff_conn *outer,
	const struct handoff_wrap_call *call)
{
	size_t size = call->service->state_size, len = outer->next->state_len;
	size_t most = outer->view.seg->geo.state_size;

	in->seg.geo.state_size = (uint32_t)size;
	in->next.state_len = (uint32_t)call->state_len;
	in->conn.state = NULL;
	in->last = false;
	if (size == 0)
		return call->state_len == 0 ? 0 : -EINVAL;
	if (call->state_at % 16 != 0 || call->state_len > size || size > most ||
		call->state_at > most - size)
		return -EINVAL;
	in->last = call->state_at + call->state_len == len;
	if (!in->last && call->state_at + size > len)
		return -EINVAL;
	in->conn.state = (char *)outer->state + call->state_at;
	return 0;
}

static void
set_input(struct handoff__inner *in, const struct handoff_wrap_call *call)
{
	static unsigned char nothing;
	bool none = call->hook == HANDOFF_WRAP_ENDED || !call->input;
	size_t len = none ? 0 : call->input_len;

	/* it is only read: the calls return pointers to const */
	in->conn.view.rx =
		none ? &nothing : (unsigned char *)(uintptr_t)call->input;
	in->next.rx_tail = in->next.rx_origin = call->position;
	in->conn.rx_head = call->position + len;
	handoff__commit_wrap(&in->next, call->position);
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The ring is as long as it seems, and as full as the room is to be. */
static void
set_room(struct handoff__inner *in, size_t room)
{
	in->conn.tx_tail = in->next.tx_head - (in->seg.geo.tx_size - room);
}

static void
set_ring(struct handoff__inner *in, const struct handoff_conn *outer,
	const struct handoff_wrap_call *call)
{
	size_t room = handoff_conn_room(outer);

	room = room > call->reserve ? room - call->reserve : 0;
	in->next.tx_head = outer->next->tx_head + call->reserve;
	set_room(in, least(room, call->room));
}

static void
set_memory(struct handoff__inner *in, const struct handoff_wrap_call *call)
{
	size_t room = least(call->room, HANDOFF__BUFFER_MAX);
	uint32_t size = 1;

	while (size < room)
		size *= 2;
	in->conn.view.tx = call->output;
	in->seg.geo.tx_size = size;
	in->next.tx_head = in->next.tx_origin = 0;
	set_room(in, room);
}

static void
set_output(struct handoff__inner *in, const struct handoff_conn *outer,
	const struct handoff_wrap_call *call)
{
	if (call->output && call->hook != HANDOFF_WRAP_ENDED)
		set_memory(in, call);
	else
		set_ring(in, outer, call);
	in->begin = in->next.tx_head;
	if (call->hook == HANDOFF_WRAP_ENDED)
		set_room(in, 0);
}

static int
begin(struct handoff__inner *in, struct handoff_conn *outer,
	const struct handoff_wrap_call *call)
{
	int reason = reason_of(call);
	uint32_t keep = outer->next->flags & (EFFECTS | HANDOFF__OPENED);

	if (reason < 0)
		return reason;
	in->conn = *outer;
	in->next = *outer->next;
	in->seg = *outer->view.seg;
	in->conn.next = &in->next;
	in->conn.view.seg = &in->seg;
	in->seg.geo.pass_size = 0;
	in->next.flags = keep | (uint32_t)reason << HANDOFF__REASON_SHIFT |
			 INNERMOST | (call->eof ? HANDOFF__EOF : 0);
	set_input(in, call);
	set_output(in, outer, call);
	return set_state(in, outer, call);
}

/* As the server does for a service without that hook. */
static int
append_post(struct handoff__inner *in, const struct handoff_wrap_call *call)
{
	const struct handoff_posted *posted = in->conn.posted;
	size_t most = call->output
			      ? call->room
			      : in->seg.geo.tx_size - least(in->seg.geo.tx_size,
							      call->reserve);

	if (!posted->data)
		return 0;
	if (posted->len > most)
		return -EMSGSIZE;
	if (posted->len > handoff_conn_room(&in->conn))
		return -EAGAIN;
	handoff_conn_write(&in->conn, posted->data, posted->len);
	return 0;
}

static int
run_hook(handoff_handle_fn *fn, struct handoff__inner *in,
	const struct handoff_wrap_call *call)
{
	return fn ? fn(&in->conn, call->service->arg) : 0;
}

static int
run(struct handoff__inner *in, const struct handoff_wrap_call *call)
{
	const struct handoff_service *service = call->service;

	switch (call->hook) {
	case HANDOFF_WRAP_OPEN:
		return run_hook(service->open, in, call);
	case HANDOFF_WRAP_HANDLE:
		return run_hook(service->handle, in, call);
	case HANDOFF_WRAP_POSTED:
		return service->posted ? run_hook(service->posted, in, call)
				       : append_post(in, call);
	case HANDOFF_WRAP_ENDED:
		if (service->ended)
			service->ended(&in->conn, call->ended, service->arg);
		return 0;
	case HANDOFF_WRAP_FAREWELL:
		return run_hook(service->farewell, in, call);
	}
	return 0;
}

/* Also of a call that failed: what it did beside the record is undone with the
 * outer transaction. */
static void
carry_effects(struct handoff_conn *outer, const struct handoff__inner *in)
{
	outer->next->flags |= in->next.flags & (EFFECTS | HANDOFF__ERASE);
	if (in->next.flags & HANDOFF__POSTING)
		outer->staged = in->conn.staged;
	outer->next->deadline = in->next.deadline;
}

/* Which request comes next, of the innermost service. */
static void
carry_request(struct handoff_conn *outer, const struct handoff__inner *in,
	const struct handoff_wrap_call *call, bool undone)
{
	struct handoff__commit *next = outer->next;

	if (in->next.flags & INNERMOST) {
		handoff__commit_wrap(
			next, undone ? call->position : in->next.rx_tail);
	} else {
		next->pass_head = in->next.pass_head;
		next->pass_tail = in->next.pass_tail;
	}
	next->flags &= ~(uint32_t)INNERMOST;
}

static void
carry_output(struct handoff_conn *outer, const struct handoff__inner *in,
	const struct handoff_wrap_call *call,
	struct handoff_wrap_result *result)
{
	result->written = (size_t)(in->next.tx_head - in->begin);
	result->at = outer->next->tx_head;
	if (result->written > 0 && !call->output)
		outer->next->tx_head = in->next.tx_head;
}

static void
carry(struct handoff_conn *outer, const struct handoff__inner *in,
	const struct handoff_wrap_call *call,
	struct handoff_wrap_result *result)
{
	result->consumed = (size_t)(in->next.rx_tail - call->position);
	result->state_len = in->next.state_len;
	result->closed = (in->next.flags & HANDOFF__CLOSING) != 0;
	result->aborted = (in->next.flags & HANDOFF__OVER) != 0;
	carry_output(outer, in, call, result);
	if (in->last)
		outer->next->state_len =
			(uint32_t)call->state_at + in->next.state_len;
	/* it may wrap another one itself, and hold something for that */
	outer->next->flags &= ~(uint32_t)HANDOFF__HOLDS_INPUT;
	outer->next->flags |= in->next.flags & HANDOFF__HOLDS_INPUT;
}

int
handoff_wrap_run(struct handoff_conn *outer,
	const struct handoff_wrap_call *call,
	struct handoff_wrap_result *result)
{
	struct handoff_wrap_result out = {.size = 0};
	struct handoff_wrap_call c = {.size = 0};
	struct handoff__inner in;
	size_t known;
	int rc;

	if (!outer || !call || !result || result->size < sizeof(out.size))
		return -EINVAL;
	rc = take_call(&c, call);
	if (rc >= 0 && c.hook == HANDOFF_WRAP_POSTED &&
		handoff_conn_reason(outer) != HANDOFF_CONN_POST)
		rc = -EINVAL;
	if (rc >= 0)
		rc = begin(&in, outer, &c);
	if (rc < 0)
		return rc;
	rc = run(&in, &c);
	if (rc == HANDOFF_LATER && !c.service->posted)
		rc = -EINVAL; /* it would never get the answer */
	carry_effects(outer, &in);
	carry_request(outer, &in, &c, rc != 0);
	carry(outer, &in, &c, &out);
	known = least(result->size, sizeof(out));
	out.size = result->size;
	memcpy(result, &out, known);
	return rc;
}
