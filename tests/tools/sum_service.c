/* SPDX-License-Identifier: MIT */
/*
 * A service with state: for each line it answers "<count> <checksum>", the
 * number of lines of this connection and FNV-1a over all their bytes, both
 * kept in the connection's state. With --echo it is the echo service instead.
 * With --shared it also keeps, in the shared region, the number of lines of all
 * connections, and all their checksums combined by exclusive or; a line "total"
 * is answered with these and counted nowhere. With --grows each input is
 * answered by how many bytes of the state were in use, and uses eight more.
 * Like the example servers, and prints the same lines; the library's log goes
 * to standard error. With --listen it is a server, without one a standby.
 */
#include <handoff.h>

#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LISTEN 8
#define REPLY_MAX  48 /* of two numbers, a space and a newline */

/* FNV-1a (Fowler, Noll, Vo), 64 bits. */
#define FNV_OFFSET 0xcbf29ce484222325u
#define FNV_PRIME  0x100000001b3u

struct sum {
	uint64_t count;
	uint64_t hash; /* of all lines, their newlines included */
};

/* In the shared region, the second one on another page. */
#define LINES_AT  0
#define HASHES_AT 9000
#define REGION    16384

/* A place in the midst of a transaction, for tests that end the process there;
 * NULL unless a preloaded library has it. */
static void (*point)(void);

static void
add_line(struct sum *sum, const char *line, size_t len)
{
	if (sum->count++ == 0)
		sum->hash = FNV_OFFSET;
	for (size_t i = 0; i < len; i++)
		sum->hash = (sum->hash ^ (unsigned char)line[i]) * FNV_PRIME;
}

/* Answers one line; false if none is complete or there is no room. */
static bool
answer(struct handoff_conn *conn)
{
	struct sum *sum = handoff_conn_state(conn);
	char reply[REPLY_MAX];
	size_t len;
	const char *in = handoff_conn_input(conn, &len);
	const char *newline = memchr(in, '\n', len);
	int n;

	if (!newline || handoff_conn_room(conn) < REPLY_MAX)
		return false;
	len = (size_t)(newline + 1 - in);
	add_line(sum, in, len);
	n = snprintf(reply, sizeof(reply), "%" PRIu64 " %016" PRIx64 "\n",
		sum->count, sum->hash);
	if (point)
		point();
	handoff_conn_write(conn, reply, (size_t)n);
	if (point)
		point();
	handoff_conn_consume(conn, len);
	if (point)
		point();
	return true;
}

static int
handle_sum(struct handoff_conn *conn, void *arg)
{
	size_t len;

	(void)arg;
	while (answer(conn))
		;
	/* A last line without its newline gets no answer. */
	if (handoff_conn_eof(conn) && handoff_conn_room(conn) >= REPLY_MAX) {
		handoff_conn_input(conn, &len);
		handoff_conn_consume(conn, len);
	}
	return 0;
}

static bool
answer_total(struct handoff_conn *conn, uint64_t lines, uint64_t hashes)
{
	char reply[REPLY_MAX];
	size_t len;
	const char *in = handoff_conn_input(conn, &len);
	int n;

	if (len < 6 || memcmp(in, "total\n", 6) != 0)
		return false;
	n = snprintf(reply, sizeof(reply), "%" PRIu64 " %016" PRIx64 "\n",
		lines, hashes);
	handoff_conn_write(conn, reply, (size_t)n);
	handoff_conn_consume(conn, 6);
	return true;
}

static int
handle_shared(struct handoff_conn *conn, void *arg)
{
	const struct sum *sum = handoff_conn_state(conn);
	struct sum before = *sum;
	void *lines, *hashes;
	int err = handoff_conn_shared(conn, LINES_AT, sizeof(uint64_t), &lines);

	if (err >= 0)
		err = handoff_conn_shared(
			conn, HASHES_AT, sizeof(uint64_t), &hashes);
	if (err < 0 ||
		answer_total(conn, *(uint64_t *)lines, *(uint64_t *)hashes))
		return err;
	handle_sum(conn, arg);
	*(uint64_t *)lines += sum->count - before.count;
	if (point)
		point();
	*(uint64_t *)hashes ^= before.hash ^ sum->hash;
	if (point)
		point();
	return 0;
}

