/* SPDX-License-Identifier: MIT */
/*
 * The table that client stubs call through, over the library's client. A call
 * that waits does the work of the client; a reply is decoded as soon as it is
 * whole, and what has another number than the call is dropped.
 */
#include "rpc/component.h"

#include "rpc/record.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define FIRST_BYTES  2048u
#define HEAD_BYTES   (10 * 4u + 2 * MAX_AUTH_BYTES) /* of a call, at most */
#define DEFAULT_WAIT 25 /* seconds, as rpcgen's stubs have it */
#define REFRESHES    2
#define ENDS         64 /* calls without a reply whose fate may be told */

struct clnt {
	CLIENT cl;
	AUTH none;
	struct handoff_client *client;
	uint32_t prog, vers, xid; /* of the call that was made last */
	struct timeval wait;
	bool wait_set;
	struct rpc_err error;
	uint8_t *buf; /* a call with its mark */
	size_t size;
	struct handoff__rpc_stream stream;
	/* Positions in the stream to the server, counted from the first call:
	 * where the session begins, where the last call ends, and the calls of
	 * which it is not known whether the server has taken them. */
	uint64_t begin, end;
	uint64_t first; /* where the first of these begins */
	uint64_t ends[ENDS];
	size_t nends;
	bool session, over; /* LOST has told of its end */
	handoff_clnt_event_fn *event;
	void *event_arg;
};

/* A call that waits for its reply. */
struct waiting {
	xdrproc_t proc;
	void *results;
	bool done;      /* clnt->error says how */
	bool refusable; /* other credentials may do better */
	bool refreshed;
};

static struct clnt *
clnt_of(CLIENT *cl)
{
	return cl->cl_private;
}

static enum clnt_stat
fail(struct clnt *clnt, enum clnt_stat status, int err)
{
	clnt->error.re_status = status;
	clnt->error.re_errno = -err;
	return status;
}

/* Encodes into what there is; 0: it does not fit, or cannot be encoded. */
static size_t
encode(struct clnt *clnt, rpcproc_t proc, xdrproc_t xargs, void *args)
{
	size_t head = HANDOFF__RPC_MARK + 6 * 4, len = 0;
	AUTH *auth = clnt->cl.cl_auth;
	uint32_t words[] = {
		clnt->xid, CALL, RPC_MSG_VERSION, clnt->prog, clnt->vers, proc};
	XDR xdrs;

	for (size_t i = 0; i < 6; i++)
		handoff__rpc_put(
			clnt->buf + HANDOFF__RPC_MARK + 4 * i, words[i]);
	xdrmem_create(&xdrs, (char *)clnt->buf + head,
		(u_int)(clnt->size - head), XDR_ENCODE);
	if (AUTH_MARSHALL(auth, &xdrs) && AUTH_WRAP(auth, &xdrs, xargs, args))
		len = head + xdr_getpos(&xdrs);
	xdr_destroy(&xdrs);
	if (len > 0)
		handoff__rpc_mark(clnt->buf, len - HANDOFF__RPC_MARK);
	return len;
}

static int
grow(struct clnt *clnt, size_t size)
{
	uint8_t *buf;

	if (size <= clnt->size)
		return 0;
	buf = realloc(clnt->buf, size);
	if (!buf)
		return -ENOMEM;
	clnt->buf = buf;
	clnt->size = size;
	return 0;
}

/* The length of the call in clnt->buf; 0: clnt->error says why. */
static size_t
make_call(struct clnt *clnt, rpcproc_t proc, xdrproc_t xargs, void *args)
{
	size_t len = encode(clnt, proc, xargs, args), need;

	if (len > 0)
		return len;
	need = xdr_sizeof(xargs, args) + HEAD_BYTES;
	if (need > clnt->size && need <= HANDOFF_RPC_MESSAGE_MAX) {
		if (grow(clnt, need) < 0) {
			fail(clnt, RPC_SYSTEMERROR, -ENOMEM);
			return 0;
		}
		len = encode(clnt, proc, xargs, args);
	}
	if (len == 0)
		fail(clnt, RPC_CANTENCODEARGS,
			need > HANDOFF_RPC_MESSAGE_MAX ? -EMSGSIZE : 0);
	return len;
}

/* A call of this length is sent. */
static void
note_sent(struct clnt *clnt, size_t len)
{
	clnt->end += len;
	if (clnt->nends == ENDS) {
		clnt->first = clnt->ends[0];
		memmove(clnt->ends, clnt->ends + 1,
			--clnt->nends * sizeof(clnt->ends[0]));
	}
	clnt->ends[clnt->nends++] = clnt->end;
}

