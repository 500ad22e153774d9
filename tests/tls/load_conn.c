/* SPDX-License-Identifier: MIT */
/*
 * One connection: blocks of bytes that are a function of their position, in
 * writes of any size, each byte compared when it comes back; KeyUpdates at any
 * time; the end by close_notify, at times with bytes in flight. The service
 * must then say all of it and close_notify too.
 */
#include "tls/load.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#define WRITE_MAX 20000 /* of one SSL_write: more than one TLS record */
#define BLOCK_MAX 48000
#define RETRY_MS  20

static uint8_t buffer[65536], expected[65536];

int64_t
load_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

uint64_t
load_random(struct load *load, uint64_t below)
{
	load->random += UINT64_C(0x9e3779b97f4a7c15);
	return mix(load->random) % below;
}

/* Bytes of the connection's stream. */
static void
fill(const struct load_conn *c, uint64_t at, uint8_t *out, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		uint64_t word = mix(c->seed + (at + i) / 8);

		out[i] = (uint8_t)(word >> (at + i) % 8 * 8);
	}
}

static void
watch(struct load_conn *c, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	if (c->events == events)
		return;
	epoll_ctl(c->load->epoll, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
		c->fd, &ev);
	c->events = events;
}

static void
drop(struct load_conn *c)
{
	SSL_free(c->ssl);
	if (c->fd >= 0)
		close(c->fd);
	c->ssl = NULL;
	c->fd = -1;
	c->events = 0;
}

/* Of a connection that is not there any more: another one, or none. */
static void
next(struct load_conn *c, unsigned pause_ms)
{
	drop(c);
	if (c->load->stopping || (c->shaken && !c->short_one)) {
		c->phase = LOAD_OVER;
		c->load->open--;
		return;
	}
	c->phase = LOAD_WAITING;
	c->due_ms = load_now_ms() + pause_ms;
}

static void
complain(struct load_conn *c, const char *what, int err)
{
	char text[200] = "";
	unsigned long code = ERR_peek_error();

	if (code)
		ERR_error_string_n(code, text, sizeof(text));
	fprintf(stderr,
		"tls_load: %s: %s after %" PRIu64 " of %" PRIu64
		" bytes%s (%s; %s)\n",
		what, c->short_one ? "short" : "long", c->received, c->sent,
		c->ended ? " and close_notify" : "", strerror(err), text);
}

/* The connection has failed, with errno. */
static void
fail(struct load_conn *c, int err)
{
	struct load_counts *n = &c->load->counts;

	if (c->phase == LOAD_TALKING) {
		n->lost++;
		n->reset += err == ECONNRESET;
		complain(c, "lost", err);
	} else if (err == ECONNREFUSED) {
		n->refused++;
	} else if (BIO_number_read(SSL_get_rbio(c->ssl)) == 0) {
		n->unanswered++;
	} else {
		n->broken++;
		complain(c, "broken handshake", err);
	}
	if (c->phase == LOAD_TALKING)
		c->shaken = true;
	next(c, RETRY_MS);
}

/* ---- the beginning ---- */

static void
choose(struct load_conn *c)
{
	static const char *const suites[] = {"TLS_AES_128_GCM_SHA256",
		"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"};
	static const char *const groups[] = {"X25519", "P-256", "P-384"};
	static const size_t windows[] = {1, 300, 5000, 40000, 400000};
	struct load *l = c->load;

	SSL_set_ciphersuites(c->ssl, suites[load_random(l, 3)]);
	SSL_set1_groups_list(c->ssl, groups[load_random(l, 3)]);
	SSL_set_max_send_fragment(
		c->ssl, (long)(512 + load_random(l, 16384 - 511)));
	if (load_random(l, 4) == 0) /* of both sides: 512 to 4096 */
		SSL_set_tlsext_max_fragment_length(
			c->ssl, (uint8_t)(1 + load_random(l, 4)));
	if (load_random(l, 4) == 0)
		SSL_set_block_padding(c->ssl, 1 + load_random(l, 1024));
	SSL_set1_host(c->ssl, l->name);
	SSL_set_tlsext_host_name(c->ssl, l->name);
	c->window = windows[load_random(l, 5)];
	c->most = load_random(l, 3) == 0 ? 40 : WRITE_MAX;
	c->seed = mix(l->random);
}

