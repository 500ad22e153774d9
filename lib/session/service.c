/* SPDX-License-Identifier: MIT */
/*
 * The wrapping service: its hooks, each of which picks by what the connection
 * is, and how it is made of the inner one.
 */
#include "base/addr.h"
#include "base/loop.h"
#include "base/text.h"
#include "session/greet.h"
#include "session/serve.h"
#include "session/session.h"

#include <handoff/wrap.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Every connection's output has room for the frames without data. */
#define BUFFER_LEAST 1024u
#define BUFFER_SIZE  65536u /* by default, as of any service */

static_assert(sizeof(struct handoff__wrapper) <=
		      sizeof(((struct handoff_session *)0)->space),
	"the caller's memory is enough");

static const struct handoff__wrapper *
wrapper_in(const void *arg)
{
	return (const void *)((const struct handoff_session *)arg)->space;
}

static int
session_handle(struct handoff_conn *conn, void *arg)
{
	struct handoff__session_head *head = handoff__session_begin(conn);

	if (!head)
		return -EBADMSG;
	return head->mode == HANDOFF__SESSION_ON
		       ? handoff__serve_handle(conn, wrapper_in(arg))
		       : handoff__greet_handle(conn, wrapper_in(arg));
}

static int
session_posted(struct handoff_conn *conn, void *arg)
{
	struct handoff__session_head *head = handoff__session_begin(conn);

	if (!head)
		return -EBADMSG;
	return head->mode == HANDOFF__SESSION_ON
		       ? handoff__serve_posted(conn, wrapper_in(arg))
		       : handoff__greet_hook(
				 conn, wrapper_in(arg), HANDOFF_WRAP_POSTED);
}

static int
session_farewell(struct handoff_conn *conn, void *arg)
{
	struct handoff__session_head *head = handoff__session_begin(conn);

	if (!head)
		return -EBADMSG;
	return head->mode == HANDOFF__SESSION_ON
		       ? handoff__serve_farewell(conn, wrapper_in(arg))
		       : handoff__greet_hook(
				 conn, wrapper_in(arg), HANDOFF_WRAP_FAREWELL);
}

/* Of a connection that the inner service has, or would have begun with had it
 * ended without a byte. */
static void
session_ended(
	struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	const struct handoff__wrapper *w = wrapper_in(arg);
	struct handoff__session_head *head = handoff__session_begin(conn);
	struct handoff_wrap_result result = {.size = sizeof(result)};
	struct handoff_wrap_call call = {
		.size = sizeof(call),
		.service = &w->inner,
		.hook = HANDOFF_WRAP_ENDED,
		.ended = reason,
	};

	if (!w->inner.ended || !head)
		return;
	if (!(head->flags & HANDOFF__SESSION_SERVED)) {
		if (w->inner.open || head->mode != HANDOFF__SESSION_UNDECIDED ||
			handoff__session_give_state(conn,
				w->inner.state_grows ? 0
						     : w->inner.state_size) < 0)
			return;
	}
	call.state_at = handoff__session_inner_at(head);
	call.state_len = head->inner_len;
	if (handoff_wrap_run(conn, &call, &result) == 0)
		head->inner_len = (uint32_t)result.state_len;
}

static void
session_left(uint64_t id, void *arg)
{
	const struct handoff__wrapper *w = wrapper_in(arg);

	w->inner.left(id, w->inner.arg);
}

static void
session_idle(uint64_t id, void *arg)
{
	const struct handoff__wrapper *w = wrapper_in(arg);

	w->inner.idle(id, w->inner.arg);
}

static int
session_print(const void *state, char *text, size_t size, void *arg)
{
	return handoff__session_print(
		&wrapper_in(arg)->inner, state, text, size);
}

static int
session_convert(uint32_t version, const void *old, size_t old_size, void *state,
	void *arg)
{
	const struct handoff_session *session = arg;

	return handoff__session_convert(&wrapper_in(arg)->inner, version, old,
		old_size, state, session->service.state_size);
}

/* Whether the client has connected to the address for sessions. */
static bool
is_for_sessions(
	const struct handoff_conn *conn, const struct handoff__wrapper *w)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char text[HANDOFF_ADDRESS_MAX];

	memset(&ss, 0, sizeof(ss));
	if (getsockname(conn->fd, (struct sockaddr *)&ss, &len) < 0)
		return false;
	handoff__addr_format(
		(const struct sockaddr *)&ss, len, text, sizeof(text));
	return handoff__addr_excludes(w->listen, text);
}

/* Nothing of the inner service runs yet, unless sessions have an address of
 * their own and this is another one. */
static int
session_open(struct handoff_conn *conn, void *arg)
{
	const struct handoff__wrapper *w = wrapper_in(arg);
	struct handoff__session_head *head = handoff__session_begin(conn);

	if (!head)
		return -EBADMSG;
	if (w->listen && !is_for_sessions(conn, w))
		return handoff__greet_plain(conn, w);
	if (w->listen)
		head->flags |= HANDOFF__SESSION_ONLY;
	return handoff_conn_deadline(conn, HANDOFF__SESSION_DECIDE_MS);
}

struct handoff__wrapper *
handoff__wrapper_of(const struct handoff_service *service)
{
	struct handoff_session *session = service->arg;

	return service->ended == session_ended ? (void *)session->space : NULL;
}

