/* SPDX-License-Identifier: MIT */
/* What the tests of the NATS component run in; see place.h. */
#include "nats/place.h"

#include "base/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	pid_t pid;
	int port;
	int fds; /* open descriptors before */
	char config[256], folder[200];
} server;

static char sentence[HANDOFF_TEXT_MAX];

static const char *
find_program(void)
{
	static const char *const usual[] = {NATS_SERVER,
		"/usr/sbin/nats-server", "/usr/local/bin/nats-server",
		"/usr/bin/nats-server"};
	const char *given = getenv("HANDOFF_NATS_SERVER");

	if (given)
		return given;
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		if (access(usual[i], X_OK) == 0)
			return usual[i];
	}
	return NULL;
}

static int
try_port(int port, bool connects)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = connects ? connect(fd, (struct sockaddr *)&at, sizeof(at))
			  : bind(fd, (struct sockaddr *)&at, sizeof(at));

	if (rc == 0)
		return fd;
	close(fd);
	return -1;
}

/* Below those of which the kernel chooses. */
static int
free_port(void)
{
	for (;;) {
		uint16_t random = 0;
		int port, fd;

		assert_int_equal(
			getrandom(&random, sizeof(random), 0), sizeof(random));
		port = 10000 + random % 22000;
		fd = try_port(port, false);
		if (fd < 0)
			continue;
		close(fd);
		return port;
	}
}

/* It begins with a line about itself. */
static bool
answers(void)
{
	int fd = try_port(server.port, true);
	char line[8] = "";
	bool good;

	if (fd < 0)
		return false;
	good = support_poll(fd, POLLIN) && read(fd, line, 4) == 4 &&
	       strcmp(line, "INFO") == 0;
	close(fd);
	return good;
}

