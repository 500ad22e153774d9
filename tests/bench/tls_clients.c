/* SPDX-License-Identifier: MIT */
/*
 * tls_clients: load with TLS for the benchmarks, by OpenSSL. Holds N
 * connections to an echo server and obeys commands on standard input, each
 * answered by one line of JSON; in between the connections are idle. Every byte
 * that comes back is compared with what was sent. Knows nothing of the library.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH    256
#define MESSAGE  16384u /* the longest: one TLS record */
#define SHIFTS   4096u
#define STALL_MS 20000 /* of silence: the server is broken */

static const char usage[] =
	"usage: tls_clients ADDR:PORT CONNECTIONS\n"
	"Commands, one a line, to the end of the input:\n"
	"  ping SIZE MS      for that time each connection sends SIZE bytes, "
	"waits\n"
	"                    until they are back, and does it again\n"
	"  once SIZE         each connection does that once\n"
	"  shake SIZE N      N times: a new connection does that once and "
	"ends; as\n"
	"                    many at once as there are connections\n";

struct conn {
	int fd;
	SSL *ssl;
	bool shaken, want_out, busy;
	size_t out, in; /* bytes of the message under way */
	uint64_t number;
	uint32_t key;
};

struct work {
	size_t size;
	bool shake, once;
	uint64_t left; /* messages to be begun, if it is not by time */
	int64_t until_ns;
	bool over;
};

static unsigned char pattern[MESSAGE + SHIFTS], buffer[MESSAGE];
static struct sockaddr_in server;
static SSL_CTX *ctx;
static struct conn *conns;
static unsigned nconns, busy;
static int epfd;
static uint64_t messages; /* echoed since the command */

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "tls_clients: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(1);
}

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* What a connection sends now; it differs from what it sent before. */
static const unsigned char *
message(const struct conn *conn)
{
	return pattern + (conn->key + conn->number * 61) % SHIFTS;
}

static void
fill_pattern(void)
{
	uint64_t x = 1;

	for (size_t i = 0; i < sizeof(pattern); i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		pattern[i] = (unsigned char)(x >> 56);
	}
}

static void
watch(struct conn *conn, int op, bool out)
{
	struct epoll_event ev = {
		.events = out ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = conn};

	if (op == EPOLL_CTL_MOD && conn->want_out == out)
		return;
	conn->want_out = out;
	if (epoll_ctl(epfd, op, conn->fd, &ev) < 0)
		die("epoll_ctl");
}

static void
open_conn(struct conn *conn)
{
	int one = 1;

	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		die("socket");
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(conn->fd, (struct sockaddr *)&server, sizeof(server)) < 0)
		die("connect");
	fcntl(conn->fd, F_SETFL, O_NONBLOCK);
	conn->ssl = SSL_new(ctx);
	if (!conn->ssl || SSL_set_fd(conn->ssl, conn->fd) != 1)
		die("SSL_new");
	SSL_set_connect_state(conn->ssl);
	conn->shaken = false;
	watch(conn, EPOLL_CTL_ADD, false);
}

static void
close_conn(struct conn *conn)
{
	SSL_shutdown(conn->ssl);
	SSL_free(conn->ssl);
	close(conn->fd);
	conn->ssl = NULL;
}

/* ---- messages ---- */

static void
begin(struct conn *conn)
{
	conn->in = conn->out = 0;
	conn->number++;
	if (!conn->busy)
		busy++;
	conn->busy = true;
}

/* Whether the connection has something more to do. */
static bool
goes_on(struct conn *conn, struct work *work)
{
	messages++;
	if (work->shake)
		close_conn(conn);
	if (work->once || (work->until_ns > 0 ? work->over : work->left == 0)) {
		conn->busy = false;
		busy--;
		return false;
	}
	if (work->until_ns == 0)
		work->left--;
	if (work->shake)
		open_conn(conn);
	begin(conn);
	return true;
}

static void
wait_for(struct conn *conn, int result)
{
	int error = SSL_get_error(conn->ssl, result);

	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		die("connection");
	watch(conn, EPOLL_CTL_MOD, error == SSL_ERROR_WANT_WRITE);
}

