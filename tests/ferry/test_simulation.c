/* SPDX-License-Identifier: MIT */
/*
 * Seeded schedules of a move between two hosts: whatever is lost, cut, killed
 * and started again, at any step, the invariants of sim_check.c hold after each
 * one; and when the network and all processes are back, every batch ends. And
 * mistakes made on purpose are found.
 */
#include "support/support.h"

#include "ferry/simulation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SCHEDULES      50000
#define SCHEDULES_LONG 1000000
#define SCHEDULES_SLOW 300 /* too few to see everything */
#define STEPS          400
#define QUIET_STEPS    4000
#define EVENTS         64

enum event {
	CONNECT,
	UP,
	DOWN,
	LETTER,
	NOTE,
	REVIVE,
	JOIN,
	SERVER_SURVIVES,
	GATE_SURVIVES,
	SERVER_LOST,
	GATE_LOST,
	ARRIVE,
};

struct choice {
	enum event event;
	int host, to, from;
};

struct choices {
	struct choice list[EVENTS];
	unsigned count;
};

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

static void
add(struct choices *choices, enum event event, int host, int to, int from)
{
	if (choices->count < EVENTS)
		choices->list[choices->count++] =
			(struct choice){event, host, to, from};
}

static void
add_link(const struct world *w, struct choices *choices)
{
	const struct link *link = &w->link;

	if (w->network && !link->open[A] && !link->open[B] && w->alive[FA] &&
		w->alive[FB])
		add(choices, CONNECT, 0, 0, 0);
	for (int side = 0; side < HOSTS; side++) {
		if (!link->open[side])
			continue;
		if (link->cut)
			add(choices, DOWN, side, 0, 0);
		if (!link->up[side])
			add(choices, UP, side, 0, 0);
		else if (link->to[side].len > 0)
			add(choices, LETTER, side, 0, 0);
	}
}

static void
add_notes(const struct world *w, struct choices *choices, int host)
{
	const struct host *h = &w->host[host];

	for (int to = 0; to < ROLES; to++) {
		for (int from = 0; from < ROLES; from++) {
			if (w->alive[host * ROLES + to] &&
				h->to[to][from].len > 0)
				add(choices, NOTE, host, to, from);
		}
	}
}

static void
add_deaths(const struct world *w, struct choices *choices, int host)
{
	const struct host *h = &w->host[host];
	const bool *alive = &w->alive[host * ROLES];

	if (h->server_notice)
		add(choices, SERVER_SURVIVES, host, 0, 0);
	if (h->gate_notice && h->to[GATE][FERRY].len == 0)
		add(choices, GATE_SURVIVES, host, 0, 0);
	if (h->ferry_of_server && h->joined)
		add(choices, SERVER_LOST, host, 0, 0);
	if (h->ferry_of_gate && h->joined)
		add(choices, GATE_LOST, host, 0, 0);
	if (!alive[SERVER] && !h->ferry_of_server)
		add(choices, REVIVE, host, SERVER, 0);
	if (!alive[FERRY])
		add(choices, REVIVE, host, FERRY, 0);
	/* its peer and the gate have noticed the death of the one before */
	if (alive[FERRY] && !h->joined && !h->server_notice && !h->gate_notice)
		add(choices, JOIN, host, 0, 0);
}

static void
connect_link(struct world *w)
{
	struct link *link = &w->link;

	memset(link, 0, sizeof(*link));
	link->open[A] = link->open[B] = true;
}

static void
tell_link(struct world *w, int side, bool up)
{
	if (side == A)
		sim_a_link(w, up);
	else
		sim_b_link(w, up);
}

/* What did not come until now does not come any more. */
static void
link_down(struct world *w, int side)
{
	bool was = w->link.up[side];

	w->link.open[side] = w->link.up[side] = false;
	w->link.to[side].len = 0;
	if (was)
		tell_link(w, side, false);
}

static void
read_letter(struct world *w, int side)
{
	struct note note;

	if (!sim_pop(&w->link.to[side], &note))
		return;
	/* it does not know its batches yet, and will be asked again */
	if (!w->host[side].joined &&
		!(side == A && w->bug == BUG_ANSWERS_EARLY)) {
		sim_see(w, SAW_TOO_EARLY);
		sim_cut(w);
		return;
	}
	if (side == A)
		sim_a_letter(w, &note);
	else
		sim_b_letter(w, &note);
}

static void
revive(struct world *w, int host, int role)
{
	w->alive[host * ROLES + role] = true;
	if (role != SERVER)
		return;
	/* the ferry sends it copies of all that is here */
	for (int c = 0; c < CONNS; c++) {
		if (sim_owner(w, host, c) != 0)
			w->host[host].sock[c].holders |= 1 << SERVER;
	}
}

static const char *const event_names[] = {"connects", "link up", "link down",
	"reads a letter", "reads a note", "is started", "ferry joins",
	"server survives ferry", "gate survives ferry", "ferry lost server",
	"ferry lost gate", "packet"};

