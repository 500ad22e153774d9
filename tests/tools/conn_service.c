/* SPDX-License-Identifier: MIT */
/*
 * A service that shows what is known of a connection, for tests: each line of a
 * client is a command, and the end of each connection is a line of output, from
 * the process that has ended it. With --listen it is a server, without one a
 * standby.
 */
#include <handoff.h>

#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct state {
	uint32_t calls; /* of the handler for a whole line */
	bool flooded;   /* the deadline aborts */
	char key[32];   /* a secret, of which there is no other copy */
};

static const char *const ends[] = {"other", "client", "service", "error",
	"handler", "input", "stop", "death", "state", "poison", "suspect",
	"deadline", "posts", "lost", "protocol"};

/* The end of a connection whose state says so kills the process, once for each
 * file that there is. */
static const char *deadly;

static void
say(struct handoff_conn *conn, const char *text)
{
	handoff_conn_write(conn, text, strlen(text));
}

/* Runs a command. 1: it is to run again. */
static int
command(struct handoff_conn *conn, char *line)
{
	char text[2 * HANDOFF_ADDRESS_MAX + 2], peer[HANDOFF_ADDRESS_MAX];
	char local[HANDOFF_ADDRESS_MAX];

	if (strcmp(line, "who") == 0) {
		handoff_conn_peer(conn, peer, sizeof(peer));
		handoff_conn_local(conn, local, sizeof(local));
		snprintf(text, sizeof(text), "%s %s", peer, local);
		say(conn, text);
	} else if (strncmp(line, "in ", 3) == 0) {
		if (handoff_conn_deadline(conn, atoll(line + 3)) < 0)
			say(conn, "refused ");
		say(conn, line);
	} else if (strncmp(line, "hold ", 5) == 0) {
		if (handoff_conn_hold(conn, atoll(line + 5)) < 0)
			say(conn, "refused ");
		say(conn, line);
	} else if (strncmp(line, "label ", 6) == 0) {
		if (handoff_conn_label(conn, line + 6) < 0)
			say(conn, "refused ");
		say(conn, line);
	} else if (strcmp(line, "flood") == 0) {
		while (handoff_conn_room(conn) > 0)
			say(conn, "flood");
		return 1; /* and again when there is room */
	} else if (strcmp(line, "close") == 0) {
		handoff_conn_close(conn);
	} else if (strcmp(line, "abort") == 0) {
		handoff_conn_abort(conn);
	} else if (strcmp(line, "fail") == 0) {
		return -5;
	} else if (strcmp(line, "crash") == 0) {
		abort();
	} else {
		say(conn, line);
	}
	say(conn, "\n");
	return 0;
}

/* "key " and 32 bytes stores them, "same " compares them: without a copy. */
static bool
keep_key(struct handoff_conn *conn, const char *in, size_t size)
{
	struct state *state = handoff_conn_state(conn);

	if (size == 4 + sizeof(state->key) && memcmp(in, "key ", 4) == 0) {
		memcpy(state->key, in + 4, sizeof(state->key));
		/* so that the key before is erased */
		handoff_conn_state_resize(conn, sizeof(*state));
		say(conn, "kept\n");
	} else if (size == 5 + sizeof(state->key) &&
		   memcmp(in, "same ", 5) == 0) {
		say(conn, memcmp(state->key, in + 5, sizeof(state->key)) == 0
				  ? "yes\n"
				  : "no\n");
	} else {
		return false;
	}
	return true;
}

static int
handle(struct handoff_conn *conn, void *arg)
{
	struct state *state = handoff_conn_state(conn);
	char line[512];
	size_t len, size;
	const char *in = handoff_conn_input(conn, &len);
	const char *newline = memchr(in, '\n', len);
	int rc;

	(void)arg;
	if (handoff_conn_reason(conn) == HANDOFF_CONN_DEADLINE) {
		if (state->flooded)
			handoff_conn_abort(conn);
		say(conn, "deadline\n");
		return 0;
	}
	if (!newline)
		return 0;
	size = (size_t)(newline - in);
	if (size >= sizeof(line))
		return -7;
	if (keep_key(conn, in, size))
		return handoff_conn_consume(conn, size + 1);
	memcpy(line, in, size);
	line[size] = '\0';
	state->calls++;
	state->flooded = strcmp(line, "flood") == 0;
	rc = command(conn, line);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	return handoff_conn_consume(conn, size + 1);
}

static void
on_ended(struct handoff_conn *conn, enum handoff_end_reason why, void *arg)
{
	const struct state *state = handoff_conn_state(conn);
	char peer[HANDOFF_ADDRESS_MAX] = "?";

	(void)arg;
	handoff_conn_peer(conn, peer, sizeof(peer));
	printf("ended %" PRIu64 " %s %s calls %u\n", handoff_conn_id(conn),
		ends[why], peer, state->calls);
	fflush(stdout);
	/* after the line, so that a second one shows */
	if (deadly && unlink(deadly) == 0)
		abort();
}

/* The first words, with --greet. */
static int
say_welcome(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	say(conn, "welcome\n");
	return 0;
}

/* Last words, with --bye. */
static int
say_bye(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	say(conn, "bye\n");
	return 0;
}

static void
tell(struct handoff_server *server, const char *name)
{
	const struct handoff_server_event *event;

	while (handoff_server_next(server, &event) > 0)
		printf("%s: %s\n", name, event->text);
	fflush(stdout);
}

static void
print_log(enum handoff_log_level level, const char *text, void *arg)
{
	if (level <= HANDOFF_LOG_INFO)
		fprintf(stderr, "%s: %s\n", (const char *)arg, text);
}

int
main(int argc, char **argv)
{
	static const struct option own[] = {
		{"deadly", required_argument, NULL, 'd'},
		{"secret", no_argument, NULL, 's'},
		{"bye", no_argument, NULL, 'b'},
		{"greet", no_argument, NULL, 'g'},
		{0},
	};
	static struct handoff_service service = {
		.size = sizeof(service),
		.name = "conn",
		.state_size = sizeof(struct state),
		.handle = handle,
		.ended = on_ended,
	};
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_server_opts opts = {
		.size = sizeof(opts),
		.service = &service,
		.errbuf = why,
		.errbuf_size = sizeof(why),
		.log = print_log,
		.signals = true,
	};
	struct handoff_server *server;
	int rc = handoff_server_opts_read(&opts, &argc, argv), c;

	while (rc >= 0 && (c = getopt_long(argc, argv, "", own, NULL)) != -1) {
		if (c == 'd')
			deadly = optarg;
		else if (c == 's')
			service.secret = true;
		else if (c == 'b')
			service.farewell = say_bye;
		else if (c == 'g')
			service.open = say_welcome;
		else
			return 2;
	}
	opts.log_arg = (void *)(uintptr_t)opts.name;
	if (rc >= 0)
		rc = handoff_server_open(&server, &opts);
	if (rc < 0) {
		fprintf(stderr, "conn_service: %s\n", why);
		return 1;
	}
	do
		tell(server, opts.name);
	while ((rc = handoff_server_wait(server, -1)) >= 0);
	handoff_server_free(server);
	return 0;
}
