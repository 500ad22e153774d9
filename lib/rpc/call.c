/* SPDX-License-Identifier: MIT */
/*
 * The transport that a dispatch function sees: it lives on the stack for one
 * call, decodes the arguments in place and encodes the reply into the output
 * of the connection. It is registered nowhere.
 */
#include "rpc/call.h"

#include "rpc/message.h"
#include "rpc/record.h"

#include <rpc/svc_mt.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SMALL 4096u /* a reply of up to so many bytes needs no other memory */

struct call {
	SVCXPRT xprt;
	SVCXPRT_EXT ext;
	const struct handoff_rpc *rpc;
	struct handoff_conn *conn;
	uint32_t xid;
	XDR args;
	bool replied;
	int err;
	struct sockaddr_storage nobody; /* AF_UNSPEC */
	struct handoff__rpc_sys sys;
};

static struct call *
call_of(SVCXPRT *xprt)
{
	return xprt->xp_p1;
}

static bool_t
call_recv(SVCXPRT *xprt, struct rpc_msg *msg)
{
	(void)xprt;
	(void)msg;
	return FALSE;
}

static enum xprt_stat
call_stat(SVCXPRT *xprt)
{
	(void)xprt;
	return XPRT_IDLE;
}

static bool_t
call_freeargs(SVCXPRT *xprt, xdrproc_t proc, void *args)
{
	(void)xprt;
	xdr_free(proc, args);
	return TRUE;
}

/* Stubs do not free what was decoded before it failed. */
static bool_t
call_getargs(SVCXPRT *xprt, xdrproc_t proc, void *args)
{
	if (proc(&call_of(xprt)->args, args))
		return TRUE;
	xdr_free(proc, args);
	return FALSE;
}

/* Encodes a reply behind a mark. 0: it does not fit. */
static size_t
encode(struct rpc_msg *msg, xdrproc_t proc, void *results, void *to,
	size_t size)
{
	XDR xdrs;
	size_t len = 0;

	xdrmem_create(&xdrs, (char *)to + HANDOFF__RPC_MARK,
		(u_int)(size - HANDOFF__RPC_MARK), XDR_ENCODE);
	if (xdr_replymsg(&xdrs, msg) && proc(&xdrs, results)) {
		len = xdr_getpos(&xdrs);
		handoff__rpc_mark(to, len);
		len += HANDOFF__RPC_MARK;
	}
	xdr_destroy(&xdrs);
	return len;
}

static bool
send_reply(struct call *call, const void *reply, size_t len)
{
	if (len == 0)
		return false;
	return handoff_conn_write(call->conn, reply, len) == len;
}

/* A reply that does not fit into the small buffer. */
static bool
send_large(
	struct call *call, struct rpc_msg *msg, xdrproc_t proc, void *results)
{
	size_t size = call->rpc->max_reply;
	void *own = NULL, *buf = call->rpc->scratch;
	bool sent;

	if (!buf)
		buf = own = malloc(size);
	if (!buf)
		return false;
	sent = send_reply(call, buf, encode(msg, proc, results, buf, size));
	free(own);
	return sent;
}

static bool_t
call_reply(SVCXPRT *xprt, struct rpc_msg *msg)
{
	struct call *call = call_of(xprt);
	uint32_t buf[SMALL / sizeof(uint32_t)];
	size_t size = call->rpc->max_reply;
	xdrproc_t proc = handoff__rpc_void;
	void *results = NULL;

	if (call->replied)
		return FALSE;
	msg->rm_xid = call->xid;
	if (msg->rm_reply.rp_stat == MSG_ACCEPTED &&
		msg->acpted_rply.ar_stat == SUCCESS) {
		proc = msg->acpted_rply.ar_results.proc;
		results = msg->acpted_rply.ar_results.where;
		msg->acpted_rply.ar_results.proc = handoff__rpc_void;
		msg->acpted_rply.ar_results.where = NULL;
	}
	if (size > sizeof(buf))
		size = sizeof(buf);
	call->replied =
		send_reply(call, buf, encode(msg, proc, results, buf, size)) ||
		(size < call->rpc->max_reply &&
			send_large(call, msg, proc, results));
	return call->replied;
}

static void
call_destroy(SVCXPRT *xprt)
{
	(void)xprt;
}

static bool_t
call_control(SVCXPRT *xprt, const u_int request, void *info)
{
	(void)xprt;
	(void)request;
	(void)info;
	return FALSE;
}

static const struct xp_ops ops = {
	.xp_recv = call_recv,
	.xp_stat = call_stat,
	.xp_getargs = call_getargs,
	.xp_reply = call_reply,
	.xp_freeargs = call_freeargs,
	.xp_destroy = call_destroy,
};

static const struct xp_ops2 ops2 = {.xp_control = call_control};

/* Returns the call behind a request, or NULL. */
static struct call *
call_behind(const struct svc_req *rqstp)
{
	if (!rqstp || !rqstp->rq_xprt || rqstp->rq_xprt->xp_ops != &ops)
		return NULL;
	return call_of(rqstp->rq_xprt);
}

struct handoff_conn *
handoff_rpc_conn(const struct svc_req *rqstp)
{
	struct call *call = call_behind(rqstp);

	return call ? call->conn : NULL;
}

void *
handoff_rpc_arg(const struct svc_req *rqstp)
{
	struct call *call = call_behind(rqstp);

	return call ? call->rpc->inner.arg : NULL;
}