static void
happen(struct world *w, const struct choice *c)
{
	bool a = c->host == A;

	sim_trace(w, "%c: %s (%d %d)", "AB"[c->host], event_names[c->event],
		c -> to, c -> from);
	switch (c->event) {
	case CONNECT:
		connect_link(w);
		break;
	case UP:
		w->link.up[c->host] = true;
		tell_link(w, c->host, true);
		break;
	case DOWN:
		link_down(w, c->host);
		break;
	case LETTER:
		read_letter(w, c->host);
		break;
	case NOTE:
		(a ? sim_a_note : sim_b_note)(w, c->to, c->from);
		break;
	case REVIVE:
		revive(w, c->host, c->to);
		break;
	case JOIN:
		(a ? sim_a_join : sim_b_join)(w);
		break;
	case SERVER_SURVIVES:
		(a ? sim_a_server_survives : sim_b_server_survives)(w);
		break;
	case GATE_SURVIVES:
		(a ? sim_a_gate_survives : sim_b_gate_survives)(w);
		break;
	case SERVER_LOST:
		(a ? sim_a_ferry_lost : sim_b_ferry_lost)(w, SERVER);
		break;
	case GATE_LOST:
		(a ? sim_a_ferry_lost : sim_b_ferry_lost)(w, GATE);
		break;
	case ARRIVE:
		w->inflight[c->to]--;
		sim_arrive(w, A, c->to);
		break;
	}
}

/* False if there is nothing left to do. */
static bool
progress(struct world *w)
{
	struct choices choices = {.count = 0};

	add_link(w, &choices);
	for (int host = 0; host < HOSTS; host++) {
		add_notes(w, &choices, host);
		add_deaths(w, &choices, host);
	}
	for (int c = 0; c < CONNS; c++) {
		if (w->inflight[c] > 0)
			add(&choices, ARRIVE, 0, c, 0);
	}
	if (choices.count == 0)
		return false;
	happen(w, &choices.list[sim_draw(w, choices.count)]);
	return true;
}

/* A letter of a link that has ended arrives after all. */
static void
late_letter(struct world *w)
{
	unsigned i = sim_draw(w, w->nlate);
	int side = w->late_to[i];

	if (!w->link.up[side] || w->link.to[side].len == QUEUE)
		return;
	sim_see(w, SAW_LATE_LETTER);
	sim_push(&w->link.to[side], &w->late[i]);
	w->late[i] = w->late[--w->nlate];
	w->late_to[i] = w->late_to[w->nlate];
}

static void
fault(struct world *w)
{
	int host = (int)sim_draw(w, HOSTS);

	switch (sim_draw(w, 8)) {
	case 0:
	case 1:
		sim_cut(w);
		w->network = sim_draw(w, 2) == 0;
		break;
	case 2:
		w->network = true;
		break;
	case 3:
		if (w->nlate > 0)
			late_letter(w);
		break;
	case 4: /* the host */
		if (sim_draw(w, 4) == 0) {
			for (int role = 0; role < ROLES; role++)
				sim_kill(w, host * ROLES + role);
		}
		break;
	default:
		sim_kill(w, (int)sim_draw(w, PARTIES));
	}
}

/* A client is served to its end. */
static void
end_one(struct world *w, int conn)
{
	for (int host = 0; host < HOSTS; host++) {
		struct sock *sock = &w->host[host].sock[conn];

		if (!w->alive[host * ROLES + SERVER] || sock->state != LIVE ||
			sim_owner(w, host, conn) != PLACE_SERVER)
			continue;
		w->ended |= (uint8_t)(1 << conn);
		sock->state = NONE;
		sock->holders = sock->images = 0;
		sim_set_owner(w, host, conn, 0);
		return;
	}
}

static void
step(struct world *w)
{
	w->step++;
	if (!w->quiet && sim_draw(w, w->faults) == 0)
		fault(w);
	else if (sim_draw(w, 5) == 0)
		sim_client_sends(w, (int)sim_draw(w, CONNS));
	else if (!w->quiet && sim_draw(w, 12) == 0)
		w->alive[FA] && w->host[A].joined ? sim_move(w) : (void)0;
	else if (sim_chance(w, 60))
		sim_a_late(w, sim_draw(w, 2) == 0);
	else if (sim_chance(w, 60))
		sim_b_late(w);
	else if (sim_chance(w, 400))
		end_one(w, (int)sim_draw(w, CONNS));
	else
		progress(w);
	sim_a_poll(w);
	sim_b_poll(w);
	sim_check(w);
}

/* The network and all processes are back: everything comes to its end. Only
 * deadlines for what a server owes, and for what a late letter has begun. */
static void
come_to_rest(struct world *w)
{
	unsigned idle = 0;

	w->quiet = w->network = true;
	for (unsigned i = 0; i < QUIET_STEPS && !w->bad && idle < 3; i++) {
		w->step++;
		if (sim_draw(w, 8) == 0)
			sim_client_sends(w, (int)sim_draw(w, CONNS));
		if (progress(w)) {
			idle = 0;
		} else {
			sim_a_late(w, false);
			sim_b_late(w);
			idle++;
		}
		sim_a_poll(w);
		sim_b_poll(w);
		sim_check(w);
	}
	if (idle < 3)
		sim_bad(w, "no end");
	if (!w->bad)
		sim_check_end(w);
}

