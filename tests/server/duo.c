/* SPDX-License-Identifier: MIT */
/*
 * Runs two servers by turns. Every wait has a deadline.
 */
#include "server/duo.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOMENT_MS 5
#define IDLE_MAX  1000 /* of such moments: a machine may stand still */

int
serve_lines(struct handoff_conn *conn, void *arg)
{
	struct host *host = arg;
	uint32_t *count = handoff_conn_state(conn);
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *newline = memchr(input, '\n', len);
	size_t line = newline ? (size_t)(newline - input) + 1 : 0;
	char number[16];
	int n;

	atomic_fetch_add(&host->handled, 1);
	if (atomic_load(&host->hold)) {
		atomic_fetch_add(&host->holding, 1);
		while (atomic_load(&host->hold))
			poll(NULL, 0, 1);
		atomic_fetch_sub(&host->holding, 1);
	}
	if (line == 0)
		return 0;
	n = snprintf(number, sizeof(number), "%u ", ++*count);
	if (handoff_conn_room(conn) < (size_t)n + line) {
		--*count;
		return 0;
	}
	handoff_conn_write(conn, number, (size_t)n);
	handoff_conn_write(conn, input, line);
	if (line == 5 && memcmp(input, "quit\n", 5) == 0)
		handoff_conn_close(conn);
	return handoff_conn_consume(conn, line);
}

static void
host_init(struct host *host, const char *dir, const char *name,
	enum handoff_model model)
{
	memset(host, 0, sizeof(*host));
	host->service = (struct handoff_service){
		.size = sizeof(host->service),
		.name = "lines",
		.state_size = sizeof(uint32_t),
		.handle = serve_lines,
		.arg = host,
	};
	host->opts = (struct handoff_server_opts){
		.size = sizeof(host->opts),
		.dir = dir,
		.name = name,
		.service = &host->service,
		.model = model == DUO_WORKERS ? HANDOFF_MODEL_LOOP : model,
		.workers = model == DUO_WORKERS ? 3 : 0,
		.errbuf = host->why,
		.errbuf_size = sizeof(host->why),
	};
}

static enum handoff_model chosen[] = {HANDOFF_MODEL_THREAD, DUO_WORKERS};

int
duo_setup_thread(void **state)
{
	*state = &chosen[0];
	return support_setup(state);
}

int
duo_setup_workers(void **state)
{
	*state = &chosen[1];
	return support_setup(state);
}

enum handoff_model
duo_model(void **state)
{
	const enum handoff_model *model = *state;

	return model ? *model : HANDOFF_MODEL_LOOP;
}

void
duo_init(struct duo *duo, enum handoff_model model)
{
	const char *dir = support_dir();

	host_init(&duo->a, dir, "server", model);
	host_init(&duo->b, dir, "alt", model);
	duo->a.listen[0] = "127.0.0.1:0";
	duo->a.opts.listen = duo->a.listen;
	duo->a.opts.nlisten = 1;
}

struct helper {
	struct host *host;
	atomic_bool stop;
};

static void *
keep_turning(void *arg)
{
	struct helper *helper = arg;

	while (!atomic_load(&helper->stop))
		handoff_server_wait(helper->host->server, MOMENT_MS);
	return NULL;
}

int
host_open(struct host *host, struct host *other)
{
	struct helper helper = {.host = other};
	pthread_t thread;
	int err;

	atomic_init(&helper.stop, false);
	if (other)
		assert_int_equal(
			pthread_create(&thread, NULL, keep_turning, &helper),
			0);
	err = handoff_server_open(&host->server, &host->opts);
	if (other) {
		atomic_store(&helper.stop, true);
		pthread_join(thread, NULL);
	}
	return err;
}

void
duo_open(struct duo *duo, enum handoff_model model)
{
	duo_init(duo, model);
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo->b, &duo->a), 0);
	duo_expect(duo, &duo->b, HANDOFF_SERVER_STANDBY);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_JOINED);
}

