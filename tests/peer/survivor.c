/* SPDX-License-Identifier: MIT */
/*
 * A peer that survives its partner, a child process. What `one` has counted of
 * entries that moved to it begins at 0 with the death.
 */
#include "peer/survivor.h"

static pid_t child;
static int told;

void
survivor_open(unsigned connections)
{
	pair_own(&one);
	pair_enter(&one, HANDOFF__LISTENER);
	pair_enter_many(&one, connections);
}

struct handoff__roster_entry *
survivor_enter(int fd)
{
	struct handoff__roster_entry *e;
	int err;

	e = handoff__pair_enter(&one.pair, fd, HANDOFF__CONNECTION, NULL, &err);
	assert_non_null(e);
	return e;
}

struct handoff__roster_entry *
survivor_connection(unsigned n)
{
	return pair_connection(&one, n);
}

void
survivor_fork(void)
{
	child = pair_child(one.config.dir, &told);
}

void
survivor_fork_carrier(void)
{
	child = pair_child_carrier(one.config.dir, &told);
	pair_wait(&one, &one.partners, 1);
}

void
survivor_kill(void)
{
	pair_kill(child, told);
}

void
survivor_give(void)
{
	survivor_fork();
	pair_wait(&one, &one.partners, 1);
	pair_begin(&one);
	pair_wait(&one, &one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__OK);
	assert_int_equal(one.pair.roster.owned, 0);
}

void
survivor_inherit(void)
{
	one.moved = 0;
	survivor_kill();
	pair_wait(&one, &one.partings, 1);
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_NONE);
}
