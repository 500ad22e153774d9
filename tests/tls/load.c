/* SPDX-License-Identifier: MIT */
/*
 * tls_load: many connections of stock OpenSSL to an echo service, which know
 * nothing of what happens behind it. Says "ready" once all long ones have
 * shaken hands; SIGUSR1 prints the counts so far, SIGTERM and SIGINT end the
 * run in order. Its last line is one JSON object; it exits with 0 only when
 * nothing was wrong, lost or broken.
 */
#include "tls/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define TICK_MS 2

static const char usage[] =
	"usage: tls_load --connect HOST:PORT --ca FILE [--name NAME]\n"
	"                [--cert FILE --key FILE] [--long N] [--short N]\n"
	"                [--seconds S] [--pause-ms MS] [--patience S]\n"
	"                [--no-updates] [--seed X]\n"
	"--long connections stay for the whole run, --short ones have two\n"
	"blocks and are followed by the next one at once. The certificate of\n"
	"the service must be for --name (localhost) and from --ca; --cert is\n"
	"that of the clients.\n";

struct options {
	const char *connect, *ca, *cert, *key;
	unsigned longs, shorts, seconds;
};

static int
refuse(const char *what)
{
	fprintf(stderr, "tls_load: %s\n%s", what, usage);
	exit(2);
}

static int
parse_address(struct load *load, const char *text)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)&load->to;
	const char *colon = strrchr(text, ':');
	char host[64];

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	sin->sin_family = AF_INET;
	sin->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	load->to_len = sizeof(*sin);
	return inet_pton(AF_INET, host, &sin->sin_addr) == 1 ? 0 : -EINVAL;
}

static void
parse(struct load *load, struct options *o, int argc, char **argv)
{
	static const struct option names[] = {
		{"connect", required_argument, NULL, 'c'},
		{"ca", required_argument, NULL, 'a'},
		{"name", required_argument, NULL, 'n'},
		{"cert", required_argument, NULL, 'C'},
		{"key", required_argument, NULL, 'K'},
		{"long", required_argument, NULL, 'l'},
		{"short", required_argument, NULL, 's'},
		{"seconds", required_argument, NULL, 't'},
		{"pause-ms", required_argument, NULL, 'p'},
		{"patience", required_argument, NULL, 'w'},
		{"no-updates", no_argument, NULL, 'u'},
		{"seed", required_argument, NULL, 'x'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		unsigned long n = optarg ? strtoul(optarg, NULL, 10) : 0;

		switch (option) {
		case 'c':
			o->connect = optarg;
			break;
		case 'a':
			o->ca = optarg;
			break;
		case 'n':
			load->name = optarg;
			break;
		case 'C':
			o->cert = optarg;
			break;
		case 'K':
			o->key = optarg;
			break;
		case 'l':
			o->longs = (unsigned)n;
			break;
		case 's':
			o->shorts = (unsigned)n;
			break;
		case 't':
			o->seconds = (unsigned)n;
			break;
		case 'p':
			load->pause_ms = (unsigned)n;
			break;
		case 'w':
			load->patience_s = (unsigned)n;
			break;
		case 'u':
			load->updates = false;
			break;
		case 'x':
			load->random = n;
			break;
		default:
			refuse("unknown option");
		}
	}
	if (optind < argc || !o->connect || !o->ca ||
		parse_address(load, o->connect) < 0)
		refuse("--connect and --ca are needed");
}

static void
open_context(struct load *load, const struct options *o)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	bool ok = ctx &&
		  SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
		  SSL_CTX_load_verify_locations(ctx, o->ca, NULL) == 1;

	if (ok && o->cert)
		ok = o->key &&
		     SSL_CTX_use_certificate_chain_file(ctx, o->cert) == 1 &&
		     SSL_CTX_use_PrivateKey_file(
			     ctx, o->key, SSL_FILETYPE_PEM) == 1;
	if (!ok)
		refuse("OpenSSL cannot use these files");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	load->ctx = ctx;
}

static void
print_counts(const struct load *load)
{
	const struct load_counts *n = &load->counts;

	printf("{\"bytes\": %" PRIu64 ", \"blocks\": %" PRIu64
	       ", \"handshakes\": %" PRIu64 ", \"short\": %" PRIu64
	       ", \"updates\": %" PRIu64 ", \"updates_seen\": %" PRIu64
	       ", \"wrong\": %" PRIu64 ", \"lost\": %" PRIu64
	       ", \"reset\": %" PRIu64 ", \"stalled\": %" PRIu64
	       ", \"broken\": %" PRIu64 ", \"unanswered\": %" PRIu64
	       ", \"refused\": %" PRIu64 ", \"unfinished\": %u}\n",
		n->bytes, n->blocks, n->handshakes, n->short_ones, n->updates,
		n->updates_seen, n->wrong, n->lost, n->reset, n->stalled,
		n->broken, n->unanswered, n->refused, load->open);
}

static int
open_signals(struct load *load)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	load->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0 || load->epoll < 0 ||
		epoll_ctl(load->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		refuse("no epoll or no signalfd");
	return fd;
}

static void
take_signals(struct load *load, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			print_counts(load);
		else
			load->stopping = true;
	}
}

static void
tick(struct load_conn *conns, unsigned count, bool *ready)
{
	int64_t now = load_now_ms();
	bool all = true;
	unsigned i;

	for (i = 0; i < count; i++) {
		load_conn_tick(&conns[i], now);
		all &= conns[i].short_one || conns[i].shaken;
	}
	if (all && !*ready) {
		*ready = true;
		printf("ready\n");
	}
}

static void
run(struct load *load, struct load_conn *conns, unsigned count, int signals,
	unsigned seconds)
{
	int64_t end = load_now_ms() + 1000 * (int64_t)seconds, ticked = 0;
	struct epoll_event events[64];
	bool ready = false;
	int i, n;

	while (load->open > 0) {
		n = epoll_wait(load->epoll, events, 64, TICK_MS);
		for (i = 0; i < n; i++) {
			if (events[i].data.ptr)
				load_conn_step(events[i].data.ptr);
			else
				take_signals(load, signals);
		}
		if (load_now_ms() >= end)
			load->stopping = true;
		if (load_now_ms() >= ticked + TICK_MS) {
			ticked = load_now_ms();
			tick(conns, count, &ready);
		}
	}
}

int
main(int argc, char **argv)
{
	struct load load = {.name = "localhost",
		.pause_ms = 20,
		.patience_s = 20,
		.updates = true,
		.random = 1};
	struct options o = {.longs = 1, .seconds = 10};
	struct load_counts *n = &load.counts;
	struct rlimit files;
	struct load_conn *conns;
	unsigned i, count;
	int signals;

	setvbuf(stdout, NULL, _IOLBF, 0);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	parse(&load, &o, argc, argv);
	open_context(&load, &o);
	signals = open_signals(&load);
	count = o.longs + o.shorts;
	conns = calloc(count + 1, sizeof(*conns));
	if (!conns)
		refuse("no memory");
	for (i = 0; i < count; i++)
		load_conn_open(&load, &conns[i], i >= o.longs);
	run(&load, conns, count, signals, o.seconds);
	for (i = 0; i < count; i++)
		load_conn_free(&conns[i]);
	free(conns);
	SSL_CTX_free(load.ctx);
	print_counts(&load);
	return n->wrong + n->lost + n->stalled + n->broken == 0 ? 0 : 1;
}
