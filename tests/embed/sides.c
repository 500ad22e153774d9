/* SPDX-License-Identifier: MIT */
/*
 * The two peers and the child. Uses only public calls of the library.
 */
#include "embed/sides.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void
note(enum handoff_log_level level, const char *text, void *arg)
{
	struct side *side = arg;

	if (level <= HANDOFF_LOG_WARNING)
		snprintf(side->logged, sizeof(side->logged), "%s", text);
}

void
side_init(struct side *side, const char *dir, const char *name)
{
	memset(side, 0, sizeof(*side));
	side->opts = (struct handoff_peer_opts){
		.size = sizeof(side->opts),
		.dir = dir,
		.name = name,
		.service = "test",
		.state_version = 1,
		.state_size = STATE_SIZE,
		.may_own = true,
		.log = note,
		.log_arg = side,
		.errbuf = side->why,
		.errbuf_size = sizeof(side->why),
	};
}

struct helper {
	struct side *side;
	atomic_bool stop;
};

static void *
keep_dispatching(void *arg)
{
	struct helper *helper = arg;

	while (!atomic_load(&helper->stop))
		handoff_peer_wait(helper->side->peer, 5);
	return NULL;
}

int
side_join(struct side *side, struct side *other)
{
	struct helper helper = {.side = other};
	pthread_t thread;
	int err;

	assert_int_equal(
		pthread_create(&thread, NULL, keep_dispatching, &helper), 0);
	err = handoff_peer_open(&side->peer, &side->opts);
	atomic_store(&helper.stop, true);
	pthread_join(thread, NULL);
	return err;
}

bool
side_next(struct side *side)
{
	struct pollfd fd = {
		.fd = handoff_peer_fd(side->peer), .events = POLLIN};
	const struct handoff_peer_event *event;
	bool readable = poll(&fd, 1, 0) == 1;

	if (handoff_peer_next(side->peer, &event) <= 0)
		return false;
	assert_true(readable);
	side->event = *event;
	memset(&side->outcome, 0, sizeof(side->outcome));
	if (event->outcome)
		side->outcome = *event->outcome;
	return true;
}

struct handoff_entry *
pair_expect(
	struct pair *p, struct side *side, enum handoff_peer_event_type type)
{
	struct side *other = side == &p->a ? &p->b : &p->a;

	for (int i = 0; i < 2000; i++) {
		struct pollfd fd = {
			.fd = handoff_peer_fd(side->peer), .events = POLLIN};

		while (side_next(side)) {
			if (side->event.type == type)
				return side->event.entry;
			assert_int_not_equal(
				side->event.type, HANDOFF_PEER_TAKEN);
		}
		if (other->peer)
			handoff_peer_wait(other->peer, 0);
		if (poll(&fd, 1, 5) > 0)
			handoff_peer_dispatch(side->peer);
	}
	fail_msg("%s: event %d never came", side->opts.name, (int)type);
	return NULL;
}

void
pair_settle(struct pair *p)
{
	for (int i = 0; i < 20; i++) {
		handoff_peer_wait(p->a.peer, 1);
		handoff_peer_wait(p->b.peer, 1);
	}
}

void
pair_open(struct pair *p)
{
	const char *dir = support_dir();

	side_init(&p->a, dir, "one");
	side_init(&p->b, dir, "two");
	assert_int_equal(handoff_peer_open(&p->a.peer, &p->a.opts), 0);
	pair_expect(p, &p->a, HANDOFF_PEER_OWNER);
	assert_int_equal(side_join(&p->b, &p->a), 0);
	pair_expect(p, &p->b, HANDOFF_PEER_STANDBY);
	pair_expect(p, &p->a, HANDOFF_PEER_JOINED);
}

void
pair_close(struct pair *p)
{
	handoff_peer_free(p->b.peer);
	handoff_peer_free(p->a.peer);
}

struct handoff_entry *
side_deposit(struct side *side, int *fd, int *client, const char *name,
	const char *state)
{
	struct handoff_entry_opts opts = {
		.size = sizeof(opts),
		.kind = HANDOFF_ENTRY_CONNECTION,
		.name = name,
		.state = state,
		.len = strlen(state),
	};
	struct handoff_entry *entry;
	int sv[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	*fd = opts.fd = sv[0];
	*client = sv[1];
	assert_int_equal(handoff_peer_deposit(side->peer, &entry, &opts), 0);
	return entry;
}

void
assert_state(const struct handoff_entry *entry, const char *wanted)
{
	size_t len;
	const char *state = handoff_entry_state(entry, &len);

	assert_int_equal(len, strlen(wanted));
	assert_memory_equal(state, wanted, len);
}

void
assert_speaks(int fd, int client)
{
	char byte = 0;

	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(byte, 'x');
}

pid_t
side_child(child_fn *fn, const char *dir, void *arg)
{
	int told[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(told), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(fn(dir, told[1], arg) == 0 ? 0 : 1);
	}
	close(told[1]);
	assert_int_equal(read(told[0], &byte, 1), 1);
	close(told[0]);
	return pid;
}

void
side_kill(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}
