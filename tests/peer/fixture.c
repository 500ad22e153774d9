/* SPDX-License-Identifier: MIT */
/*
 * A minimal layer above two peers: it counts calls. Every wait has a deadline.
 */
#include "peer/fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURNS_MAX   100000
#define PATIENCE_MS 20000
#define MOMENT_MS   50
#define NEVER_HUNG  60000

struct side one, two;

static struct side *
side_of(struct handoff__pair *pair)
{
	return pair->arg;
}

static int
on_entered(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	(void)e;
	side_of(pair)->entered++;
	return side_of(pair)->refuse_entered;
}

static void
on_closing(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	(void)e;
	side_of(pair)->closing++;
}

static bool
on_quiesce(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	struct side *side = side_of(pair);
	bool busy = (side->busy && e->kind == HANDOFF__CONNECTION) ||
		    side->busy_one == e;

	side->asked += busy;
	return !busy;
}

static void
on_resume(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	(void)e;
	side_of(pair)->resumed++;
}

static void
on_pause(struct handoff__pair *pair, bool paused)
{
	side_of(pair)->pauses += paused;
	side_of(pair)->paused = paused;
}

static void
on_moved(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	struct side *side = side_of(pair);

	side->order[side->moved++ % 8] = e->id;
}

static void
on_settle(struct handoff__pair *pair)
{
	side_of(pair)->settled++;
}

static void
on_role(struct handoff__pair *pair, enum handoff__cause cause)
{
	side_of(pair)->roles++;
	side_of(pair)->role = cause;
}

static void
on_given(struct handoff__pair *pair, enum handoff__way way,
	const struct handoff__report *report)
{
	side_of(pair)->way = way;
	side_of(pair)->given++;
	side_of(pair)->report = *report;
}

static void
on_partner(struct handoff__pair *pair, bool here)
{
	side_of(pair)->partners += here;
	side_of(pair)->partings += !here;
}

static void
on_orphan(struct handoff__pair *pair, const struct handoff__view *view)
{
	/* it is ours by then, and not cleared yet */
	assert_int_equal(handoff__owner_place(&view->rec->owner), pair->place);
	assert_int_not_equal(handoff__record_id(view->rec), 0);
	side_of(pair)->orphans++;
}

static void
on_discard(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	side_of(pair)->discarded++;
	handoff__pair_end(pair, e);
}

static void
on_failover(struct handoff__pair *pair)
{
	side_of(pair)->failovers++;
}

static void
on_health(struct handoff__pair *pair, const char *text)
{
	(void)text;
	side_of(pair)->healths++;
}

static void
on_refused(struct handoff__pair *pair, enum handoff__reason reason,
	const char *text)
{
	struct side *side = side_of(pair);

	side->why = reason;

	side->refusals++;
	handoff__copy(side->refused, sizeof(side->refused), text);
}

static void
on_apart(struct handoff__pair *pair, const char *text)
{
	(void)text;
	side_of(pair)->aparts++;
}

static void
on_expelled(struct handoff__pair *pair, const char *text)
{
	(void)text;
	side_of(pair)->expulsions++;
}

static void
on_known(struct handoff__pair *pair)
{
	struct side *side = side_of(pair);

	side->known++;
	if (side->owns)
		assert_int_equal(handoff__pair_own(pair, 1), 0);
}

static void
on_accepted(struct handoff__pair *pair)
{
	side_of(pair)->accepted++;
}

static void
on_room(struct handoff__pair *pair, int err)
{
	side_of(pair)->rooms++;
	side_of(pair)->room = err;
}

static enum handoff__reason
on_asked(struct handoff__pair *pair, enum handoff__cause cause)
{
	(void)cause;
	return side_of(pair)->holds;
}

static bool
on_yield(struct handoff__pair *pair)
{
	side_of(pair)->yielded++;
	return side_of(pair)->yields;
}

static const struct handoff__pair_ops ops = {
	.entered = on_entered,
	.closing = on_closing,
	.quiesce = on_quiesce,
	.resume = on_resume,
	.pause = on_pause,
	.moved = on_moved,
	.settle = on_settle,
	.role = on_role,
	.given = on_given,
	.partner = on_partner,
	.discard = on_discard,
	.orphan = on_orphan,
	.failover = on_failover,
	.hung = on_health,
	.lagging = on_health,
	.refused = on_refused,
	.apart = on_apart,
	.expelled = on_expelled,
	.known = on_known,
	.accepted = on_accepted,
	.room = on_room,
	.asked = on_asked,
	.yield = on_yield,
};

