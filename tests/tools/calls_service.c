/* SPDX-License-Identifier: MIT */
/*
 * A service that uses what a handler can use, one line a request, each with a
 * number N of the client's:
 *   echo N TEXT   "N TEXT"
 *   count N       counts in its state, and in the shared region: "N COUNT"
 *   total N       "N TOTAL", of the region
 *   bytes N SIZE  "N SIZE" and SIZE bytes: (i * 7 + N) & 255
 *   due N         "N due", when a deadline of a millisecond has passed
 *   grow N SIZE   its state has SIZE more bytes, checked each time: "N SIZE"
 *   later N       "N later", an answer that comes as a post
 *   quit N        "N quit", and the end
 * With --wrapped the toy of tests/wrap wraps it, and with --last its state is
 * behind what that holds.
 */
#include "wrap/toy.h"

#include <handoff.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MOST  4096
#define BYTES_MOST 30000u
#define GROW_MOST  4000u

struct state {
	uint32_t count, due, grown, pad;
};

static int
reply(struct handoff_conn *conn, unsigned number, const char *text)
{
	char line[LINE_MOST + 32];
	int n = snprintf(line, sizeof(line), "%u %s\n", number, text);

	handoff_conn_write(conn, line, (size_t)n);
	return 0;
}

static int
reply_number(struct handoff_conn *conn, unsigned number, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return reply(conn, number, text);
}

static int
count(struct handoff_conn *conn, struct state *s, unsigned number)
{
	void *at;
	int err = handoff_conn_shared(conn, 64, sizeof(uint64_t), &at);

	if (err < 0)
		return err;
	++*(uint64_t *)at;
	return reply_number(conn, number, ++s->count);
}

static int
total(struct handoff_conn *conn, unsigned number)
{
	const void *at;
	int err = handoff_conn_shared_read(conn, 64, sizeof(uint64_t), &at);

	return err < 0 ? err
		       : reply_number(conn, number, *(const uint64_t *)at);
}

static int
bytes(struct handoff_conn *conn, unsigned number, unsigned size)
{
	unsigned char data[BYTES_MOST];

	if (size > sizeof(data))
		return -EPROTO;
	reply_number(conn, number, size);
	for (unsigned i = 0; i < size; i++)
		data[i] = (unsigned char)(i * 7 + number);
	handoff_conn_write(conn, data, size);
	return 0;
}

static int
grow(struct handoff_conn *conn, unsigned number, unsigned size)
{
	struct state *s = handoff_conn_state(conn);
	unsigned char *more;

	if (size > GROW_MOST)
		return -EPROTO;
	more = (unsigned char *)(s + 1);
	for (unsigned i = 0; i < s->grown; i++) {
		if (more[i] != (unsigned char)(i + s->grown))
			return -EBADMSG;
	}
	s = handoff_conn_state_resize(conn, sizeof(*s) + size);
	if (!s)
		return -ENOMEM;
	more = (unsigned char *)(s + 1);
	for (unsigned i = s->grown; i < size; i++) {
		if (more[i] != 0)
			return -EBADMSG;
	}
	s->grown = size;
	for (unsigned i = 0; i < size; i++)
		more[i] = (unsigned char)(i + size);
	return reply_number(conn, number, size);
}

static int
later(struct handoff_conn *conn, unsigned number)
{
	char text[32];
	struct handoff_post post = {.size = sizeof(post),
		.to = HANDOFF_POST_ONE,
		.id = handoff_conn_id(conn),
		.data = text,
		.request = handoff_conn_request(conn)};
	int err;

	post.len = (size_t)snprintf(text, sizeof(text), "%u later\n", number);
	err = handoff_conn_post(conn, &post);
	return err < 0 ? err : HANDOFF_LATER;
}

