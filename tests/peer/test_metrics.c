/* SPDX-License-Identifier: MIT */
/* Every count of the tally has its sample, and every bucket its bound. */
#include "peer/fixture.h"

#include "peer/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL "{service=\"test\",peer=\"one\",place=\"1\""

static struct handoff__buf buf;

/* The samples of a name with these labels ("" or `,x="y"`). */
static void
assert_sample(const char *name, const char *labels, const char *value)
{
	char line[256];

	snprintf(line, sizeof(line), "\nhandoff_%s" ALL "%s} %s\n", name,
		labels, value);
	if (!strstr(buf.data, line))
		fail_msg("no sample%s", line);
}

static void
metrics_of(struct side *side)
{
	free(buf.data);
	buf = (struct handoff__buf){.data = NULL};
	handoff__metrics(&side->pair, &buf);
	assert_false(buf.failed);
}

static void
state_is_told(void **state)
{
	(void)state;
	one.pair.config.model = "thread";
	pair_enter(&one, HANDOFF__LISTENER);
	pair_enter_many(&one, 2);
	pair_run(&one, &two);
	pair_enter_many(&one, 1);
	metrics_of(&one);
	assert_sample("info", ",version=\"0.1.0\",model=\"thread\"", "1");
	assert_sample("workers", "", "1");
	assert_sample("serving", "", "1");
	assert_sample("generation", "", "1");
	assert_sample("connections", "", "3");
	assert_sample("held", "", "0");
	assert_sample("uncovered", "", "1");
	assert_sample("standby_attached", "", "1");
	assert_sample("lagging", "", "0");
	assert_sample("hung", "", "0");
	assert_sample("accepted_total", "", "3");
	assert_null(strstr(buf.data, "last_handoff_timestamp"));
	one.pair.pulse.hung = one.pair.pulse.lagging = true;
	metrics_of(&one);
	assert_sample("lagging", "", "1");
	assert_sample("hung", "", "1");
	assert_sample("standby_attached", "", "0");
	free(buf.data);
	buf.data = NULL;
}

static void
set_counts(struct handoff__tally *t)
{
	t->begun = 1000;
	t->ended = 102;
	for (int i = 1; i < HANDOFF__ENDS; i++)
		t->ends[i] = (uint64_t)i;
	t->received = 11;
	t->sent = 12;
	for (int i = 0; i < HANDOFF__OUTCOMES; i++) {
		t->handoffs[HANDOFF__WAY_OUT][i] = (uint64_t)(20 + i);
		t->handoffs[HANDOFF__WAY_IN][i] = (uint64_t)(30 + i);
	}
	for (int way = 0; way < HANDOFF__WAYS; way++) {
		t->moved[way] = (uint64_t)(40 + way);
		t->unread[way] = (uint64_t)(50 + way);
		t->unsent[way] = (uint64_t)(60 + way);
	}
	t->returned.connections = 2;
	t->returned.unread = 3;
	t->returned.unsent = 4;
	for (int i = 0; i < HANDOFF__REASONS; i++)
		t->left[i] = 100;
	t->left[HANDOFF__HANDLER_BUSY] = 7;
	t->inherited = 71;
	t->repaired = 72;
	t->refused = 73;
	t->handler_deaths = 74;
}