static const char *
run(struct world *w, uint64_t seed, enum bug bug)
{
	unsigned steps;

	sim_begin(w, seed, bug);
	steps = 20 + sim_draw(w, STEPS);
	while (w->step < steps && !w->bad)
		step(w);
	if (!w->bad)
		come_to_rest(w);
	return w->bad;
}

static const char *const sights[SIGHTS] = {
	[SAW_COMMIT] = "batches committed",
	[SAW_ABORT] = "batches aborted",
	[SAW_OVERLAP] = "batches begun while another was open",
	[SAW_OVERLAP_CUT] = "several batches open when the link ended",
	[SAW_STALE] = "stale entries withdrawn",
	[SAW_REFUSED] = "entries refused",
	[SAW_DOUBT] = "questions in doubt",
	[SAW_DOUBT_COMMITTED] = "doubts committed",
	[SAW_DOUBT_ABORTED] = "doubts aborted",
	[SAW_RESUMED_DOUBT] = "ferries started in doubt",
	[SAW_RESUMED_COMMIT] = "ferries started with a commit",
	[SAW_COMMIT_AGAIN] = "COMMIT again",
	[SAW_SERVING_AGAIN] = "SERVING again",
	[SAW_LOST] = "LOST",
	[SAW_GATE_THAW] = "thawed by a gate",
	[SAW_GATE_FLIP] = "forwarded by a gate on its own",
	[SAW_GATE_FINISH] = "finished by a gate",
	[SAW_SERVER_CLAIM] = "claimed by the server",
	[SAW_SERVER_CLOSE] = "closed by the server",
	[SAW_SERVER_ABORTS] = "aborted by the server",
	[SAW_STANDBY_CLAIM] = "claimed by the standby",
	[SAW_STANDBY_KEEPS] = "kept by the standby in doubt",
	[SAW_UNHELD] = "batches of absent sessions alone that left",
	[SAW_UNGUARDED] = "and that came",
	[SAW_EXCUSED] = "lost with all that had them",
	[SAW_TOO_EARLY] = "links ended by a ferry that had not joined",
	[SAW_LATE_LETTER] = "letters of an old link",
};

static uint64_t
first_seed(void)
{
	const char *text = getenv("HANDOFF_SEED");

	return text ? strtoull(text, NULL, 10) : 1;
}

static uint64_t
how_many(void)
{
	if (support_in_valgrind())
		return SCHEDULES_SLOW;
	return getenv("HANDOFF_LONG") ? SCHEDULES_LONG : SCHEDULES;
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
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
	n = how_many();
	for (uint64_t i = 0; i < n; i++) {
		if (run(w, first + i, BUG_NONE)) {
			w->trace = true;
			run(w, w->seed, BUG_NONE);
			fail_msg("seed %llu, step %u: %s (again: "
				 "HANDOFF_SEED=%llu)",
				(unsigned long long)w->seed, w->step, w->bad,
				(unsigned long long)w->seed);
		}
		steps += w->step;
	}
	print_message("%llu schedules, %llu steps, %.1f s\n",
		(unsigned long long)n, (unsigned long long)steps,
		seconds() - began);
	for (int i = 0; i < SIGHTS; i++)
		print_message("%10u %s\n", seen[i], sights[i]);
	for (int i = 0; i < SIGHTS && n >= SCHEDULES; i++) {
		if (seen[i] == 0)
			fail_msg("never seen: %s", sights[i]);
	}
	free(w);
}

static const char *const bugs[BUGS] = {
	[BUG_UNGUARDED] = "PREPARED before all copies are held",
	[BUG_SURVIVOR_CLAIMS] = "a survivor ignores the word",
	[BUG_FREES_EARLY] = "the sender frees its word after COMMIT",
	[BUG_CLAIMS_IN_DOUBT] = "the standby claims in doubt",
	[BUG_ANSWERS_EARLY] = "a ferry answers before it knows its table",
	[BUG_UNCHECKED] = "stale images are committed",
	[BUG_UNKNOWN_COMMITS] = "unknown is committed",
	[BUG_SENDS_FIRST] = "COMMIT is sent before the word",
	[BUG_GATE_FINISHES] = "a gate finishes what is in doubt",
	[BUG_NO_FORGET] = "the receiver frees its word with SERVING",
	[BUG_GATE_THAWS] = "a gate thaws what is committed",
	[BUG_LEAVES_RECORDS] = "a ferry that resumes leaves records behind",
	[BUG_GIVES_UP] = "the receiver gives up after PREPARED",
};

static void
test_mistakes_are_found(void **state)
{
	struct world *w;
	unsigned seen[SIGHTS] = {0};

	(void)state;
	support_not_in_valgrind(); /* a thousand schedules */
	w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->seen = seen;
	for (int bug = BUG_NONE + 1; bug < BUGS; bug++) {
		uint64_t seed = 0;

		while (seed < SCHEDULES && !run(w, ++seed, (enum bug)bug))
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
