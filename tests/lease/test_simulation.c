/* SPDX-License-Identifier: MIT */
/*
 * Seeded schedules of three hosts and an engine: whatever is lost, late, cut,
 * stopped or killed, no two hosts are ever valid, tokens grow, and nothing is
 * committed after another host has won; when all is back one host is the owner
 * and the others are candidates. And mistakes made on purpose are found.
 */
#include "support/support.h"

#include "lease/simulation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SCHEDULES      20000
#define SCHEDULES_LONG 1000000
#define MISTAKES_MOST  50000 /* schedules until one is found */
#define STEPS          500
#define QUIET_STEPS    12000
#define STEP_NS        (TTL_NS / 40) /* at most */

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
	printf("%4u %7.3f ", w->step, (double)w->t_ns / 1e9);
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

static void
begin(struct world *w, uint64_t seed, enum bug bug)
{
	unsigned *seen = w->seen;
	bool trace = w->trace;

	memset(w, 0, sizeof(*w));
	w->seen = seen;
	w->trace = trace;
	w->seed = seed;
	w->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	w->bug = bug;
	w->faults = 10 + sim_draw(w, 100);
	w->deaths = 50 + sim_draw(w, 1000);
	w->stale = sim_draw(w, 3) == 0;
	w->granted_ms = sim_draw(w, 4) == 0 ? TTL_MS / 2 : TTL_MS;
	sim_engine_init(w);
	for (unsigned i = 0; i < HOSTS; i++) {
		struct host *h = &w->hosts[i];

		h->offset_ns = (1 + sim_draw(w, 1000000)) * TTL_NS;
		h->drift = (int)sim_draw(w, 21) - 10;
		sim_host_start(w, i);
	}
}

static void
sleep_host(struct world *w, unsigned host)
{
	uint64_t ns = sim_draw(w, 2 * TTL_MS) * UINT64_C(1000000);

	sim_see(w, SAW_SLEEP);
	for (unsigned p = 0; p < PEERS; p++)
		sim_stop(w, host, p, ns);
	if (w->bug == BUG_CLOCK_STOPS)
		w->hosts[host].lag_ns += ns;
}

static void
fault(struct world *w)
{
	unsigned host = sim_draw(w, HOSTS), peer = sim_draw(w, PEERS);

	switch (sim_draw(w, 12)) {
	case 0:
	case 1:
		w->hosts[host].cut = true;
		break;
	case 2:
	case 3:
		w->hosts[host].cut = false;
		break;
	case 4:
		sim_engine_down(w, sim_draw(w, 3) == 0);
		break;
	case 5:
		sleep_host(w, host);
		break;
	case 6:
		sim_kill(w, host, peer);
		if (sim_draw(w, 3) == 0)
			sim_kill(w, host, !peer);
		break;
	case 7:
		sim_give(w, host);
		break;
	case 8:
		sim_release(w, host);
		break;
	case 9:
		w->granted_ms = sim_draw(w, 3) == 0 ? TTL_MS / 2 : TTL_MS;
		break;
	default:
		sim_stop(w, host, peer,
			sim_draw(w, 2 * TTL_MS) * UINT64_C(1000000));
	}
}

/* No two hosts may serve at the same time. */
static void
check(struct world *w)
{
	unsigned valid = 0;

	for (unsigned i = 0; i < HOSTS; i++) {
		const struct host *h = &w->hosts[i];
		const struct process *p = &h->peers[h->owner];
		uint64_t now = sim_clock(w, i);

		valid += sim_valid(w, i);
		if (!p->keeps || p->pending)
			continue;
		if (handoff__lease_may_begin(&p->m, now) &&
			!handoff__lease_valid(&p->m, now))
			sim_bad(w, "begins without validity");
		if (p->m.state == HANDOFF_LEASE_CANDIDATE && h->connections)
			sim_bad(w, "a candidate with connections");
	}
	if (valid > 1)
		sim_bad(w, "two hosts are valid");
}

static void
step(struct world *w)
{
	w->step++;
	w->t_ns += sim_draw(w, STEP_NS);
	for (unsigned i = 0; i < HOSTS; i++)
		sim_timers(w, i);
	sim_engine_lapse(w);
	check(w);
	if (!w->quiet && sim_draw(w, w->faults) == 0)
		fault(w);
	for (unsigned n = 0; n < 2 * HOSTS; n++) {
		unsigned host = sim_draw(w, HOSTS), peer = sim_draw(w, PEERS);

		if (sim_draw(w, 2) == 0)
			sim_engine_take(w, host, peer);
		else
			sim_run(w, host, peer);
		if (sim_chance(w, 200))
			sim_revive(w, host, peer);
		check(w);
	}
}

