/* SPDX-License-Identifier: MIT */
/*
 * A service whose connections post to each other, one line for each post:
 *   all TEXT, others TEXT, to ID TEXT, room TAG TEXT   post "TEXT"
 *   tag TAG         gives this connection a tag
 *   id              answers "id ID"
 *   ask TEXT        posts "asked ID REQUEST TEXT" to tag 1, and waits
 *   answer ID REQUEST TEXT
 *                   answers that: "answer TEXT" there
 *   die TEXT        posts "TEXT" to all, and kills the process if the file
 *                   named by --once can be removed
 * An error is answered as "error ERRNO". With --plain there is no hook: posts
 * are appended to the output. Otherwise like sum_service.c. A line "N TEXT" on
 * standard input is posted to all from a thread, with the source 7 and the
 * number N; it prints "posted N RESULT". With --wrapped the toy of tests/wrap
 * wraps it.
 */
#include "wrap/toy.h"

#include <handoff.h>

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *once;

/* A place in the midst of a transaction, for tests that end the process there;
 * NULL unless a preloaded library has it. */
static void (*point)(void);

static void
at_point(void)
{
	if (point)
		point();
}

/* Skips a word of the line; true if the line begins with it. */
static bool
word(const char **at, const char *wanted)
{
	size_t len = strlen(wanted);

	if (strncmp(*at, wanted, len) != 0)
		return false;
	*at += len;
	return true;
}

static uint64_t
number(const char **at)
{
	char *end;
	uint64_t value = strtoull(*at, &end, 10);

	*at = end + (*end == ' ');
	return value;
}

static int
post(struct handoff_conn *conn, struct handoff_post *what, const char *text)
{
	int err;

	what->size = sizeof(*what);
	what->data = text;
	what->len = strlen(text);
	at_point();
	err = handoff_conn_post(conn, what);
	at_point();
	return err;
}

static int
ask(struct handoff_conn *conn, const char *text)
{
	struct handoff_post what = {.to = HANDOFF_POST_TAG, .id = 1};
	char line[512];
	int err;

	snprintf(line, sizeof(line), "asked %" PRIu64 " %" PRIu64 " %.400s",
		handoff_conn_id(conn), handoff_conn_request(conn), text);
	err = post(conn, &what, line);
	return err < 0 ? err : HANDOFF_LATER;
}

static int
answer(struct handoff_conn *conn, const char *at)
{
	struct handoff_post what = {.to = HANDOFF_POST_ONE};
	char line[512];

	what.id = number(&at);
	what.request = number(&at);
	snprintf(line, sizeof(line), "answer %.400s", at);
	return post(conn, &what, line);
}

/* Posts, and dies once, in the midst of its transaction. */
static int
die(struct handoff_conn *conn, const char *text)
{
	struct handoff_post what = {.to = HANDOFF_POST_ALL};
	int err = post(conn, &what, text);

	if (once && unlink(once) == 0)
		raise(SIGKILL);
	return err;
}

static int
execute(struct handoff_conn *conn, const char *at)
{
	struct handoff_post what = {.to = HANDOFF_POST_ALL};
	char line[64];
	int n;

	if (word(&at, "ask "))
		return ask(conn, at);
	if (word(&at, "answer "))
		return answer(conn, at);
	if (word(&at, "die "))
		return die(conn, at);
	if (word(&at, "tag ")) {
		handoff_conn_set_tag(conn, number(&at));
		return 0;
	}
	if (word(&at, "id")) {
		n = snprintf(line, sizeof(line), "id %" PRIu64 "\n",
			handoff_conn_id(conn));
		handoff_conn_write(conn, line, (size_t)n);
		return 0;
	}
	if (word(&at, "others ")) {
		what.to = HANDOFF_POST_OTHERS;
		what.id = handoff_conn_id(conn);
	} else if (word(&at, "to ")) {
		what.to = HANDOFF_POST_ONE;
		what.id = number(&at);
	} else if (word(&at, "room ")) {
		what.to = HANDOFF_POST_TAG;
		what.id = number(&at);
	} else if (!word(&at, "all ")) {
		return -EPROTO;
	}
	return post(conn, &what, at);
}

