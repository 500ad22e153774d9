/* SPDX-License-Identifier: MIT */
/*
 * Seeded schedules of a client, a server and the connections between them:
 * however these are cut, resumed, refused, and steps undone, every byte comes
 * once and in order, no end keeps or holds more than it has said, and when
 * nothing more is cut the session comes to its end. And mistakes made on
 * purpose are found.
 */
#include "support/support.h"

#include "session/simulation.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SCHEDULES      20000
#define SCHEDULES_LONG 1000000
#define MISTAKES_MOST  5000 /* schedules until one is found */
#define QUIET_STEPS    20000

/* xorshift64*, so that a seed means the same everywhere. */
uint32_t
sim_draw(struct world *w, uint32_t most)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return (uint32_t)(w->random * UINT64_C(2685821657736338717) >> 33) %
	       most;
}

bool
sim_chance(struct world *w, unsigned n)
{
	return !w->quiet && sim_draw(w, n) == 0;
}

void
sim_trace(const struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->trace)
		return;
	printf("%4u ", w->step);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void
sim_bad(struct world *w, const char *what)
{
	if (!w->bad)
		w->bad = what;
	sim_trace(w, "BAD: %s", what);
}

void
sim_see(struct world *w, enum sight sight)
{
	w->seen[sight]++;
}

bool
sim_reads(const struct world *w, const struct handoff__flow *flow)
{
	return w->bug != BUG_STOPS_READING ||
	       handoff__flow_held(flow) < flow->rx_window / 2;
}

int
sim_resume(struct world *w, struct handoff__flow *flow,
	const struct handoff__frame *frame)
{
	struct handoff__frame changed = *frame;
	int err;

	if (w->bug == BUG_FROM_THE_ACK)
		changed.received =
			flow->tx_acked +
			(uint32_t)(frame->ack - (uint32_t)flow->tx_acked);
	if (w->bug == BUG_ANY_POSITION) {
		flow->tx_next = frame->received;
		flow->rx_left = 0;
		return 0;
	}
	err = handoff__flow_resume(flow, &changed);
	if (err == 0 && w->bug == BUG_NOT_AGAIN)
		flow->tx_next = flow->tx_sent;
	return err;
}

static uint32_t
window(struct world *w)
{
	return HANDOFF__WINDOW_MIN + sim_draw(w, 3) * sim_draw(w, 150);
}

static void
begin(struct world *w, uint64_t seed, enum bug bug)
{
	unsigned *seen = w->seen;
	bool trace = w->trace;
	struct client *c = &w->client;

	memset(w, 0, sizeof(*w));
	w->seen = seen;
	w->trace = trace;
	w->seed = seed;
	w->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	w->bug = bug;
	c->cur = c->next = w->server.link = NONE;
	c->limits.keep = window(w);
	c->limits.take = window(w);
	c->limits.memory = c->limits.take + sim_draw(w, c->limits.take);
	w->limits.keep = window(w);
	w->limits.take = window(w);
	w->limits.memory = w->limits.take + sim_draw(w, w->limits.take);
	w->app = (enum app)sim_draw(w, APPS);
	w->block = 1 + sim_draw(w, w->limits.memory - w->limits.take / 4);
	c->total = sim_draw(w, 6000);
	w->server_total = w->app == APP_ECHO ? c->total : sim_draw(w, 6000);
	w->faults = 5 + sim_draw(w, 100);
}

/* Every position that one end knows of the other must have been true. */
static void
check_pair(struct world *w, const struct handoff__flow *from,
	const struct handoff__flow *to)
{
	if (to->rx_taken > from->tx_sent)
		sim_bad(w, "more was received than sent");
	if (from->tx_acked > to->rx_told)
		sim_bad(w, "more was acknowledged than told");
	if (handoff__flow_kept(from) > from->tx_window)
		sim_bad(w, "more is kept than the window");
	if (handoff__flow_held(to) > to->rx_memory)
		sim_bad(w, "more is held than the memory");
}

