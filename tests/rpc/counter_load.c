/* SPDX-License-Identifier: MIT */
/*
 * Clients of counter.x that call ADD, each in a thread, and look at each reply:
 * the options of a client, and
 *   --clients N   how many
 *   --calls N     that each makes
 *   --foreign     by libtirpc's own client, instead of the library's
 *   --null        NULLPROC instead of ADD: for benchmarks
 * Prints "ready" once all are connected, "done N" for each twentieth of the
 * calls, then counts as JSON: `answered`, `failed` (lost under a call, it may
 * have been executed), `moved` (a new connection was counted from 0 again),
 * `resumed` (a session was, after its connection was lost), `wrong`, `total`
 * (what the service says in the end), `seconds`.
 */
#include "rpc/procedures.h"

#include <handoff.h>

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
/* What libtirpc allocates once for each thread, and never frees. The
 * sanitizer's library calls it, so that it is visible. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(
	void);

const char *
__lsan_default_suppressions(void)
{
	return "leak:clnt_sperror\nleak:authnone_create\n";
}
#endif

static struct handoff_client_opts opts = {.size = sizeof(opts)};
static unsigned long clients = 1, calls = 1;
static bool foreign, null;
static atomic_ulong answered, failed, moved, resumed, wrong, finished, ready;
static pthread_barrier_t begin;

struct caller {
	pthread_t thread;
	struct handoff_client *client;
	CLIENT *clnt;
	int fd;
	bool fresh; /* a new connection, whose state begins anew */
};

static void
see_event(const struct handoff_client_event *event, void *arg)
{
	struct caller *c = arg;

	bool session = handoff_client_has_session(c->client);

	if (event->type == HANDOFF_CLIENT_NEW ||
		(!session && (event->type == HANDOFF_CLIENT_CONNECTED ||
				     event->type == HANDOFF_CLIENT_MOVED)))
		c->fresh = true;
	if (event->type == HANDOFF_CLIENT_RESUMED)
		atomic_fetch_add(&resumed, 1);
}

static CLIENT *
open_foreign(struct caller *c)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct netbuf to = {
		.maxlen = sizeof(sin), .len = sizeof(sin), .buf = &sin};
	const char *colon = strrchr(opts.endpoints[0], ':');
	char host[64] = "";

	snprintf(host, sizeof(host), "%.*s", (int)(colon - opts.endpoints[0]),
		opts.endpoints[0]);
	inet_pton(AF_INET, host, &sin.sin_addr);
	sin.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(c->fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		return NULL;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	return clnt_vc_create(c->fd, &to, COUNTER, COUNTER_ONE, 0, 0);
}

static void
open_caller(struct caller *c)
{
	struct timeval patience = {120, 0};

	c->fd = -1;
	if (foreign)
		c->clnt = open_foreign(c);
	else if (handoff_client_open(&c->client, &opts) == 0)
		c->clnt = handoff_clnt_create(c->client, COUNTER, COUNTER_ONE);
	if (!c->clnt) {
		perror("counter_load: no client");
		exit(1);
	}
	if (!foreign)
		handoff_clnt_events(c->clnt, see_event, c);
	clnt_control(c->clnt, CLSET_TIMEOUT, (char *)&patience);
}

static void
close_caller(struct caller *c)
{
	clnt_destroy(c->clnt);
	handoff_client_free(c->client);
	if (c->fd >= 0)
		close(c->fd);
}

/* What the reply must be: one more than the last, of this connection and of
 * all. */
static bool
is_right(struct caller *c, const struct sum *sum, struct sum *last)
{
	bool right = sum->total > last->total && sum->own == last->own + 1;

	/* of a service that has begun again, too */
	if (!right && c->fresh && sum->own == 1 && sum->total > 0) {
		atomic_fetch_add(&moved, 1);
		right = true;
	}
	if (!right)
		fprintf(stderr,
			"counter_load: own %" PRIu64 " after %" PRIu64
			", total %" PRIu64 " after %" PRIu64 "\n",
			(uint64_t)sum->own, (uint64_t)last->own,
			(uint64_t)sum->total, (uint64_t)last->total);
	c->fresh = false;
	*last = *sum;
	return right;
}

