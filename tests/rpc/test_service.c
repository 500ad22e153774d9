/* SPDX-License-Identifier: MIT */
/*
 * The service made of dispatch functions, in a server: calls as bytes, and the
 * replies that RFC 5531 wants; limits; pipelined calls; a handoff in between.
 */
#include "server/duo.h"

#include "rpc/bytes.h"
#include "rpc/procedures.h"
#include "rpc/record.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct fixture {
	struct duo duo;
	struct handoff_rpc_opts opts;
	struct handoff_rpc *rpc;
	int fd;
};

/* The reply: a record of one fragment. */
struct reply {
	uint32_t word[20000];
	size_t len; /* words */
};

static void
open_with(struct fixture *f)
{
	duo_init(&f->duo, HANDOFF_MODEL_LOOP);
	assert_int_equal(handoff_rpc_open(&f->rpc, &f->opts), 0);
	f->duo.a.opts.service = handoff_rpc_service(f->rpc);
	f->duo.b.opts.service = handoff_rpc_service(f->rpc);
	assert_int_equal(host_open(&f->duo.a, NULL), 0);
	duo_expect(&f->duo, &f->duo.a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&f->duo.b, &f->duo.a), 0);
	duo_expect(&f->duo, &f->duo.a, HANDOFF_SERVER_JOINED);
	f->fd = client_open(f->duo.a.address);
}

static void
open_service(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	counter_options(&f->opts, NULL);
	open_with(f);
}

static void
close_service(struct fixture *f)
{
	close(f->fd);
	duo_close(&f->duo);
	handoff_rpc_free(f->rpc);
}

static void
send_bytes(const struct fixture *f, const void *data, size_t len)
{
	assert_int_equal(send(f->fd, data, len, MSG_NOSIGNAL), len);
}

static void
send_call(const struct fixture *f, const struct bytes *b)
{
	uint8_t all[4 + sizeof(b->data)];

	handoff__rpc_mark(all, b->len);
	memcpy(all + 4, b->data, b->len);
	send_bytes(f, all, 4 + b->len);
}

/* Turns until that many bytes have come; false at the end. */
static bool
receive(struct fixture *f, void *to, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n =
			recv(f->fd, (char *)to + got, len - got, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		if (n > 0)
			got += (size_t)n;
		else
			duo_turn(&f->duo);
	}
	return true;
}

static struct reply *
receive_reply(struct fixture *f)
{
	static struct reply reply;
	uint32_t mark;

	assert_true(receive(f, &mark, 4));
	mark = ntohl(mark);
	assert_true(mark & HANDOFF__RPC_LAST);
	mark &= ~HANDOFF__RPC_LAST;
	assert_int_equal(mark % 4, 0);
	assert_true(mark <= sizeof(reply.word));
	reply.len = mark / 4;
	assert_true(receive(f, reply.word, mark));
	for (size_t i = 0; i < reply.len; i++)
		reply.word[i] = ntohl(reply.word[i]);
	return &reply;
}

static struct reply *
call(struct fixture *f, const struct bytes *b)
{
	send_call(f, b);
	return receive_reply(f);
}

