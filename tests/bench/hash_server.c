/* SPDX-License-Identifier: MIT */
/*
 * An echo server that computes before it answers: each request of 64 bytes is
 * hashed so often that it takes about as long as in a real service. The sum of
 * all hashes stays in the connection's state.
 */
#include <handoff.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST 64
#define TIMES   200 /* about 20 us */

/* FNV-1a; each step waits for the one before it. */
static uint64_t
hash(const unsigned char *data)
{
	uint64_t sum = 0xcbf29ce484222325u;

	for (int t = 0; t < TIMES; t++) {
		for (int i = 0; i < REQUEST; i++)
			sum = (sum ^ data[i]) * 0x100000001b3u;
	}
	return sum;
}

static int
handle(struct handoff_conn *conn, void *arg)
{
	uint64_t *state = handoff_conn_state(conn);
	size_t len;
	const unsigned char *input = handoff_conn_input(conn, &len);

	(void)arg;
	if (len < REQUEST || handoff_conn_room(conn) < REQUEST)
		return 0;
	*state += hash(input);
	handoff_conn_write(conn, input, REQUEST);
	return handoff_conn_consume(conn, REQUEST);
}

int
main(int argc, char **argv)
{
	static const struct handoff_service service = {.size = sizeof(service),
		.name = "hash",
		.state_size = sizeof(uint64_t),
		.handle = handle};
	const char *listen[] = {"127.0.0.1:0"};
	char why[HANDOFF_TEXT_MAX];
	struct handoff_server_opts opts = {.size = sizeof(opts),
		.name = "hash",
		.service = &service,
		.listen = listen,
		.nlisten = 1,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	const struct handoff_server_event *event;
	struct handoff_server *server;

	if (argc != 3) {
		fputs("usage: hash_server DIR WORKERS\n", stderr);
		return 2;
	}
	opts.dir = argv[1];
	opts.workers = (uint32_t)atoi(argv[2]);
	if (handoff_server_open(&server, &opts) < 0) {
		fprintf(stderr, "hash_server: %s\n", why);
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	do {
		while (handoff_server_next(server, &event) > 0)
			puts(event->text);
	} while (handoff_server_wait(server, -1) >= 0);
	return 1;
}
