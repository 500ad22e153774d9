/* SPDX-License-Identifier: MIT */
/*
 * The handle that client stubs call through, against a server that the test
 * plays in a thread: it reads calls, and does with each what its script says.
 */
#include "client/fixture.h"

#include "rpc/bytes.h"
#include "rpc/procedures.h"
#include "rpc/record.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* What becomes of a call. */
enum act {
	ANSWER,  /* with the sum {1, xid} */
	BYTES,   /* the same, byte by byte */
	STALE,   /* after one to another call, and what is no reply */
	SILENCE, /* nothing */
	LATE,    /* two of them: the one before was not answered */
	CLOSE,   /* the connection ends */
	RESET,   /* it is reset */
	HALF,    /* half of a reply, and the end */
	UNAVAIL,
	MISMATCH,
	NOPROC,
	GARBAGE,
	SYSERR,
	VERSION,
	DENIED,
	ODD,
	SHORT,  /* results that are cut off */
	LONG,   /* a reply that is too long */
	BROKEN, /* an empty fragment */
	END,    /* of the script */
};

struct play {
	struct site site;
	struct handoff_client *client;
	CLIENT *clnt;
	const enum act *script;
	pthread_t thread;
	int conn;
	uint32_t xids[32]; /* of the calls that came */
	size_t count;
	size_t len; /* of the last call */
};

