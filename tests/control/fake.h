/* SPDX-License-Identifier: MIT */
/*
 * Fake peers: children that hold a lock, serve a control socket and give the
 * answers that the test asks for.
 */
#ifndef TESTS_CONTROL_FAKE_H
#define TESTS_CONTROL_FAKE_H

#include "support/support.h"

#include <handoff/control.h>

#include "base/dir.h"

struct fake;

/* Runs in the child for one request; the connection is closed after. */
typedef void answer_fn(const struct fake *fake, int conn, const char *line);

struct fake {
	int place;
	const char *name; /* NULL: writes nothing into its lock file */
	const char *role;
	answer_fn *answer; /* NULL: opens no socket */
	uid_t uid;         /* becomes that user before it listens */
	const char *text;  /* for `answer` */
};

/* The directory, opened with the first fake; the children, by their places;
 * and what a call has said, to be freed. */
extern struct handoff__dir fake_dir;
extern pid_t fake_pids[3];
extern char *reply;

#define fake_test(f)                                                           \
	cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
int fake_setup(void **state);
int fake_teardown(void **state);

/* Starts one, and returns when it serves. */
void fake_start(const struct fake *fake);
void fake_kill(int place);

/* "server", a standby, in place 1 and "alt", the owner, in place 2; or "server"
 * alone, which owns. */
void fake_start_pair(void);
void fake_start_owner(answer_fn *answer, const char *text);

/* In a child: serves that socket for ever. */
void fake_serve(const struct fake *fake, int server);

/* What a healthy peer does. */
answer_fn answer_all;

/* A status as it should be and anything else with `text` alone; everything with
 * `text` alone; the first line as it should be, and then `text`. */
answer_fn answer_text, answer_only_text, answer_ok_and_text;

/* Not; by its end; not the first time; as it should, with something to do
 * before it ends; with a NUL; with as many megabytes as `text` says. */
answer_fn answer_never, answer_by_leaving, answer_but_first,
	answer_and_end_slowly, answer_a_nul, answer_megabytes;

/* Writes a line to what came with the request and then says `text`, or that
 * it is done. */
answer_fn answer_dump;

/* What handoff_control_status returns; its text is in `reply`. */
int fake_status(bool json);

/* `reply` is exactly this, and is freed. */
void assert_reply(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* It has these words in this order, as people read it, and is freed. */
void assert_words(const char *const *words);
#define assert_table(...) assert_words((const char *const[]){__VA_ARGS__, NULL})

#endif
