/* SPDX-License-Identifier: MIT */
/* A channel between two hosts whose network is cut. */
#include "ferry/lan.h"
#include "ferry/links.h"

/* A's sockets are made in A, where this process is; B's listener stays in B. */
static void
open_between_hosts(const char *listen)
{
	lan_need();
	lan_enter(LAN_B);
	b.opts.listen = listen;
	links_open_listener();
	lan_enter(LAN_A);
	links_open_dialler(handoff__channel_bound(b.channel));
}

static void
cut_and_mend(void)
{
	links_until(b.frames == 1);
	lan_ip(LAN_BRIDGE, "link set p1 down");
	/* what is sent into the hole is not the other side's: it is gone */
	assert_int_equal(links_send(&a, 100000), 0);
	links_until(a.downs == 1 && b.downs == 1);
	lan_ip(LAN_BRIDGE, "link set p1 up");
	links_wait_up();
	assert_int_equal(a.ups, 2);
	b.frames = 0;
	assert_int_equal(links_send(&a, 100000), 0);
	links_until(b.frames == 1);
}

static void
test_a_cut_is_noticed_and_mended_with_ipv4(void **state)
{
	(void)state;
	a.opts.silent_ms = b.opts.silent_ms = LINKS_SILENT_MS;
	open_between_hosts("10.77.0.2:7400");
	links_wait_up();
	assert_int_equal(links_send(&a, 10), 0);
	cut_and_mend();
}

static void
test_a_cut_is_noticed_and_mended_with_ipv6(void **state)
{
	(void)state;
	a.opts.silent_ms = b.opts.silent_ms = LINKS_SILENT_MS;
	open_between_hosts("[fd77::2]:7400");
	links_wait_up();
	assert_int_equal(links_send(&a, 10), 0);
	cut_and_mend();
}

/* It would go away under the link; the owner can tell. */
static void
test_a_link_that_uses_an_address_of_the_service_is_found(void **state)
{
	struct handoff__prefix service;
	struct handoff__device device;

	(void)state;
	lan_need();
	lan_enter(LAN_B);
	service = lan_prefix("10.77.0.100/24");
	device = lan_device();
	assert_int_equal(
		handoff__address_to_device(&device, &service, NULL), 0);
	b.opts.listen = ":7400";
	links_open_listener();
	lan_enter(LAN_A);
	links_open_dialler("10.77.0.100:7400");
	links_wait_up();
	assert_true(handoff__prefix_holds(&service, 1,
		(const struct sockaddr *)&handoff__channel_peer(b.channel)
			->local));
	assert_false(handoff__prefix_holds(&service, 1,
		(const struct sockaddr *)&handoff__channel_peer(a.channel)
			->local));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		links_test(test_a_cut_is_noticed_and_mended_with_ipv4),
		links_test(test_a_cut_is_noticed_and_mended_with_ipv6),
		links_test(
			test_a_link_that_uses_an_address_of_the_service_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