/* The reply is exactly these words. */
#define expect(reply, ...)                                                     \
	expect_words(reply, (const uint32_t[]){__VA_ARGS__},                   \
		sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void
expect_words(const struct reply *reply, const uint32_t *words, size_t count)
{
	assert_int_equal(reply->len, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(reply->word[i], words[i]);
}

static struct bytes
add_call(uint32_t xid, uint32_t n)
{
	struct bytes b = plain_call(xid, COUNTER, COUNTER_ONE, 1);

	put(&b, n);
	return b;
}

/* xid, REPLY, accepted, no verifier, and what follows */
#define ACCEPTED(xid) xid, REPLY, MSG_ACCEPTED, 0, 0

static void
calls_are_answered(void **state)
{
	struct fixture f;
	struct bytes b = add_call(5, 3);

	(void)state;
	open_service(&f);
	expect(call(&f, &b), ACCEPTED(5), SUCCESS, 0, 3, 0, 3);
	b = add_call(6, 4);
	expect(call(&f, &b), ACCEPTED(6), SUCCESS, 0, 7, 0, 7);
	b = plain_call(7, COUNTER, COUNTER_THREE, NULLPROC);
	expect(call(&f, &b), ACCEPTED(7), SUCCESS);
	close_service(&f);
}

static atomic_bool has_region, let_go;

static int
keep_region(struct handoff_shared *shared, void *arg)
{
	(void)shared;
	(void)arg;
	atomic_store(&has_region, true);
	while (!atomic_load(&let_go))
		poll(NULL, 0, 1);
	return 0;
}

static void *
hold_region(void *arg)
{
	assert_int_equal(handoff_server_shared(arg, keep_region, NULL), 0);
	return NULL;
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A procedure waits for the region in vain and says so: no reply, and the call
 * is executed again until there is one; so is the call behind it, after it. */
static void
call_that_waits_in_vain_is_repeated(void **state)
{
	struct fixture f;
	struct bytes b = add_call(5, 3);
	int64_t began;
	pthread_t thread;
	char byte;

	(void)state;
	open_service(&f);
	expect(call(&f, &b), ACCEPTED(5), SUCCESS, 0, 3, 0, 3);
	atomic_store(&has_region, false);
	atomic_store(&let_go, false);
	assert_int_equal(
		pthread_create(&thread, NULL, hold_region, f.duo.a.server), 0);
	while (!atomic_load(&has_region))
		poll(NULL, 0, 1);
	b = add_call(6, 4);
	send_call(&f, &b);
	b = add_call(7, 5);
	send_call(&f, &b);
	/* the handler blocks for the first time, and not for the next ones */
	began = now_ms();
	while (now_ms() - began < (int)HANDOFF_SHARED_WAIT_MS + 300)
		duo_turn(&f.duo);
	assert_int_equal(recv(f.fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	atomic_store(&let_go, true);
	pthread_join(thread, NULL);
	expect(receive_reply(&f), ACCEPTED(6), SUCCESS, 0, 7, 0, 7);
	expect(receive_reply(&f), ACCEPTED(7), SUCCESS, 0, 12, 0, 12);
	close_service(&f);
}

static void
every_refusal_has_its_name(void **state)
{
	struct fixture f;
	struct bytes b = plain_call(1, COUNTER + 1, 1, 1);

	(void)state;
	open_service(&f);
	expect(call(&f, &b), ACCEPTED(1), PROG_UNAVAIL);
	b = plain_call(2, COUNTER, 2, 1);
	expect(call(&f, &b), ACCEPTED(2), PROG_MISMATCH, 1, 3);
	b = plain_call(3, COUNTER, 1, 99);
	expect(call(&f, &b), ACCEPTED(3), PROC_UNAVAIL);
	b = plain_call(4, COUNTER, 1, 1); /* without its number */
	expect(call(&f, &b), ACCEPTED(4), GARBAGE_ARGS);
	b = add_call(5, 1);
	b.data[11] = 3;
	expect(call(&f, &b), 5, REPLY, MSG_DENIED, RPC_MISMATCH, 2, 2);
	b = begin_call(6, COUNTER, 1, 1);
	expect(call(&f, &b), ACCEPTED(6), GARBAGE_ARGS);
	b = begin_call(7, COUNTER, 1, 1);
	put(&b, 0);
	put(&b, 401);
	expect(call(&f, &b), 7, REPLY, MSG_DENIED, AUTH_ERROR, AUTH_BADCRED);
	b = begin_call(8, COUNTER, 1, 1);
	put(&b, 0);
	put(&b, 0);
	put(&b, 0);
	put(&b, 0x80000000);
	expect(call(&f, &b), 8, REPLY, MSG_DENIED, AUTH_ERROR, AUTH_BADVERF);
	b = add_call(9, 1); /* and all of it still works */
	expect(call(&f, &b), ACCEPTED(9), SUCCESS, 0, 1, 0, 1);
	close_service(&f);
}

static struct reply *
call_with(struct fixture *f, uint32_t flavor)
{
	struct bytes b = begin_call(1, COUNTER, 1, NULLPROC);

	if (flavor == AUTH_SYS) {
		put_sys(&b, "host", 2);
	} else {
		put(&b, flavor);
		for (int i = 0; i < 3; i++)
			put(&b, 0);
	}
	return call(f, &b);
}

static void
callers_are_refused_by_name(void **state)
{
	static const struct {
		enum handoff_rpc_auth auth;
		enum auth_stat none, sys, other;
	} rows[] = {
		{HANDOFF_RPC_AUTH_ANY, AUTH_OK, AUTH_OK, AUTH_REJECTEDCRED},
		{HANDOFF_RPC_AUTH_NONE, AUTH_OK, AUTH_REJECTEDCRED,
			AUTH_REJECTEDCRED},
		{HANDOFF_RPC_AUTH_SYS, AUTH_TOOWEAK, AUTH_OK,
			AUTH_REJECTEDCRED},
	};
	static const uint32_t flavors[] = {AUTH_NONE, AUTH_SYS, 3, 6, 77};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct fixture f = {.fd = -1};

		counter_options(&f.opts, NULL);
		f.opts.auth = rows[i].auth;
		open_with(&f);
		for (size_t j = 0; j < 5; j++) {
			enum auth_stat why = j == 0   ? rows[i].none
					     : j == 1 ? rows[i].sys
						      : rows[i].other;
			const struct reply *r = call_with(&f, flavors[j]);

			if (why == AUTH_OK)
				expect(r, ACCEPTED(1), SUCCESS);
			else
				expect(r, 1, REPLY, MSG_DENIED, AUTH_ERROR,
					why);
		}
		close_service(&f);
	}
}

static void
bad_sys_is_refused(void **state)
{
	struct fixture f;
	struct bytes b = begin_call(1, COUNTER, 1, NULLPROC);

	(void)state;
	open_service(&f);
	put_sys(&b, "host", 17);
	expect(call(&f, &b), 1, REPLY, MSG_DENIED, AUTH_ERROR, AUTH_BADCRED);
	close_service(&f);
}

static void
procedures_see_who_calls(void **state)
{
	struct fixture f;
	struct bytes b = begin_call(1, COUNTER, 1, 5);
	struct reply *reply;
	char text[200] = "";

	(void)state;
	open_service(&f);
	put_sys(&b, "host", 2);
	reply = call(&f, &b);
	for (size_t i = 7; i < reply->len; i++)
		reply->word[i] = htonl(reply->word[i]);
	assert_true(reply->len > 7 && reply->word[6] < sizeof(text));
	memcpy(text, &reply->word[7], reply->word[6]);
	assert_memory_equal(text, "1 host 1000 2 127.0.0.1:", 24);
	assert_non_null(strstr(text, " 0")); /* getrpccaller has no address */
	close_service(&f);
}

/* Sends bytes that are no call, and sees the connection end without a byte. */
static void
expect_end(const void *data, size_t len)
{
	struct fixture f;
	char byte;

	open_service(&f);
	send_bytes(&f, data, len);
	assert_false(receive(&f, &byte, 1));
	close_service(&f);
}

static void
what_is_no_call_ends_the_connection(void **state)
{
	struct bytes b = {.len = 0};

	(void)state;
	put(&b, 0x80000008); /* a reply */
	put(&b, 1);
	put(&b, REPLY);
	expect_end(b.data, b.len);
	b.len = 0;
	put(&b, 0x80000004); /* too short to have a number */
	put(&b, 1);
	expect_end(b.data, b.len);
	b.len = 0;
	put(&b, 0); /* an empty fragment */
	expect_end(b.data, b.len);
	expect_end("GET / HTTP/1.1\r\n\r\n", 18); /* a very long fragment */
}

static void
the_longest_call_is_limited(void **state)
{
	struct fixture f = {.fd = -1};
	struct bytes b = {.len = 0};
	char byte;

	(void)state;
	counter_options(&f.opts, NULL);
	f.opts.max_call = 1024;
	open_with(&f);
	b = add_call(1, 1);
	while (b.len < 1020)
		put(&b, 0); /* procedures do not mind what follows */
	expect(call(&f, &b), ACCEPTED(1), SUCCESS, 0, 1, 0, 1);
	put(&b, 0);
	send_call(&f, &b);
	assert_false(receive(&f, &byte, 1));
	close_service(&f);
}

static void
fragments_are_a_call(void **state)
{
	struct fixture f;
	struct bytes b = add_call(1, 9);
	uint8_t mark[4];

	(void)state;
	open_service(&f);
	for (size_t i = 0; i < b.len; i++) {
		handoff__rpc_put(mark, 1);
		send_bytes(&f, mark, 4);
		send_bytes(&f, b.data + i, 1);
		duo_turn(&f.duo);
	}
	handoff__rpc_put(mark, HANDOFF__RPC_LAST);
	send_bytes(&f, mark, 4);
	expect(receive_reply(&f), ACCEPTED(1), SUCCESS, 0, 9, 0, 9);
	close_service(&f);
}

static struct bytes
made_call(uint32_t xid, uint32_t len)
{
	struct bytes b = plain_call(xid, COUNTER, COUNTER_ONE, 3);

	put(&b, len);
	return b;
}

static void
replies_of_every_size(void **state)
{
	/* 28 bytes go before the text, with the mark and its length */
	static const uint32_t lengths[] = {0, 4064, 4068, 4072, 8000, 32736};
	struct fixture f;
	struct bytes b;

	(void)state;
	for (int locked = 0; locked < 2; locked++) {
		memset(&f, 0, sizeof(f));
		counter_options(&f.opts, NULL);
		f.opts.multithreaded = !locked;
		open_with(&f);
		for (size_t i = 0; i < 6; i++) {
			b = made_call(1, lengths[i]);
			assert_int_equal(call(&f, &b)->len, 7 + lengths[i] / 4);
		}
		b = made_call(2, 32740); /* one number too long */
		expect(call(&f, &b), ACCEPTED(2), SYSTEM_ERR);
		close_service(&f);
	}
}

static void
pipelined_calls_wait_for_room(void **state)
{
	struct fixture f;

	(void)state;
	open_service(&f);
	for (uint32_t xid = 0; xid < 100; xid++) {
		struct bytes b =
			xid % 2 ? add_call(xid, 1) : made_call(xid, 30000);

		send_call(&f, &b);
	}
	for (uint32_t xid = 0; xid < 100; xid++) {
		const struct reply *r = receive_reply(&f);

		if (xid % 2)
			expect(r, ACCEPTED(xid), SUCCESS, 0, xid / 2 + 1, 0,
				xid / 2 + 1);
		else
			assert_int_equal(r->len, 7 + 30000 / 4);
	}
	close_service(&f);
}

static void
lengths_that_lie_are_garbage(void **state)
{
	struct rusage before, after;
	struct fixture f;
	struct bytes b;

	(void)state;
	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	open_service(&f);
	for (uint32_t lie = 1; lie != 0; lie <<= 1) {
		b = plain_call(lie, COUNTER, COUNTER_ONE, 2);
		put(&b, lie); /* bytes<> */
		expect(call(&f, &b), ACCEPTED(lie), GARBAGE_ARGS);
		b = plain_call(lie, COUNTER, COUNTER_ONE, 2);
		put_opaque(&b, "abc", 3);
		put(&b, lie); /* numbers<64> */
		expect(call(&f, &b), ACCEPTED(lie), GARBAGE_ARGS);
		b = plain_call(lie, COUNTER, COUNTER_ONE, 2);
		put_opaque(&b, "abc", 3);
		put(&b, 1);
		put(&b, 1);
		put(&b, lie); /* text<100000> */
		expect(call(&f, &b), ACCEPTED(lie), GARBAGE_ARGS);
	}
	close_service(&f);
	assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
#ifndef __SANITIZE_ADDRESS__ /* which has memory of its own for each byte */
	if (!support_in_valgrind()) /* and so has this */
		assert_true(after.ru_maxrss < before.ru_maxrss + (64 << 10));
#endif
}

static void
lines_do_not_disturb_the_stream(void **state)
{
	struct fixture f;
	struct bytes b = add_call(1, 1);

	(void)state;
	open_service(&f);
	expect(call(&f, &b), ACCEPTED(1), SUCCESS, 0, 1, 0, 1);
	assert_int_equal(
		handoff_server_say(f.duo.a.server, 0, "closed at noon"), 0);
	for (int i = 0; i < 10; i++)
		duo_turn(&f.duo);
	expect(call(&f, &b), ACCEPTED(1), SUCCESS, 0, 2, 0, 2);
	close_service(&f);
}

static void
a_failed_call_ends_the_connection_and_undoes(void **state)
{
	struct fixture f;
	struct bytes b = plain_call(1, COUNTER, COUNTER_ONE, 4);
	char byte;

	(void)state;
	open_service(&f);
	put(&b, EIO);
	send_call(&f, &b);
	assert_false(receive(&f, &byte, 1));
	close(f.fd);
	f.fd = client_open(f.duo.a.address);
	b = add_call(2, 1);
	expect(call(&f, &b), ACCEPTED(2), SUCCESS, 0, 1, 0, 1);
	close_service(&f);
}

static void
sums_move_along(void **state)
{
	struct fixture f;
	struct bytes b = add_call(1, 2);

	(void)state;
	open_service(&f);
	expect(call(&f, &b), ACCEPTED(1), SUCCESS, 0, 2, 0, 2);
	b = add_call(2, 3);
	send_bytes(&f, "\x80\0\0\x2c", 4); /* half of a call moves too */
	send_bytes(&f, b.data, 20);
	duo_turn(&f.duo);
	assert_int_equal(handoff_server_maintenance(f.duo.a.server), 0);
	duo_expect(&f.duo, &f.duo.b, HANDOFF_SERVER_OWNER);
	send_bytes(&f, b.data + 20, b.len - 20);
	expect(receive_reply(&f), ACCEPTED(2), SUCCESS, 0, 5, 0, 5);
	close_service(&f);
}

static void
only_calls_of_this_library_have_a_connection(void **state)
{
	SVCXPRT foreign = {.xp_fd = -1};
	struct svc_req req = {.rq_xprt = &foreign};

	(void)state;
	assert_null(handoff_rpc_conn(&req));
	assert_null(handoff_rpc_arg(&req));
	assert_int_equal(handoff_rpc_fail(&req, -EIO), -EINVAL);
	assert_null(handoff_rpc_conn(NULL));
}

/* Opens with one option changed, and expects this sentence. */
#define refused(error, sentence, ...)                                          \
	do {                                                                   \
		struct handoff_rpc_opts o;                                     \
		struct handoff_rpc *rpc = NULL;                                \
		char why[HANDOFF_TEXT_MAX] = "";                               \
		counter_options(&o, NULL);                                     \
		o.errbuf = why;                                                \
		o.errbuf_size = sizeof(why);                                   \
		__VA_ARGS__;                                                   \
		assert_int_equal(handoff_rpc_open(&rpc, &o), error);           \
		assert_null(rpc);                                              \
		assert_string_equal(why, sentence);                            \
	} while (0)

static void
bad_options_are_refused(void **state)
{
	static const struct handoff_rpc_program twice[] = {
		{7, 1, (handoff_rpc_dispatch_fn *)abort},
		{7, 1, (handoff_rpc_dispatch_fn *)abort},
		{8, 1, NULL},
	};
	struct handoff_service odd = {.size = sizeof(odd), .name = "a b"};

	(void)state;
	refused(-EINVAL, "rpc: 1 to 64 programs are needed, not 0",
		o.nprograms = 0);
	refused(-EINVAL, "rpc: 1 to 64 programs are needed, not 65",
		o.nprograms = 65);
	refused(-EINVAL, "rpc: program 0x7 version 1 is given twice",
		o.programs = twice);
	refused(-EINVAL, "rpc: program 0x8 version 1 has no dispatch function",
		o.programs = twice + 2;
		o.nprograms = 1);
	refused(-EINVAL,
		"rpc: max_call is 1023: 1024 to 1048576 bytes are possible",
		o.max_call = 1023);
	refused(-EINVAL,
		"rpc: max_reply is 524289: 1024 to 524288 bytes are possible",
		o.max_reply = 524289);
	refused(-EINVAL, "rpc: auth is 3: not a member of handoff_rpc_auth",
		o.auth = (enum handoff_rpc_auth)3);
	refused(-EINVAL,
		"rpc: the name of its service is none: 1 to 31 of A-Z, a-z, "
		"0-9, '.', '_' and '-'",
		o.service = &odd);
	assert_int_equal(handoff_rpc_open(NULL, NULL), -EINVAL);
	handoff_rpc_free(NULL);
	assert_null(handoff_rpc_service(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(calls_are_answered),
		handoff_test(call_that_waits_in_vain_is_repeated),
		handoff_test(every_refusal_has_its_name),
		handoff_test(callers_are_refused_by_name),
		handoff_test(bad_sys_is_refused),
		handoff_test(procedures_see_who_calls),
		handoff_test(what_is_no_call_ends_the_connection),
		handoff_test(the_longest_call_is_limited),
		handoff_test(fragments_are_a_call),
		handoff_test(replies_of_every_size),
		handoff_test(pipelined_calls_wait_for_room),
		handoff_test(lengths_that_lie_are_garbage),
		handoff_test(lines_do_not_disturb_the_stream),
		handoff_test(a_failed_call_ends_the_connection_and_undoes),
		handoff_test(sums_move_along),
		handoff_test(only_calls_of_this_library_have_a_connection),
		handoff_test(bad_options_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
