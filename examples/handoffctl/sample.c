/* SPDX-License-Identifier: MIT */
/*
 * Reads two replies of JSON and computes differences. Prints nothing.
 */
#include "sample.h"

#include "json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
parse_flow(struct flow *flow, const char *object, const char *peer)
{
	memset(flow, 0, sizeof(*flow));
	flow->id = json_number(json_member(object, "id"));
	flow->since_ms = json_number(json_member(object, "since_ms"));
	flow->received = json_number(json_member(object, "received"));
	flow->sent = json_number(json_member(object, "sent"));
	flow->session = json_true(json_member(object, "session"));
	json_text(peer, flow->peer, sizeof(flow->peer));
	json_text(json_member(object, "address"), flow->client,
		sizeof(flow->client));
	json_text(
		json_member(object, "label"), flow->label, sizeof(flow->label));
}

static bool
add_flow(struct sample *sample, size_t *room, const char *object,
	const char *peer)
{
	if (sample->count == *room) {
		size_t more = *room ? *room * 2 : 64;
		struct flow *flows =
			realloc(sample->flows, more * sizeof(*flows));

		if (!flows)
			return false;
		sample->flows = flows;
		*room = more;
	}
	parse_flow(&sample->flows[sample->count++], object, peer);
	return true;
}

static int
by_id(const void *one, const void *two)
{
	const struct flow *a = one, *b = two;

	return (a->id > b->id) - (a->id < b->id);
}

/* The last one that either peer has seen. */
static void
parse_last(struct sample *sample, const char *peers)
{
	const char *peer = json_first(peers);

	for (; peer; peer = json_next(peer)) {
		const char *last = json_member(peer, "last_handoff");
		long long id = json_number(json_member(last, "id"));
		struct give *give = &sample->last;
		const char *own = json_member(peer, "name");
		const char *with = json_member(last, "with");
		char way[8];

		if (id <= give->id)
			continue;
		json_text(json_member(last, "direction"), way, sizeof(way));
		give->id = id;
		give->at_ms = json_number(json_member(last, "at_ms"));
		give->connections =
			json_number(json_member(last, "connections"));
		give->took_us = json_number(json_member(last, "took_us"));
		give->complete = json_true(json_member(last, "complete"));
		json_text(json_member(last, "cause"), give->cause,
			sizeof(give->cause));
		json_text(strcmp(way, "gave") == 0 ? own : with, give->from,
			sizeof(give->from));
		json_text(strcmp(way, "gave") == 0 ? with : own, give->to,
			sizeof(give->to));
	}
}

bool
sample_parse(struct sample *sample, const char *status, const char *connections)
{
	const char *peer = json_first(json_member(connections, "peers"));
	size_t room = 0;

	memset(sample, 0, sizeof(*sample));
	sample->at_ms = now_ms();
	json_text(json_member(status, "service"), sample->service,
		sizeof(sample->service));
	peers_parse(&sample->peers, status);
	parse_last(sample, json_member(status, "peers"));
	for (; peer; peer = json_next(peer)) {
		const char *name = json_member(peer, "name");
		const char *flow = json_first(json_member(peer, "connections"));

		sample->omitted += json_number(json_member(peer, "omitted"));
		for (; flow; flow = json_next(flow)) {
			if (!add_flow(sample, &room, flow, name)) {
				sample_free(sample);
				return false;
			}
		}
	}
	if (sample->count > 0)
		qsort(sample->flows, sample->count, sizeof(*sample->flows),
			by_id);
	return true;
}

/* A peer that does not answer is in the reply all the same: 1. */
static int
ask(int (*fn)(const char *dir, bool json, char **reply), const char *dir,
	char **reply, char *why)
{
	int err = fn(dir, true, reply);

	if (*reply && (*reply)[0] == '{')
		return err < 0;
	snprintf(why, HANDOFF_TEXT_MAX, "%s", *reply ? *reply : strerror(-err));
	return err < 0 ? err : -EPROTO;
}

int
sample_take(struct sample *sample, const char *dir, char *why)
{
	char *status = NULL, *connections = NULL;
	int err = ask(handoff_control_status, dir, &status, why);
	bool partly = err > 0;

	memset(sample, 0, sizeof(*sample));
	if (err >= 0)
		err = ask(handoff_control_connections, dir, &connections, why);
	partly = partly || err > 0;
	if (err > 0)
		err = 0;
	if (err == 0 && !sample_parse(sample, status, connections)) {
		snprintf(why, HANDOFF_TEXT_MAX, "%s", strerror(ENOMEM));
		err = -ENOMEM;
	}
	sample->partly = partly;
	free(status);
	free(connections);
	return err;
}

/* The busiest first, and of those at rest what has had most. */
static int
by_rate(const void *one, const void *two)
{
	const struct flow *a = one, *b = two;
	double x = a->in + a->out, y = b->in + b->out;
	long long all = a->received + a->sent, other = b->received + b->sent;

	if (x < y || y < x)
		return x < y ? 1 : -1;
	return all != other ? (all < other ? 1 : -1) : by_id(a, b);
}

static double
per_second(long long bytes, long long ms)
{
	return bytes > 0 && ms > 0 ? (double)bytes * 1000 / (double)ms : 0;
}

void
sample_rate(struct sample *sample, const struct sample *before)
{
	static const struct flow none = {.id = 0};
	long long ms = sample->at_ms - before->at_ms;
	size_t k = 0;

	for (size_t i = 0; i < sample->count; i++) {
		struct flow *flow = &sample->flows[i];
		const struct flow *old = before->omitted > 0 ? flow : &none;

		while (k < before->count && before->flows[k].id < flow->id)
			k++;
		if (k < before->count && before->flows[k].id == flow->id)
			old = &before->flows[k];
		flow->in = per_second(flow->received - old->received, ms);
		flow->out = per_second(flow->sent - old->sent, ms);
		sample->in += flow->in;
		sample->out += flow->out;
	}
	if (sample->count > 0)
		qsort(sample->flows, sample->count, sizeof(*sample->flows),
			by_rate);
}

bool
sample_copy(struct sample *copy, const struct sample *sample)
{
	size_t size = sample->count * sizeof(*sample->flows);

	*copy = *sample;
	copy->flows = malloc(size ? size : 1);
	if (!copy->flows)
		return false;
	if (size > 0) {
		memcpy(copy->flows, sample->flows, size);
		qsort(copy->flows, copy->count, sizeof(*copy->flows), by_id);
	}
	return true;
}

void
sample_free(struct sample *sample)
{
	free(sample->flows);
	sample->flows = NULL;
	sample->count = 0;
}

void
gives_add(struct gives *gives, const struct sample *sample)
{
	const struct give *last = &sample->last;

	if (last->id == 0 ||
		(gives->count > 0 && gives->list[0].id == last->id))
		return;
	memmove(&gives->list[1], &gives->list[0],
		(GIVES_MAX - 1) * sizeof(gives->list[0]));
	gives->list[0] = *last;
	if (gives->count < GIVES_MAX)
		gives->count++;
	if (last->took_us >= gives->longest.took_us)
		gives->longest = *last;
}