/* As xdr_void, of the right type. */
static bool_t
no_bytes(XDR *xdrs, ...)
{
	(void)xdrs;
	return TRUE;
}

static enum clnt_stat
call_null(CLIENT *clnt)
{
	static const struct timeval time = {25, 0};

	return clnt_call(clnt, NULLPROC, no_bytes, NULL, no_bytes, NULL, time);
}

static void
call_once(struct caller *c, struct sum *last)
{
	struct sum sum = {0, 0};
	enum clnt_stat stat =
		null ? call_null(c->clnt) : add_1(1, &sum, c->clnt);

	if (stat == RPC_SUCCESS)
		atomic_fetch_add(&answered, 1);
	else
		atomic_fetch_add(&failed, 1);
	if (stat != RPC_SUCCESS)
		fprintf(stderr, "%s\n", clnt_sperror(c->clnt, "counter_load"));
	else if (!null && !is_right(c, &sum, last))
		atomic_fetch_add(&wrong, 1);
	atomic_fetch_add(&finished, 1);
}

static void *
run_caller(void *arg)
{
	struct caller *c = arg;
	struct sum last = {0, 0};

	open_caller(c);
	if ((null ? call_null(c->clnt) : add_1(0, &last, c->clnt)) !=
		RPC_SUCCESS)
		clnt_perror(c->clnt, "counter_load: no first reply");
	c->fresh = false;
	atomic_fetch_add(&ready, 1);
	pthread_barrier_wait(&begin);
	for (unsigned long i = 0; i < calls; i++)
		call_once(c, &last);
	close_caller(c);
	return NULL;
}

static uint64_t
total_in_the_end(void)
{
	struct caller c = {.fd = -1};
	struct sum sum = {0, 0};

	if (null)
		return 0;
	open_caller(&c);
	if (add_1(0, &sum, c.clnt) != RPC_SUCCESS)
		clnt_perror(c.clnt, "counter_load: no last reply");
	close_caller(&c);
	return sum.total;
}

static int
read_own(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--clients") == 0 && i + 1 < argc)
			clients = strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--calls") == 0 && i + 1 < argc)
			calls = strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--foreign") == 0)
			foreign = true;
		else if (strcmp(argv[i], "--null") == 0)
			null = true;
		else
			return -1;
	}
	return opts.nendpoints > 0 && clients > 0 && calls > 0 ? 0 : -1;
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Says how far it is, for tests that do something meanwhile. */
static void
watch(void)
{
	unsigned long all = clients * calls, step = all / 20 + 1, next = step;

	while (atomic_load(&finished) < all) {
		if (atomic_load(&finished) >= next) {
			printf("done %lu\n", next);
			next += step;
		}
		poll(NULL, 0, 1);
	}
}

int
main(int argc, char **argv)
{
	char why[HANDOFF_TEXT_MAX] = "";
	struct caller *all;
	double since;

	setvbuf(stdout, NULL, _IOLBF, 0);
	opts.errbuf = why;
	opts.errbuf_size = sizeof(why);
	if (handoff_client_opts_read(&opts, &argc, argv) < 0 ||
		read_own(argc, argv) < 0) {
		fprintf(stderr, "counter_load: bad usage: %s\n", why);
		return 2;
	}
	all = calloc(clients, sizeof(*all));
	if (!all || pthread_barrier_init(&begin, NULL, (unsigned)clients + 1))
		return 1;
	for (unsigned long i = 0; i < clients; i++)
		if (pthread_create(&all[i].thread, NULL, run_caller, &all[i]))
			return 1;
	while (atomic_load(&ready) < clients)
		poll(NULL, 0, 1);
	printf("ready\n");
	pthread_barrier_wait(&begin);
	since = now();
	watch();
	since = now() - since;
	for (unsigned long i = 0; i < clients; i++)
		pthread_join(all[i].thread, NULL);
	free(all);
	printf("{\"answered\": %lu, \"failed\": %lu, \"moved\": %lu, "
	       "\"resumed\": %lu, \"wrong\": %lu, \"total\": %" PRIu64
	       ", \"seconds\": %.3f}\n",
		atomic_load(&answered), atomic_load(&failed),
		atomic_load(&moved), atomic_load(&resumed), atomic_load(&wrong),
		total_in_the_end(), since);
	return 0;
}