void
side_init(struct side *side, const char *dir, const char *name)
{
	memset(side, 0, sizeof(*side));
	side->service = (struct handoff_service){.size = sizeof(side->service),
		.name = "test",
		.state_version = 1,
		.state_size = 32,
		.input_size = 4096,
		.output_size = 4096};
	side->config = (struct handoff__pair_config){.dir = dir,
		.name = name,
		.service = &side->service,
		.give_timeout_ms = PATIENCE_MS,
		.hang_timeout_ms = NEVER_HUNG,
		.entry_size = sizeof(struct handoff__roster_entry)};
	side->loop.epfd = side->loop.timerfd = -1;
}

void
side_carries(struct side *side)
{
	side->config.carrier = true;
	side->config.service = NULL;
}

struct helper {
	struct side *side;
	atomic_bool stop;
};

static void *
keep_dispatching(void *arg)
{
	struct helper *helper = arg;

	while (!atomic_load(&helper->stop)) {
		handoff__loop_dispatch(&helper->side->loop, 10);
		handoff__pair_proceed(&helper->side->pair);
	}
	return NULL;
}

int
side_open(struct side *side, struct side *other)
{
	struct helper helper = {.side = other};
	pthread_t thread;
	int err;

	assert_int_equal(handoff__loop_init(&side->loop), 0);
	atomic_init(&helper.stop, false);
	if (other)
		assert_int_equal(pthread_create(&thread, NULL, keep_dispatching,
					 &helper),
			0);
	err = handoff__pair_open(&side->pair, &side->config, &side->loop,
		&side->log, &ops, side);
	if (other) {
		atomic_store(&helper.stop, true);
		pthread_join(thread, NULL);
	}
	return err;
}

void
side_close(struct side *side)
{
	if (side->loop.epfd < 0)
		return;
	handoff__pair_close(&side->pair, true);
	handoff__loop_fini(&side->loop);
}

void
pair_own(struct side *a)
{
	assert_int_equal(side_open(a, NULL), 0);
	assert_int_equal(handoff__pair_own(&a->pair, 1), 0);
	handoff__pair_started(&a->pair);
}

void
pair_join(struct side *a, struct side *b)
{
	assert_int_equal(side_open(b, a), 0);
	handoff__pair_started(&b->pair);
	pair_run(a, b);
}

void
pair_open_in(const char *dir, struct side *a, struct side *b)
{
	side_init(a, dir, "one");
	side_init(b, dir, "two");
	pair_own(a);
	pair_join(a, b);
	assert_int_equal(a->pair.partner, HANDOFF__PARTNER_READY);
	assert_int_equal(b->pair.partner, HANDOFF__PARTNER_READY);
}

void
pair_close(struct side *a, struct side *b)
{
	side_close(a);
	side_close(b);
}

int
pair_setup(void **state)
{
	if (support_setup(state) < 0)
		return -1;
	pair_open_in(support_dir(), &one, &two);
	return 0;
}

int
side_setup(void **state)
{
	const char *dir;

	if (support_setup(state) < 0)
		return -1;
	dir = support_dir();
	side_init(&one, dir, "one");
	side_init(&two, dir, "two");
	return 0;
}

int
pair_finish(void **state)
{
	pair_close(&one, &two);
	return support_teardown(state);
}

void
pair_turn(struct side *side)
{
	assert_true(handoff__loop_dispatch(&side->loop, 0) >= 0);
	handoff__pair_proceed(&side->pair);
}

void
pair_run(struct side *a, struct side *b)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		int n = 0;

		if (a) {
			n += handoff__loop_dispatch(&a->loop, 0);
			n += handoff__pair_proceed(&a->pair);
		}
		if (b) {
			n += handoff__loop_dispatch(&b->loop, 0);
			n += handoff__pair_proceed(&b->pair);
		}
		assert_true(n >= 0);
		if (n == 0)
			return;
	}
	fail_msg("the peers never come to rest");
}

void
pair_wait(struct side *side, const unsigned *what, unsigned wanted)
{
	/* Waits are counted, not time: a machine may stand still. */
	for (int idle = 0; *what != wanted;) {
		int n = handoff__loop_dispatch(&side->loop, MOMENT_MS);

		assert_true(n >= 0);
		handoff__pair_proceed(&side->pair);
		idle += n == 0;
		if (idle > PATIENCE_MS / MOMENT_MS)
			fail_msg("it never happens: %u, not %u; partner %d, "
				 "give %d, link %d",
				*what, wanted, (int)side->pair.partner,
				(int)side->pair.give.step, side->pair.link.fd);
	}
}

struct handoff__roster_entry *
pair_enter_with(struct side *side, enum handoff__kind kind,
	struct handoff__roster_entry *leader)
{
	int fd = memfd_create("entry", MFD_CLOEXEC), err;
	struct handoff__roster_entry *e;

