/* SPDX-License-Identifier: MIT */
/*
 * Steering by a program of the operator's, where the network and not an address
 * says which host gets a packet. It is run with one verb at a time:
 *
 *   hold    packets of these flows wait, or are dropped
 *   pass    they come to this host again: the move was taken back
 *   flip    they go to the other host from now on
 *   final   all of the service's packets do, those of unknown flows too
 *
 * Flows are on its standard input, one per line: "4 LOCAL PORT CLIENT PORT" or
 * "6 ...", addresses as inet_ntop(3) writes them. It runs by its absolute path,
 * with an empty environment, in "/", with no descriptor beyond 2, and has a
 * time limit, at which it is killed. What it writes to standard error is
 * the reason if it fails. One run at a time; those that follow wait in order.
 */
#ifndef HANDOFF_FERRY_HOOK_H
#define HANDOFF_FERRY_HOOK_H

#include "base/loop.h"
#include "base/text.h"
#include "ferry/flow.h"

#include <stddef.h>
#include <sys/types.h>

#define HANDOFF__HOOK_MS    10000 /* the time limit */
#define HANDOFF__HOOK_RUNS  130   /* that may wait: two for each batch */
#define HANDOFF__HOOK_WORDS 512   /* of what it says, for the sentence */

enum handoff__hook_verb {
	HANDOFF__HOOK_HOLD,
	HANDOFF__HOOK_PASS,
	HANDOFF__HOOK_FLIP,
	HANDOFF__HOOK_FINAL,
};

/* `err` is 0 if the program has ended with status 0, or -ECANCELED (it failed),
 * -ETIMEDOUT (it was killed), or what starting it failed with; `why` is then
 * the sentence. */
typedef void handoff__hook_fn(void *arg, int err, const char *why);

struct handoff__hook_run {
	enum handoff__hook_verb verb;
	struct handoff__buf input;
	size_t pos; /* of the input, written so far */
	handoff__hook_fn *fn;
	void *arg;
};

struct handoff__hook {
	struct handoff__loop *loop;
	char path[4096];
	int timeout_ms;
	struct handoff__hook_run runs[HANDOFF__HOOK_RUNS]; /* a ring */
	unsigned first, count;
	/* of the first, while it runs */
	pid_t pid;
	struct handoff__watch child, in, out; /* pidfd, its input, its words */
	struct handoff__timer begin, limit;
	bool late;
	char words[HANDOFF__HOOK_WORDS];
	size_t nwords;
};

/* Checks the program: an absolute path of a file that can be run and that only
 * root or this user can write to. `timeout_ms` 0: HANDOFF__HOOK_MS. */
int handoff__hook_open(struct handoff__hook *hook, struct handoff__loop *loop,
	const char *path, int timeout_ms, struct handoff__error *error);

/* Kills what runs; no callback comes any more. */
void handoff__hook_close(struct handoff__hook *hook);

/* `fn` comes later, from the loop, and always once. -ENOBUFS if too many wait,
 * -ENOMEM. `flows` are copied. */
int handoff__hook_run(struct handoff__hook *hook, enum handoff__hook_verb verb,
	const struct handoff__flow *flows, size_t nflows, handoff__hook_fn *fn,
	void *arg);

#endif
