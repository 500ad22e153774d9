/* SPDX-License-Identifier: MIT */
/*
 * A peer that owns pairs: a leader and a companion, the two ends of a socket.
 * It answers RELEASE after a random while, often too late, and gives some
 * leaders another companion then. Standard input: "list" prints what it owns,
 * "hold" lets it release nothing until "go", and "busy" with a reason says that
 * it is not ready to serve; as it is from the beginning with a fifth argument.
 */
#include <handoff.h>

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST  2000
#define LAZY  8 /* releases each with that probability in a millisecond */
#define AGAIN 7 /* each so-manieth leader gets another companion */

static struct handoff_peer *peer;
static struct handoff_entry *owned[MOST];
static bool wanted[MOST]; /* it has been told to release it */
static unsigned count;
static bool held;

static void
put(const char *state, int fd, struct handoff_entry *leader)
{
	struct handoff_entry_opts opts = {.size = sizeof(opts),
		.kind = leader ? HANDOFF_ENTRY_OTHER : HANDOFF_ENTRY_CONNECTION,
		.fd = fd,
		.state = state,
		.len = strlen(state) + 1,
		.with = leader};

	if (count < MOST &&
		handoff_peer_deposit(peer, &owned[count], &opts) == 0)
		wanted[count++] = false;
	else
		fprintf(stderr, "deposit: %s\n", handoff_peer_errmsg(peer));
}

static const char *
state_of(const struct handoff_entry *entry)
{
	size_t len;
	const char *state = handoff_entry_state(entry, &len);

	return len > 0 ? state : "";
}

static void
make_pairs(int pairs)
{
	char state[32];
	int sv[2];

	for (int i = 0; i < pairs; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
			exit(1);
		snprintf(state, sizeof(state), "%d leader", i);
		put(state, sv[0], NULL);
		snprintf(state, sizeof(state), "%d with", i);
		put(state, sv[1], owned[count - 1]);
		close(sv[0]);
		close(sv[1]);
	}
}

static void
forget(unsigned i)
{
	owned[i] = owned[--count];
	wanted[i] = wanted[count];
}

static void
told_to_release(struct handoff_entry *entry)
{
	unsigned i = 0;
	int sv[2];

	while (i < count && owned[i] != entry)
		i++;
	if (i == count)
		abort();
	wanted[i] = true;
	if (atoi(state_of(entry)) % AGAIN != 0 ||
		!strstr(state_of(entry), "leader") ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return;
	put("0 extra", sv[0], entry);
	close(sv[0]);
	close(sv[1]);
}

static void
taken(struct handoff_entry *entry, int fd)
{
	close(fd);
	if (strstr(state_of(entry), "extra"))
		handoff_entry_withdraw(entry);
	else if (count < MOST) {
		wanted[count] = false;
		owned[count++] = entry;
	}
}

static bool
obey(int pairs)
{
	const struct handoff_peer_event *event;

	handoff_peer_dispatch(peer);
	while (handoff_peer_next(peer, &event) == 1) {
		if (event->type == HANDOFF_PEER_TAKEN)
			taken(event->entry, event->fd);
		else if (event->type == HANDOFF_PEER_RELEASE)
			told_to_release(event->entry);
		else
			printf("%s\n", event->text);
		if (event->type == HANDOFF_PEER_OWNER && pairs > 0) {
			make_pairs(pairs);
			pairs = 0;
		}
		if (event->type == HANDOFF_PEER_STOP)
			return false;
	}
	return true;
}

/* Some of what is to be released, in no order. */
static bool
release_some(void)
{
	bool waits = false;

	if (held)
		return false;
	for (unsigned i = count; i-- > 0;) {
		if (!wanted[i])
			continue;
		waits = true;
		if (rand() % LAZY == 0 && handoff_entry_release(owned[i]) == 0)
			forget(i);
	}
	return waits;
}

/* Each with whether its leader, if it had one, is here too. */
static void
list(void)
{
	for (unsigned i = 0; i < count; i++) {
		const struct handoff_entry *leader =
			handoff_entry_leader(owned[i]);

		printf("owns %s %s\n", state_of(owned[i]),
			leader ? state_of(leader) : "-");
	}
	printf("end\n");
}

static void
command(void)
{
	char line[100];

	if (!fgets(line, sizeof(line), stdin))
		return;
	line[strcspn(line, "\n")] = '\0';
	if (line[0] == 'l')
		list();
	else if (line[0] == 'b')
		handoff_peer_loading(peer, line[4] ? line + 5 : NULL);
	else
		held = line[0] == 'h';
}

static void
note(enum handoff_log_level level, const char *text, void *arg)
{
	(void)arg;
	if (level <= HANDOFF_LOG_INFO)
		printf("%s\n", text);
}

int
main(int argc, char **argv)
{
	char why[HANDOFF_TEXT_MAX];
	struct handoff_peer_opts opts = {.size = sizeof(opts),
		.dir = argc > 1 ? argv[1] : NULL,
		.name = argc > 2 ? argv[2] : NULL,
		.service = "pairs",
		.state_version = 1,
		.state_size = 32,
		.may_own = true,
		.give_timeout_ms = argc > 4 ? (uint32_t)atoi(argv[4]) : 30,
		.loading = argc > 5 ? argv[5] : NULL,
		.log = note,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	struct pollfd fds[2] = {
		{.events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	int pairs = argc > 3 ? atoi(argv[3]) : 0, wait_ms = -1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	srand((unsigned)getpid());
	if (handoff_peer_open(&peer, &opts) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	fds[0].fd = handoff_peer_fd(peer);
	while (obey(pairs)) {
		pairs = 0;
		wait_ms = release_some() ? rand() % 2 : -1;
		handoff_peer_dispatch(peer);
		if (poll(fds, 2, wait_ms) > 0 && fds[1].revents)
			command();
	}
	handoff_peer_free(peer);
	return 0;
}