static int
handle(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *end = memchr(input, '\n', len);
	char line[8192];
	int err;

	(void)arg;
	if (!end)
		return 0;
	len = (size_t)(end - input) + 1;
	if (len >= sizeof(line) || handoff_conn_room(conn) < sizeof(line))
		return len >= sizeof(line) ? -EMSGSIZE : 0;
	memcpy(line, input, len);
	line[len] = '\0';
	err = execute(conn, line);
	if (err == HANDOFF_LATER)
		return err;
	handoff_conn_consume(conn, len);
	if (err < 0) {
		len = (size_t)snprintf(line, sizeof(line), "error %d\n", -err);
		handoff_conn_write(conn, line, len);
	}
	return 0;
}

static int
take(struct handoff_conn *conn, void *arg)
{
	const struct handoff_posted *posted = handoff_conn_posted(conn);
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *end = memchr(input, '\n', len);

	(void)arg;
	at_point();
	if (posted->gap)
		handoff_conn_write(conn, "gap\n", 4);
	else
		handoff_conn_write(conn, posted->data, posted->len);
	at_point();
	if (posted->request != 0 && end)
		handoff_conn_consume(conn, (size_t)(end - input) + 1);
	return 0;
}

/* Posts what comes on standard input. */
static void *
post_lines(void *arg)
{
	struct handoff_post what = {
		.size = sizeof(what), .to = HANDOFF_POST_ALL, .source = 7};
	char line[256];

	while (fgets(line, sizeof(line), stdin)) {
		const char *at = line;

		what.number = number(&at);
		what.data = at;
		what.len = strlen(at);
		printf("posted %" PRIu64 " %d\n", what.number,
			handoff_server_post(arg, &what));
	}
	return NULL;
}

static void
log_line(enum handoff_log_level level, const char *text, void *arg)
{
	if (level <= HANDOFF_LOG_INFO)
		fprintf(stderr, "%s: log: %s\n", (const char *)arg, text);
}

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
run(const struct handoff_server_opts *opts, bool thread)
{
	struct handoff_server *server;
	pthread_t poster;
	int err = handoff_server_open(&server, opts);

	if (err < 0) {
		fprintf(stderr, "%s: %s\n", opts->name, opts->errbuf);
		return 1;
	}
	if (thread && pthread_create(&poster, NULL, post_lines, server) == 0)
		pthread_detach(poster);
	while (print_events(server, opts->name) != HANDOFF_SERVER_STOPPED &&
		err >= 0)
		err = handoff_server_wait(server, -1);
	fflush(stdout);
	_exit(err < 0); /* the thread may still read */
}

int
main(int argc, char **argv)
{
	static char error[HANDOFF_TEXT_MAX];
	static struct toy toy;
	struct handoff_service service = {
		.size = sizeof(service),
		.name = "post",
		.handle = handle,
		.posted = take,
	};
	struct handoff_server_opts opts = {
		.size = sizeof(opts),
		.name = "post",
		.service = &service,
		.signals = true,
		.log = log_line,
		.errbuf = error,
		.errbuf_size = sizeof(error),
	};
	bool thread = false, wrapped = false;
	void *found = dlsym(RTLD_DEFAULT, "killat_point");

	memcpy(&point, &found, sizeof(point));
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (handoff_server_opts_read(&opts, &argc, argv) < 0) {
		fprintf(stderr, "post: %s\n", error);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--plain") == 0)
			service.posted = NULL;
		else if (strcmp(argv[i], "--gaps") == 0)
			service.post_gaps = true;
		else if (strcmp(argv[i], "--thread") == 0)
			thread = true;
		else if (strcmp(argv[i], "--wrapped") == 0)
			wrapped = true;
		else if (strcmp(argv[i], "--small") == 0)
			service.post_size = 65536;
		else if (strcmp(argv[i], "--once") == 0 && argv[i + 1])
			once = argv[++i];
		else
			return 2;
	}
	if (wrapped) {
		toy_init(&toy, &service, 65536);
		opts.service = &toy.service;
	}
	opts.log_arg = (void *)(uintptr_t)opts.name;
	return run(&opts, thread);
}