static void
check(struct world *w)
{
	const struct client *c = &w->client;
	const struct server *s = &w->server;

	if (!c->begun || !s->exists || s->number != c->number)
		return;
	if (!handoff__flow_valid(&c->flow))
		sim_bad(w, "the client's end is not valid");
	if (!handoff__flow_valid(&s->flow))
		sim_bad(w, "the server's end is not valid");
	if (c->flow.flags & HANDOFF__FLOW_ABORTED)
		return;
	check_pair(w, &c->flow, &s->flow);
	check_pair(w, &s->flow, &c->flow);
}

static void
fault(struct world *w)
{
	unsigned side = sim_draw(w, 2);

	if (sim_draw(w, 4) > 0) {
		sim_link_cut(w, (int)sim_draw(w, LINKS));
	} else {
		sim_see(w, SAW_STALL);
		w->stalled[side] = 1 + sim_draw(w, 40);
	}
}

static void
step(struct world *w)
{
	w->step++;
	if (!w->quiet && sim_draw(w, w->faults) == 0)
		fault(w);
	for (unsigned i = 0; i < 2 && !w->bad; i++) {
		if (w->stalled[i] > 0)
			w->stalled[i]--;
		else if (i == 0)
			sim_client_step(w);
		else
			sim_server_step(w);
	}
	sim_links_clear(w);
	check(w);
}

/* Both streams whole, at both ends. */
static void
check_whole(struct world *w)
{
	const struct client *c = &w->client;
	const struct server *s = &w->server;
	uint64_t down = w->app == APP_ECHO ? c->total : w->server_total;

	sim_see(w, SAW_WHOLE);
	if (s->got != c->total || c->got != down)
		sim_bad(w, "bytes are missing at the end");
	if (!w->server_gone)
		sim_see(w, SAW_LAST_ACK_LOST);
}

/* Given up: what the client knows as taken was taken. */
static void
check_given_up(struct world *w)
{
	const struct handoff__flow *f = &w->client.flow;

	if (w->server_gone && (w->taken < f->tx_acked || w->taken > f->tx_sent))
		sim_bad(w, "the client is wrong about what was taken");
}

/* The server had all, and its last acknowledgement was lost. */
static void
check_forgotten(struct world *w)
{
	const struct handoff__flow *f = &w->client.flow;

	sim_see(w, SAW_FORGOTTEN);
	if (!(f->flags & HANDOFF__FLOW_RX_ENDED) || w->taken != f->tx_sent)
		sim_bad(w, "the server has forgotten a session too early");
	check_whole(w);
}

static bool
at_end(const struct world *w)
{
	return w->client.over || w->client.lost;
}

/* Nothing more is cut. */
static void
come_to_an_end(struct world *w)
{
	const struct client *c = &w->client;

	w->quiet = true;
	for (unsigned i = 0; i < QUIET_STEPS && !w->bad && !at_end(w); i++)
		step(w);
	for (unsigned i = 0; i < 20 && !w->bad; i++)
		step(w); /* the server hears of it */
	if (w->bad)
		return;
	if (!at_end(w))
		sim_bad(w, "no end");
	else if (c->lost && !w->server_gone)
		sim_bad(w, "the session is lost without a reason");
	else if (c->lost && w->whole)
		check_forgotten(w);
	else if (c->lost || c->flow.flags & HANDOFF__FLOW_ABORTED)
		check_given_up(w);
	else
		check_whole(w);
}

static const char *
run(struct world *w, uint64_t seed, enum bug bug)
{
	unsigned steps;

	begin(w, seed, bug);
	steps = 50 + sim_draw(w, 500);
	while (w->step < steps && !w->bad && !at_end(w))
		step(w);
	if (!w->bad)
		come_to_an_end(w);
	return w->bad;
}

