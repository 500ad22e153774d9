/* SPDX-License-Identifier: MIT */
/*
 * Remote procedure calls: ONC RPC (RFC 5531) over TCP, with the stubs and XDR
 * routines that rpcgen makes of an interface file, unchanged. A library of its
 * own, -lhandoff-rpc, built if libtirpc is present.
 *
 * On the server a call is a transaction of its connection: the state, the
 * shared region and the reply come true at once, or not at all, and then it is
 * executed again in the other peer. So each call is executed exactly once,
 * without a cache of replies, and rpcbind has no part in it.
 */
#ifndef HANDOFF_RPC_H
#define HANDOFF_RPC_H

#include <handoff/client.h>
#include <handoff/service.h>

#include <rpc/rpc.h>

#ifdef __cplusplus
extern "C" {
#endif

struct handoff_rpc;

/* The dispatch function that `rpcgen -m` writes, such as timetable_1. */
typedef void handoff_rpc_dispatch_fn(struct svc_req *rqstp, SVCXPRT *transp);

/* One version of one program. */
struct handoff_rpc_program {
	uint32_t prog, vers;
	handoff_rpc_dispatch_fn *dispatch;
};

/* Which calls are refused for what they say of their caller. A flavor that is
 * neither AUTH_NONE nor AUTH_SYS always is. */
enum handoff_rpc_auth {
	HANDOFF_RPC_AUTH_ANY = 0,  /* AUTH_NONE and AUTH_SYS are accepted */
	HANDOFF_RPC_AUTH_NONE = 1, /* AUTH_SYS is AUTH_REJECTEDCRED */
	HANDOFF_RPC_AUTH_SYS = 2,  /* AUTH_NONE is AUTH_TOOWEAK */
};

#define HANDOFF_RPC_MESSAGE_MAX (1u << 20) /* bytes of a call */
#define HANDOFF_RPC_REPLY_MAX   (1u << 19) /* bytes of a service's reply */
#define HANDOFF_RPC_FRAGMENTS   4096u      /* of one record */

/* `size` is sizeof(struct handoff_rpc_opts); zero means the default. What it
 * points to is copied, but for what the service points to. */
struct handoff_rpc_opts {
	size_t size;
	const struct handoff_rpc_program *programs;
	size_t nprograms; /* 1 to 64 */
	/* Optional: name, state, shared region and hooks of the service, as in
	 * struct handoff_service. Its hooks get its `arg`; its `handle` is
	 * called for deadlines only, and neither consumes nor writes. Default:
	 * the name "rpc" and none of the rest. */
	const struct handoff_service *service;
	uint32_t max_call;  /* bytes of the longest call with the marks of its
			     * fragments; default 65536 */
	uint32_t max_reply; /* bytes of the longest reply with its mark; a call
			     * is executed when there is room for that; default
			     * 32768. From 1024 to HANDOFF_RPC_MESSAGE_MAX and
			     * HANDOFF_RPC_REPLY_MAX */
	enum handoff_rpc_auth auth;
	/* The stubs are made with rpcgen -M: procedures have no static results
	 * and may run in several threads at once. Without it the procedures of
	 * a process run one at a time, in every model. */
	bool multithreaded;
	char *errbuf; /* where open() writes its error */
	size_t errbuf_size;
};

/*
 * Makes a service of dispatch functions. Errors: -EINVAL no programs, one of
 * them twice or without a function, or a limit out of range; -E2BIG a field is
 * set that this library does not know; -ENOMEM.
 */
HANDOFF_API int handoff_rpc_open(
	struct handoff_rpc **out, const struct handoff_rpc_opts *opts);

/* The service, for struct handoff_server_opts or for one that wraps it; valid
 * until free. Its input_size and output_size follow from the limits above. */
HANDOFF_API const struct handoff_service *handoff_rpc_service(
	const struct handoff_rpc *rpc);

/* After its server's. NULL is fine. */
HANDOFF_API void handoff_rpc_free(struct handoff_rpc *rpc);

/* The connection that a call came on, for a procedure: its state, the shared
 * region, posts, its client's address. A procedure neither consumes nor writes.
 * NULL if the call is not of this library. */
HANDOFF_API struct handoff_conn *handoff_rpc_conn(const struct svc_req *rqstp);

/* The `arg` of the service that the options had; NULL as above. */
HANDOFF_API void *handoff_rpc_arg(const struct svc_req *rqstp);

/*
 * Undoes the call: nothing of what the procedure changes is committed and no
 * reply is sent. With the -ETIMEDOUT of handoff_conn_shared the call is
 * executed again shortly; with any other negative errno the connection ends
 * with that reason in the log. The procedure then returns NULL, or FALSE of
 * stubs by rpcgen -M. -EINVAL if `err` is not negative or the call is not of
 * this library.
 */
HANDOFF_API int handoff_rpc_fail(const struct svc_req *rqstp, int err);

/*
 * A handle for rpcgen's client stubs and clnt_call, over a client that remains
 * the caller's and must outlive it. clnt_destroy frees it. NULL: no memory.
 *
 * A call waits until its reply has come or its time is over, and meanwhile
 * does the work of the client: it takes all events. One handle to a client at
 * a time, and nothing else is sent; CLSET_PROG and CLSET_VERS change what it
 * calls. CLSET_TIMEOUT sets the time of all further calls; CLGET_FD gives
 * handoff_client_fd.
 *
 * When a connection is lost under a call:
 *   a call that was not yet passed to the kernel whole is sent again on the
 *   next connection, and goes on;
 *   any other one fails with RPC_CANTRECV, re_errno ECONNRESET or the
 *   connection's: it was executed once or not at all;
 *   in a session (option `session` of the client) it goes on over the next
 *   connection and is answered once; if the session cannot be resumed, it fails
 *   like that unless the server has certainly not taken all of it.
 * A call whose time is over, RPC_TIMEDOUT, may be executed later all the same;
 * its reply is then dropped.
 */
HANDOFF_API CLIENT *handoff_clnt_create(
	struct handoff_client *client, rpcprog_t prog, rpcvers_t vers);

/* Is told of the client's events while a call waits, those of data excepted. It
 * may not use the client. */
typedef void handoff_clnt_event_fn(
	const struct handoff_client_event *event, void *arg);

/* Sets it; NULL: none. -EINVAL if the handle is not of this library. */
HANDOFF_API int handoff_clnt_events(
	CLIENT *clnt, handoff_clnt_event_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