static void
see_message(int written, int version, int type, const void *data, size_t len,
	SSL *ssl, void *arg)
{
	struct load *load = arg;

	(void)version;
	(void)ssl;
	if (!written && type == SSL3_RT_HANDSHAKE && len > 0 &&
		*(const uint8_t *)data == SSL3_MT_KEY_UPDATE)
		load->counts.updates_seen++;
}

static void
dial(struct load_conn *c)
{
	struct load *l = c->load;
	int one = 1, small = 4096;

	c->fd = socket(
		l->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		perror("tls_load: socket");
		exit(1);
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (load_random(l, 4) == 0)
		setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	c->ssl = SSL_new(l->ctx);
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_msg_callback(c->ssl, see_message);
	SSL_set_msg_callback_arg(c->ssl, l);
	choose(c);
	c->phase = LOAD_SHAKING;
	c->sent = c->received = c->until = 0;
	c->writing = 0;
	c->blocks = 0;
	c->last = c->ended = false;
	c->heard_ms = load_now_ms();
	if (connect(c->fd, (struct sockaddr *)&l->to, l->to_len) < 0 &&
		errno != EINPROGRESS)
		fail(c, errno);
	else
		watch(c, EPOLLOUT);
}

static void
begin_block(struct load_conn *c)
{
	struct load *l = c->load;
	uint64_t most = load_random(l, 3) == 0 ? BLOCK_MAX : 3000;

	if (c->window < 10 && most > 100)
		most = 100; /* a round trip for each byte */
	c->until = c->sent + 1 + load_random(l, most);
	c->due_ms = 0;
	c->last = l->stopping || (c->short_one && c->blocks == 1);
}

static void
shake(struct load_conn *c)
{
	int err = 0, rc;
	socklen_t len = sizeof(err);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err != 0) {
		fail(c, err);
		return;
	}
	errno = 0;
	rc = SSL_connect(c->ssl);
	if (rc == 1) {
		c->phase = LOAD_TALKING;
		c->shaken = true;
		c->load->counts.handshakes++;
		begin_block(c);
		watch(c, EPOLLIN);
		return;
	}
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		watch(c, EPOLLIN);
		break;
	case SSL_ERROR_WANT_WRITE:
		watch(c, EPOLLOUT);
		break;
	default:
		fail(c, errno);
	}
}

/* ---- blocks ---- */

/* False: the connection is not what it was. */
static bool
compare(struct load_conn *c, size_t len)
{
	struct load_counts *n = &c->load->counts;

	if (c->received + len > c->sent + c->writing) {
		n->wrong++;
		complain(c, "bytes that were not sent", 0);
		next(c, RETRY_MS);
		return false;
	}
	fill(c, c->received, expected, len);
	if (memcmp(buffer, expected, len) != 0) {
		n->wrong++;
		complain(c, "wrong bytes", 0);
		next(c, RETRY_MS);
		return false;
	}
	c->received += len;
	n->bytes += len;
	c->heard_ms = load_now_ms();
	return true;
}

/* close_notify: in order if all is back and this side has sent its own. */
static void
finish(struct load_conn *c)
{
	if (!c->ended || c->received != c->sent) {
		fail(c, 0);
		return;
	}
	c->load->counts.blocks++;
	c->load->counts.short_ones += c->short_one;
	next(c, (unsigned)load_random(c->load, c->load->pause_ms + 1));
}

/* All that is there. False: the connection is not what it was. */
static bool
receive(struct load_conn *c)
{
	int n;

	for (;;) {
		errno = 0;
		n = SSL_read(c->ssl, buffer,
			(int)(1 + load_random(c->load, sizeof(buffer))));
		if (n <= 0)
			break;
		if (!compare(c, (size_t)n))
			return false;
	}
	n = SSL_get_error(c->ssl, n);
	if (n == SSL_ERROR_WANT_READ || n == SSL_ERROR_WANT_WRITE)
		return true;
	if (n == SSL_ERROR_ZERO_RETURN)
		finish(c);
	else
		fail(c, errno);
	return false;
}

