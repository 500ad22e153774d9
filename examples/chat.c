/* SPDX-License-Identifier: MIT */
/*
 * A chat: what a client writes goes to all others. The first line of a client
 * is its name; /who tells it who it is, /quit ends it. It shows how a service
 * writes to other connections than the one that it was called for: by posts,
 * which are part of the transaction of the sender, and which each receiver
 * takes in one of its own. So a line arrives once, and in the order of its
 * sender, whichever peers serve the two, and whichever dies meanwhile.
 *
 *   chat --dir /tmp/chat --listen :7000     twice: the second is the standby
 *   nc localhost 7000
 */
#include "components.h"

#include <handoff.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_LEN 20
#define LINE_MAX_LEN 1000

/* What a connection is: it moves with it, and survives its process. */
struct member {
	char name[NAME_MAX_LEN + 1]; /* empty: it has not said yet */
};

/* Appends a line to the output of this connection. */
static void
tell(struct handoff_conn *conn, const char *line)
{
	handoff_conn_write(conn, line, strlen(line));
}

/* Posts a line to all other connections. If the transaction does not commit,
 * because the handler fails or the process dies, nothing is posted. */
static int
post(struct handoff_conn *conn, const char *line)
{
	struct handoff_post what = {
		.size = sizeof(what),
		.to = HANDOFF_POST_OTHERS,
		.id = handoff_conn_id(conn),
		.data = line,
		.len = strlen(line),
	};

	return handoff_conn_post(conn, &what);
}

static int
join(struct handoff_conn *conn, struct member *member, const char *name)
{
	char line[NAME_MAX_LEN + 32];

	if (strlen(name) > NAME_MAX_LEN || name[0] == '\0') {
		tell(conn, "* a name of 1 to 20 bytes, please\n");
		return 0;
	}
	memcpy(member->name, name, strlen(name) + 1);
	snprintf(line, sizeof(line), "* %s has joined\n", member->name);
	return post(conn, line);
}

static int
say(struct handoff_conn *conn, struct member *member, const char *text)
{
	char line[LINE_MAX_LEN + 64];

	if (strcmp(text, "/quit") == 0) {
		handoff_conn_close(conn);
		return 0;
	}
	if (strcmp(text, "/who") == 0) {
		snprintf(line, sizeof(line), "* you are %s\n", member->name);
		tell(conn, line);
		return 0;
	}
	snprintf(line, sizeof(line), "%s: %s\n", member->name, text);
	return post(conn, line);
}

/* Called for input: handles its first line. The library calls again as long as
 * something is consumed, and keeps what is not. */
static int
handle(struct handoff_conn *conn, void *arg)
{
	struct member *member = handoff_conn_state(conn);
	char text[LINE_MAX_LEN + 1];
	size_t len, size;
	const char *input = handoff_conn_input(conn, &len);
	const char *end = memchr(input, '\n', len);
	int err;

	(void)arg;
	if (!end)
		return len > LINE_MAX_LEN ? -EMSGSIZE : 0;
	size = (size_t)(end - input) + 1;
	if (size > LINE_MAX_LEN)
		return -EMSGSIZE;
	if (handoff_conn_room(conn) < 100)
		return 0; /* called again once there is room */
	len = size - 1;
	if (len > 0 && input[len - 1] == '\r')
		len--;
	memcpy(text, input, len);
	text[len] = '\0';
	handoff_conn_consume(conn, size);
	err = member->name[0] ? say(conn, member, text)
			      : join(conn, member, text);
	return err;
}

/* Called for each post. A client without a name gets nothing yet. */
static int
hear(struct handoff_conn *conn, void *arg)
{
	const struct member *member = handoff_conn_state(conn);
	const struct handoff_posted *posted = handoff_conn_posted(conn);

	(void)arg;
	if (posted->gap)
		tell(conn, "* some lines were lost: you read too slowly\n");
	else if (member->name[0])
		handoff_conn_write(conn, posted->data, posted->len);
	return 0;
}

static int
greet(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	tell(conn, "* welcome: what is your name?\n");
	return 0;
}

/* Called once for each connection that has ended, whatever ended it. */
static void
leave(struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	const struct member *member = handoff_conn_state(conn);
	char line[NAME_MAX_LEN + 32];

	(void)arg;
	(void)reason;
	snprintf(line, sizeof(line), "* %s has left\n", member->name);
	if (member->name[0])
		post(conn, line);
}

int
main(int argc, char **argv)
{
	static const struct handoff_service service = {
		.size = sizeof(service),
		.name = "chat",
		.state_version = 1,
		.state_size = sizeof(struct member),
		.open = greet,
		.handle = handle,
		.posted = hear,
		.post_gaps = true,
		.ended = leave,
	};
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_server_opts opts = {
		.size = sizeof(opts),
		.name = "chat",
		.service = &service,
		.signals = true,
		.errbuf = why,
		.errbuf_size = sizeof(why),
	};
	const struct handoff_server_event *event;
	struct handoff_server *server;
	int rc;

	components_register();
	if (handoff_server_opts_read(&opts, &argc, argv) < 0 || argc > 1 ||
		!opts.dir || handoff_server_open(&server, &opts) < 0) {
		fprintf(stderr, "chat: %s\nusage: chat [OPTION]...\n%s", why,
			handoff_server_opts_help());
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	do
		while (handoff_server_next(server, &event) == 1)
			printf("%s: %s\n", opts.name, event->text);
	while ((rc = handoff_server_wait(server, -1)) >= 0);
	handoff_server_free(server);
	return rc == -ESHUTDOWN ? 0 : 1; /* stopped, as it should */
}
