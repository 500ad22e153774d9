/* SPDX-License-Identifier: MIT */
/*
 * Sessions: a client's conversation outlives its TCP connection. A client of
 * this library that asks for it has a session: its connection may be cut, it
 * connects again to whichever peer serves, and goes on exactly where it was;
 * the service sees one connection all the time. Other clients are recognised by
 * their first bytes and served as before, by the same handlers, on the same
 * address. What is guaranteed and what is not: handoff_session(3); the bytes:
 * handoff_session(7).
 *
 * A server has sessions when `sessions` of its options is set (--sessions):
 * most programs need nothing of this header. It is for a program that wraps the
 * service itself, for example to wrap the result once more.
 */
#ifndef HANDOFF_SESSION_H
#define HANDOFF_SESSION_H

#include <handoff/service.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HANDOFF_SESSION_TIMEOUT_MS 60000 /* defaults */
#define HANDOFF_SESSION_MAX        1000

/* `size` is sizeof(struct handoff_session_opts); zero means the default. */
struct handoff_session_opts {
	size_t size;
	uint32_t timeout_ms; /* how long a session lives without a connection */
	uint32_t max_absent; /* sessions without one; above that the oldest
			      * ends */
	/* An address of the server, on which there are sessions only; on the
	 * others there are none, and `open` runs at once. Without it a
	 * connection is of either kind, and `open` runs when its first bytes
	 * have come, or after 5 s without them. NULL is the default. The port
	 * must not be 0. The text remains the caller's and must outlive the
	 * server. */
	const char *listen;
};

/* The caller's memory for a service with sessions; it must outlive the server,
 * and its content is the library's. */
struct handoff_session {
	struct handoff_service service; /* for the options of the server */
	uint64_t space[640];
};

/*
 * Makes session->service of a service: it has the same name, takes the place of
 * `inner`, and calls it. `inner` is copied, but what it points to remains the
 * caller's. `opts` may be NULL.
 *
 * A program with sessions can take over from one without whose service is the
 * same otherwise (or can be converted to it): its connections go on without a
 * session.
 *
 * -EINVAL: no handler, `listen` is no address or has port 0; -EOPNOTSUPP: the
 * service has a pass_size (pairs have no sessions); -E2BIG: a field is set that
 * this library does not know.
 */
HANDOFF_API int handoff_session_service(struct handoff_session *session,
	const struct handoff_service *inner,
	const struct handoff_session_opts *opts);

#ifdef __cplusplus
}
#endif

#endif