bool
handoff__session_limits(const struct handoff_service *service,
	struct handoff__session_limits *limits)
{
	const struct handoff__wrapper *w = handoff__wrapper_of(service);

	if (!w)
		return false;
	limits->timeout_ms = w->timeout_ms;
	limits->max_absent = w->max_absent;
	return true;
}

bool
handoff__session_failed(struct handoff_conn *conn)
{
	if (!conn->state || !handoff__session_head(
				    conn->state, conn->next->state_len, NULL))
		return false;
	handoff__serve_abort(conn, HANDOFF__ABORT_APPLICATION,
		"the service has failed", HANDOFF_ENDED_HANDLER);
	return true;
}

bool
handoff__session_admit(
	const struct handoff_service *service, const struct handoff__view *view)
{
	const struct handoff__wrapper *w = handoff__wrapper_of(service);

	return !w ||
	       handoff__guesses_allow(&w->guesses, &view->rec->extra.client,
		       (int64_t)handoff__boot_ms());
}

void
handoff__session_guessed(
	const struct handoff_service *service, const struct handoff__view *view)
{
	struct handoff__wrapper *w = handoff__wrapper_of(service);

	if (w)
		handoff__guesses_count(&w->guesses, &view->rec->extra.client,
			(int64_t)handoff__boot_ms());
}

void
handoff__session_listen(struct handoff_session *session, const char *listen)
{
	((struct handoff__wrapper *)(void *)session->space)->listen = listen;
}

static int
check_listen(const char *listen)
{
	struct handoff__error error = {.text = ""};
	struct handoff__addr addr;
	int err = listen ? handoff__addr_parse(&addr, listen, &error) : 0;

	if (err < 0 || !listen)
		return err;
	if (addr.local ? addr.path[0] != '/' : strcmp(addr.port, "0") == 0)
		return -EINVAL;
	return 0;
}

/* Beside all that is kept there is room for frames without data; a ring's size
 * is a power of two. */
static uint32_t
output_size(uint32_t size)
{
	return size > HANDOFF__BUFFER_MAX / 2 ? HANDOFF__BUFFER_MAX : 2 * size;
}

static uint32_t
buffer_size(uint32_t size)
{
	size = handoff__opt_or(size, BUFFER_SIZE);
	return size < BUFFER_LEAST ? BUFFER_LEAST : size;
}

/* The head, what is kept, what may be pending, and the inner state. */
static uint32_t
state_size(const struct handoff__wrapper *w, uint32_t kept)
{
	return (uint32_t)sizeof(struct handoff__session_head) + kept +
	       handoff__wrapper_memory(w) + 16u + w->inner.state_size;
}

static void
make(struct handoff_session *session, const struct handoff__wrapper *w)
{
	const struct handoff_service *inner = &w->inner;
	struct handoff_service *s = &session->service;

	*s = (struct handoff_service){
		.size = sizeof(*s),
		.name = inner->name,
		.state_version = inner->state_version | HANDOFF__SESSION_BIT,
		.state_grows = true,
		.handle = session_handle,
		.open = session_open,
		.arg = session,
		.input_size = w->input_size,
		.output_size = output_size(buffer_size(inner->output_size)),
		.print = session_print,
		.convert = session_convert,
		.convert_from = inner->convert ? inner->convert_from
					       : inner->state_version,
		.shared_size = inner->shared_size,
		.shared_version = inner->shared_version,
		.ended = session_ended,
		.posted = session_posted,
		.post_size = inner->post_size,
		.post_gaps = inner->posted && inner->post_gaps,
		.farewell = session_farewell,
		.left = inner->left ? session_left : NULL,
		.inner = inner,
		.secret = inner->secret,
		.idle = inner->idle ? session_idle : NULL,
	};
	s->state_size = state_size(w, s->output_size);
}

int
handoff_session_service(struct handoff_session *session,
	const struct handoff_service *inner,
	const struct handoff_session_opts *opts)
{
	struct handoff_session_opts o = {.size = sizeof(o)};
	struct handoff__wrapper *w;
	int err;

	if (!session || !inner)
		return -EINVAL;
	memset(session, 0, sizeof(*session));
	w = (void *)session->space;
	err = handoff__opts_copy(&w->inner, sizeof(w->inner), inner,
		offsetof(struct handoff_service, open));
	if (err == 0 && opts)
		err = handoff__opts_copy(&o, sizeof(o), opts,
			HANDOFF__SIZE_TO(struct handoff_session_opts, listen));
	if (err == 0 && (!w->inner.handle || !w->inner.name))
		err = -EINVAL;
	if (err == 0)
		err = check_listen(o.listen);
	if (err == 0 && w->inner.pass_size > 0)
		err = -EOPNOTSUPP;
	if (err < 0)
		return err;
	w->timeout_ms =
		handoff__opt_or(o.timeout_ms, HANDOFF_SESSION_TIMEOUT_MS);
	w->max_absent = handoff__opt_or(o.max_absent, HANDOFF_SESSION_MAX);
	w->listen = o.listen;
	w->input_size = buffer_size(w->inner.input_size);
	make(session, w);
	return 0;
}