/* Its reply has come: the server has taken all of them. */
static void
note_reply(struct clnt *clnt)
{
	clnt->nends = 0;
	clnt->first = clnt->end;
}

/* A reply to the call: decodes it. */
static void
take_results(
	struct clnt *clnt, struct waiting *w, XDR *xdrs, struct rpc_msg *msg)
{
	AUTH *auth = clnt->cl.cl_auth;

	w->refusable = false;
	_seterr_reply(msg, &clnt->error);
	if (clnt->error.re_status != RPC_SUCCESS) {
		w->refusable = true;
		w->refreshed = AUTH_REFRESH(auth, msg);
		return;
	}
	if (!AUTH_VALIDATE(auth, &msg->acpted_rply.ar_verf)) {
		clnt->error.re_status = RPC_AUTHERROR;
		clnt->error.re_why = AUTH_INVALIDRESP;
	} else if (!AUTH_UNWRAP(auth, xdrs, w->proc, w->results)) {
		fail(clnt, RPC_CANTDECODERES, -EBADMSG);
	}
}

static bool
is_reply(const struct clnt *clnt)
{
	const struct handoff__rpc_stream *s = &clnt->stream;

	return s->len >= 8 && handoff__rpc_get(s->message) == clnt->xid &&
	       handoff__rpc_get(s->message + 4) == REPLY;
}

static void
take_message(struct clnt *clnt, struct waiting *w)
{
	struct rpc_msg msg;
	XDR xdrs;

	if (!w || w->done || !is_reply(clnt))
		return;
	w->done = true;
	note_reply(clnt);
	if (clnt->stream.longer) {
		fail(clnt, RPC_CANTDECODERES, -EMSGSIZE);
		return;
	}
	memset(&msg, 0, sizeof(msg));
	msg.acpted_rply.ar_verf = _null_auth;
	msg.acpted_rply.ar_results.proc = handoff__rpc_void;
	xdrmem_create(&xdrs, (char *)clnt->stream.message,
		(u_int)clnt->stream.len, XDR_DECODE);
	if (xdr_replymsg(&xdrs, &msg))
		take_results(clnt, w, &xdrs, &msg);
	else
		fail(clnt, RPC_CANTDECODERES, -EBADMSG);
	if (msg.rm_reply.rp_stat == MSG_ACCEPTED)
		xdr_free((xdrproc_t)xdr_opaque_auth, &msg.acpted_rply.ar_verf);
	xdr_destroy(&xdrs);
}

static void
take_data(struct clnt *clnt, struct waiting *w, const void *data, size_t len)
{
	const uint8_t *at = data;
	size_t used;
	int rc = 1;

	while (len > 0 && rc > 0) {
		rc = handoff__rpc_stream_feed(&clnt->stream, at, len, &used);
		if (rc > 0)
			take_message(clnt, w);
		at += used;
		len -= used;
	}
	if (rc >= 0)
		return;
	handoff__rpc_stream_reset(&clnt->stream);
	if (w && !w->done) {
		w->done = true;
		fail(clnt, RPC_CANTRECV, rc);
	}
}

/* The connection that the call may have gone out on is gone. */
static void
give_up(struct clnt *clnt, struct waiting *w, int err)
{
	if (!w || w->done)
		return;
	w->done = true;
	fail(clnt, RPC_CANTRECV, err < 0 ? err : -ECONNRESET);
}

/* A session is over: calls that end behind what the server may have of it go to
 * the next one. */
static void
take_over(struct clnt *clnt, struct waiting *w,
	const struct handoff_client_event *event)
{
	uint64_t sent = clnt->begin + event->certain + event->doubtful;
	size_t n = 0;

	handoff__rpc_stream_reset(&clnt->stream);
	while (n < clnt->nends && clnt->ends[n] <= sent)
		clnt->first = clnt->ends[n++];
	clnt->nends -= n;
	memmove(clnt->ends, clnt->ends + n,
		clnt->nends * sizeof(clnt->ends[0]));
	clnt->begin = clnt->first;
	if (clnt->nends == 0)
		give_up(clnt, w, 0);
}