static const char *const sights[SIGHTS] = {
	[SAW_NEW] = "sessions",
	[SAW_RESUMED] = "resumes",
	[SAW_TAKEOVER] = "resumes while the old connection was open",
	[SAW_AGAIN] = "DATA sent again",
	[SAW_END_AGAIN] = "END sent again",
	[SAW_HALF_DATA] = "resumes after half a DATA",
	[SAW_BUSY] = "BUSY",
	[SAW_UNKNOWN] = "UNKNOWN",
	[SAW_POSITION] = "POSITION",
	[SAW_WRONG_TOKEN] = "RESUMEs of strangers",
	[SAW_CUT] = "connections that were cut",
	[SAW_UNDONE] = "transactions that were undone",
	[SAW_FULL] = "times that a window was full",
	[SAW_HELD_BACK] = "times that an acknowledgement had to wait",
	[SAW_ACK] = "ACK",
	[SAW_SYNC] = "SYNC",
	[SAW_STALL] = "stalls",
	[SAW_ABORT_CLIENT] = "ABORT of the client",
	[SAW_ABORT_SERVER] = "ABORT of the server",
	[SAW_TIMEOUT] = "sessions that timed out",
	[SAW_LOST_WELCOME] = "WELCOME lost",
	[SAW_LAST_ACK_LOST] = "last acknowledgements of the client lost",
	[SAW_FORGOTTEN] = "last acknowledgements of the server lost",
	[SAW_WHOLE] = "sessions that came to their end",
};

static uint64_t
first_seed(void)
{
	const char *text = getenv("HANDOFF_SEED");

	return text ? strtoull(text, NULL, 10) : 1;
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
fail_seed(struct world *w)
{
	w->trace = true;
	run(w, w->seed, BUG_NONE);
	fail_msg("seed %llu, step %u: %s (again: HANDOFF_SEED=%llu)",
		(unsigned long long)w->seed, w->step, w->bad,
		(unsigned long long)w->seed);
}

static void
test_schedules(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	unsigned seen[SIGHTS] = {0};
	uint64_t first = first_seed(), steps = 0, n;
	double began = seconds();

	(void)state;
	assert_non_null(w);
	w->seen = seen;
	n = getenv("HANDOFF_LONG") ? SCHEDULES_LONG : SCHEDULES;
	for (uint64_t i = 0; i < n; i++) {
		if (run(w, first + i, BUG_NONE))
			fail_seed(w);
		steps += w->step;
	}
	print_message("%llu schedules, %llu steps, %.1f s\n",
		(unsigned long long)n, (unsigned long long)steps,
		seconds() - began);
	for (int i = 0; i < SIGHTS; i++)
		print_message("%10u %s\n", seen[i], sights[i]);
	for (int i = 0; i < SIGHTS; i++) {
		if (seen[i] == 0)
			fail_msg("never seen: %s", sights[i]);
	}
	free(w);
}

static const char *const bugs[BUGS] = {
	[BUG_STOPS_READING] = "an end stops reading for its application",
	[BUG_NO_ACK] = "no ACK",
	[BUG_SENDS_ON] = "sends on the old connection after a RESUME",
	[BUG_READS_ON] = "reads the old connection after a RESUME",
	[BUG_SENT_TOO_EARLY] = "output leaves before the commit",
	[BUG_FROM_THE_ACK] = "sends again what was received",
	[BUG_NOT_AGAIN] = "sends nothing again",
	[BUG_END_ONCE] = "no second END",
	[BUG_FORGETS_SENT] = "keeps nothing that was framed",
	[BUG_ANY_POSITION] = "takes any position",
	[BUG_OLD_STATE] = "resumes an older state",
	[BUG_NO_SYNC] = "no SYNC for the last quarter",
};

static void
test_mistakes_are_found(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	unsigned seen[SIGHTS] = {0};

	(void)state;
	assert_non_null(w);
	w->seen = seen;
	for (int bug = 1; bug < BUGS; bug++) {
		uint64_t seed = 1;

		while (seed <= MISTAKES_MOST && !run(w, seed, (enum bug)bug))
			seed++;
		if (!w->bad)
			fail_msg("not found: %s", bugs[bug]);
		print_message("%s: schedule %llu, step %u: %s\n", bugs[bug],
			(unsigned long long)seed, w->step, w->bad);
	}
	free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schedules),
		cmocka_unit_test(test_mistakes_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
