/* SPDX-License-Identifier: MIT */
/*
 * Heads of calls: what is read of a good one, and the verdict on every kind of
 * bad one. Messages lie in memory of their own size.
 */
#include "support/support.h"

#include "rpc/bytes.h"
#include "rpc/message.h"

#include <stdlib.h>

/* Parses a copy that ends where its memory does. The pointers of the head are
 * not valid afterwards. */
static enum handoff__rpc_verdict
parse(const struct bytes *b, struct handoff__rpc_head *head)
{
	uint8_t *copy = malloc(b->len + 1);
	enum handoff__rpc_verdict verdict;

	assert_non_null(copy);
	memcpy(copy + 1, b->data, b->len); /* not aligned either */
	verdict = handoff__rpc_parse(copy + 1, b->len, head);
	if (verdict == HANDOFF__RPC_CALL) {
		assert_ptr_equal(
			head->args + head->args_len, copy + 1 + b->len);
	}
	free(copy);
	return verdict;
}

static void
call_is_read(void **state)
{
	struct bytes b = plain_call(7, 100, 2, 5);
	struct handoff__rpc_head head;

	(void)state;
	put(&b, 42);
	assert_int_equal(parse(&b, &head), HANDOFF__RPC_CALL);
	assert_int_equal(head.xid, 7);
	assert_int_equal(head.prog, 100);
	assert_int_equal(head.vers, 2);
	assert_int_equal(head.proc, 5);
	assert_int_equal(head.cred.flavor, AUTH_NONE);
	assert_int_equal(head.cred.len, 0);
	assert_int_equal(head.args_len, 4);
}

static void
every_part_is_no_call(void **state)
{
	struct bytes b = begin_call(7, 100, 2, 5);
	struct handoff__rpc_head head;
	size_t whole;

	(void)state;
	put_sys(&b, "machine", 3);
	whole = b.len;
	assert_int_equal(parse(&b, &head), HANDOFF__RPC_CALL);
	for (b.len = 0; b.len < whole; b.len++)
		assert_int_equal(parse(&b, &head),
			b.len < 8 ? HANDOFF__RPC_NOT : HANDOFF__RPC_GARBAGE);
}

static void
reply_is_no_call(void **state)
{
	struct bytes b = plain_call(7, 100, 2, 5);
	struct handoff__rpc_head head;

	(void)state;
	b.data[7] = REPLY;
	assert_int_equal(parse(&b, &head), HANDOFF__RPC_NOT);
	b.data[7] = 2;
	assert_int_equal(parse(&b, &head), HANDOFF__RPC_NOT);
}

static void
other_versions_are_told(void **state)
{
	struct bytes b = plain_call(7, 100, 2, 5);
	struct handoff__rpc_head head;

	(void)state;
	b.data[11] = 3;
	assert_int_equal(parse(&b, &head), HANDOFF__RPC_VERSION);
	assert_int_equal(head.xid, 7);
}

static void
authentication_has_a_limit(void **state)
{
	struct handoff__rpc_head head;
	char body[MAX_AUTH_BYTES + 1] = "";

	(void)state;
	for (uint32_t len = MAX_AUTH_BYTES; len <= MAX_AUTH_BYTES + 1; len++) {
		struct bytes cred = begin_call(7, 100, 2, 5), verf = cred;
		bool fits = len == MAX_AUTH_BYTES;

		put(&cred, 1);
		put_opaque(&cred, body, len);
		put(&cred, 0);
		put(&cred, 0);
		assert_int_equal(parse(&cred, &head),
			fits ? HANDOFF__RPC_CALL : HANDOFF__RPC_BADCRED);
		put(&verf, 0);
		put(&verf, 0);
		put(&verf, 1);
		put_opaque(&verf, body, len);
		assert_int_equal(parse(&verf, &head),
			fits ? HANDOFF__RPC_CALL : HANDOFF__RPC_BADVERF);
	}
}

static void
lengths_that_lie_are_told(void **state)
{
	struct handoff__rpc_head head;

	(void)state;
	for (int shift = 0; shift < 32; shift++) {
		struct bytes b = begin_call(7, 100, 2, 5);

		put(&b, 1);
		put(&b, 1u << shift);
		assert_int_equal(parse(&b, &head),
			1u << shift > MAX_AUTH_BYTES ? HANDOFF__RPC_BADCRED
						     : HANDOFF__RPC_GARBAGE);
	}
}

/* Reads the credentials of a call from memory of their own size. */
static enum auth_stat
read_sys(const struct bytes *b, struct handoff__rpc_sys *sys)
{
	uint8_t *copy = malloc(b->len + 1);
	struct handoff__rpc_auth cred = {
		.flavor = AUTH_SYS, .len = (uint32_t)b->len, .data = copy};
	enum auth_stat stat;

	assert_non_null(copy);
	memcpy(copy, b->data, b->len);
	stat = handoff__rpc_sys_parse(&cred, sys);
	free(copy);
	return stat;
}

static struct bytes
sys_body(const char *machine, uint32_t groups)
{
	struct bytes whole = {.len = 0}, body = {.len = 0};

	put_sys(&whole, machine, groups);
	body.len = whole.len - 16;
	memcpy(body.data, whole.data + 8, body.len);
	return body;
}

static void
caller_is_read(void **state)
{
	struct bytes b = sys_body("host", 16);
	struct handoff__rpc_sys sys;

	(void)state;
	assert_int_equal(read_sys(&b, &sys), AUTH_OK);
	assert_string_equal(sys.aup.aup_machname, "host");
	assert_int_equal(sys.aup.aup_uid, 1000);
	assert_int_equal(sys.aup.aup_gid, 100);
	assert_int_equal(sys.aup.aup_len, 16);
	assert_int_equal(sys.aup.aup_gids[15], 15);
}

static void
bad_callers_are_told(void **state)
{
	struct handoff__rpc_sys sys;
	struct bytes b = sys_body("host", 3);
	size_t whole = b.len;
	char longest[MAX_MACHINE_NAME + 2] = "";

	(void)state;
	for (b.len = 0; b.len < whole; b.len++)
		assert_int_equal(read_sys(&b, &sys), AUTH_BADCRED);
	b = sys_body("host", 17);
	assert_int_equal(read_sys(&b, &sys), AUTH_BADCRED);
	memset(longest, 'h', MAX_MACHINE_NAME + 1);
	b = sys_body(longest, 0);
	assert_int_equal(read_sys(&b, &sys), AUTH_BADCRED);
	longest[MAX_MACHINE_NAME] = '\0';
	b = sys_body(longest, 0);
	assert_int_equal(read_sys(&b, &sys), AUTH_OK);
	assert_int_equal(strlen(sys.aup.aup_machname), MAX_MACHINE_NAME);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(call_is_read),
		handoff_test(every_part_is_no_call),
		handoff_test(reply_is_no_call),
		handoff_test(other_versions_are_told),
		handoff_test(authentication_has_a_limit),
		handoff_test(lengths_that_lie_are_told),
		handoff_test(caller_is_read),
		handoff_test(bad_callers_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
