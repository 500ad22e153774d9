/* SPDX-License-Identifier: MIT */
/*
 * holder ADDRESS HOST TTL_MS [FILE]: a host that takes part in a lease and
 * publishes while it has it, for tests: a line for each change, with the time
 * of CLOCK_BOOTTIME, which all processes of this machine share. With FILE the
 * session is saved there, and continued. SIGTERM releases the lease.
 *
 *   won TOKEN NS, valid TOKEN UNTIL_NS, published TOKEN SEQ; and, as won:
 * doubt, freeze, thaw, certain, reset, gave, released
 */
#include "lease/keeper.h"
#include "notice/notice.h"

#include <handoff/zookeeper.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PUBLISH_MS 200

struct holder {
	struct handoff__keeper *keeper;
	const char *file;
	const char *host;
	uint64_t count; /* notices of this token */
	uint32_t highest;
	bool released;
};

static volatile sig_atomic_t ending;

static void
on_term(int sig)
{
	(void)sig;
	ending = 1;
}

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t
token_of(const struct holder *h)
{
	return h->keeper ? handoff__keeper_lease(h->keeper)->token : 0;
}

static void
say(const struct holder *h, const char *what, uint64_t at)
{
	printf("%s %" PRIu64 " %" PRIu64 "\n", what, token_of(h), at);
	fflush(stdout);
}

static void
on_valid(void *arg, uint64_t until_ns)
{
	say(arg, "valid", until_ns);
}

static void
on_store(void *arg, const struct handoff__lease_saved *saved, uint64_t ttl_ns)
{
	struct holder *h = arg;
	int fd;

	(void)ttl_ns;
	printf("valid %" PRIu64 " %" PRIu64 "\n", saved->token,
		saved->valid_until_ns);
	fflush(stdout);
	if (!h->file)
		return;
	fd = open(h->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 ||
		pwrite(fd, saved, sizeof(*saved), 0) != (ssize_t)sizeof(*saved))
		abort();
	close(fd);
}

static void
on_act(void *arg, enum handoff__lease_action action)
{
	struct holder *h = arg;

	switch (action) {
	case HANDOFF__LEASE_WON:
		h->count = 0;
		say(h, "won", now_ns());
		break;
	case HANDOFF__LEASE_DOUBTED:
		say(h, "doubt", now_ns());
		break;
	case HANDOFF__LEASE_FREEZE:
		say(h, "freeze", now_ns());
		break;
	case HANDOFF__LEASE_THAW:
		say(h, "thaw", now_ns());
		break;
	case HANDOFF__LEASE_CERTAIN:
		say(h, "certain", now_ns());
		break;
	case HANDOFF__LEASE_RESET:
		say(h, "reset", now_ns());
		handoff__keeper_emptied(h->keeper);
		break;
	case HANDOFF__LEASE_PUBLISHED:
		say(h, "published", h->count);
		break;
	case HANDOFF__LEASE_RELEASED:
		say(h, "released", now_ns());
		h->released = true;
		break;
	default:
		break;
	}
}

static uint32_t
on_retained(void *arg, const void *data, size_t len)
{
	struct handoff_notice notice;

	(void)arg;
	if (len == 0 || handoff__notice_decode(&notice, data, len) < 0)
		return 0;
	return (uint32_t)(notice.generation >> 32);
}

static void
publish(struct holder *h)
{
	struct handoff_notice notice = {
		.service = "echo",
		.kind = HANDOFF_NOTICE_FAILOVER,
		.generation = token_of(h) << 32,
		.seq = ++h->count,
	};
	unsigned char data[HANDOFF__NOTICE_SIZE];
	int len;

	handoff__copy(notice.serving, sizeof(notice.serving), h->host);
	len = handoff__notice_encode(&notice, data, sizeof(data));
	if (len < 0)
		abort();
	handoff__keeper_publish(h->keeper, data, (size_t)len);
}

static const struct handoff__lease_saved *
saved_in(const char *file)
{
	static struct handoff__lease_saved saved;
	int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
	bool whole;

	if (fd < 0)
		return NULL;
	whole = read(fd, &saved, sizeof(saved)) == (ssize_t)sizeof(saved);
	close(fd);
	return whole ? &saved : NULL;
}

static void
log_line(enum handoff_log_level level, const char *text, void *arg)
{
	(void)arg;
	if (level == HANDOFF_LOG_ERROR)
		fprintf(stderr, "%s\n", text);
}

static void
run(struct holder *h)
{
	uint64_t due = 0;

	while (!h->released) {
		struct pollfd pfd = {
			.fd = handoff__keeper_fd(h->keeper), .events = POLLIN};

		poll(&pfd, 1, PUBLISH_MS);
		handoff__keeper_dispatch(h->keeper);
		if (ending == 1) {
			ending = 2;
			say(h, "gave", now_ns()); /* serves no more */
			handoff__keeper_release(h->keeper);
		}
		if (ending == 0 && now_ns() >= due &&
			handoff__keeper_may_begin(h->keeper)) {
			publish(h);
			due = now_ns() + PUBLISH_MS * UINT64_C(1000000);
		}
	}
}

int
main(int argc, char **argv)
{
	static const struct handoff__keeper_hooks hooks = {
		.store = on_store,
		.valid = on_valid,
		.act = on_act,
		.retained = on_retained,
	};
	struct holder h = {.file = argc > 4 ? argv[4] : NULL};
	struct handoff__keeper_opts opts = {
		.hooks = &hooks, .arg = &h, .log = {.fn = log_line}};
	struct handoff__error error = {""};
	struct sigaction action = {.sa_handler = on_term};

	if (argc < 4)
		return 2;
	sigaction(SIGTERM, &action, NULL);
	h.host = opts.host = argv[2];
	opts.address = argv[1];
	opts.ttl_ms = (uint32_t)strtoul(argv[3], NULL, 10);
	opts.saved = saved_in(h.file);
	if (handoff_zookeeper_register() < 0 ||
		handoff__keeper_open(&h.keeper, &opts, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	printf("open %d 0\n", opts.saved != NULL);
	run(&h);
	handoff__keeper_close(h.keeper);
	return 0;
}