static void
counts_are_told(void **state)
{
	(void)state;
	pair_own(&one);
	set_counts(&one.pair.tally);
	one.pair.last.report.id = 5;
	one.pair.last.at_ms = 1700000000007;
	metrics_of(&one);
	assert_sample("accepted_total", "", "1000");
	assert_sample("closed_total", ",reason=\"client\"", "1");
	assert_sample("closed_total", ",reason=\"service\"", "2");
	assert_sample("closed_total", ",reason=\"error\"", "3");
	assert_sample("closed_total", ",reason=\"handler\"", "4");
	assert_sample("closed_total", ",reason=\"input\"", "5");
	assert_sample("closed_total", ",reason=\"stop\"", "6");
	assert_sample("closed_total", ",reason=\"death\"", "7");
	assert_sample("closed_total", ",reason=\"state\"", "8");
	assert_sample("closed_total", ",reason=\"poison\"", "9");
	assert_sample("closed_total", ",reason=\"suspect\"", "10");
	assert_sample("closed_total", ",reason=\"deadline\"", "11");
	assert_sample("closed_total", ",reason=\"posts\"", "12");
	assert_sample("closed_total", ",reason=\"protocol\"", "14");
	assert_sample("closed_total", ",reason=\"other\"", "10");
	assert_sample("handler_deaths_total", "", "74");
	assert_sample("suspects", "", "0");
	assert_sample("in_doubt", "", "0");
	assert_sample("bytes_received_total", "", "11");
	assert_sample("bytes_sent_total", "", "12");
	assert_sample(
		"handoffs_total", ",direction=\"gave\",outcome=\"done\"", "20");
	assert_sample("handoffs_total",
		",direction=\"gave\",outcome=\"refused\"", "21");
	assert_sample("handoffs_total",
		",direction=\"took\",outcome=\"broken\"", "32");
	assert_sample("moved_connections_total", ",direction=\"gave\"", "42");
	assert_sample("moved_connections_total", ",direction=\"took\"", "41");
	assert_sample("returned_connections_total", "", "2");
	assert_sample("carried_bytes_total",
		",direction=\"gave\",kind=\"unread\"", "53");
	assert_sample("carried_bytes_total",
		",direction=\"took\",kind=\"unsent\"", "61");
	assert_sample("left_behind_total", ",reason=\"table_full\"", "100");
	assert_sample("left_behind_total", ",reason=\"handler_busy\"", "7");
	assert_sample("left_behind_total", ",reason=\"bad_state\"", "100");
	assert_sample("left_behind_total", ",reason=\"other\"", "1800");
	assert_sample("failovers_total", "", "0");
	assert_sample("inherited_connections_total", "", "71");
	assert_sample("repaired_total", "", "72");
	assert_sample("refused_peers_total", "", "73");
	assert_sample("last_handoff_timestamp_seconds", "", "1700000000.007");
	/* Where a program keeps its buffers itself nobody knows of bytes. */
	one.pair.config.streamless = true;
	metrics_of(&one);
	assert_null(strstr(buf.data, "handoff_bytes"));
	assert_null(strstr(buf.data, "handoff_carried"));
	assert_sample("repaired_total", "", "72");
	free(buf.data);
	buf.data = NULL;
}

/* The bounds as the samples have them are those that are counted by. */
static void
buckets_are_told(void **state)
{
	struct handoff__histogram *h = &one.pair.tally.failovers;
	const char *at;

	(void)state;
	pair_own(&one);
	handoff__histogram_add(h, 99);
	handoff__histogram_add(h, 3000);
	handoff__histogram_add(h, 20000000);
	metrics_of(&one);
	at = buf.data;
	for (int i = 0; i < HANDOFF__BOUNDS; i++) {
		const char *sample =
			"handoff_failover_seconds_bucket" ALL ",le=\"";
		char *end;
		double bound;

		at = strstr(at, sample);
		assert_non_null(at);
		at += strlen(sample);
		bound = strtod(at, &end);
		assert_true(
			(uint32_t)(bound * 1e6 + 0.5) == handoff__bounds_us[i]);
		assert_int_equal(strtoul(end + 3, NULL, 10),
			1 + (handoff__bounds_us[i] >= 3000));
	}
	assert_sample("failover_seconds_bucket", ",le=\"+Inf\"", "3");
	assert_sample("failover_seconds_sum", "", "20.003099");
	assert_sample("failover_seconds_count", "", "3");
	assert_sample("failovers_total", "", "3");
	assert_sample("handoff_seconds_bucket",
		",direction=\"took\",le=\"0.0001\"", "0");
	free(buf.data);
	buf.data = NULL;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pair_test(state_is_told),
		side_test(counts_are_told),
		side_test(buckets_are_told),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
