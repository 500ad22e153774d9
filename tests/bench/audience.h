/* SPDX-License-Identifier: MIT */
/*
 * An audience for benchmarks of notices: N processes, each of which sleeps
 * until a notice comes, and when each of them had it.
 */
#ifndef TESTS_BENCH_AUDIENCE_H
#define TESTS_BENCH_AUDIENCE_H

#include <handoff/notice.h>

#include <stdbool.h>
#include <stdint.h>

#define AUDIENCE_MAX 4000

void __attribute__((noreturn)) die(const char *what, const char *why);
int64_t now_ns(void);

void audience_begin(unsigned size);

/* Starts the processes; `play` is called in each. */
void start(void (*play)(unsigned who, const char *where), const char *where);

/* In a process: subscribes by the library until GOODBYE comes. `ready`: counts
 * as having it once it has subscribed. */
void __attribute__((noreturn))
subscribe(unsigned who, const char *where, bool ready);

/* In a process: it has the notice. */
void has_it(unsigned who);

/* Before a notice, and until all have it, and sleep again. */
void nobody_has_it(void);
void wait_for_all(void);
void sleep_all(void);

/* Waits for all, and prints a JSON object. */
void result(const char *way, int64_t start_ns, int64_t done_ns);

void kill_all(void);
void reap(void);

#endif
