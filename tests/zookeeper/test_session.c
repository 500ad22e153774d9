/* SPDX-License-Identifier: MIT */
/*
 * A session with a server that is played here, byte by byte, in the thread of
 * the session: what a real one does only after it has lost its data.
 */
#include "support/support.h"

#include "zookeeper/nodes.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_MS  900
#define DEADLINE_MS 20000
#define SESSION     UINT64_C(0x1234)
#define OTHER       UINT64_C(0x5678)

/* The server: what it has, and what it was asked for last. */
static struct {
	int listener, fd;
	char hosts[32];
	uint64_t zxid;    /* of its last change */
	uint64_t session; /* that it has */
	uint64_t seen, wanted;
	bool greeted;
	bool confused; /* its next answer is to another request */
	unsigned greetings;
} server;

static struct handoff__zk_session s;
static unsigned connected, suspended, expired;

static void
changed(void *owner, enum handoff__zk_change change)
{
	(void)owner;
	connected += change == HANDOFF__ZK_CONNECTED;
	suspended += change == HANDOFF__ZK_SUSPENDED;
	expired += change == HANDOFF__ZK_EXPIRED;
}

static void
put(unsigned char *at, uint64_t number, size_t size)
{
	uint64_t wire = htobe64(number << (64 - 8 * size));

	memcpy(at, &wire, size);
}

static uint64_t
get(const unsigned char *at, size_t size)
{
	uint64_t wire = 0;

	memcpy(&wire, at, size);
	return be64toh(wire) >> (64 - 8 * size);
}

static void
hang_up(void)
{
	if (server.fd >= 0)
		close(server.fd);
	server.fd = -1;
	server.greeted = false;
}

/* protocol, timeout, session, password, read-only */
static void
answer_greeting(const unsigned char *in)
{
	unsigned char out[41] = {0};
	bool known;

	server.greetings++;
	server.seen = get(in + 8, 8);
	server.wanted = get(in + 20, 8);
	if (server.seen > server.zxid) {
		hang_up();
		return;
	}
	known = server.wanted == 0 || server.wanted == server.session;
	put(out, sizeof(out) - 4, 4);
	put(out + 8, known ? TIMEOUT_MS : 0, 4);
	put(out + 12, known ? server.session : 0, 8);
	put(out + 20, 16, 4);
	assert_int_equal(
		send(server.fd, out, sizeof(out), MSG_NOSIGNAL), sizeof(out));
	server.greeted = true;
	if (!known)
		hang_up();
}

/* "No such node", as of its last change. */
static void
answer_request(const unsigned char *in)
{
	unsigned char out[20] = {0};

	put(out, sizeof(out) - 4, 4);
	put(out + 4, get(in + 4, 4) + server.confused, 4);
	server.confused = false;
	put(out + 8, server.zxid, 8);
	put(out + 16, (uint32_t)ZNONODE, 4);
	if (send(server.fd, out, sizeof(out), MSG_NOSIGNAL) != sizeof(out))
		hang_up(); /* as the client did */
}