int
handoff_rpc_fail(const struct svc_req *rqstp, int err)
{
	struct call *call = call_behind(rqstp);

	if (!call || err >= 0)
		return -EINVAL;
	call->err = err;
	return 0;
}

/* There are two tables of operations, and members that only some procedures
 * look at: they find an address of no family. */
static void
call_init(struct call *call, const struct handoff_rpc *rpc,
	struct handoff_conn *conn)
{
	static char netid[] = "tcp", none[] = "";
	SVCXPRT *xprt = &call->xprt;

	memset(xprt, 0, sizeof(*xprt));
	memset(&call->ext, 0, sizeof(call->ext));
	memset(&call->nobody, 0, sizeof(call->nobody));
	xprt->xp_fd = -1;
	xprt->xp_ops = &ops;
	xprt->xp_ops2 = &ops2;
	xprt->xp_netid = netid;
	xprt->xp_tp = none;
	xprt->xp_rtaddr.buf = xprt->xp_ltaddr.buf = &call->nobody;
	xprt->xp_verf = _null_auth;
	xprt->xp_p1 = call;
	xprt->xp_p3 = &call->ext;
	call->rpc = rpc;
	call->conn = conn;
	call->replied = false;
	call->err = 0;
}

/* Whether the service accepts what the call says of its caller, which the
 * request then points to. */
static enum auth_stat
authenticate(struct call *call, const struct handoff__rpc_head *head,
	struct svc_req *req)
{
	enum handoff_rpc_auth auth = call->rpc->auth;

	req->rq_cred.oa_flavor = (enum_t)head->cred.flavor;
	req->rq_cred.oa_base = (caddr_t)(uintptr_t)head->cred.data;
	req->rq_cred.oa_length = head->cred.len;
	switch (head->cred.flavor) {
	case AUTH_NONE:
		return auth == HANDOFF_RPC_AUTH_SYS ? AUTH_TOOWEAK : AUTH_OK;
	case AUTH_SYS:
		if (auth == HANDOFF_RPC_AUTH_NONE)
			break;
		req->rq_clntcred = &call->sys.aup;
		return handoff__rpc_sys_parse(&head->cred, &call->sys);
	default:
		break;
	}
	return AUTH_REJECTEDCRED;
}

static void
dispatch(struct call *call, handoff_rpc_dispatch_fn *fn, struct svc_req *req)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&call->rpc->lock;

	if (!call->rpc->multithreaded)
		pthread_mutex_lock(lock);
	fn(req, &call->xprt);
	if (!call->rpc->multithreaded)
		pthread_mutex_unlock(lock);
}

/* Runs the program, or says which versions there are of it. */
static void
find(struct call *call, struct svc_req *req)
{
	const struct handoff_rpc *rpc = call->rpc;
	rpcvers_t low = UINT32_MAX, high = 0;
	bool found = false;

	for (size_t i = 0; i < rpc->nprograms; i++) {
		const struct handoff_rpc_program *p = &rpc->programs[i];

		if (p->prog != req->rq_prog)
			continue;
		if (p->vers == req->rq_vers) {
			dispatch(call, p->dispatch, req);
			return;
		}
		found = true;
		low = p->vers < low ? p->vers : low;
		high = p->vers > high ? p->vers : high;
	}
	if (found)
		svcerr_progvers(&call->xprt, low, high);
	else
		svcerr_noprog(&call->xprt);
}

static void
refuse_version(struct call *call)
{
	struct rpc_msg msg = {.rm_direction = REPLY};

	msg.rm_reply.rp_stat = MSG_DENIED;
	msg.rjcted_rply.rj_stat = RPC_MISMATCH;
	msg.rjcted_rply.rj_vers.low = RPC_MSG_VERSION;
	msg.rjcted_rply.rj_vers.high = RPC_MSG_VERSION;
	call_reply(&call->xprt, &msg);
}

static void
accept_call(struct call *call, const struct handoff__rpc_head *head)
{
	struct svc_req req = {.rq_prog = head->prog,
		.rq_vers = head->vers,
		.rq_proc = head->proc,
		.rq_xprt = &call->xprt};
	enum auth_stat why = authenticate(call, head, &req);

	if (why != AUTH_OK) {
		svcerr_auth(&call->xprt, why);
		return;
	}
	xdrmem_create(&call->args, (caddr_t)(uintptr_t)head->args,
		(u_int)head->args_len, XDR_DECODE);
	find(call, &req);
	xdr_destroy(&call->args);
}

int
handoff__rpc_execute(const struct handoff_rpc *rpc, struct handoff_conn *conn,
	const void *message, size_t len)
{
	struct handoff__rpc_head head;
	struct call call;
	enum handoff__rpc_verdict verdict =
		handoff__rpc_parse(message, len, &head);

	if (verdict == HANDOFF__RPC_NOT)
		return -EBADMSG;
	call_init(&call, rpc, conn);
	call.xid = head.xid;
	switch (verdict) {
	case HANDOFF__RPC_CALL:
		accept_call(&call, &head);
		break;
	case HANDOFF__RPC_VERSION:
		refuse_version(&call);
		break;
	case HANDOFF__RPC_BADCRED:
		svcerr_auth(&call.xprt, AUTH_BADCRED);
		break;
	case HANDOFF__RPC_BADVERF:
		svcerr_auth(&call.xprt, AUTH_BADVERF);
		break;
	default:
		svcerr_decode(&call.xprt);
	}
	return call.err;
}