static void
maybe_update(struct load_conn *c)
{
	struct load *l = c->load;
	int type = load_random(l, 2) ? SSL_KEY_UPDATE_REQUESTED
				     : SSL_KEY_UPDATE_NOT_REQUESTED;

	if (l->updates && c->writing == 0 && load_random(l, 16) == 0 &&
		SSL_key_update(c->ssl, type) == 1)
		l->counts.updates++;
}

/* One SSL_write. True: another one may be possible. */
static bool
send_some(struct load_conn *c)
{
	uint64_t room = c->received + c->window - c->sent;
	size_t len = c->writing;
	int n;

	if (len == 0) {
		len = 1 + load_random(c->load, c->most);
		len = len < room ? len : room;
		len = len < c->until - c->sent ? len : c->until - c->sent;
		maybe_update(c);
	}
	fill(c, c->sent, buffer, len);
	errno = 0;
	n = SSL_write(c->ssl, buffer, (int)len);
	if (n > 0) {
		c->sent += (size_t)n;
		c->writing = 0;
		return true;
	}
	c->writing = len;
	n = SSL_get_error(c->ssl, n);
	if (n == SSL_ERROR_WANT_WRITE)
		watch(c, EPOLLIN | EPOLLOUT);
	else if (n != SSL_ERROR_WANT_READ)
		fail(c, errno);
	return false;
}

static bool
may_send(const struct load_conn *c)
{
	return c->phase == LOAD_TALKING && !c->ended &&
	       (c->writing > 0 || (c->sent < c->until &&
					  c->sent < c->received + c->window));
}

/* This side has no more to send, and says so. */
static void
say_goodbye(struct load_conn *c)
{
	int rc = SSL_shutdown(c->ssl);

	if (rc == 0) {
		c->ended = true;
		return;
	}
	rc = SSL_get_error(c->ssl, rc);
	if (rc == SSL_ERROR_WANT_WRITE)
		watch(c, EPOLLIN | EPOLLOUT);
	else if (rc != SSL_ERROR_WANT_READ)
		fail(c, errno);
}

static void
talk(struct load_conn *c)
{
	struct load *l = c->load;

	if (!receive(c))
		return;
	if (c->writing == 0)
		watch(c, EPOLLIN);
	while (may_send(c) && send_some(c))
		continue;
	if (c->phase != LOAD_TALKING || c->sent < c->until || c->writing > 0 ||
		c->ended)
		return;
	if (c->last && (c->received == c->sent || load_random(l, 3) == 0)) {
		say_goodbye(c);
	} else if (c->received == c->sent && c->due_ms == 0) {
		l->counts.blocks++;
		c->blocks++;
		c->due_ms = load_now_ms() + 1 +
			    (int64_t)load_random(l, l->pause_ms + 1);
	}
}

/* ---- what the loop calls ---- */

void
load_conn_open(struct load *load, struct load_conn *c, bool short_one)
{
	memset(c, 0, sizeof(*c));
	c->load = load;
	c->short_one = short_one;
	c->fd = -1;
	c->phase = LOAD_WAITING;
	load->open++;
}

void
load_conn_step(struct load_conn *c)
{
	ERR_clear_error();
	if (c->phase == LOAD_SHAKING)
		shake(c);
	if (c->phase == LOAD_TALKING)
		talk(c);
}

/* A block is over, and the next one is due. */
static void
tick_talking(struct load_conn *c, int64_t now_ms)
{
	if (c->due_ms == 0 || c->ended)
		return;
	if (now_ms < c->due_ms && !c->load->stopping)
		return;
	c->heard_ms = now_ms;
	begin_block(c);
	load_conn_step(c);
}

void
load_conn_tick(struct load_conn *c, int64_t now_ms)
{
	bool waits = c->phase == LOAD_SHAKING ||
		     (c->phase == LOAD_TALKING && c->due_ms == 0);

	if (waits && now_ms > c->heard_ms + 1000 * c->load->patience_s) {
		c->load->counts.stalled++;
		complain(c, "stalled", 0);
		c->shaken = true;
		next(c, RETRY_MS);
	} else if (c->phase == LOAD_TALKING) {
		tick_talking(c, now_ms);
	} else if (c->phase == LOAD_WAITING && c->load->stopping) {
		next(c, 0);
	} else if (c->phase == LOAD_WAITING && now_ms >= c->due_ms) {
		dial(c);
	}
}

void
load_conn_free(struct load_conn *c)
{
	drop(c);
}