static int
handle_echo(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *in = handoff_conn_input(conn, &len);

	(void)arg;
	len = handoff_conn_write(conn, in, len);
	return handoff_conn_consume(conn, len);
}

static int
handle_grows(struct handoff_conn *conn, void *arg)
{
	size_t len, had = handoff_conn_state_len(conn);
	char reply[REPLY_MAX];
	int n;

	(void)arg;
	handoff_conn_input(conn, &len);
	if (len == 0)
		return 0;
	n = snprintf(reply, sizeof(reply), "%zu\n", had);
	if (handoff_conn_room(conn) < REPLY_MAX ||
		!handoff_conn_state_resize(conn, had + 8))
		return -ENOSPC;
	handoff_conn_write(conn, reply, (size_t)n);
	return handoff_conn_consume(conn, len);
}

static void
log_line(enum handoff_log_level level, const char *text, void *arg)
{
	if (level <= HANDOFF_LOG_INFO)
		fprintf(stderr, "%s: log: %s\n", (const char *)arg, text);
}

/* Returns the type of the last event. */
static int
print_events(struct handoff_server *server, const char *name)
{
	const struct handoff_server_event *event;
	int type = 0;

	while (handoff_server_next(server, &event) > 0) {
		printf("%s: %s\n", name, event->text);
		type = (int)event->type;
	}
	return type;
}

static int
run(const struct handoff_server_opts *opts)
{
	struct handoff_server *server;
	int err = handoff_server_open(&server, opts);

	if (err < 0) {
		fprintf(stderr, "%s: %s\n", opts->name, opts->errbuf);
		return 1;
	}
	handoff_server_signals(server);
	while (print_events(server, opts->name) != HANDOFF_SERVER_STOPPED &&
		err >= 0)
		err = handoff_server_wait(server, -1);
	handoff_server_free(server);
	return err < 0;
}

static const struct option options[] = {
	{"dir", required_argument, NULL, 'd'},
	{"listen", required_argument, NULL, 'l'},
	{"name", required_argument, NULL, 'n'},
	{"model", required_argument, NULL, 'm'},
	{"echo", no_argument, NULL, 'e'},
	{"shared", no_argument, NULL, 's'},
	{"grows", no_argument, NULL, 'g'},
	{"workers", required_argument, NULL, 'w'},
	{NULL, 0, NULL, 0},
};

static int
parse(int argc, char **argv, struct handoff_server_opts *opts,
	struct handoff_service *service, const char *listen[MAX_LISTEN])
{
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd')
			opts->dir = optarg;
		else if (c == 'l' && opts->nlisten < MAX_LISTEN)
			listen[opts->nlisten++] = optarg;
		else if (c == 'n')
			opts->name = optarg;
		else if (c == 'm')
			opts->model =
				(enum handoff_model)handoff_model_parse(optarg);
		else if (c == 'w')
			opts->workers = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'e')
			service->handle = handle_echo;
		else if (c == 's') {
			service->handle = handle_shared;
			service->shared_size = REGION;
		} else if (c == 'g') {
			service->handle = handle_grows;
			service->state_grows = true;
			service->state_size = 4096;
		} else
			return -1;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	static char error[HANDOFF_TEXT_MAX];
	static const char *listen[MAX_LISTEN];
	struct handoff_service service = {
		.size = sizeof(service),
		.name = "sum",
		.state_size = sizeof(struct sum),
		.handle = handle_sum,
	};
	struct handoff_server_opts opts = {
		.size = sizeof(opts),
		.name = "sum",
		.service = &service,
		.listen = listen,
		.log = log_line,
		.errbuf = error,
		.errbuf_size = sizeof(error),
	};
	void *found;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (parse(argc, argv, &opts, &service, listen) < 0)
		return 2;
	opts.log_arg = (void *)(uintptr_t)opts.name;
	found = dlsym(RTLD_DEFAULT, "killat_point");
	memcpy(&point, &found, sizeof(point));
	return run(&opts);
}
