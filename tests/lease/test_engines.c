/* SPDX-License-Identifier: MIT */
/* The table of engines: what may be added to it, and how it is searched. */
#include "support/support.h"

#include "lease/engines.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static char sentence[HANDOFF_TEXT_MAX];

/* Calls that are never made. */
static int
fd(void *end)
{
	(void)end;
	return -1;
}

static int
open_end(void **end, const char *rest, const struct handoff_lease_side *side,
	char *errbuf, size_t errbuf_size)
{
	(void)end, (void)rest, (void)side, (void)errbuf, (void)errbuf_size;
	return -ENOSYS;
}

static int
next_event(void *end, struct handoff_lease_event *event)
{
	(void)end, (void)event;
	return 0;
}

static int
ask(void *end, uint64_t serial, uint64_t token)
{
	(void)end, (void)serial, (void)token;
	return -ENOSYS;
}

static int
publish(void *end, uint64_t serial, uint64_t token, const void *data,
	size_t len)
{
	(void)end, (void)serial, (void)token, (void)data, (void)len;
	return -ENOSYS;
}

static int
ask_simply(void *end, uint64_t serial)
{
	(void)end, (void)serial;
	return -ENOSYS;
}

static int
save(void *end, void *session, size_t size)
{
	(void)end, (void)session, (void)size;
	return 0;
}

static int
member(void *end, size_t i, struct handoff_lease_member *out)
{
	(void)end, (void)i, (void)out;
	return 0;
}

static void
close_end(void *end)
{
	(void)end;
}

static struct handoff_lease_engine
engine(const char *prefix)
{
	return (struct handoff_lease_engine){
		.size = sizeof(struct handoff_lease_engine),
		.prefix = prefix,
		.form = "x:Y",
		.open = open_end,
		.fd = fd,
		.next_event = next_event,
		.acquire = ask,
		.prove = ask,
		.publish = publish,
		.retained = ask_simply,
		.save = save,
		.release = ask_simply,
		.close = close_end};
}

static int
add(const struct handoff_lease_engine *e)
{
	sentence[0] = '\0';
	return handoff_lease_engine_add(e, sentence, sizeof(sentence));
}

static void
test_none(void **state)
{
	struct handoff__error error;

	(void)state;
	assert_int_equal(handoff__engine_check("zk:h/s", &error), -EINVAL);
	assert_string_equal(error.text, "'zk:h/s' is no address for a lease: "
					"want one of an engine, and none was "
					"added");
}

static void
test_adds(void **state)
{
	struct handoff_lease_engine e = engine("one:");
	struct handoff__error error;
	const char *rest;

	(void)state;
	assert_int_equal(add(&e), 0);
	assert_int_equal(add(&e), -EEXIST);
	assert_string_equal(sentence, "lease engine one: there is one with "
				      "this prefix already");
	e = engine("two:");
	e.form = "two:Z";
	/* of an older version, without the calls that may be missing */
	e.member = member;
	e.size = offsetof(struct handoff_lease_engine, describe);
	assert_int_equal(add(&e), 0);
	assert_int_equal(handoff_lease_engine_add(&e, NULL, 0), -EEXIST);
	assert_string_equal(
		handoff__engine_find("lease", "two:rest", &rest, &error)->form,
		"two:Z");
	assert_string_equal(rest, "rest");
	assert_null(
		handoff__engine_find("lease", "two:x", &rest, &error)->member);
	assert_null(handoff__engine_find("lease", "three:x", &rest, &error));
	assert_string_equal(
		error.text, "lease: address 'three:x': want x:Y or two:Z");
}

static void
test_refuses(void **state)
{
	static const char *const prefixes[] = {
		NULL, "", ":", "no", "a b:", "Up:", "sixteen.letters.:", "a:b"};
	struct {
		struct handoff_lease_engine e;
		void *later;
	} newer = {engine("new:"), &newer};
	struct handoff_lease_engine e;

	(void)state;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		e = engine(prefixes[i]);
		assert_int_equal(add(&e), -EINVAL);
		assert_non_null(strstr(sentence, "want 1 to 15 characters"));
	}
	e = engine("lacks:");
	e.release = NULL;
	assert_int_equal(add(&e), -EINVAL);
	assert_string_equal(sentence, "lease engine lacks: it must have a form "
				      "and all calls from open to close");
	newer.e.size = sizeof(newer);
	assert_int_equal(add(&newer.e), -E2BIG);
	assert_non_null(strstr(sentence, "of a later version"));
	e.size = 8;
	assert_int_equal(add(&e), -EINVAL);
	assert_int_equal(add(NULL), -EINVAL);
}

static void
test_full(void **state)
{
	static char prefixes[HANDOFF_LEASE_ADDED_MAX][16];
	int err = 0, added = 0;

	(void)state;
	for (int i = 0; i < HANDOFF_LEASE_ADDED_MAX && err == 0; i++) {
		struct handoff_lease_engine e;

		snprintf(prefixes[i], sizeof(prefixes[i]), "e%d:", i);
		e = engine(prefixes[i]);
		err = add(&e);
		added += err == 0;
	}
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(added, HANDOFF_LEASE_ADDED_MAX - 2);
	assert_non_null(strstr(sentence, "at most 16 can be added"));
}

static void
test_names(void **state)
{
	(void)state;
	assert_string_equal(
		handoff_lease_state_name(HANDOFF_LEASE_FREE), "FREE");
	assert_string_equal(
		handoff_lease_state_name(HANDOFF_LEASE_CANDIDATE), "CANDIDATE");
	assert_string_equal(
		handoff_lease_state_name(HANDOFF_LEASE_OWNER), "OWNER");
	assert_string_equal(
		handoff_lease_state_name(HANDOFF_LEASE_DOUBT), "DOUBT");
	assert_string_equal(
		handoff_lease_state_name(HANDOFF_LEASE_LOST), "LOST");
	assert_string_equal(
		handoff_lease_state_name((enum handoff_lease_state)5), "?");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_none),
		handoff_test(test_adds),
		handoff_test(test_refuses),
		handoff_test(test_full),
		handoff_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
