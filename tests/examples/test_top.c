/* SPDX-License-Identifier: MIT */
/*
 * What `handoffctl top` makes of two samples: rates, the order of connections,
 * handoffs and the longest of them, and a frame that fits its terminal.
 */
#include "support/support.h"

#include "top.h"

#include <stdlib.h>
#include <string.h>

#define DAY 86400000LL

static const char status[] =
	"{\"service\":\"echo\",\"peers\":[{\"name\":\"alt\",\"pid\":2,\"role\":"
	"\"owner\",\"connections\":3,\"uncovered\":1,\"last_handoff\":{\"id\":"
	"4,\"at_ms\":86400000,\"direction\":\"took\",\"cause\":\"maintenance\","
	"\"complete\":true,\"with\":\"server\",\"connections\":3,\"took_us\":"
	"1250}},{\"name\":\"server\",\"pid\":1,\"role\":\"standby\","
	"\"last_handoff\":{\"id\":3,\"direction\":\"took\",\"with\":\"alt\"}}]"
	"}";

/* Of both peers, in no order. */
static const char before[] =
	"{\"peers\":[{\"name\":\"alt\",\"connections\":[{\"id\":7,\"received\":"
	"100,\"sent\":50},{\"id\":2,\"received\":5000,\"sent\":5000}],"
	"\"omitted\":0},{\"name\":\"server\",\"connections\":[],\"omitted\":0}"
	"]}";
static const char after[] =
	"{\"peers\":[{\"name\":\"alt\",\"connections\":[{\"id\":2,\"since_ms\":"
	"82739000,\"address\":\"127.0.0.1:5000\",\"received\":5000,\"sent\":"
	"5000,\"label\":\"at rest\"},{\"id\":9,\"received\":10,\"sent\":0,"
	"\"session\":true}],\"omitted\":40},{\"name\":\"server\","
	"\"connections\":[{\"id\":7,\"received\":4100,\"sent\":2050}],"
	"\"omitted\":2}]}";

static struct sample old, new;

static void
take(const char *was, const char *is, long long ms)
{
	assert_true(sample_parse(&old, status, was));
	assert_true(sample_parse(&new, status, is));
	new.at_ms = old.at_ms + ms;
	sample_rate(&new, &old);
}

static int
free_samples(void **state)
{
	(void)state;
	sample_free(&old);
	sample_free(&new);
	return 0;
}

static void
rates_are_between_two_samples(void **state)
{
	(void)state;
	take(before, after, 2000);
	assert_int_equal(new.count, 3);
	assert_int_equal(new.omitted, 42);
	/* the busiest first, then what came since, then what had most */
	assert_int_equal(new.flows[0].id, 7);
	assert_true(new.flows[0].in == 2000 && new.flows[0].out == 1000);
	assert_string_equal(new.flows[0].peer, "server");
	assert_int_equal(new.flows[1].id, 9);
	assert_true(new.flows[1].in == 5 && new.flows[1].session);
	assert_int_equal(new.flows[2].id, 2);
	assert_true(new.flows[2].in == 0 && new.flows[2].out == 0);
	assert_true(new.in == 2005 && new.out == 1000);
}

/* It may be one of those that were not listed. */
static void
unlisted_connection_has_no_rate(void **state)
{
	(void)state;
	take(after, after, 1000);
	assert_true(new.in == 0);
	free_samples(state);
	take("{\"peers\":[{\"name\":\"alt\",\"connections\":[],\"omitted\":9}"
	     "]}",
		before, 1000);
	assert_true(new.in == 0 && new.out == 0);
	assert_int_equal(new.flows[0].id, 2);
}

static void
copy_has_the_order_of_ids(void **state)
{
	struct sample copy;

	(void)state;
	take(before, after, 2000);
	assert_true(sample_copy(&copy, &new));
	assert_int_equal(copy.flows[0].id, 2);
	assert_int_equal(copy.flows[1].id, 7);
	assert_int_equal(copy.flows[2].id, 9);
	sample_free(&copy);
}

