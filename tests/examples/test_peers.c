/* SPDX-License-Identifier: MIT */
/*
 * What handoffctl reads of a status in JSON: the members that an upgrade
 * decides by, wherever they stand, and texts that are cut off or no JSON.
 */
#include "support/support.h"

#include "json.h"
#include "peers.h"

#include <stdlib.h>
#include <string.h>

static const char status[] =
	"{\"service\":\"echo\",\"peers\":[{\"name\":\"server\",\"pid\":812,"
	"\"role\":\"owner\",\"connections\":120,\"held\":0,\"listeners\":"
	"[\"127.0.0.1:7000\",\"unix:/a]}\\\"\"],\"uncovered\":3,\"lagging\":"
	"true,\"partner\":\"loading\",\"model\":\"loop\",\"maintenance\":"
	"{\"pid\":1,\"role\":\"none\"},\"loading\":\"\"},\n"
	" {\"role\" : \"standby\" , \"name\":\"alt\",\"pid\":813,\"model\":"
	"\"ferry\",\"loading\":\"reads \\\"a\\u0062c\\u00e4\\\"\\n\\u001b[2J\","
	"\"lagging\":false}]}\n";

static void
members_of_each_peer(void **state)
{
	struct peers peers;
	const struct peer *one, *two;

	(void)state;
	peers_parse(&peers, status);
	assert_int_equal(peers.count, 2);
	one = peers_find(&peers, 812);
	two = peers_find(&peers, 813);
	assert_ptr_equal(one, &peers.peer[0]);
	assert_ptr_equal(two, &peers.peer[1]);
	assert_null(peers_find(&peers, 1));
	assert_string_equal(one->name, "server");
	assert_true(peer_is(one, "owner"));
	assert_int_equal(one->connections, 120);
	assert_int_equal(one->uncovered, 3);
	assert_true(one->lagging);
	assert_string_equal(one->partner, "loading");
	assert_false(one->ferry);
	assert_string_equal(two->name, "alt");
	assert_true(peer_is(two, "standby"));
	assert_false(two->lagging);
	assert_true(two->ferry);
	assert_string_equal(two->partner, "");
	assert_false(peer_is(NULL, "owner"));
}

/* A terminal would act on them. */
static void
no_control_characters(void **state)
{
	struct peers peers;

	(void)state;
	peers_parse(&peers, status);
	assert_string_equal(peers.peer[1].loading, "reads \"abc?\" ?[2J");
}

static void
unknown_process(void **state)
{
	struct peers peers;

	(void)state;
	peers_parse(&peers, "{\"service\":null,\"peers\":[{\"name\":null,"
			    "\"pid\":null,\"role\":\"unresponsive\"}]}\n");
	assert_int_equal(peers.count, 1);
	assert_string_equal(peers.peer[0].name, "?");
	assert_int_equal(peers.peer[0].pid, 0);
	peers_parse(&peers, "{\"service\":null,\"peers\":[]}");
	assert_int_equal(peers.count, 0);
}

/* Each beginning of a status, at the end of its memory: a sanitizer sees what
 * is read beyond. */
static void
texts_that_are_cut_off(void **state)
{
	size_t known = (size_t)(strstr(status, "812") - status) + 3;
	struct peers peers;

	(void)state;
	for (size_t len = 0; len < sizeof(status); len++) {
		char *text = strndup(status, len);

		assert_non_null(text);
		peers_parse(&peers, text);
		assert_true(peers.count <= 2);
		assert_true(
			(peers_find(&peers, 812) != NULL) == (len >= known));
		free(text);
	}
}

static void
no_json(void **state)
{
	static const char *const texts[] = {"", "{", "[", "}", "null",
		"{\"peers\":{}}", "{\"peers\":[1,\"a\",null,true]}",
		"{\"peers\" [{}]}", "{peers:[]}", "{\"peers\":[[[[",
		"{\"a\":\"\\", "{\"peers\":[{\"name\":\"\\u"};
	struct peers peers;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		peers_parse(&peers, texts[i]);
		for (size_t k = 0; k < peers.count; k++)
			assert_int_equal(peers.peer[k].pid, 0);
	}
	assert_null(json_member(NULL, "a"));
	assert_null(json_first(NULL));
	assert_int_equal(json_number(NULL), 0);
	assert_false(json_true(NULL));
}

static void
text_that_is_too_long(void **state)
{
	char text[4];

	(void)state;
	json_text("\"abcdef\"", text, sizeof(text));
	assert_string_equal(text, "abc");
	json_text("12", text, sizeof(text));
	assert_string_equal(text, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(members_of_each_peer),
		handoff_test(no_control_characters),
		handoff_test(unknown_process),
		handoff_test(texts_that_are_cut_off),
		handoff_test(no_json),
		handoff_test(text_that_is_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
