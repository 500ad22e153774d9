/* SPDX-License-Identifier: MIT */
/*
 * Live connections leave their host and come home, between network namespaces:
 * every byte once and in order, and no reset.
 */
#include "migrate/hosts.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

static void
idle(enum kind kind)
{
	struct pair p;

	hosts_need();
	pair_open(&p, kind);
	pair_assert_works(&p, 100);
	pair_move(&p, HOST_B);
	pair_assert_works(&p, 200000);
	hosts_assert_no_resets();
	pair_close(&p);
}

static void
idle_four(void **state)
{
	(void)state;
	idle(FOUR);
}

static void
idle_six(void **state)
{
	(void)state;
	idle(SIX);
}

static void
idle_mapped(void **state)
{
	(void)state;
	idle(MAPPED);
}

/* What either side has sent of a request or an answer when the packets stop is
 * another amount each time. */
static void
streaming(enum kind kind, unsigned seed)
{
	struct pair p[4];

	hosts_need();
	srandom(seed);
	for (int i = 0; i < 4; i++)
		pair_open(&p[i], kind);
	for (int round = 0; round < 6; round++) {
		struct handoff__image images[4];
		struct handoff__restore restores[4];
		enum host to = round % 2 == 0 ? HOST_B : HOST_A;

		for (int i = 0; i < 4; i++) {
			pair_assert_works(&p[i], (size_t)random() % 300000);
			pair_ask(&p[i], (size_t)random() % 60000);
			pair_answer(&p[i], (size_t)random() % 60000);
		}
		host_route(TO_HOLE);
		for (int i = 0; i < 4; i++) {
			pair_ask(&p[i], (size_t)random() % 3000);
			pair_freeze(&p[i], &images[i]);
			pair_carry(&p[i], &images[i], to, &restores[i]);
		}
		for (int i = 0; i < 4; i++) {
			pair_land(&p[i], &images[i], to, &restores[i]);
			handoff__image_free(&images[i]);
		}
	}
	for (int i = 0; i < 4; i++)
		pair_assert_works(&p[i], 100000);
	hosts_assert_no_resets();
	for (int i = 0; i < 4; i++)
		pair_close(&p[i]);
}

static void
streaming_four(void **state)
{
	(void)state;
	streaming(FOUR, 1);
}

static void
streaming_six(void **state)
{
	(void)state;
	streaming(SIX, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(idle_four),
		handoff_test(idle_six),
		handoff_test(idle_mapped),
		handoff_test(streaming_four),
		handoff_test(streaming_six),
	};

	return cmocka_run_group_tests_name("move", tests, NULL, NULL);
}