static void
handoffs_are_kept(void **state)
{
	struct gives gives = {.count = 0};

	(void)state;
	take(before, after, 2000);
	gives_add(&gives, &new);
	gives_add(&gives, &new);
	assert_int_equal(gives.count, 1);
	assert_string_equal(gives.list[0].from, "server");
	assert_string_equal(gives.list[0].to, "alt");
	for (int i = 1; i <= GIVES_MAX + 2; i++) {
		new.last.id++;
		new.last.took_us = i == 3 ? 9000 : i;
		gives_add(&gives, &new);
	}
	assert_int_equal(gives.count, GIVES_MAX);
	assert_int_equal(gives.list[0].id, 4 + GIVES_MAX + 2);
	assert_int_equal(gives.longest.id, 7);
	new.last.id = 0; /* a service without any */
	gives_add(&gives, &new);
	assert_int_equal(gives.list[0].id, 4 + GIVES_MAX + 2);
}

static void
assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no '%s' in:\n%s", part, text);
}

static void
frame_has_it_all(void **state)
{
	struct gives gives = {.count = 0};
	char *text;

	(void)state;
	take(before, after, 2000);
	text = top_frame(&new, &gives, DAY, 50, 200);
	assert_has(text, "echo: alt (pid 2) is owner of 3 connections, 1 not "
			 "covered, server (pid 1) is standby\n");
	assert_has(text, "received 2.0 kB/s, sent 1.0 kB/s\n");
	assert_has(text,
		"alt               2  127.0.0.1:5000             0 B      0 B  "
		"10.0 kB   1:01:01  at rest\n");
	assert_has(text, "[session]");
	assert_has(text, "... and 42 more\n");
	assert_has(text, "\nno handoff yet\n");
	free(text);
	gives_add(&gives, &new);
	text = top_frame(&new, &gives, DAY, 50, 200);
	assert_has(text, "longest silence 1.250 ms, in number 4\n");
	assert_has(text, "maintenance   server -> alt  3 connections in 1.250 "
			 "ms\n");
	free(text);
}

static void
frame_fits_its_terminal(void **state)
{
	struct gives gives = {.count = 0};

	(void)state;
	take(before, after, 2000);
	for (int i = 0; i < GIVES_MAX; i++) {
		new.last.id++;
		gives_add(&gives, &new);
	}
	for (size_t rows = 2; rows < 40; rows++) {
		char *text = top_frame(&new, &gives, DAY, rows, 20);
		size_t lines = 0;

		for (char *at = text; *at; lines++) {
			size_t len = strcspn(at, "\n");

			assert_in_range(len, 0, 20);
			at += len + 1;
		}
		assert_in_range(lines, rows < 8 ? rows : 8, rows);
		free(text);
	}
}

/* Each column but the label. */
static void
row_fits_the_usual_terminal(void **state)
{
	struct gives gives = {.count = 0};
	char *text;

	(void)state;
	take(before, after, 2000);
	new.flows[2].since_ms = -999 * 3600000LL;
	strcpy(new.flows[2].client, "192.168.100.100:65000");
	text = top_frame(&new, &gives, -50 * 60000, 50, 79);
	assert_has(text, " 192.168.100.100:65000      0 B      0 B  10.0 kB "
			 "998:10:00\n");
	free(text);
}

/* Lines are cut between characters. */
static void
characters_are_whole(void **state)
{
	struct gives gives = {.count = 0};
	char *text, *label;

	(void)state;
	take(before, after, 2000);
	strcpy(new.flows[0].label, "\xc3\xa4\xc3\xb6\xc3\xbc");
	text = top_frame(&new, &gives, DAY, 50, 83);
	label = strstr(text, "\xc3\xa4");
	assert_non_null(label);
	assert_true(strncmp(label, "\xc3\xa4\n", 3) == 0 ||
		    strncmp(label, "\xc3\xa4\xc3\xb6\n", 5) == 0 ||
		    strncmp(label, "\xc3\xa4\xc3\xb6\xc3\xbc\n", 7) == 0);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			rates_are_between_two_samples, free_samples),
		cmocka_unit_test_teardown(
			unlisted_connection_has_no_rate, free_samples),
		cmocka_unit_test_teardown(
			copy_has_the_order_of_ids, free_samples),
		cmocka_unit_test_teardown(handoffs_are_kept, free_samples),
		cmocka_unit_test_teardown(frame_has_it_all, free_samples),
		cmocka_unit_test_teardown(
			frame_fits_its_terminal, free_samples),
		cmocka_unit_test_teardown(
			row_fits_the_usual_terminal, free_samples),
		cmocka_unit_test_teardown(characters_are_whole, free_samples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
