/* SPDX-License-Identifier: MIT */
/*
 * A program with a loop of its own beside a ferry: it releases the entries that
 * the ferry asks for, and gets them back. The ferry's part is played by a
 * carrier in this process, `two`.
 */
#include "peer/fixture.h"

#include <handoff/peer.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct handoff_peer *peer;
static const struct handoff_peer_event *event;

static int
ferry_setup(void **state)
{
	const char *dir;

	if (support_setup(state) < 0)
		return -1;
	dir = support_dir();
	side_init(&two, dir, "north");
	side_carries(&two);
	return handoff_peer_open(
		&peer, &(struct handoff_peer_opts){
			       .size = sizeof(struct handoff_peer_opts),
			       .dir = dir,
			       .name = "one",
			       .service = "test",
			       .state_size = 100,
			       .state_version = 1,
			       .may_own = true});
}

static int
ferry_teardown(void **state)
{
	side_close(&two);
	handoff_peer_free(peer);
	return support_teardown(state);
}

#define ferry_test(f)                                                          \
	cmocka_unit_test_setup_teardown(f, ferry_setup, ferry_teardown)

static void
run_both(void)
{
	assert_true(handoff__loop_dispatch(&two.loop, 1) >= 0);
	handoff__pair_proceed(&two.pair);
	handoff_peer_wait(peer, 1);
}

static struct handoff_entry *
expect(enum handoff_peer_event_type type)
{
	for (int i = 0; i < 1000; i++) {
		while (handoff_peer_next(peer, &event) > 0) {
			if (event->type == type)
				return event->entry;
		}
		run_both();
	}
	fail_msg("event %d never came", (int)type);
	return NULL;
}

static void *
keep_dispatching(void *arg)
{
	atomic_bool *stop = arg;

	while (!atomic_load(stop))
		handoff_peer_wait(peer, 5);
	return NULL;
}

static void
carrier_joins(void)
{
	atomic_bool stop = false;
	pthread_t thread;

	assert_int_equal(
		pthread_create(&thread, NULL, keep_dispatching, &stop), 0);
	assert_int_equal(side_open(&two, NULL), 0);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	handoff__pair_started(&two.pair);
	expect(HANDOFF_PEER_JOINED);
}

static struct handoff_entry *
deposit(int *client)
{
	struct handoff_entry_opts opts = {.size = sizeof(opts),
		.kind = HANDOFF_ENTRY_CONNECTION,
		.state = "a state",
		.len = 7};
	struct handoff_entry *entry;
	int sv[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	opts.fd = sv[0];
	*client = sv[1];
	assert_int_equal(handoff_peer_deposit(peer, &entry, &opts), 0);
	close(sv[0]);
	return entry;
}

static void
wait_owned(uint32_t owned)
{
	for (int i = 0; i < 1000 && two.pair.roster.owned != owned; i++)
		run_both();
	assert_int_equal(two.pair.roster.owned, owned);
}

/* Its copy, once it has one. */
static struct handoff__roster_entry *
copy(void)
{
	for (int i = 0; i < 1000 && two.pair.roster.held == 0; i++)
		run_both();
	assert_int_equal(two.pair.roster.held, 1);
	return handoff__roster_next(&two.pair.roster, NULL);
}

static void
entries_are_released_and_return(void **state)
{
	struct handoff_entry *entry;
	struct handoff__roster_entry *e;
	const char *bytes;
	size_t len;
	int client;

	(void)state;
	carrier_joins();
	entry = deposit(&client);
	e = copy();
	assert_int_equal(handoff__pair_take_list(&two.pair, &e, 1), 0);
	assert_ptr_equal(expect(HANDOFF_PEER_RELEASE), entry);
	assert_int_equal(handoff_entry_release(entry), 0);
	wait_owned(1);
	assert_true(e->mine);
	assert_int_equal(handoff__pair_offer_list(&two.pair, &e, 1), 1);
	entry = expect(HANDOFF_PEER_TAKEN);
	bytes = handoff_entry_state(entry, &len);
	assert_int_equal(len, 7);
	assert_memory_equal(bytes, "a state", 7);
	if (event->fd >= 0)
		close(event->fd);
	wait_owned(0);
	close(client);
}

/* The ferry does not wait for it any more: the program goes on with it. */
static void
entries_stay_that_are_not_wanted_any_more(void **state)
{
	struct handoff_entry *entry;
	struct handoff__roster_entry *e;
	int client;

	(void)state;
	carrier_joins();
	entry = deposit(&client);
	e = copy();
	assert_int_equal(handoff__pair_take_list(&two.pair, &e, 1), 0);
	assert_ptr_equal(expect(HANDOFF_PEER_RELEASE), entry);
	handoff__pair_take_no_more(&two.pair);
	for (int i = 0; i < 20; i++)
		run_both();
	assert_int_equal(handoff_entry_release(entry), 0);
	assert_ptr_equal(expect(HANDOFF_PEER_TAKEN), entry);
	if (event->fd >= 0)
		close(event->fd);
	assert_int_equal(two.pair.roster.owned, 0);
	close(client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ferry_test(entries_are_released_and_return),
		ferry_test(entries_stay_that_are_not_wanted_any_more),
	};

	return cmocka_run_group_tests_name("embed_ferried", tests, NULL, NULL);
}
