/* SPDX-License-Identifier: MIT */
/*
 * loadgen: streams pseudo-random data over many plain connections to an echo
 * service and verifies every byte that comes back. Its last line is one JSON
 * object; it exits with 0 only when nothing was lost, wrong or broken.
 */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/un.h>
#include <unistd.h>

static const char usage[] =
	"usage: loadgen --connect ADDR [--connections N] [--active N] "
	"[--idle N]\n"
	"               [--seconds S] [--bytes B] [--chunk BYTES] "
	"[--window BYTES]\n"
	"               [--rate BYTES] [--churn N] [--half-close] "
	"[--sequential]\n"
	"               [--vary] [--seed X] [--commands]\n"
	"ADDR is HOST:PORT, [IPV6]:PORT or unix:/PATH; of several, "
	"connections take\n"
	"one after the other.\n"
	"Of --connections the first --active stream, the others and --idle "
	"more send\n"
	"one byte at the start and one at the end. --rate is per second and\n"
	"connection, --churn is short connections per second. With --vary\n"
	"--chunk is the most that one send has.\n"
	"SIGUSR1 reports silences, SIGTERM and SIGINT end the run in order. "
	"With\n"
	"--commands standard input has lines: report, check, pause, resume, "
	"stop.\n";

static int
parse_unix(struct load_target *target, const char *path)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)&target->sa;

	if (strlen(path) >= sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, path, strlen(path) + 1);
	target->len = sizeof(*sun);
	return 0;
}

static int
parse_target(struct load_target *target, const char *text)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	char host[128];
	const char *colon = strrchr(text, ':');
	size_t len;

	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(target, text + 5);
	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return -EINVAL;
	len = (size_t)(colon - text);
	if (len > 1 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	memcpy(host, text, len);
	host[len] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
		return -EINVAL;
	memcpy(&target->sa, list->ai_addr, list->ai_addrlen);
	target->len = list->ai_addrlen;
	freeaddrinfo(list);
	return 0;
}

static void
add_target(struct load_opts *opts, const char *text)
{
	if (opts->ntargets == LOAD_TARGETS ||
		parse_target(&opts->targets[opts->ntargets], text) < 0) {
		fprintf(stderr, "loadgen: bad address '%s'\n", text);
		exit(2);
	}
	opts->ntargets++;
}

/* Reads a number with an optional K, M or G; absurd ones are refused. */
static uint64_t
number(const char *name, const char *text, uint64_t max)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end == 'K' || *end == 'M' || *end == 'G')
		value <<= *end == 'K' ? 10 : *end == 'M' ? 20 : 30, end++;
	if (errno || end == text || *end || text[0] == '-' || value > max) {
		fprintf(stderr, "loadgen: --%s: bad number '%s'\n", name, text);
		exit(2);
	}
	return value;
}

static int64_t
seconds(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0 && value < 1e6)) {
		fprintf(stderr, "loadgen: --seconds: bad number '%s'\n", text);
		exit(2);
	}
	return (int64_t)(value * 1e6);
}

static const struct option options[] = {
	{"connect", required_argument, NULL, 'c'},
	{"connections", required_argument, NULL, 'n'},
	{"active", required_argument, NULL, 'a'},
	{"idle", required_argument, NULL, 'i'},
	{"seconds", required_argument, NULL, 't'},
	{"bytes", required_argument, NULL, 'b'},
	{"chunk", required_argument, NULL, 'k'},
	{"window", required_argument, NULL, 'w'},
	{"rate", required_argument, NULL, 'r'},
	{"churn", required_argument, NULL, 'u'},
	{"seed", required_argument, NULL, 's'},
	{"vary", no_argument, NULL, 'v'},
	{"half-close", no_argument, NULL, 'h'},
	{"sequential", no_argument, NULL, 'q'},
	{"commands", no_argument, NULL, 'm'},
	{NULL, 0, NULL, 0},
};

