/* SPDX-License-Identifier: MIT */
/*
 * session_clients: connections to an echo server, plain ones or with sessions,
 * that obey the same commands in the same loop: so what differs is the frames.
 * Each request is one send and waits for its answer; every byte is compared.
 * Knows the session protocol from its manual page, and nothing of the library.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

#define HEADER   8
#define WELCOME  (HEADER + 45)
#define MOST     65536 /* bytes of a message */
#define STALL_MS 20000
#define DATA     1
#define ACK      2
#define SECRET   24 /* number and token, as they lie in a frame */

static const char usage[] =
	"usage: session_clients ADDR:PORT CONNECTIONS plain|session\n"
	"Commands, one a line, to the end of the input:\n"
	"  ping SIZE MS    for that time each connection sends SIZE bytes, "
	"waits\n"
	"                  until they are back, and does it again\n"
	"  once SIZE       each connection does that once\n"
	"  resume COUNT    each session goes on over a new connection, so many "
	"at a\n"
	"                  time; the old ones are open until then\n";

struct conn {
	int fd;
	unsigned char header[HEADER]; /* as far as it has come: */
	size_t header_len, left;      /* and what is left of its payload */
	uint32_t received; /* of the stream, for the acknowledgement */
	uint32_t sent;     /* of the own stream */
	size_t in;         /* of the message under way */
	unsigned char secret[SECRET];
};

static unsigned char pattern[MOST], out[HEADER + MOST], buffer[2 * MOST];
static struct conn *conns;
static unsigned nconns, waiting;
static int epfd;
static struct sockaddr_in target = {.sin_family = AF_INET};
static bool framed;
static uint64_t messages;

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "session_clients: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
put32(unsigned char *at, uint32_t value)
{
	value = htonl(value);
	memcpy(at, &value, sizeof(value));
}

static void
ask(struct conn *conn, size_t size)
{
	size_t skip = framed ? 0 : HEADER;

	put32(out, (uint32_t)DATA << 24 | (uint32_t)size);
	put32(out + 4, conn->received);
	memcpy(out + HEADER, pattern, size);
	if (send(conn->fd, out + skip, HEADER + size - skip, MSG_NOSIGNAL) !=
		(ssize_t)(HEADER + size - skip))
		die("send");
	conn->sent += (uint32_t)size;
	conn->in = 0;
}

static void
compare(struct conn *conn, const unsigned char *data, size_t len)
{
	if (memcmp(data, pattern + conn->in, len) != 0) {
		fputs("session_clients: wrong bytes\n", stderr);
		exit(1);
	}
	conn->in += len;
	conn->received += (uint32_t)len;
}

/* A header whose payload is still to come. */
static void
begin_frame(struct conn *conn)
{
	uint32_t word;

	memcpy(&word, conn->header, sizeof(word));
	word = ntohl(word);
	if (word >> 24 != DATA && word >> 24 != ACK) {
		fprintf(stderr, "session_clients: frame of type %u\n",
			word >> 24);
		exit(1);
	}
	conn->left = word & 0xffffff;
	conn->header_len = 0;
}

static void
take_frames(struct conn *conn, const unsigned char *data, size_t len)
{
	while (len > 0) {
		size_t n =
			conn->left > 0 ? conn->left : HEADER - conn->header_len;

		if (n > len)
			n = len;
		if (conn->left > 0) {
			compare(conn, data, n);
			conn->left -= n;
		} else {
			memcpy(conn->header + conn->header_len, data, n);
			conn->header_len += n;
			if (conn->header_len == HEADER)
				begin_frame(conn);
		}
		data += n;
		len -= n;
	}
}