/* The result of a call; 0 or less: it waits. */
static int
step(struct conn *conn, const struct work *work)
{
	int n;

	if (!conn->shaken) {
		n = SSL_do_handshake(conn->ssl);
		conn->shaken = n == 1;
		return n;
	}
	if (conn->out < work->size) {
		n = SSL_write(conn->ssl, message(conn), (int)work->size);
		conn->out = n > 0 ? work->size : 0;
		return n;
	}
	n = SSL_read(conn->ssl, buffer, (int)(work->size - conn->in));
	if (n <= 0)
		return n;
	if (memcmp(buffer, message(conn) + conn->in, (size_t)n) != 0) {
		fprintf(stderr, "tls_clients: wrong bytes\n");
		exit(1);
	}
	conn->in += (size_t)n;
	return n;
}

/* To the end of one message. The next one is sent, and its answer comes after
 * the other connections', even if it is there at once. */
static void
talk(struct conn *conn, struct work *work)
{
	int n;

	do
		n = step(conn, work);
	while (n > 0 && conn->in < work->size);
	if (n > 0 && goes_on(conn, work)) {
		do
			n = step(conn, work);
		while (n > 0 && conn->out < work->size);
	}
	if (n <= 0)
		wait_for(conn, n);
}

static void
run(struct work *work)
{
	struct epoll_event batch[BATCH];

	while (busy > 0) {
		int n = epoll_wait(epfd, batch, BATCH, STALL_MS);

		if (n == 0) {
			errno = ETIMEDOUT;
			die("echo");
		}
		if (!work->over && work->until_ns > 0)
			work->over = now_ns() >= work->until_ns;
		for (int i = 0; i < n; i++)
			talk(batch[i].data.ptr, work);
	}
}

static void
start(struct work *work, bool open)
{
	for (unsigned i = 0; i < nconns; i++) {
		if (work->until_ns == 0 && work->left == 0)
			break;
		if (work->until_ns == 0)
			work->left--;
		if (open)
			open_conn(&conns[i]);
		begin(&conns[i]);
		talk(&conns[i], work);
	}
}

static void
obey(const char *line)
{
	struct work work = {0};
	char what[16];
	unsigned size, number = nconns;
	int64_t start_ns = now_ns();
	int words = sscanf(line, "%15s %u %u", what, &size, &number);

	if (words < 2 || size == 0 || size > MESSAGE || number == 0) {
		fputs(usage, stderr);
		exit(2);
	}
	work.size = size;
	work.shake = strcmp(what, "shake") == 0;
	work.once = strcmp(what, "once") == 0;
	messages = 0;
	if (strcmp(what, "ping") == 0)
		work.until_ns = start_ns + (int64_t)number * 1000000;
	else
		work.left = number;
	start(&work, work.shake || !conns[0].ssl);
	run(&work);
	printf("{\"messages\":%llu,\"seconds\":%.6f}\n",
		(unsigned long long)messages,
		(double)(now_ns() - start_ns) / 1e9);
	fflush(stdout);
}

/* ---- its beginning ---- */

static int
parse(const char *address)
{
	const char *colon = strrchr(address, ':');
	char host[64];

	if (!colon || (size_t)(colon - address) >= sizeof(host))
		return -1;
	memcpy(host, address, (size_t)(colon - address));
	host[colon - address] = '\0';
	server.sin_family = AF_INET;
	server.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	return inet_pton(AF_INET, host, &server.sin_addr) == 1 ? 0 : -1;
}

static void
set_up(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	fill_pattern();
	ctx = SSL_CTX_new(TLS_client_method());
	conns = calloc(nconns, sizeof(*conns));
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (!ctx || !conns || epfd < 0)
		die("set up");
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	for (unsigned i = 0; i < nconns; i++)
		conns[i].key = i * 997;
}

int
main(int argc, char **argv)
{
	char line[64];

	if (argc != 3 || (nconns = (unsigned)atoi(argv[2])) == 0 ||
		parse(argv[1]) < 0) {
		fputs(usage, stderr);
		return 2;
	}
	set_up();
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	return 0;
}
