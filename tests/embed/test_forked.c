/* SPDX-License-Identifier: MIT */
/*
 * Processes that a program forks while it has a peer: they cannot use it, and
 * do not hold its place once they have freed it.
 */
#include "embed/sides.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child finds: 0 if it is as it should be. */
static int
use_in_child(struct handoff_peer *peer)
{
	if (handoff_peer_dispatch(peer) != -ECHILD ||
		handoff_peer_wait(peer, -1) != -ECHILD)
		return 1;
	if (!strstr(handoff_peer_errmsg(peer), "open it after daemon(3)"))
		return 2;
	handoff_peer_free(peer);
	return 0;
}

static void
child_cannot_use_it_and_harms_nothing(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	int fd, client, status;
	pid_t pid;

	(void)state;
	pair_open(&p);
	e = side_deposit(&p.a, &fd, &client, NULL, "old");
	pair_settle(&p);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(use_in_child(p.a.peer));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* The parent and the other peer have not noticed. */
	pair_settle(&p);
	assert_false(side_next(&p.a));
	assert_false(side_next(&p.b));
	assert_int_equal(handoff_entry_update(e, "new", 3), 0);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	e = pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE);
	assert_int_equal(handoff_entry_release(e), 0);
	e = pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN);
	assert_state(e, "new");
	assert_speaks(p.b.event.fd, client);
	close(p.b.event.fd);
	close(fd);
	close(client);
	pair_close(&p);
}

/* An owner that has forked a process which outlives it, and says its number. */
static int
own_and_fork(const char *dir, int told, void *arg)
{
	const int *to = arg;
	struct side a;
	pid_t pid;

	side_init(&a, dir, "one");
	if (handoff_peer_open(&a.peer, &a.opts) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		handoff_peer_free(a.peer);
		close(told);
		if (write(to[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		pause();
		_exit(0);
	}
	if (write(to[1], &pid, sizeof(pid)) != sizeof(pid) ||
		write(told, "x", 1) != 1)
		return 1;
	for (;;)
		handoff_peer_wait(a.peer, -1);
}

static void
place_is_free_though_a_child_lives(void **state)
{
	const char *dir = support_dir();
	struct pair p;
	int to[2];
	pid_t pid, said[2];

	(void)state;
	memset(&p, 0, sizeof(p));
	/* The child of the child is this process's then, to be waited for. */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(pipe(to), 0);
	pid = side_child(own_and_fork, dir, to);
	/* In either order: its number, and 0 when it has freed the peer. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			read(to[0], &said[i], sizeof(pid)), sizeof(pid));
	assert_true((said[0] == 0) != (said[1] == 0));
	side_init(&p.b, dir, "two");
	assert_int_equal(handoff_peer_open(&p.b.peer, &p.b.opts), 0);
	pair_expect(&p, &p.b, HANDOFF_PEER_STANDBY);
	side_kill(pid);
	pair_expect(&p, &p.b, HANDOFF_PEER_OWNER);
	assert_int_equal(kill(said[0] + said[1], 0), 0);
	side_init(&p.a, dir, "three");
	assert_int_equal(side_join(&p.a, &p.b), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_STANDBY);
	kill(said[0] + said[1], SIGKILL);
	assert_int_equal(
		waitpid(said[0] + said[1], NULL, 0), said[0] + said[1]);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	close(to[0]);
	close(to[1]);
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(child_cannot_use_it_and_harms_nothing),
		handoff_test(place_is_free_though_a_child_lives),
	};

	return cmocka_run_group_tests_name("forked", tests, NULL, NULL);
}