	assert_true(fd >= 0);
	e = handoff__pair_enter_with(&side->pair, fd, kind,
		kind == HANDOFF__CONNECTION ? NULL : "its-name", leader, &err);
	assert_non_null(e);
	return e;
}

struct handoff__roster_entry *
pair_enter(struct side *side, enum handoff__kind kind)
{
	return pair_enter_with(side, kind, NULL);
}

void
pair_enter_many(struct side *side, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		pair_enter(side, HANDOFF__CONNECTION);
}

struct handoff__roster_entry *
pair_find(struct side *side, const struct handoff__roster_entry *e)
{
	return handoff__roster_find(
		&side->pair.roster, e->segment, e->slot, e->id);
}

struct handoff__roster_entry *
pair_connection(struct side *side, unsigned n)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&side->pair.roster, e))) {
		if (e->kind == HANDOFF__CONNECTION && n-- == 0)
			return e;
	}
	fail_msg("there is no such connection");
	return NULL;
}

struct handoff__roster_entry *
pair_fill(struct side *a, struct side *b, unsigned connections)
{
	struct handoff__roster_entry *listener =
		pair_enter(a, HANDOFF__LISTENER);

	pair_enter(a, HANDOFF__EXTRA);
	pair_enter_many(a, connections);
	pair_run(a, b);
	assert_int_equal(a->pair.roster.uncovered, 0);
	return listener;
}

void
pair_begin(struct side *from)
{
	assert_int_equal(
		handoff__pair_give(&from->pair, HANDOFF__MAINTENANCE), 0);
}

void
pair_offer(struct side *from, struct side *to)
{
	pair_begin(from);
	pair_run(NULL, to);
	pair_turn(from);
	assert_int_equal(from->pair.give.step, HANDOFF__GIVE_DRAIN);
}

void
pair_expire(struct side *from)
{
	unsigned given = from->given;

	handoff__timer_arm(&from->loop, &from->pair.move.deadline, 1);
	pair_wait(from, &from->given, given + 1);
}

void
pair_give(struct side *from, struct side *to, enum handoff__cause cause)
{
	unsigned given = from->given;

	assert_int_equal(handoff__pair_give(&from->pair, cause), 0);
	pair_run(from, to);
	assert_int_equal(from->given, given + 1);
	assert_int_equal(from->report.reason, HANDOFF__OK);
}

void
pair_assert_one_owner(struct side *a, struct side *b)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t owned = 0, held = 0;

	while ((e = handoff__roster_next(&a->pair.roster, e))) {
		struct handoff__roster_entry *other = pair_find(b, e);
		uint32_t owner = atomic_load(&e->view.rec->owner);

		assert_int_equal(
			owner, e->mine ? a->pair.place : b->pair.place);
		assert_true(!other || other->mine == !e->mine);
		assert_true(other || e->mine);
		assert_false(e->leaving || e->barrier);
		owned += e->mine;
		held += !e->mine;
	}
	assert_int_equal(a->pair.roster.owned, owned);
	assert_int_equal(a->pair.roster.held, held);
	assert_int_equal(b->pair.roster.owned, held);
}

/* Is a peer until it is killed. */
static void
be_a_peer(const char *dir, int tell, bool carries)
{
	struct side side;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* What it inherits by fork it must not hold open. */
	if (tell != 3)
		tell = dup2(tell, 3);
	close_range(4, ~0u, 0);
	side_init(&side, dir, "child");
	if (carries)
		side_carries(&side);
	if (handoff__loop_init(&side.loop) < 0 ||
		handoff__pair_open(&side.pair, &side.config, &side.loop, NULL,
			&ops, &side) < 0)
		_exit(1);
	handoff__pair_started(&side.pair);
	if (write(tell, "x", 1) != 1)
		_exit(2);
	while (handoff__loop_dispatch(&side.loop, -1) >= 0)
		handoff__pair_proceed(&side.pair);
	_exit(3);
}

static pid_t
start_child(const char *dir, int *told, bool carries)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		be_a_peer(dir, fds[1], carries);
	close(fds[1]);
	*told = fds[0];
	return pid;
}

pid_t
pair_child(const char *dir, int *told)
{
	return start_child(dir, told, false);
}

pid_t
pair_child_carrier(const char *dir, int *told)
{
	return start_child(dir, told, true);
}

void
pair_kill(pid_t pid, int told)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	close(told);
}

bool
pair_same_file(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 &&
	       sa.st_ino == sb.st_ino && sa.st_dev == sb.st_dev;
}