struct counts {
	unsigned connections, active, idle;
	bool active_given;
};

static bool
set_option(struct load_opts *opts, struct counts *counts, int c)
{
	switch (c) {
	case 'n':
		counts->connections =
			(unsigned)number("connections", optarg, 1000000);
		return true;
	case 'a':
		counts->active = (unsigned)number("active", optarg, 1000000);
		counts->active_given = true;
		return true;
	case 'i':
		counts->idle = (unsigned)number("idle", optarg, 1000000);
		return true;
	case 't':
		opts->run_us = seconds(optarg);
		return true;
	case 'b':
		opts->bytes = number("bytes", optarg, 1ull << 50);
		return true;
	case 'k':
		opts->chunk = number("chunk", optarg, LOAD_BUFFER);
		return true;
	case 'w':
		opts->window = number("window", optarg, 1ull << 30);
		return true;
	case 'r':
		opts->rate = number("rate", optarg, 1ull << 40);
		return true;
	case 'u':
		opts->churn = (unsigned)number("churn", optarg, 100000);
		return true;
	case 's':
		opts->seed = number("seed", optarg, UINT64_MAX);
		return true;
	case 'h':
		opts->half_close = true;
		return true;
	case 'v':
		opts->vary = true;
		return true;
	case 'q':
		opts->sequential = true;
		return true;
	case 'm':
		opts->commands = true;
		return true;
	default:
		return false;
	}
}

static void
parse(struct load_opts *opts, int argc, char **argv)
{
	struct counts counts = {.connections = 1};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'c')
			add_target(opts, optarg);
		else if (!set_option(opts, &counts, c))
			goto bad;
	}
	if (optind < argc || opts->ntargets == 0 || opts->chunk == 0 ||
		opts->window == 0)
		goto bad;
	opts->active = counts.connections;
	if (counts.active_given && counts.active < counts.connections)
		opts->active = counts.active;
	opts->connections = counts.connections + counts.idle;
	return;
bad:
	fputs(usage, stderr);
	exit(2);
}

static void
raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int
signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Prints the counts; true when they are clean. */
static bool
report(const struct load_run *run)
{
	const struct load_stats *s = &run->stats;
	uint64_t lost = s->sent - s->echoed;

	printf("{\"connections\":%u,\"connected\":%u,\"sent\":%llu,"
	       "\"echoed\":%llu,\"lost\":%llu,\"corrupt\":%llu,"
	       "\"resets\":%u,\"early_eof\":%u,\"refused\":%u,"
	       "\"unfinished\":%u,\"churn\":%u,\"churn_failed\":%u,"
	       "\"max_gap_us\":%lld,\"p99_gap_us\":%lld,\"seconds\":%.3f}\n",
		run->opts->connections, s->connected,
		(unsigned long long)s->sent, (unsigned long long)s->echoed,
		(unsigned long long)lost, (unsigned long long)s->corrupt,
		s->resets, s->early_eof, s->refused, s->unfinished, s->churn,
		s->churn_failed, (long long)s->gaps.max_us,
		(long long)load_gap_quantile(&s->gaps, 0.99),
		(double)(run->now_us - run->start_us) / 1e6);
	return lost == 0 && s->corrupt == 0 && s->resets == 0 &&
	       s->early_eof == 0 && s->refused == 0 && s->unfinished == 0 &&
	       s->churn_failed == 0 &&
	       (run->opts->sequential ||
		       s->connected == run->opts->connections);
}

int
main(int argc, char **argv)
{
	struct load_opts opts = {.chunk = 16384, .window = 65536, .seed = 1};
	static struct load_run run;
	int sigfd, err;

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(&opts, argc, argv);
	raise_limit();
	sigfd = signals();
	err = load_run(&run, &opts, sigfd);
	if (err < 0) {
		fprintf(stderr, "loadgen: %s\n", strerror(-err));
		return 1;
	}
	close(sigfd);
	return report(&run) ? 0 : 1;
}
