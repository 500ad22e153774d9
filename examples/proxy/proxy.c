/* SPDX-License-Identifier: MIT */
/*
 * A TCP proxy that hands its connections over: each client's and the one to the
 * backend are a pair, and move together. A peer is stopped, upgraded or killed
 * while bytes stream through it, and neither end notices.
 *
 *   proxy --dir DIR --listen ADDR --backend ADDR [--backend ADDR]...
 *         [--idle SECONDS]
 *
 * All that the service does is in forward(): it runs for the connections of
 * clients and for those to backends alike, and passes what arrives on one to
 * the other. A handler is a transaction, see handoff/service.h: what it takes
 * from one and gives to the other is one step, in memory that outlives it.
 */
#include "../components.h"

#include <handoff.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKENDS_MOST 8

struct backends {
	const char *addresses[BACKENDS_MOST];
	uint32_t count;
	uint32_t idle; /* seconds after which a pair ends; 0: never */
};

/* Of each connection; what a survivor goes on with. */
struct state {
	uint32_t tried;          /* backends that were tried for this client */
	uint64_t received, sent; /* at its last deadline */
};

/* A new client: asks for a connection to a backend, not all for the same one
 * first. Runs for a connection to a backend, too, once that is made. */
static int
begin(struct handoff_conn *conn, void *arg)
{
	const struct backends *backends = arg;
	uint64_t first = handoff_conn_id(conn) / 2 % backends->count;

	if (handoff_conn_outgoing(conn))
		return 0;
	handoff_conn_deadline(conn, backends->idle * INT64_C(1000));
	return handoff_conn_connect(conn, backends->addresses[first]);
}

/* The client's deadline is that of the pair: all that passes, in either
 * direction, has come from the client or been sent to it. */
static int
end_idle(struct handoff_conn *conn, const struct backends *backends)
{
	struct state *state = handoff_conn_state(conn);
	uint64_t received, sent;

	handoff_conn_progress(conn, &received, &sent);
	if (received == state->received && sent == state->sent) {
		handoff_conn_abort(conn);
		return 0;
	}
	state->received = received;
	state->sent = sent;
	return handoff_conn_deadline(conn, backends->idle * INT64_C(1000));
}

/* There is no pair (any more). A backend that cannot be reached is no reason to
 * give up, as long as there are others. */
static int
go_on_alone(struct handoff_conn *conn, const struct backends *backends)
{
	struct state *state = handoff_conn_state(conn);
	uint64_t next = handoff_conn_id(conn) / 2 + ++state->tried;

	if (!handoff_conn_outgoing(conn) &&
		handoff_conn_pair_error(conn) != -EPIPE &&
		state->tried < backends->count)
		return handoff_conn_connect(
			conn, backends->addresses[next % backends->count]);
	handoff_conn_close(conn);
	return 0;
}

/* What has arrived is passed on, as far as there is room: the rest stays where
 * it is, and when that is full its sender waits. */
static int
forward(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const void *input = handoff_conn_input(conn, &len);
	size_t passed;

	if (handoff_conn_reason(conn) == HANDOFF_CONN_DEADLINE)
		return end_idle(conn, arg);
	if (handoff_conn_pair_error(conn) < 0)
		return go_on_alone(conn, arg);
	passed = handoff_conn_pass(conn, input, len);
	handoff_conn_consume(conn, passed);
	if (handoff_conn_eof(conn) && passed == len)
		handoff_conn_pass_end(conn); /* half-closed, as here */
	return 0;
}

static _Noreturn void
bad_usage(const char *what, const char *why)
{
	fprintf(stderr, "proxy: %s%s (see --help)\n", what, why);
	exit(2);
}

static uint32_t
read_seconds(const char *text)
{
	char *end;
	long seconds = strtol(text, &end, 10);

	if (*end != '\0' || seconds < 1 || seconds > 1000000)
		bad_usage(text, ": --idle wants 1 to 1000000 seconds");
	return (uint32_t)seconds;
}

static void
read_options(struct handoff_server_opts *opts, struct backends *backends,
	int argc, char **argv)
{
	static const struct option own[] = {
		{"backend", required_argument, NULL, 'b'},
		{"idle", required_argument, NULL, 'i'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int c;

	if (handoff_server_opts_read(opts, &argc, argv) < 0)
		bad_usage(opts->errbuf, "");
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", own, NULL)) != -1) {
		if (c == 'h')
			exit(printf("usage: proxy --dir DIR --listen ADDR "
				    "--backend ADDR [OPTION]...\n\n"
				    "  --backend ADDR       IP:PORT, "
				    "[IPV6]:PORT or unix:/PATH; may be "
				    "repeated\n"
				    "  --idle SECONDS       after which a pair "
				    "without bytes ends (never)\n%s",
				     handoff_server_opts_help()) < 0);
		if (c == 'i') {
			backends->idle = read_seconds(optarg);
			continue;
		}
		if (c != 'b')
			bad_usage(argv[optind - 1], " is not an option");
		if (backends->count == BACKENDS_MOST)
			bad_usage(optarg, ": that is one backend too many");
		backends->addresses[backends->count++] = optarg;
	}
	if (optind < argc)
		bad_usage(argv[optind], ": only options are taken");
	if (!opts->dir || backends->count == 0)
		bad_usage("--dir DIR and --backend ADDR", " are needed");
}

static void
print_log(enum handoff_log_level level, const char *text, void *arg)
{
	const struct handoff_server_opts *opts = arg;
	char at[HANDOFF_STAMP_MAX];

	if (level <= HANDOFF_LOG_WARNING || opts->trace)
		fprintf(stderr, "%s%s: %s\n",
			handoff_log_stamp(STDERR_FILENO, at, sizeof(at)),
			opts->name, text);
}

static bool
print_events(struct handoff_server *server, const char *name)
{
	const struct handoff_server_event *event;
	char at[HANDOFF_STAMP_MAX];
	bool stopped = false;

	while (handoff_server_next(server, &event) > 0) {
		printf("%s%s: %s\n",
			handoff_log_stamp(STDOUT_FILENO, at, sizeof(at)), name,
			event->text);
		stopped = event->type == HANDOFF_SERVER_STOPPED;
	}
	return stopped;
}

int
main(int argc, char **argv)
{
	static struct backends backends;
	static const struct handoff_service service = {
		.size = sizeof(service),
		.name = "proxy",
		.state_size = sizeof(struct state),
		.handle = forward,
		.open = begin,
		.arg = &backends,
		.pass_size = 65536, /* in each direction: pairs, please */
	};
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_server_opts opts = {
		.size = sizeof(opts),
		.name = "proxy",
		.service = &service,
		.signals = true,
		.log = print_log,
		.log_arg = &opts,
		.errbuf = why,
		.errbuf_size = sizeof(why),
	};
	struct handoff_server *server;
	bool stopped;

	components_register();
	read_options(&opts, &backends, argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (handoff_server_open(&server, &opts) < 0) {
		fprintf(stderr, "proxy: %s\n", why);
		return 1;
	}
	do
		stopped = print_events(server, opts.name);
	while (!stopped && handoff_server_wait(server, -1) >= 0);
	if (!stopped)
		fprintf(stderr, "proxy: %s\n", handoff_server_errmsg(server));
	handoff_server_free(server);
	return stopped ? 0 : 1;
}
