/* SPDX-License-Identifier: MIT */
/*
 * A service of lines with TLS, for system tests: the options of a server, those
 * of handoff_tls_opts_read, and
 *   --alpn NAME   a protocol, once for each
 *   --asked       client certificates are asked for, not required
 *   --build TEXT  as if made with another OpenSSL (the options' version)
 *   --silent      says nothing unasked
 *   --kill FILE   dies at the first line "die" if the file can be removed
 * SIGHUP loads the certificates again, SIGWINCH prints what was counted.
 */
#include <handoff.h>
#include <handoff/tls.h>

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const char *deadly;
static bool silent;
static atomic_uint idle; /* how often a connection was */
static struct handoff_tls tls;

static void
answer(struct handoff_conn *conn, const char *text)
{
	handoff_conn_write(conn, text, strlen(text));
}

/* One request of HTTP, up to its empty line. */
static int
get(struct handoff_conn *conn, const char *input, size_t len, unsigned number)
{
	const char *end = memmem(input, len, "\r\n\r\n", 4);
	char text[256], body[64];
	int n;

	if (!end || handoff_conn_room(conn) < sizeof(text))
		return 0;
	n = snprintf(body, sizeof(body), "request %u of %s\n", number,
		handoff_tls_alpn(conn));
	snprintf(text, sizeof(text),
		"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, body);
	answer(conn, text);
	++*(unsigned *)handoff_conn_state(conn);
	return handoff_conn_consume(conn, (size_t)(end - input) + 4);
}

static void
tell_names(struct handoff_conn *conn)
{
	char text[700];

	snprintf(text, sizeof(text), "alpn=%s name=%s peer=%s%s\n",
		handoff_tls_alpn(conn), handoff_tls_server_name(conn),
		handoff_tls_peer(conn),
		handoff_tls_peer_cut(conn) ? "..." : "");
	answer(conn, text);
}

static void
post(struct handoff_conn *conn, const char *text, size_t len)
{
	struct handoff_post all = {.size = sizeof(all),
		.to = HANDOFF_POST_ALL,
		.data = text,
		.len = len};

	if (handoff_conn_post(conn, &all) < 0)
		answer(conn, "not posted\n");
}

/* What the line says, up to its end. */
static int
obey(struct handoff_conn *conn, const char *line, size_t len, unsigned number)
{
	char head[32];

	if (strncmp(line, "who\n", 4) == 0) {
		tell_names(conn);
	} else if (strncmp(line, "post ", 5) == 0) {
		post(conn, line + 5, len - 5);
	} else if (strncmp(line, "quit\n", 5) == 0) {
		answer(conn, "bye\n");
		handoff_conn_close(conn);
	} else if (strncmp(line, "abort\n", 6) == 0) {
		handoff_conn_abort(conn);
	} else if (strncmp(line, "pid\n", 4) == 0 ||
		   strncmp(line, "die\n", 4) == 0) {
		/* not the same when another process runs it again */
		snprintf(head, sizeof(head), "%u: %d\n", number, getpid());
		answer(conn, head);
	} else {
		snprintf(head, sizeof(head), "%u: ", number);
		answer(conn, head);
		handoff_conn_write(conn, line, len);
	}
	if (strncmp(line, "die\n", 4) == 0 && deadly && unlink(deadly) == 0)
		kill(getpid(), SIGKILL);
	return 0;
}

/* The answer is a post of this connection's own, which comes later. */
static int
ask(struct handoff_conn *conn)
{
	struct handoff_post post = {.size = sizeof(post),
		.to = HANDOFF_POST_ONE,
		.id = handoff_conn_id(conn),
		.data = "it is later\n",
		.len = 12,
		.request = handoff_conn_request(conn)};
	int err = handoff_conn_post(conn, &post);

	return err < 0 ? err : HANDOFF_LATER;
}

/* An answer consumes the line that has asked for it. */
static int
posted(struct handoff_conn *conn, void *arg)
{
	const struct handoff_posted *post = handoff_conn_posted(conn);
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *end = memchr(input, '\n', len);

	(void)arg;
	if (post->request != 0 && end) {
		++*(unsigned *)handoff_conn_state(conn);
		handoff_conn_consume(conn, (size_t)(end - input) + 1);
	}
	handoff_conn_write(conn, post->data, post->len);
	return 0;
}

static int
handle(struct handoff_conn *conn, void *arg)
{
	unsigned *count = handoff_conn_state(conn);
	size_t len, n;
	const char *input = handoff_conn_input(conn, &len);
	const char *end = memchr(input, '\n', len);

	(void)arg;
	if (handoff_conn_eof(conn) && !end && len == 0 && !silent)
		answer(conn, "end\n");
	if (len >= 4 && strncmp(input, "GET ", 4) == 0)
		return get(conn, input, len, *count + 1);
	if (!end)
		return 0;
	if (strncmp(input, "later\n", 6) == 0)
		return ask(conn);
	n = (size_t)(end - input) + 1;
	if (handoff_conn_room(conn) < n + 1000)
		return 0;
	++*count;
	handoff_conn_consume(conn, n);
	return obey(conn, input, n, *count);
}

static int
greet(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	if (strcmp(handoff_tls_alpn(conn), "http/1.1") != 0 && !silent)
		answer(conn, "hello\n");
	return 0;
}

static int
farewell(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	answer(conn, "farewell\n");
	return 0;
}

static void
ended(struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	(void)arg;
	printf("ended: %d after %u\n", (int)reason,
		*(unsigned *)handoff_conn_state(conn));
}

static void
count_idle(uint64_t id, void *arg)
{
	(void)id;
	(void)arg;
	atomic_fetch_add(&idle, 1);
}

static void
print_stats(void)
{
	struct handoff_tls_counts s = {.size = sizeof(s)};

	handoff_tls_stats(&tls, &s);
	printf("{\"handshakes\": %" PRIu64 ", \"failed\": %" PRIu64
	       ", \"late\": %" PRIu64 ", \"replays\": %" PRIu64
	       ", \"mismatches\": %" PRIu64 ", \"strangers\": %" PRIu64
	       ", \"updates_in\": %" PRIu64 ", \"updates_out\": %" PRIu64
	       ", \"alerts_in\": %" PRIu64 ", \"alerts_out\": %" PRIu64
	       ", \"truncated\": %" PRIu64 ", \"idle\": %u}\n",
		s.handshakes, s.failed, s.late, s.replays, s.mismatches,
		s.strangers, s.key_updates_in, s.key_updates_out, s.alerts_in,
		s.alerts_out, s.truncated, atomic_load(&idle));
}

static void
on_signal(int fd, void *arg)
{
	struct signalfd_siginfo info;
	char why[HANDOFF_TEXT_MAX] = "";

	(void)arg;
	if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH)
		print_stats();
	else if (handoff_tls_reload(&tls, why, sizeof(why)) == 0)
		printf("reloaded\n");
	else
		printf("not reloaded: %s\n", why);
}