static int
execute(struct handoff_conn *conn, struct state *s, char *line)
{
	char *rest = strchr(line, ' ');
	unsigned number, size;

	if (!rest)
		return -EPROTO;
	number = (unsigned)strtoul(rest, &rest, 10);
	rest += *rest == ' ';
	size = (unsigned)strtoul(rest, NULL, 10);
	switch (line[0]) {
	case 'e':
		return reply(conn, number, rest);
	case 'c':
		return count(conn, s, number);
	case 't':
		return total(conn, number);
	case 'b':
		return bytes(conn, number, size);
	case 'd':
		s->due = number;
		return handoff_conn_deadline(conn, 1);
	case 'g':
		return grow(conn, number, size);
	case 'l':
		return later(conn, number);
	case 'q':
		handoff_conn_close(conn);
		return reply(conn, number, "quit");
	}
	return -EPROTO;
}

static int
meet_deadline(struct handoff_conn *conn, struct state *s)
{
	if (handoff_conn_room(conn) < 64)
		return handoff_conn_deadline(conn, 1);
	reply(conn, s->due, "due");
	s->due = 0;
	return 0;
}

static int
handle(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *end = memchr(input, '\n', len);
	struct state *s = handoff_conn_state(conn);
	char line[LINE_MOST];
	int rc;

	(void)arg;
	if (handoff_conn_state_len(conn) == 0)
		s = handoff_conn_state_resize(conn, sizeof(*s));
	if (handoff_conn_reason(conn) == HANDOFF_CONN_DEADLINE)
		return meet_deadline(conn, s);
	if (!end || handoff_conn_room(conn) < BYTES_MOST + LINE_MOST)
		return 0;
	len = (size_t)(end - input);
	if (len >= sizeof(line))
		return -EMSGSIZE;
	memcpy(line, input, len);
	line[len] = '\0';
	rc = execute(conn, s, line);
	return rc != 0 ? rc : handoff_conn_consume(conn, len + 1);
}

static int
take(struct handoff_conn *conn, void *arg)
{
	const struct handoff_posted *posted = handoff_conn_posted(conn);
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *end = memchr(input, '\n', len);

	(void)arg;
	if (posted->request != handoff_conn_request(conn) || !end)
		return -EBADMSG;
	if (posted->len > handoff_conn_room(conn))
		return -EAGAIN;
	handoff_conn_write(conn, posted->data, posted->len);
	return handoff_conn_consume(conn, (size_t)(end - input) + 1);
}

static int
say_bye(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	return reply(conn, 0, "bye");
}

static int
run(const struct handoff_server_opts *opts)
{
	const struct handoff_server_event *event;
	struct handoff_server *server;
	int type = 0, err = handoff_server_open(&server, opts);

	if (err < 0) {
		fprintf(stderr, "%s: %s\n", opts->name, opts->errbuf);
		return 1;
	}
	while (type != HANDOFF_SERVER_STOPPED && err >= 0) {
		err = handoff_server_wait(server, -1);
		while (handoff_server_next(server, &event) > 0) {
			printf("%s: %s\n", opts->name, event->text);
			type = (int)event->type;
		}
	}
	handoff_server_free(server);
	return err < 0;
}

static void
log_line(enum handoff_log_level level, const char *text, void *arg)
{
	if (level <= HANDOFF_LOG_INFO)
		fprintf(stderr, "%s: log: %s\n", (const char *)arg, text);
}

int
main(int argc, char **argv)
{
	static char error[HANDOFF_TEXT_MAX];
	static struct toy toy;
	struct handoff_service service = {
		.size = sizeof(service),
		.name = "calls",
		.state_size = sizeof(struct state) + GROW_MOST,
		.state_grows = true,
		.shared_size = 4096,
		.handle = handle,
		.posted = take,
		.farewell = say_bye,
	};
	struct handoff_server_opts opts = {
		.size = sizeof(opts),
		.name = "calls",
		.service = &service,
		.signals = true,
		.log = log_line,
		.errbuf = error,
		.errbuf_size = sizeof(error),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (handoff_server_opts_read(&opts, &argc, argv) < 0) {
		fprintf(stderr, "calls: %s\n", error);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--wrapped") == 0 ||
			strcmp(argv[i], "--last") == 0) {
			toy_init(&toy, &service, 2 * LINE_MOST);
			toy.inner_last = argv[i][2] == 'l';
			opts.service = &toy.service;
		} else {
			return 2;
		}
	}
	opts.log_arg = (void *)(uintptr_t)opts.name;
	return run(&opts);
}