static bool
read_all(int fd, void *to, size_t len)
{
	return recv(fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

/* The next call, on the next connection if there is none. */
static uint32_t
next_call(struct play *p)
{
	uint8_t mark[4], head[4];
	char rest[4096];

	for (;;) {
		if (p->conn < 0)
			p->conn = accept(p->site.fd, NULL, NULL);
		if (read_all(p->conn, mark, 4))
			break;
		close(p->conn);
		p->conn = -1;
	}
	p->len = handoff__rpc_get(mark) & ~HANDOFF__RPC_LAST;
	read_all(p->conn, head, 4);
	for (size_t left = p->len - 4; left > 0;) {
		size_t n = left < sizeof(rest) ? left : sizeof(rest);

		read_all(p->conn, rest, n);
		left -= n;
	}
	return handoff__rpc_get(head);
}

static void
write_all(const struct play *p, const void *data, size_t len)
{
	(void)!send(p->conn, data, len, MSG_NOSIGNAL);
}

static void
reply(const struct play *p, const struct bytes *b)
{
	uint8_t mark[4];

	handoff__rpc_mark(mark, b->len);
	write_all(p, mark, 4);
	write_all(p, b->data, b->len);
}

static struct bytes
sum_reply(uint32_t xid)
{
	struct bytes b = {.len = 0};
	const uint32_t words[] = {
		xid, REPLY, MSG_ACCEPTED, 0, 0, SUCCESS, 0, 1, 0, xid};

	for (size_t i = 0; i < 10; i++)
		put(&b, words[i]);
	return b;
}

static void
refuse(const struct play *p, uint32_t xid, enum act act)
{
	struct bytes b = sum_reply(xid);
	uint32_t stat = act == UNAVAIL    ? PROG_UNAVAIL
			: act == MISMATCH ? PROG_MISMATCH
			: act == NOPROC   ? PROC_UNAVAIL
			: act == GARBAGE  ? GARBAGE_ARGS
					  : SYSTEM_ERR;

	b.len = act == VERSION || act == DENIED || act == ODD ? 8 : 20;
	if (b.len == 20) {
		put(&b, stat);
		put(&b, 3);
		put(&b, 9);
	} else {
		put(&b, act == ODD ? 2 : MSG_DENIED);
		put(&b, act == VERSION ? RPC_MISMATCH : AUTH_ERROR);
		put(&b, act == VERSION ? 4 : AUTH_TOOWEAK);
		put(&b, 5);
	}
	reply(p, &b);
}

static void
break_off(struct play *p, enum act act)
{
	if (act == RESET)
		fixture_reset(p->conn);
	else
		close(p->conn);
	p->conn = -1;
}

static void
reply_too_long(const struct play *p, uint32_t xid)
{
	struct bytes b = sum_reply(xid);
	uint8_t mark[4];
	size_t left = (3u << 20) - b.len;

	handoff__rpc_mark(mark, 3u << 20);
	write_all(p, mark, 4);
	write_all(p, b.data, b.len);
	memset(b.data, 0, sizeof(b.data));
	for (; left > 0; left -= left < 8192 ? left : 8192)
		write_all(p, b.data, left < 8192 ? left : 8192);
}

static void
stale(const struct play *p, uint32_t xid)
{
	struct bytes b = sum_reply(xid + 1);

	reply(p, &b);
	b = plain_call(xid, COUNTER, 1, 1); /* no reply */
	reply(p, &b);
	b.len = 0; /* an empty record */
	reply(p, &b);
	b = sum_reply(xid);
	reply(p, &b);
}

static void
do_act(struct play *p, enum act act, uint32_t xid)
{
	struct bytes b = sum_reply(xid);
	uint8_t mark[5] = {0x80, 0, 0, 40, 0};

	switch (act) {
	case ANSWER:
		reply(p, &b);
		break;
	case BYTES:
		for (int i = 0; i < 4; i++)
			write_all(p, mark + i, 1);
		for (size_t i = 0; i < b.len; i++)
			write_all(p, b.data + i, 1);
		break;
	case STALE:
		stale(p, xid);
		break;
	case LATE:
		b = sum_reply(xid + 1);
		reply(p, &b);
		b = sum_reply(xid);
		reply(p, &b);
		break;
	case HALF:
		write_all(p, mark, 4);
		write_all(p, b.data, 20);
		break_off(p, act);
		break;
	case CLOSE:
	case RESET:
		break_off(p, act);
		break;
	case SHORT:
		b.len -= 4;
		reply(p, &b);
		break;
	case LONG:
		reply_too_long(p, xid);
		break;
	case BROKEN:
		write_all(p, "\0\0\0\0", 4);
		break;
	case SILENCE:
	case END:
		break;
	default:
		refuse(p, xid, act);
	}
}

static void *
play(void *arg)
{
	struct play *p = arg;

	for (; *p->script != END; p->script++) {
		uint32_t xid = next_call(p);

		p->xids[p->count++] = xid;
		do_act(p, *p->script, xid);
	}
	return NULL;
}

static void
begin(struct play *p, const enum act *script)
{
	*p = (struct play){.site = site_open(), .script = script, .conn = -1};
	assert_int_equal(pthread_create(&p->thread, NULL, play, p), 0);
	p->client = fixture_open_to(&p->site, NULL);
	p->clnt = handoff_clnt_create(p->client, COUNTER, COUNTER_ONE);
	assert_non_null(p->clnt);
}

static void
end(struct play *p)
{
	pthread_join(p->thread, NULL);
	clnt_destroy(p->clnt);
	handoff_client_free(p->client);
	if (p->conn >= 0)
		close(p->conn);
	site_close(&p->site);
}

static uint32_t
xid_of(struct play *p)
{
	uint32_t xid = 0;

	assert_true(clnt_control(p->clnt, CLGET_XID, (char *)&xid));
	return xid;
}

static void
answered(struct play *p)
{
	struct sum sum = {0, 0};

	assert_int_equal(add_1(1, &sum, p->clnt), RPC_SUCCESS);
	assert_int_equal(sum.total, 1);
	assert_int_equal(sum.own, xid_of(p));
}

static struct rpc_err
failed(struct play *p, enum clnt_stat status)
{
	struct sum sum = {0, 0};
	struct rpc_err error;

	assert_int_equal(add_1(1, &sum, p->clnt), status);
	clnt_geterr(p->clnt, &error);
	assert_int_equal(error.re_status, status);
	return error;
}

static void
set_timeout(struct play *p, long ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	assert_true(clnt_control(p->clnt, CLSET_TIMEOUT, (char *)&tv));
}

static void
calls_are_answered(void **state)
{
	static const enum act script[] = {ANSWER, BYTES, STALE, ANSWER, END};
	struct play p;

	(void)state;
	begin(&p, script);
	for (int i = 0; i < 4; i++)
		answered(&p);
	end(&p);
	for (size_t i = 1; i < 4; i++)
		assert_int_equal(p.xids[i], p.xids[i - 1] - 1);
}

static void
refusals_have_their_status(void **state)
{
	static const enum act script[] = {UNAVAIL, MISMATCH, NOPROC, GARBAGE,
		SYSERR, VERSION, DENIED, ODD, SHORT, ANSWER, END};
	struct rpc_err error;
	struct play p;

	(void)state;
	begin(&p, script);
	failed(&p, RPC_PROGUNAVAIL);
	error = failed(&p, RPC_PROGVERSMISMATCH);
	assert_int_equal(error.re_vers.low, 3);
	assert_int_equal(error.re_vers.high, 9);
	failed(&p, RPC_PROCUNAVAIL);
	failed(&p, RPC_CANTDECODEARGS);
	failed(&p, RPC_SYSTEMERROR);
	error = failed(&p, RPC_VERSMISMATCH);
	assert_int_equal(error.re_vers.low, 4);
	error = failed(&p, RPC_AUTHERROR);
	assert_int_equal(error.re_why, AUTH_TOOWEAK);
	failed(&p, RPC_CANTDECODERES);
	failed(&p, RPC_CANTDECODERES);
	answered(&p);
	end(&p);
}

static void
other_credentials_are_sent(void **state)
{
	static const enum act script[] = {ANSWER, ANSWER, DENIED, END};
	struct play p;
	AUTH *none, *sys = authunix_create((char[]){"host"}, 1, 2, 0, NULL);
	size_t len;

	(void)state;
	begin(&p, script);
	none = p.clnt->cl_auth;
	answered(&p);
	len = p.len;
	p.clnt->cl_auth = sys;
	answered(&p);
	failed(&p, RPC_AUTHERROR);
	auth_destroy(none);
	end(&p);
	assert_int_equal(p.len, len + 24); /* stamp, host, uid, gid, no gids */
	auth_destroy(sys);
}

static void
time_runs_out(void **state)
{
	static const enum act script[] = {SILENCE, LATE, SILENCE, LATE, END};
	struct timeval tv = {0, 0};
	struct play p;

	(void)state;
	begin(&p, script);
	set_timeout(&p, 20);
	assert_true(clnt_control(p.clnt, CLGET_TIMEOUT, (char *)&tv));
	assert_int_equal(tv.tv_usec, 20000);
	failed(&p, RPC_TIMEDOUT);
	set_timeout(&p, 5000);
	answered(&p); /* and not with the late reply */
	set_timeout(&p, 0);
	failed(&p, RPC_TIMEDOUT);
	set_timeout(&p, 5000);
	answered(&p);
	tv.tv_usec = 1000000;
	assert_false(clnt_control(p.clnt, CLSET_TIMEOUT, (char *)&tv));
	end(&p);
}

static void
a_call_without_results_waits_for_nothing(void **state)
{
	static const enum act script[] = {SILENCE, ANSWER, END};
	static const struct timeval none = {0, 0};
	struct play p;
	int n = 1;

	(void)state;
	begin(&p, script);
	assert_int_equal(clnt_call(p.clnt, ADD, (xdrproc_t)xdr_int, (char *)&n,
				 NULL, NULL, none),
		RPC_SUCCESS);
	answered(&p);
	end(&p);
}

static void
a_lost_connection_fails_the_call(void **state)
{
	static const enum act script[] = {
		CLOSE, ANSWER, RESET, ANSWER, HALF, ANSWER, END};
	struct play p;

	(void)state;
	begin(&p, script);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(failed(&p, RPC_CANTRECV).re_errno, ECONNRESET);
		answered(&p); /* on the next one */
	}
	end(&p);
	assert_int_equal(p.count, 6);
}

static void
calls_wait_for_a_connection(void **state)
{
	static const enum act script[] = {ANSWER, ANSWER, END};
	struct play p = {.site = site_dead(), .script = script, .conn = -1};

	(void)state;
	p.client = fixture_open_to(&p.site, NULL);
	p.clnt = handoff_clnt_create(p.client, COUNTER, COUNTER_ONE);
	set_timeout(&p, 20);
	failed(&p, RPC_TIMEDOUT);
	site_reopen(&p.site);
	assert_int_equal(pthread_create(&p.thread, NULL, play, &p), 0);
	set_timeout(&p, 5000);
	answered(&p); /* the first one was sent too, and its answer dropped */
	end(&p);
	assert_int_equal(p.count, 2);
}

static void
a_broken_stream_fails_the_call(void **state)
{
	static const enum act script[] = {BROKEN, LONG, ANSWER, END};
	struct play p;

	(void)state;
	begin(&p, script);
	assert_int_equal(failed(&p, RPC_CANTRECV).re_errno, EBADMSG);
	assert_int_equal(failed(&p, RPC_CANTDECODERES).re_errno, EMSGSIZE);
	answered(&p);
	end(&p);
}

static void
large_arguments_are_encoded(void **state)
{
	static const enum act script[] = {ANSWER, ANSWER, END};
	static const struct timeval time = {5, 0};
	struct play p;
	struct bag bag = {.text = (char[]){""}};
	struct sum sum;

	(void)state;
	begin(&p, script);
	bag.bytes.bytes_len = 900000;
	bag.bytes.bytes_val = calloc(1, 1u << 20);
	assert_int_equal(
		clnt_call(p.clnt, GIVE, (xdrproc_t)xdr_bag, (char *)&bag,
			(xdrproc_t)xdr_sum, (char *)&sum, time),
		RPC_SUCCESS);
	assert_int_equal(p.len, 40 + 4 + 900000 + 4 + 4);
	bag.numbers.numbers_len = 65; /* the interface has 64 */
	bag.numbers.numbers_val = calloc(65, sizeof(int));
	assert_int_equal(
		clnt_call(p.clnt, GIVE, (xdrproc_t)xdr_bag, (char *)&bag,
			(xdrproc_t)xdr_sum, (char *)&sum, time),
		RPC_CANTENCODEARGS);
	bag.numbers.numbers_len = 0;
	bag.bytes.bytes_len = 1u << 20;
	assert_int_equal(
		clnt_call(p.clnt, GIVE, (xdrproc_t)xdr_bag, (char *)&bag,
			(xdrproc_t)xdr_sum, (char *)&sum, time),
		RPC_CANTENCODEARGS);
	free(bag.bytes.bytes_val);
	free(bag.numbers.numbers_val);
	answered(&p);
	end(&p);
}

static void
what_is_called_can_be_changed(void **state)
{
	static const enum act script[] = {END};
	uint32_t n = 0;
	int fd = -1;
	struct play p;

	(void)state;
	begin(&p, script);
	assert_true(clnt_control(p.clnt, CLGET_PROG, (char *)&n));
	assert_int_equal(n, COUNTER);
	assert_true(clnt_control(p.clnt, CLGET_VERS, (char *)&n));
	assert_int_equal(n, COUNTER_ONE);
	n = 9;
	assert_true(clnt_control(p.clnt, CLSET_VERS, (char *)&n));
	n = 10;
	assert_true(clnt_control(p.clnt, CLSET_PROG, (char *)&n));
	assert_true(clnt_control(p.clnt, CLGET_VERS, (char *)&n));
	assert_int_equal(n, 9);
	assert_true(clnt_control(p.clnt, CLGET_PROG, (char *)&n));
	assert_int_equal(n, 10);
	assert_true(clnt_control(p.clnt, CLGET_FD, (char *)&fd));
	assert_int_equal(fd, handoff_client_fd(p.client));
	assert_false(clnt_control(p.clnt, CLGET_SERVER_ADDR, (char *)&n));
	assert_false(clnt_control(p.clnt, CLSET_PROG, NULL));
	end(&p);
	assert_null(handoff_clnt_create(NULL, 1, 1));
	assert_int_equal(handoff_clnt_events(NULL, NULL, NULL), -EINVAL);
}

static void
count_event(const struct handoff_client_event *event, void *arg)
{
	unsigned *counts = arg;

	counts[event->type]++;
}

static void
events_are_told(void **state)
{
	static const enum act script[] = {ANSWER, CLOSE, ANSWER, END};
	unsigned counts[32] = {0};
	struct play p;

	(void)state;
	begin(&p, script);
	assert_int_equal(handoff_clnt_events(p.clnt, count_event, counts), 0);
	answered(&p);
	failed(&p, RPC_CANTRECV);
	answered(&p);
	end(&p);
	assert_int_equal(counts[HANDOFF_CLIENT_CONNECTED], 2);
	assert_int_equal(counts[HANDOFF_CLIENT_LOST], 1);
	assert_int_equal(counts[HANDOFF_CLIENT_DATA], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(calls_are_answered),
		handoff_test(refusals_have_their_status),
		handoff_test(other_credentials_are_sent),
		handoff_test(time_runs_out),
		handoff_test(a_call_without_results_waits_for_nothing),
		handoff_test(a_lost_connection_fails_the_call),
		handoff_test(calls_wait_for_a_connection),
		handoff_test(a_broken_stream_fails_the_call),
		handoff_test(large_arguments_are_encoded),
		handoff_test(what_is_called_can_be_changed),
		handoff_test(events_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