static void
on_input(struct conn *conn, size_t size, int64_t until_ns)
{
	ssize_t n = recv(conn->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

	if (n == 0)
		errno = ECONNRESET;
	if (n == 0 || (n < 0 && errno != EAGAIN))
		die("recv");
	if (n < 0)
		return;
	if (framed)
		take_frames(conn, buffer, (size_t)n);
	else
		compare(conn, buffer, (size_t)n);
	if (conn->in < size)
		return;
	messages++;
	if (now_ns() < until_ns)
		ask(conn, size);
	else
		waiting--;
}

static double
cpu_of(const struct rusage *u)
{
	return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
	       (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

static void
run(size_t size, int64_t ms)
{
	int64_t start = now_ns(), until = start + ms * 1000000;
	struct epoll_event batch[256];
	struct rusage before, after;

	messages = 0;
	getrusage(RUSAGE_SELF, &before);
	for (waiting = 0; waiting < nconns; waiting++)
		ask(&conns[waiting], size);
	while (waiting > 0) {
		int n = epoll_wait(epfd, batch, 256, STALL_MS);

		if (n == 0) {
			errno = ETIMEDOUT;
			die("echo");
		}
		for (int i = 0; i < n; i++)
			on_input(batch[i].data.ptr, size, until);
	}
	getrusage(RUSAGE_SELF, &after);
	printf("{\"messages\":%llu,\"bytes\":%llu,\"seconds\":%.6f,"
	       "\"client_cpu\":%.6f}\n",
		(unsigned long long)messages,
		(unsigned long long)(messages * size),
		(double)(now_ns() - start) / 1e9,
		cpu_of(&after) - cpu_of(&before));
	fflush(stdout);
}

/* The preface and NEW, and waits for WELCOME. */
static void
begin_session(struct conn *conn, int fd)
{
	static const unsigned char hello[] = {0xf5, 'H', 'S', 'E', 'S', 'S', 0,
		1, 0x10, 0, 0, 8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0};

	if (send(fd, hello, sizeof(hello), 0) != sizeof(hello))
		die("send");
	if (recv(fd, buffer, WELCOME, MSG_WAITALL) != WELCOME ||
		buffer[0] != 0x12) {
		errno = EPROTO;
		die("welcome");
	}
	memcpy(conn->secret, buffer + HEADER, SECRET);
}

static int
connect_one(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 ||
		connect(fd, (struct sockaddr *)&target, sizeof(target)) < 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* A new connection, the preface and RESUME. */
static int
ask_to_resume(const struct conn *conn)
{
	unsigned char hello[8 + HEADER + 40] = {
		0xf5, 'H', 'S', 'E', 'S', 'S', 0, 1, 0x11, 0, 0, 40};
	int fd = connect_one();

	put32(hello + 12, conn->received);
	memcpy(hello + 16, conn->secret, SECRET);
	put32(hello + 16 + SECRET + 4, conn->received);
	put32(hello + 16 + SECRET + 12, conn->sent);
	if (send(fd, hello, sizeof(hello), 0) != sizeof(hello))
		die("send");
	return fd;
}

static void
add_conn(struct conn *conn, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = conn};

	conn->fd = fd;
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll_ctl");
}

static void
resume_all(unsigned at_a_time)
{
	int *fds = calloc(nconns, sizeof(*fds));
	int64_t start = now_ns();

	if (!fds)
		die("resume");
	for (unsigned i = 0; i < nconns + at_a_time; i++) {
		unsigned done = i - at_a_time;

		if (i < nconns)
			fds[i] = ask_to_resume(&conns[i]);
		if (i < at_a_time || done >= nconns)
			continue;
		if (recv(fds[done], buffer, WELCOME, MSG_WAITALL) != WELCOME ||
			buffer[0] != 0x12 || buffer[WELCOME - 1] != 1) {
			errno = EPROTO;
			die("resume");
		}
		close(conns[done].fd);
		add_conn(&conns[done], fds[done]);
	}
	free(fds);
	printf("{\"resumed\":%u,\"seconds\":%.6f}\n", nconns,
		(double)(now_ns() - start) / 1e9);
	fflush(stdout);
}

static void
open_all(const char *address)
{
	const char *colon = strrchr(address, ':');
	char host[64] = "";

	if (!colon || (size_t)(colon - address) >= sizeof(host))
		die(usage);
	memcpy(host, address, (size_t)(colon - address));
	target.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	conns = calloc(nconns, sizeof(*conns));
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (!conns || epfd < 0 ||
		inet_pton(AF_INET, host, &target.sin_addr) != 1)
		die("set up");
	for (unsigned i = 0; i < nconns; i++) {
		int fd = connect_one();

		if (framed)
			begin_session(&conns[i], fd);
		add_conn(&conns[i], fd);
	}
}

int
main(int argc, char **argv)
{
	struct rlimit limit;
	char line[64], what[16];
	unsigned size, ms;

	if (argc != 4 || (nconns = (unsigned)atoi(argv[2])) == 0) {
		fputs(usage, stderr);
		return 2;
	}
	framed = strcmp(argv[3], "session") == 0;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (unsigned char)(i * 2654435761u >> 13);
	open_all(argv[1]);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		ms = 0;
		if (sscanf(line, "%15s %u %u", what, &size, &ms) < 2 ||
			size == 0 || size > MOST) {
			fputs(usage, stderr);
			return 2;
		}
		if (strcmp(what, "resume") == 0)
			resume_all(size);
		else
			run(size, ms);
	}
	return 0;
}
