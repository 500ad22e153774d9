/* SPDX-License-Identifier: MIT */
/*
 * Two channels on one loop, what each of them was told, and a relay between
 * them that passes so many bytes a turn, or none, or closes one direction.
 */
#ifndef TESTS_FERRY_LINKS_H
#define TESTS_FERRY_LINKS_H

#include "ferry/certs.h"

#include "ferry/channel.h"

#include <string.h>

struct side {
	struct handoff__channel *channel;
	struct handoff__channel_opts opts;
	struct handoff__tls *tls;
	struct credentials files;
	int ups, downs, drains, troubles;
	char down[HANDOFF_TEXT_MAX], trouble[HANDOFF_TEXT_MAX];
	uint32_t frames; /* how many came */
	uint32_t next;   /* the frame that is sent or expected next */
	uint32_t types;  /* sum */
	size_t bytes;
	const char *refuse; /* drops the link with this when it is up */
};

struct relay {
	int listener, fds[2]; /* of the dialler, to the listener */
	struct handoff__watch watches[3];
	char target[HANDOFF_ADDRESS_MAX], bound[HANDOFF_ADDRESS_MAX];
	size_t most; /* bytes in one turn; 0: none */
	size_t passed;
	int accepted;
};

extern struct handoff__loop loop;
extern struct side a, b; /* a dials, b listens */

/* How long a link may be silent where a test waits for the end of that; it is
 * of both sides in one process, which may itself stand still for a moment. */
#define LINKS_SILENT_MS (1000u * (unsigned)support_slowness())

int links_setup(void **state);
int links_teardown(void **state);

#define links_test(f)                                                          \
	cmocka_unit_test_setup_teardown(f, links_setup, links_teardown)

/* Opens b on 127.0.0.1 (or b.opts.listen) and a to it. Each has its own
 * certificate, pinned by the other. */
void links_open(void);
void links_open_listener(void);
void links_open_dialler(const char *to);
void links_wait_up(void);

/* Frame number `i` of a size that depends on it, or of `len` bytes. */
int links_send(struct side *s, size_t len);

/* Between a and b: call it before links_open_dialler. */
void relay_open(struct relay *r, size_t most);
void relay_close(struct relay *r);
void relay_shut(struct relay *r, int from); /* ends that direction */
void relay_reset(struct relay *r);

/* Runs the loop until it is true, at most support_patience_us. */
#define links_until(condition)                                                 \
	do {                                                                   \
		int64_t end_ = handoff__now_us() + support_patience_us();      \
		while (!(condition) && handoff__now_us() < end_)               \
			handoff__loop_dispatch(&loop, 20);                     \
		assert_true(condition);                                        \
	} while (0)

/* Runs the loop for a time. */
void links_run(int ms);

/* A blocking connection to b of nobody. */
int links_stranger(void);

#define assert_contains(text, words)                                           \
	do {                                                                   \
		if (!strstr(text, words))                                      \
			fail_msg("'%s' is not in '%s'", words, text);          \
	} while (0)

#endif
