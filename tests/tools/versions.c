/* SPDX-License-Identifier: MIT */
/*
 * A service in three versions, whose states differ in size: each line is
 * answered with its number on the connection and the version that answers.
 * Versions 2 and 3 convert the states of the one before.
 */
#include <handoff.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int version = 1;

struct two {
	char padding[3000];
	uint64_t count;
};

/* Version 1 and 3 have a uint32_t, at different places. */
static const uint32_t sizes[] = {0, 4, sizeof(struct two), 40};

static uint64_t
load(uint32_t of, const void *state)
{
	uint32_t count;

	if (of == 2)
		return ((const struct two *)state)->count;
	memcpy(&count, (const char *)state + (of == 3 ? 36 : 0), sizeof(count));
	return count;
}

static void
store(void *state, uint64_t count)
{
	uint32_t small = (uint32_t)count;

	if (version == 2)
		((struct two *)state)->count = count;
	else
		memcpy((char *)state + (version == 3 ? 36 : 0), &small,
			sizeof(small));
}

static int
handle(struct handoff_conn *conn, void *arg)
{
	void *state = handoff_conn_state(conn);
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *newline = memchr(input, '\n', len);
	uint64_t count = load((uint32_t)version, state) + 1;
	char text[64];
	int n;

	(void)arg;
	if (!newline || handoff_conn_room(conn) < sizeof(text))
		return 0;
	n = snprintf(text, sizeof(text), "%llu %d\n", (unsigned long long)count,
		version);
	store(state, count);
	handoff_conn_write(conn, text, (size_t)n);
	return handoff_conn_consume(conn, (size_t)(newline + 1 - input));
}

static int
convert(uint32_t from, const void *old, size_t old_size, void *state, void *arg)
{
	(void)arg;
	if (from != (uint32_t)version - 1 || old_size != sizes[from])
		return -EINVAL;
	store(state, load(from, old));
	return 0;
}

static const struct option options[] = {
	{"dir", required_argument, NULL, 'd'},
	{"listen", required_argument, NULL, 'l'},
	{"name", required_argument, NULL, 'n'},
	{"model", required_argument, NULL, 'm'},
	{"state", required_argument, NULL, 'v'},
	{NULL, 0, NULL, 0},
};

int
main(int argc, char **argv)
{
	static char why[HANDOFF_TEXT_MAX];
	struct handoff_service service = {.size = sizeof(service),
		.name = "versions",
		.handle = handle,
		.convert = convert};
	const char *listen[1];
	struct handoff_server_opts opts = {.size = sizeof(opts),
		.name = "versions",
		.service = &service,
		.listen = listen,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	const struct handoff_server_event *event;
	bool stopped = false;
	struct handoff_server *server;
	int c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd')
			opts.dir = optarg;
		else if (c == 'l')
			listen[opts.nlisten++] = optarg;
		else if (c == 'n')
			opts.name = optarg;
		else if (c == 'm')
			opts.model =
				(enum handoff_model)handoff_model_parse(optarg);
		else if (c == 'v')
			version = atoi(optarg);
		else
			return 2;
	}
	service.state_version = (uint32_t)version;
	service.state_size = sizes[version];
	service.convert_from = (uint32_t)version - 1;
	if (handoff_server_open(&server, &opts) < 0) {
		fprintf(stderr, "versions: %s\n", why);
		return 1;
	}
	handoff_server_signals(server);
	do {
		while (handoff_server_next(server, &event) > 0) {
			printf("%s: %s\n", opts.name, event->text);
			stopped |= event->type == HANDOFF_SERVER_STOPPED;
		}
	} while (handoff_server_wait(server, -1) >= 0);
	handoff_server_free(server);
	return stopped ? 0 : 1;
}
