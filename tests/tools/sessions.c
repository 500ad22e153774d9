/* SPDX-License-Identifier: MIT */
/*
 * sessions: many clients of the library, each with a session, stream
 * pseudo-random data to an echo service and verify every byte that comes back,
 * whatever becomes of their connections. SIGUSR1 reports, SIGTERM ends the run
 * in order; the last line is one JSON object, and the exit status 0 only if no
 * session was lost and every byte came back once.
 */
#include "load.h"

#include <handoff.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define CHUNK 2000

struct one {
	struct handoff_client *client;
	uint64_t key, sent, echoed;
	bool begun, shut, closed;
};

static struct {
	unsigned connected, resumed, moved, new, lost, retried, closed;
	uint64_t corrupt;
} counts;

static struct one *all;
static unsigned nclients = 1;
static uint64_t window = 4000, seed = 1;
static bool stopping, verbose;

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "sessions: %s: %s\n", what, why);
	exit(1);
}

/* Sends what the window has room for, in messages of random lengths. */
static void
push(struct one *one)
{
	unsigned char data[CHUNK];

	if (stopping && !one->shut) {
		one->shut = true;
		handoff_client_shutdown(one->client);
	}
	while (!one->shut && one->sent - one->echoed < window &&
		handoff_client_room(one->client) >= CHUNK) {
		size_t len = 1 + load_random(&seed) % CHUNK;

		load_fill(one->key, one->sent, data, len);
		if (handoff_client_send(one->client, data, len) < 0)
			fail("send", handoff_client_errmsg(one->client));
		one->sent += len;
	}
}

static void
take(struct one *one, const struct handoff_client_event *event)
{
	size_t bad;

	switch (event->type) {
	case HANDOFF_CLIENT_DATA:
		bad = load_verify(
			one->key, one->echoed, event->data, event->len);
		if (one->echoed + event->len > one->sent)
			bad++;
		counts.corrupt += bad;
		one->echoed += event->len;
		return;
	case HANDOFF_CLIENT_CONNECTED:
		one->begun = true;
		counts.connected++;
		break;
	case HANDOFF_CLIENT_RESUMED:
		counts.resumed++;
		break;
	case HANDOFF_CLIENT_MOVED:
		counts.moved++;
		break;
	case HANDOFF_CLIENT_NEW:
		counts.new ++;
		break;
	case HANDOFF_CLIENT_LOST:
		counts.lost++;
		break;
	case HANDOFF_CLIENT_RETRY:
		counts.retried += event->err < 0;
		break;
	case HANDOFF_CLIENT_CLOSED:
		one->closed = true;
		counts.closed++;
		break;
	default:
		break;
	}
	if (verbose)
		fprintf(stderr, "%u: %s\n", (unsigned)(one - all), event->text);
}

static void
drive(struct one *one)
{
	const struct handoff_client_event *event;

	if (handoff_client_dispatch(one->client) < 0)
		fail("dispatch", handoff_client_errmsg(one->client));
	while (handoff_client_next(one->client, &event) > 0)
		take(one, event);
	push(one);
}

static bool
report(void)
{
	uint64_t sent = 0, echoed = 0;
	unsigned unfinished = 0;

	for (unsigned i = 0; i < nclients; i++) {
		sent += all[i].sent;
		echoed += all[i].echoed;
		unfinished += !all[i].closed || all[i].sent != all[i].echoed;
	}
	printf("{\"clients\": %u, \"connected\": %u, \"resumed\": %u, "
	       "\"moved\": %u, \"new\": %u, \"lost\": %u, \"retried\": %u, "
	       "\"closed\": %u, \"sent\": %" PRIu64 ", \"echoed\": %" PRIu64
	       ", \"corrupt\": %" PRIu64 ", \"unfinished\": %u}\n",
		nclients, counts.connected, counts.resumed, counts.moved,
		counts.new, counts.lost, counts.retried, counts.closed, sent,
		echoed, counts.corrupt, unfinished);
	fflush(stdout);
	return unfinished == 0 && counts.corrupt == 0 && counts.new == 0;
}

static void
open_all(const struct handoff_client_opts *opts, int epfd)
{
	all = calloc(nclients, sizeof(*all));
	for (unsigned i = 0; all && i < nclients; i++) {
		struct epoll_event event = {
			.events = EPOLLIN, .data.ptr = &all[i]};

		all[i].key = load_random(&seed);
		if (handoff_client_open(&all[i].client, opts) < 0)
			fail("open", opts->errbuf);
		epoll_ctl(epfd, EPOLL_CTL_ADD, handoff_client_fd(all[i].client),
			&event);
		push(&all[i]);
	}
}

static void
read_options(struct handoff_client_opts *opts, int argc, char **argv)
{
	static const struct option own[] = {
		{"clients", required_argument, NULL, 'c'},
		{"window", required_argument, NULL, 'w'},
		{"verbose", no_argument, NULL, 'v'}, {0}};
	int c;

	if (handoff_client_opts_read(opts, &argc, argv) < 0)
		fail("options", opts->errbuf);
	while ((c = getopt_long(argc, argv, "", own, NULL)) != -1) {
		if (c == 'c')
			nclients = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'w')
			window = strtoul(optarg, NULL, 10);
		else if (c == 'v')
			verbose = true;
		else
			exit(2);
	}
}

static void
read_signal(int sigfd)
{
	struct signalfd_siginfo info;

	if (read(sigfd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1) {
		report();
		return;
	}
	stopping = true;
	for (unsigned i = 0; i < nclients; i++)
		push(&all[i]);
}

static void
run(int epfd, int sigfd)
{
	struct epoll_event events[64];
	bool said = false;

	while (counts.closed < nclients) {
		int n = epoll_wait(epfd, events, 64, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				drive(events[i].data.ptr);
			else
				read_signal(sigfd);
		}
		if (!said && counts.connected == nclients) {
			said = true;
			printf("sessions: %u connected\n", nclients);
			fflush(stdout);
		}
	}
}

int
main(int argc, char **argv)
{
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_client_opts opts = {.size = sizeof(opts),
		.first_delay_ms = 20,
		.max_delay_ms = 500,
		.session = true,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	struct epoll_event event = {.events = EPOLLIN};
	int epfd = epoll_create1(EPOLL_CLOEXEC), sigfd;
	sigset_t signals;

	read_options(&opts, argc, argv);
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	sigfd = signalfd(-1, &signals, SFD_CLOEXEC);
	epoll_ctl(epfd, EPOLL_CTL_ADD, sigfd, &event);
	open_all(&opts, epfd);
	run(epfd, sigfd);
	for (unsigned i = 0; i < nclients; i++)
		handoff_client_free(all[i].client);
	return report() ? 0 : 1;
}