static void
server_turn(void)
{
	unsigned char in[256];
	ssize_t len;

	if (server.fd < 0)
		server.fd = accept4(server.listener, NULL, NULL,
			SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (server.fd < 0)
		return;
	len = recv(server.fd, in, 4, MSG_PEEK);
	if (len == 4)
		len = recv(server.fd, in, 4 + get(in, 4), 0);
	if (len == 0 || (len < 0 && errno == ECONNRESET))
		hang_up();
	else if (len > 0 && !server.greeted)
		answer_greeting(in);
	else if (len > 0)
		answer_request(in);
}

static void
turn(void)
{
	struct pollfd pfd[3] = {
		{.fd = s.epfd, .events = POLLIN},
		{.fd = server.fd, .events = POLLIN},
		{.fd = server.fd < 0 ? server.listener : -1, .events = POLLIN},
	};

	poll(pfd, 3, DEADLINE_MS);
	server_turn();
	handoff__zk_pump(&s);
	handoff__zk_arm(&s);
}

static void
turn_until(const unsigned *count, unsigned least)
{
	int64_t until = handoff__zk_now_ms() + DEADLINE_MS;

	while (*count < least) {
		assert_true(handoff__zk_now_ms() < until);
		turn();
	}
}

static void
done(int rc, const struct Stat *stat, const void *data)
{
	(void)stat;
	handoff__zk_answered(&s);
	if (rc == ZNONODE)
		*(unsigned *)data += 1;
}

/* The client sees the server's last change. */
static void
see(void)
{
	unsigned answers = 0;

	assert_int_equal(handoff__zk_asked(&s,
				 zoo_aexists(s.zh, "/x", 0, done, &answers)),
		0);
	handoff__zk_arm(&s);
	turn_until(&answers, 1);
}

static void
listen_here(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);

	server.listener =
		socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(server.listener >= 0);
	assert_int_equal(bind(server.listener, (void *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(server.listener, 8), 0);
	assert_int_equal(getsockname(server.listener, (void *)&sin, &len), 0);
	snprintf(server.hosts, sizeof(server.hosts), "127.0.0.1:%u",
		(unsigned)ntohs(sin.sin_port));
}

static void
begin(void)
{
	struct handoff__error error;

	memset(&server, 0, sizeof(server));
	server.fd = -1;
	server.zxid = 7;
	server.session = SESSION;
	listen_here();
	connected = suspended = expired = 0;
	s = (struct handoff__zk_session){.changed = changed,
		.hosts = server.hosts,
		.auth = "",
		.timeout_ms = TIMEOUT_MS};
	assert_int_equal(handoff__zk_open(&s, NULL, &error), 0);
	turn_until(&connected, 1);
	see();
}

static void
end(void)
{
	handoff__zk_close(&s, false);
	hang_up();
	close(server.listener);
}

/* The session is gone, and changes that the client has seen. Twice. */
static void
test_data_lost(void **state)
{
	int64_t began;

	(void)state;
	begin();
	for (unsigned round = 1; round <= 2; round++) {
		server.zxid--;
		server.session = OTHER + round;
		began = handoff__zk_now_ms();
		hang_up();
		turn_until(&expired, round);
		assert_true(handoff__zk_now_ms() - began >= TIMEOUT_MS);
		assert_int_equal(suspended, round);
		turn_until(&connected, round + 1);
		assert_int_equal(
			zoo_client_id(s.zh)->client_id, server.session);
		see();
	}
	assert_int_equal(expired, 2);
	end();
}

/* It refuses for longer than a session may be silent, and has it all the same,
 * as an ensemble that had no majority. */
static void
test_goes_on(void **state)
{
	unsigned refused;

	(void)state;
	begin();
	server.zxid = 0; /* refuses all that have seen something */
	hang_up();
	turn_until(&suspended, 1);
	refused = server.greetings;
	turn_until(&connected, 2);
	assert_true(server.greetings > refused + 1);
	assert_int_equal(server.wanted, SESSION);
	assert_int_equal(expired, 0);
	assert_int_equal(zoo_client_id(s.zh)->client_id, SESSION);
	end();
}

static void
not_done(int rc, const struct Stat *stat, const void *data)
{
	(void)stat;
	handoff__zk_answered(&s);
	if (handoff__zk_unanswered(rc))
		*(unsigned *)data += 1;
}

/* The client breaks such a connection, and says to each request why. None was
 * answered: that is no trouble of theirs. */
static void
test_wrong_answer(void **state)
{
	unsigned unanswered = 0;

	(void)state;
	begin();
	server.confused = true;
	for (int i = 0; i < 12; i++)
		assert_int_equal(
			handoff__zk_asked(&s, zoo_aexists(s.zh, "/x", 0,
						      not_done, &unanswered)),
			0);
	handoff__zk_arm(&s);
	turn_until(&connected, 2);
	assert_int_equal(unanswered, 12);
	assert_int_equal(suspended, 1);
	assert_int_equal(server.wanted, SESSION);
	see();
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_data_lost),
		handoff_test(test_goes_on),
		handoff_test(test_wrong_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