/* The same is told by LOST, if the session is over by then, and by NEW. */
static void
take_fate(struct clnt *clnt, struct waiting *w,
	const struct handoff_client_event *event)
{
	bool lost = event->type == HANDOFF_CLIENT_LOST;

	/* if nothing is set no call is concerned */
	if (lost && !event->lost && event->certain == 0 &&
		event->doubtful == 0 && event->received == 0)
		return;
	if (!clnt->over)
		take_over(clnt, w, event);
	clnt->over = lost;
}

/* Of a client without a session: connections are all there is. */
static void
take_connection(struct clnt *clnt, struct waiting *w,
	const struct handoff_client_event *event)
{
	handoff__rpc_stream_reset(&clnt->stream);
	/* what the kernel has not taken whole is sent again */
	if (event->type == HANDOFF_CLIENT_LOST &&
		handoff_client_unsent(clnt->client) == 0)
		give_up(clnt, w, event->err);
	/* drained in an orderly way, it has answered what it got */
	if (event->type == HANDOFF_CLIENT_MOVED && event->err < 0)
		give_up(clnt, w, event->err);
}

static void
take_event(struct clnt *clnt, struct waiting *w,
	const struct handoff_client_event *event)
{
	switch (event->type) {
	case HANDOFF_CLIENT_DATA:
		take_data(clnt, w, event->data, event->len);
		return;
	case HANDOFF_CLIENT_CONNECTED:
	case HANDOFF_CLIENT_LOST:
	case HANDOFF_CLIENT_MOVED:
		if (!clnt->session)
			take_connection(clnt, w, event);
		else if (event->type == HANDOFF_CLIENT_LOST)
			take_fate(clnt, w, event);
		break;
	case HANDOFF_CLIENT_NEW:
		take_fate(clnt, w, event);
		break;
	case HANDOFF_CLIENT_CLOSED:
		give_up(clnt, w, -ESHUTDOWN);
		break;
	default:
		break;
	}
	if (clnt->event)
		clnt->event(event, clnt->event_arg);
}

/* All events there are; negative if the client has failed. */
static int
take_events(struct clnt *clnt, struct waiting *w)
{
	const struct handoff_client_event *event;
	int rc;

	while ((rc = handoff_client_next(clnt->client, &event)) > 0)
		take_event(clnt, w, event);
	return rc;
}

static int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Waits for work; false once the time is over. */
static bool
wait_for_work(struct clnt *clnt, int64_t until_us, int *err)
{
	int64_t left = until_us - now_us(), ms = (left + 999) / 1000;

	if (left <= 0)
		return false;
	*err = handoff_client_wait(
		clnt->client, ms < INT_MAX ? (int)ms : INT_MAX);
	return true;
}

static void
wait_for_reply(struct clnt *clnt, struct waiting *w, int64_t until_us)
{
	int err = 0;

	while (err == 0 && !w->done) {
		err = take_events(clnt, w);
		if (err == 0 && !w->done &&
			!wait_for_work(clnt, until_us, &err)) {
			fail(clnt, RPC_TIMEDOUT, 0);
			return;
		}
	}
	if (!w->done)
		fail(clnt, RPC_CANTRECV, err);
}

static bool
is_time(const struct timeval *tv)
{
	return tv->tv_sec >= 0 && tv->tv_sec <= 1000000000 &&
	       tv->tv_usec >= 0 && tv->tv_usec < 1000000;
}

static int64_t
wait_us(const struct clnt *clnt, const struct timeval *asked)
{
	const struct timeval *tv =
		clnt->wait_set || !is_time(asked) ? &clnt->wait : asked;

	return (int64_t)tv->tv_sec * 1000000 + tv->tv_usec;
}

/* Makes the call once. */
static void
exchange(struct clnt *clnt, rpcproc_t proc, xdrproc_t xargs, void *args,
	struct waiting *w, int64_t until_us)
{
	size_t len;
	int err;

	w->done = w->refusable = w->refreshed = false;
	clnt->error.re_status = RPC_SUCCESS;
	clnt->xid--;
	/* what was lost before has nothing to do with this call */
	err = take_events(clnt, NULL);
	len = make_call(clnt, proc, xargs, args);
	if (len == 0)
		return;
	if (err == 0)
		err = handoff_client_send(clnt->client, clnt->buf, len);
	if (err == 0)
		note_sent(clnt, len);
	if (err < 0)
		fail(clnt, RPC_CANTSEND, err);
	else if (until_us > 0)
		wait_for_reply(clnt, w, until_us);
	else if (w->proc)
		fail(clnt, RPC_TIMEDOUT, 0);
}