static bool
at_rest(const struct world *w)
{
	unsigned owners = 0, candidates = 0;

	for (unsigned i = 0; i < HOSTS; i++) {
		const struct host *h = &w->hosts[i];
		const struct process *p = &h->peers[h->owner];

		owners += p->keeps &&
			  handoff__lease_may_begin(&p->m, sim_clock(w, i)) &&
			  sim_valid(w, i) && !p->m.publish.wanted;
		candidates += p->keeps && p->m.state == HANDOFF_LEASE_CANDIDATE;
	}
	return owners == 1 && candidates == HOSTS - 1;
}

/* All are back: one host gets the lease. */
static void
come_to_rest(struct world *w)
{
	unsigned i;

	w->quiet = true;
	sim_engine_down(w, false);
	for (unsigned host = 0; host < HOSTS; host++)
		w->hosts[host].cut = false;
	for (i = 0; i < QUIET_STEPS && !w->bad; i++) {
		for (unsigned host = 0; host < HOSTS; host++) {
			sim_revive(w, host, 0);
			sim_revive(w, host, 1);
		}
		step(w);
		if (i > 100 && at_rest(w))
			return;
	}
	if (!w->bad)
		sim_bad(w, "no end");
}

static const char *
run(struct world *w, uint64_t seed, enum bug bug)
{
	unsigned steps;

	begin(w, seed, bug);
	steps = 50 + sim_draw(w, STEPS);
	while (w->step < steps && !w->bad)
		step(w);
	if (!w->bad)
		come_to_rest(w);
	return w->bad;
}

static const char *const sights[SIGHTS] = {
	[SAW_WON] = "leases won",
	[SAW_DOUBT] = "doubts",
	[SAW_FREEZE] = "freezes",
	[SAW_THAW] = "thaws",
	[SAW_RESET] = "resets",
	[SAW_EXPIRED] = "sessions that had expired",
	[SAW_REFUSED] = "refusals",
	[SAW_FOUND] = "leases found after an answer was lost",
	[SAW_LATE_PROOF] = "proofs that came too late",
	[SAW_STALE] = "answers of before, later",
	[SAW_SURVIVOR_VALID] = "survivors with a valid lease",
	[SAW_SURVIVOR_FROZEN] = "survivors without a valid one",
	[SAW_SURVIVOR_WON] = "survivors of one that had won and not served",
	[SAW_SURVIVOR_CANDIDATE] = "survivors of a candidate",
	[SAW_GIVE] = "gives",
	[SAW_DEADMAN] = "deaths by the dead-man timer",
	[SAW_STOP_IN_TURN] = "stops between looking and acting",
	[SAW_COMMIT] = "commits",
	[SAW_PUBLISHED] = "notices",
	[SAW_RELEASED] = "releases",
	[SAW_ERROR] = "errors",
	[SAW_SHORT_TTL] = "shorter TTLs",
	[SAW_SLEEP] = "hosts that slept",
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
	bool is_long = getenv("HANDOFF_LONG") != NULL;
	uint64_t first = first_seed(), steps = 0, n;
	double began = seconds();

	(void)state;
	assert_non_null(w);
	w->seen = seen;
	n = is_long ? SCHEDULES_LONG : SCHEDULES;
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
	[BUG_FROM_THE_ANSWER] = "validity counts from the answer",
	[BUG_ANY_SERIAL] = "an answer counts for the latest question",
	[BUG_SURVIVOR_TRUSTS] = "a survivor takes its token for valid",
	[BUG_NO_DEADMAN] = "no dead-man timer",
	[BUG_CLOCK_STOPS] = "a clock that stops while the host sleeps",
	[BUG_SERVES_FIRST] = "serves before the token is stored",
	[BUG_ASKS_EARLY] = "asks again before all is reset",
	[BUG_GRANT_IGNORED] = "counts by the TTL that was asked for",
	[BUG_STATE_ONLY] = "a turn does not look at the time",
	[BUG_REFUSAL_IGNORED] = "refusals are ignored",
	[BUG_FOUND_IS_PROOF] = "a lease that is found counts as proven",
	[BUG_FORGETS_FIRST] = "the token is forgotten before the reset",
	[BUG_THAWS_ANOTHER] = "connections go on with another token",
};

static void
test_mistakes_are_found(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	unsigned seen[SIGHTS] = {0};

	(void)state;
	assert_non_null(w);
	w->seen = seen;
	for (int bug = BUG_NONE + 1; bug < BUGS; bug++) {
		uint64_t seed = 0;

		while (seed < MISTAKES_MOST && !run(w, ++seed, (enum bug)bug))
			;
		if (!w->bad)
			fail_msg("not found: %s", bugs[bug]);
		print_message("%s: seed %llu, step %u: %s\n", bugs[bug],
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