static void
host_close(struct duo *duo, struct host *host)
{
	if (!host->server)
		return;
	handoff_server_stop(host->server);
	if (handoff_server_moving(host->server))
		duo_expect(duo, host, HANDOFF_SERVER_STOPPED);
	handoff_server_free(host->server);
	host->server = NULL;
}

void
duo_close(struct duo *duo)
{
	host_close(duo, &duo->a);
	host_close(duo, &duo->b);
}

bool
duo_turn(struct duo *duo)
{
	struct host *hosts[2] = {&duo->a, &duo->b};
	struct pollfd fds[2];
	bool done;
	int rc;

	for (int i = 0; i < 2; i++) {
		fds[i].fd = hosts[i]->server
				    ? handoff_server_fd(hosts[i]->server)
				    : -1;
		fds[i].events = POLLIN;
	}
	done = poll(fds, 2, 0) > 0;
	for (int i = 0; i < 2; i++) {
		if (!hosts[i]->server)
			continue;
		rc = handoff_server_wait(hosts[i]->server, 0);
		assert_true(rc == 0 || rc == -ESHUTDOWN);
		if (rc < 0)
			fds[i].fd = -1; /* it has stopped */
	}
	return done || poll(fds, 2, MOMENT_MS) > 0;
}

/* Notes what an event says beyond its type. */
static bool
pull(struct host *host, const struct handoff_server_event **event)
{
	const struct handoff_server_event *ev;
	const char *address;

	if (!host->server || handoff_server_next(host->server, &ev) != 1)
		return false;
	*event = ev;
	address = strstr(ev->text, "listening on ");
	if (ev->type == HANDOFF_SERVER_LISTENING && address)
		snprintf(host->address, sizeof(host->address), "%s",
			address + strlen("listening on "));
	return true;
}

void
duo_expect(
	struct duo *duo, struct host *host, enum handoff_server_event_type type)
{
	const struct handoff_server_event *ev;

	for (int idle = 0;;) {
		while (pull(host, &ev)) {
			if (ev->type != type)
				continue;
			snprintf(
				host->text, sizeof(host->text), "%s", ev->text);
			host->generation = ev->generation;
			host->event = *ev;
			memset(&host->outcome, 0, sizeof(host->outcome));
			if (ev->outcome)
				host->outcome = *ev->outcome;
			return;
		}
		idle += !duo_turn(duo);
		if (idle > IDLE_MAX)
			fail_msg("event %d never came", (int)type);
	}
}

bool
host_had(struct host *host, enum handoff_server_event_type type)
{
	const struct handoff_server_event *ev;
	bool had = false;

	while (pull(host, &ev))
		had |= ev->type == type;
	return had;
}

int
client_open(const char *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	const char *colon = strrchr(address, ':');
	char host[HANDOFF_ADDRESS_MAX];
	int fd;

	assert_non_null(colon);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
	assert_int_equal(getaddrinfo(host, colon + 1, &hints, &found), 0);
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, found->ai_addr, found->ai_addrlen), 0);
	freeaddrinfo(found);
	return fd;
}

void
client_send(int fd, const char *text)
{
	assert_int_equal(
		send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

void
client_expect(struct duo *duo, int fd, const char *text)
{
	char got[512];
	size_t len = 0, want = strlen(text);

	for (int idle = 0; want == 0 || len < want;) {
		ssize_t n = recv(fd, got + len,
			want == 0 ? sizeof(got) : want - len, MSG_DONTWAIT);

		if (n == 0 && want == 0)
			return;
		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		assert_true(n < 0 || want > 0);
		len += n > 0 ? (size_t)n : 0;
		if (n < 0)
			idle += !duo_turn(duo);
		if (idle > IDLE_MAX)
			fail_msg("'%s' never came", text);
	}
	assert_memory_equal(got, text, want);
}

void
client_line(struct duo *duo, int fd, unsigned number)
{
	char expected[32];

	snprintf(expected, sizeof(expected), "%u hello\n", number);
	client_send(fd, "hello\n");
	client_expect(duo, fd, expected);
}