static int
watch_signals(struct handoff_server *server, const sigset_t *set)
{
	return handoff_server_watch(server,
		signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK), on_signal, NULL);
}

static int
read_own(
	struct handoff_tls_opts *opts, const char **alpn, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--alpn") == 0 && i + 1 < argc)
			alpn[opts->nalpn++] = argv[++i];
		else if (strcmp(argv[i], "--build") == 0 && i + 1 < argc)
			opts->version = argv[++i];
		else if (strcmp(argv[i], "--kill") == 0 && i + 1 < argc)
			deadly = argv[++i];
		else if (strcmp(argv[i], "--handshake-ms") == 0 && i + 1 < argc)
			opts->handshake_ms = (uint32_t)atoi(argv[++i]);
		else if (strcmp(argv[i], "--silent") == 0)
			silent = true;
		else if (strcmp(argv[i], "--asked") == 0)
			opts->client = HANDOFF_TLS_CLIENT_ASKED;
		else
			return -1;
	}
	opts->alpn = alpn;
	return 0;
}

static void
log_line(enum handoff_log_level level, const char *text, void *arg)
{
	const struct handoff_server_opts *opts = arg;

	if (level <= HANDOFF_LOG_WARNING)
		fprintf(stderr, "%s: %s\n", opts->name, text);
}

/* What the component says of clients. */
static void
log_client(enum handoff_log_level level, const char *text, void *arg)
{
	(void)level;
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

static int
run(struct handoff_server_opts *opts, const sigset_t *set)
{
	const struct handoff_server_event *event;
	struct handoff_server *server;
	bool stopped = false;

	if (handoff_server_open(&server, opts) < 0 ||
		watch_signals(server, set) < 0) {
		fprintf(stderr, "tls_server: %s\n", opts->errbuf);
		return 1;
	}
	do
		while (handoff_server_next(server, &event) > 0) {
			printf("%s: %s\n", opts->name, event->text);
			stopped = event->type == HANDOFF_SERVER_STOPPED;
		}
	while (!stopped && handoff_server_wait(server, -1) >= 0);
	handoff_server_free(server);
	return stopped ? 0 : 1;
}

int
main(int argc, char **argv)
{
	static const struct handoff_service lines = {.size = sizeof(lines),
		.name = "lines",
		.handle = handle,
		.open = greet,
		.posted = posted,
		.farewell = farewell,
		.idle = count_idle,
		.ended = ended,
		.state_size = sizeof(unsigned)};
	char why[HANDOFF_TEXT_MAX] = "";
	const char *alpn[8];
	struct handoff_tls_opts tls_opts = {.size = sizeof(tls_opts),
		.log = log_client,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	struct handoff_server_opts opts = {.size = sizeof(opts),
		.name = "server",
		.signals = true,
		.log = log_line,
		.log_arg = &opts,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	sigset_t set;
	int rc;

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (handoff_tls_opts_read(&tls_opts, &argc, argv, why, sizeof(why)) <
			0 ||
		handoff_server_opts_read(&opts, &argc, argv) < 0 ||
		read_own(&tls_opts, alpn, argc, argv) < 0 ||
		handoff_tls_service(&tls, &lines, &tls_opts) < 0) {
		fprintf(stderr, "tls_server: bad usage: %s\n", why);
		return 2;
	}
	opts.service = &tls.service;
	rc = run(&opts, &set);
	handoff_tls_free(&tls);
	return rc;
}