static void __attribute__((noreturn)) run(const char *program, pid_t parent)
{
	int log = open(server.folder, O_DIRECTORY | O_RDONLY | O_CLOEXEC);

	log = openat(log, "log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || log < 0)
		_exit(1);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	execl(program, program, "-c", server.config, (char *)NULL);
	_exit(1);
}

void
place_restart(void)
{
	const char *program = find_program();
	int64_t until = handoff__now_us() + PLACE_MS * 1000;
	pid_t parent = getpid();

	server.pid = fork();
	assert_true(server.pid >= 0);
	if (server.pid == 0)
		run(program, parent);
	while (!answers()) {
		assert_int_equal(waitpid(server.pid, NULL, WNOHANG), 0);
		assert_true(handoff__now_us() < until);
		poll(NULL, 0, 10);
	}
}

void
place_needs_server(void)
{
	if (find_program())
		return;
	printf("SKIP: there is no nats-server (cmake/deps.sh engines, or "
	       "HANDOFF_NATS_SERVER)\n");
	skip();
}

void
place_begin(const char *extra)
{
	char text[4096];

	place_needs_server();
	assert_int_equal(handoff_nats_register(), 0);
	server.fds = support_open_fds();
	server.port = free_port();
	snprintf(server.folder, sizeof(server.folder), "%s", support_dir());
	snprintf(text, sizeof(text),
		"listen: \"127.0.0.1:%d\"\n"
		"jetstream: {store_dir: \"%s/js\"}\n"
		"%s\n",
		server.port, server.folder, extra ? extra : "");
	snprintf(server.config, sizeof(server.config), "%s",
		place_file("nats.conf", text, 0600));
	place_restart();
}

void
place_kill(void)
{
	int status;

	kill(server.pid, SIGKILL);
	assert_int_equal(waitpid(server.pid, &status, 0), server.pid);
	server.pid = 0;
}

void
place_end(void)
{
	int64_t until = handoff__now_us() + PLACE_MS * 1000;

	if (server.pid > 0)
		place_kill();
	while (support_open_fds() != server.fds && handoff__now_us() < until)
		poll(NULL, 0, 5);
}

void
place_signal(int sig)
{
	int status;

	kill(server.pid, sig);
	/* until it is stopped as a whole */
	if (sig == SIGSTOP)
		assert_int_equal(
			waitpid(server.pid, &status, WUNTRACED), server.pid);
}

int
place_port(void)
{
	return server.port;
}

const char *
place_address(const char *prefix, const char *rest)
{
	static char address[1200];

	snprintf(address, sizeof(address), "%s//127.0.0.1:%d/echo%s", prefix,
		server.port, rest);
	return address;
}

const char *
place_file(const char *name, const char *text, unsigned mode)
{
	static char paths[4][220];
	static unsigned next;
	char *path = paths[next++ % 4];
	int fd;

	snprintf(path, sizeof(paths[0]), "%s/%s", server.folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

void
publishing_open(struct publishing *p, const char *address)
{
	struct handoff__error error = {.text = ""};

	assert_int_equal(
		handoff__dir_open(&p->dir, server.folder, false, false, NULL),
		0);
	if (handoff__publisher_open(&p->pub, &p->dir, &address, 1, 0, &error) <
		0)
		fail_msg("%s: %s", address, error.text);
}

void
publishing_close(struct publishing *p)
{
	handoff__publisher_close(&p->pub);
	handoff__dir_close(&p->dir);
}

void
publishing_begin(struct publishing *p, uint64_t generation, uint64_t seq)
{
	struct handoff_notice n = {
		.service = "echo",
		.serving = "alt",
		.kind = HANDOFF_NOTICE_MAINTENANCE,
		.generation = generation,
		.seq = seq,
	};

	assert_int_equal(handoff__publisher_begin(&p->pub, &n), 0);
}

void
publishing_done(struct publishing *p)
{
	handoff__publisher_finish(&p->pub, PLACE_MS);
	if (!handoff__publisher_done(&p->pub))
		fail_msg("it is not published: %s",
			p->pub.outlets[0].transport->state(
				p->pub.outlets[0].end));
}

void
publishing_publish(struct publishing *p, uint64_t generation, uint64_t seq)
{
	publishing_begin(p, generation, seq);
	publishing_done(p);
}

void
publishing_says(struct publishing *p, const char *text)
{
	struct handoff__outlet *outlet = &p->pub.outlets[0];
	int64_t until = handoff__now_us() + PLACE_MS * 1000;

	while (!strstr(outlet->transport->state(outlet->end), text)) {
		if (handoff__now_us() > until)
			fail_msg("'%s' is not in '%s'", text,
				outlet->transport->state(outlet->end));
		poll(NULL, 0, 5);
	}
}

static int
open_subscriber(struct handoff_subscriber **sub, const char *address)
{
	struct handoff_subscriber_opts opts = {
		.size = sizeof(opts),
		.address = address,
		.errbuf = sentence,
		.errbuf_size = sizeof(sentence),
	};

	sentence[0] = '\0';
	return handoff_subscriber_open(sub, &opts);
}

struct handoff_subscriber *
place_subscribe(const char *address)
{
	struct handoff_subscriber *sub;

	if (open_subscriber(&sub, address) < 0)
		fail_msg("%s", sentence);
	return sub;
}

void
place_refuses(const char *address, int err, const char *text)
{
	struct handoff_subscriber *sub;

	assert_int_equal(open_subscriber(&sub, address), err);
	if (!strstr(sentence, text))
		fail_msg("'%s' is not in '%s'", text, sentence);
}

void
place_hears(struct handoff_subscriber *sub, uint64_t generation, uint64_t seq)
{
	int64_t until = handoff__now_us() + PLACE_MS * 1000;
	const struct handoff_notice *n;
	int rc;

	for (;;) {
		while ((rc = handoff_subscriber_next(sub, &n)) > 0) {
			if (n->generation == generation && n->seq == seq)
				return;
			assert_true(
				n->generation < generation ||
				(n->generation == generation && n->seq < seq));
		}
		assert_int_equal(rc, 0);
		if (handoff__now_us() > until)
			fail_msg("%llu.%llu has not come: %s",
				(unsigned long long)generation,
				(unsigned long long)seq,
				handoff_subscriber_errmsg(sub));
		handoff_subscriber_wait(sub, 100);
	}
}

void
place_says(struct handoff_subscriber *sub, const char *text)
{
	int64_t until = handoff__now_us() + PLACE_MS * 1000;
	const struct handoff_notice *n;

	while (!strstr(handoff_subscriber_errmsg(sub), text)) {
		if (handoff__now_us() > until)
			fail_msg("'%s' is not in '%s'", text,
				handoff_subscriber_errmsg(sub));
		while (handoff_subscriber_next(sub, &n) > 0)
			;
		handoff_subscriber_wait(sub, 50);
	}
}