static enum clnt_stat
clnt_call_(CLIENT *cl, rpcproc_t proc, xdrproc_t xargs, void *args,
	xdrproc_t xresults, void *results, struct timeval timeout)
{
	struct clnt *clnt = clnt_of(cl);
	struct waiting w = {.proc = xresults, .results = results};
	int64_t wait = wait_us(clnt, &timeout);
	int64_t until = wait > 0 ? now_us() + wait : 0;

	for (int i = 0; i <= REFRESHES; i++) {
		exchange(clnt, proc, xargs, args, &w, until);
		if (!w.done || !w.refusable || !w.refreshed)
			break;
	}
	return clnt->error.re_status;
}

static void
clnt_abort_(CLIENT *cl)
{
	(void)cl;
}

static void
clnt_geterr_(CLIENT *cl, struct rpc_err *error)
{
	*error = clnt_of(cl)->error;
}

static bool_t
clnt_freeres_(CLIENT *cl, xdrproc_t proc, void *results)
{
	(void)cl;
	xdr_free(proc, results);
	return TRUE;
}

static void
clnt_destroy_(CLIENT *cl)
{
	struct clnt *clnt = clnt_of(cl);

	handoff__rpc_stream_fini(&clnt->stream);
	free(clnt->buf);
	free(clnt);
}

static bool_t
set_wait(struct clnt *clnt, const struct timeval *tv)
{
	if (!is_time(tv))
		return FALSE;
	clnt->wait = *tv;
	clnt->wait_set = true;
	return TRUE;
}

static bool_t
clnt_control_(CLIENT *cl, u_int request, void *info)
{
	struct clnt *clnt = clnt_of(cl);
	uint32_t *number = info;

	if (!info)
		return FALSE;
	switch (request) {
	case CLSET_TIMEOUT:
		return set_wait(clnt, info);
	case CLGET_TIMEOUT:
		*(struct timeval *)info = clnt->wait;
		return TRUE;
	case CLGET_FD:
		*(int *)info = handoff_client_fd(clnt->client);
		return TRUE;
	case CLGET_XID:
		*number = clnt->xid;
		return TRUE;
	case CLSET_XID: /* of the next call */
		clnt->xid = *number + 1;
		return TRUE;
	case CLGET_VERS:
		*number = clnt->vers;
		return TRUE;
	case CLSET_VERS:
		clnt->vers = *number;
		return TRUE;
	case CLGET_PROG:
		*number = clnt->prog;
		return TRUE;
	case CLSET_PROG:
		clnt->prog = *number;
		return TRUE;
	default:
		return FALSE;
	}
}

/* The type of CLIENT has it without const; nothing writes to it. */
static struct clnt_ops ops = {
	.cl_call = clnt_call_,
	.cl_abort = clnt_abort_,
	.cl_geterr = clnt_geterr_,
	.cl_freeres = clnt_freeres_,
	.cl_destroy = clnt_destroy_,
	.cl_control = clnt_control_,
};

CLIENT *
handoff_clnt_create(
	struct handoff_client *client, rpcprog_t prog, rpcvers_t vers)
{
	static char netid[] = "tcp", none[] = "";
	struct clnt *clnt = client ? calloc(1, sizeof(*clnt)) : NULL;

	if (!clnt)
		return NULL;
	clnt->client = client;
	clnt->session = handoff_client_has_session(client);
	clnt->prog = (uint32_t)prog;
	clnt->vers = (uint32_t)vers;
	clnt->wait.tv_sec = DEFAULT_WAIT;
	clnt->stream.max = HANDOFF_RPC_MESSAGE_MAX;
	if (getrandom(&clnt->xid, sizeof(clnt->xid), GRND_NONBLOCK) < 0)
		clnt->xid = (uint32_t)now_us();
	handoff__rpc_none_init(&clnt->none);
	clnt->cl.cl_auth = &clnt->none;
	clnt->cl.cl_ops = &ops;
	clnt->cl.cl_private = clnt;
	clnt->cl.cl_netid = netid;
	clnt->cl.cl_tp = none;
	if (grow(clnt, FIRST_BYTES) < 0) {
		clnt_destroy_(&clnt->cl);
		return NULL;
	}
	return &clnt->cl;
}

int
handoff_clnt_events(CLIENT *cl, handoff_clnt_event_fn *fn, void *arg)
{
	if (!cl || cl->cl_ops != &ops)
		return -EINVAL;
	clnt_of(cl)->event = fn;
	clnt_of(cl)->event_arg = arg;
	return 0;
}
