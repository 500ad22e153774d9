/* SPDX-License-Identifier: MIT */
/*
 * The control socket of a peer, served by a loop of its own, and the requests
 * that came over it. Each request is answered with "got" and its line, unless
 * the test wants to answer later.
 */
#ifndef TESTS_CONTROL_FIXTURE_H
#define TESTS_CONTROL_FIXTURE_H

#include "support/support.h"

#include "control/control.h"

#define TURNS_MAX 100000 /* more than anything here takes */

struct fixture {
	struct handoff__dir dir;
	struct handoff__loop loop;
	struct handoff__control control;
	/* What the requests were. */
	unsigned count;
	char line[HANDOFF__REQUEST_MAX];
	struct handoff__request *request; /* the last, if not answered */
	bool later;                       /* do not answer at once */
	bool takes;                       /* the descriptor that came along */
	int taken;
	unsigned gone;
};
extern struct fixture f;

/* A test around which the socket is open. */
#define control_test(name)                                                     \
	cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int fixture_setup(void **state);
int fixture_teardown(void **state);
void fixture_open(void);
void fixture_close(void);

/* Until there is nothing to do: a client that is left alone costs nothing. */
void fixture_settle(void);

int fixture_connect(void);
void fixture_say(int fd, const char *text);

/* All that comes until the end, which must come. */
char *fixture_hear(int fd);
bool fixture_hears_nothing(int fd);

/* How many requests are under way. */
unsigned fixture_in_use(void);

/* The deadline of the first is there and not far; its time passes now. */
void fixture_pass_deadline(void);

/* A reply of that length, to be freed. */
char *fixture_text(size_t len);

#endif
