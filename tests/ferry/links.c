/* SPDX-License-Identifier: MIT */
/*
 * What both sides are told is counted, and the bytes of each frame are checked
 * as they come: frame number i has type i and bytes that depend on i.
 */
#include "ferry/links.h"

#include "base/addr.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct handoff__loop loop;
struct side a, b;

/* static: the allocator is made to fail by a test */
static unsigned char body[HANDOFF__FRAME_MAX + 1];
static unsigned char expected[HANDOFF__FRAME_MAX];

static void
fill(unsigned char *data, size_t len, uint32_t i)
{
	for (size_t at = 0; at < len; at++)
		data[at] = (unsigned char)(at * 31 + (at >> 8) + i);
}

static void
on_up(const struct handoff__channel_peer *peer, void *arg)
{
	struct side *s = arg;

	assert_ptr_equal(peer, handoff__channel_peer(s->channel));
	s->ups++;
	s->frames = 0;
	if (s->refuse)
		handoff__channel_drop(s->channel, s->refuse);
}

static void
on_down(const char *sentence, void *arg)
{
	struct side *s = arg;

	s->downs++;
	s->next = 0;
	handoff__copy(s->down, sizeof(s->down), sentence);
}

static void
on_trouble(const char *sentence, void *arg)
{
	struct side *s = arg;

	s->troubles++;
	handoff__copy(s->trouble, sizeof(s->trouble), sentence);
}

static void
on_drained(void *arg)
{
	((struct side *)arg)->drains++;
}

static void
on_frame(uint32_t type, const void *data, uint32_t len, void *arg)
{
	struct side *s = arg;

	assert_true(len <= sizeof(expected));
	fill(expected, len, type);
	assert_memory_equal(expected, data, len);
	if (type != s->frames)
		fail_msg("frame %u came in place of %u", type, s->frames);
	s->frames++;
	s->bytes += len;
}

static const struct handoff__channel_ops ops = {
	.up = on_up,
	.down = on_down,
	.frame = on_frame,
	.drained = on_drained,
	.trouble = on_trouble,
};

/* What is not to be seen as silent is not, however slow this machine is. */
static void
set_side(struct side *s, const char *name)
{
	uint32_t never_ms = (uint32_t)(support_patience_us() / 2000);

	memset(s, 0, sizeof(*s));
	s->files = certs_make(name, 60);
	s->opts = (struct handoff__channel_opts){
		.loop = &loop,
		.ops = &ops,
		.arg = s,
		.beat_ms = 100,
		.silent_ms = never_ms,
		.handshake_ms = never_ms,
		.redial_first_ms = 10,
		.redial_max_ms = 50,
	};
}

int
links_setup(void **state)
{
	if (support_setup(state) != 0)
		return -1;
	assert_int_equal(handoff__loop_init(&loop), 0);
	set_side(&a, "a");
	set_side(&b, "b");
	a.tls = certs_open(&a.files, b.files.cert);
	b.tls = certs_open(&b.files, a.files.cert);
	return 0;
}

int
links_teardown(void **state)
{
	handoff__channel_free(a.channel);
	handoff__channel_free(b.channel);
	handoff__tls_free(a.tls);
	handoff__tls_free(b.tls);
	handoff__loop_fini(&loop);
	return support_teardown(state);
}

static void
open_side(struct side *s)
{
	struct handoff__error error = {""};

	s->opts.tls = s->tls;
	if (handoff__channel_open(&s->channel, &s->opts, &error) < 0)
		fail_msg("%s", error.text);
}

void
links_open_listener(void)
{
	if (!b.opts.listen)
		b.opts.listen = "127.0.0.1:0";
	open_side(&b);
}

void
links_open_dialler(const char *to)
{
	a.opts.to = to;
	open_side(&a);
}

void
links_open(void)
{
	links_open_listener();
	links_open_dialler(handoff__channel_bound(b.channel));
}

void
links_wait_up(void)
{
	links_until(handoff__channel_peer(a.channel) &&
		    handoff__channel_peer(b.channel));
}

int
links_send(struct side *s, size_t len)
{
	size_t half = len / 3;
	struct iovec pieces[3] = {
		{.iov_base = body, .iov_len = half},
		{.iov_base = NULL, .iov_len = 0},
		{.iov_base = body + half, .iov_len = len - half},
	};
	int err;

	assert_true(len <= sizeof(body));
	fill(body, len, s->next);
	err = handoff__channel_send(s->channel, s->next, pieces, 3);
	if (err == 0)
		s->next++;
	return err;
}

void
links_run(int ms)
{
	int64_t end = handoff__now_us() + (int64_t)ms * 1000, now;

	while ((now = handoff__now_us()) < end)
		handoff__loop_dispatch(&loop, (int)((end - now) / 1000) + 1);
}

static int
connect_to(const char *address)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd;

	assert_int_equal(handoff__addr_numeric(address, &sa, &len), 0);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&sa, len) < 0)
		fail_msg("connect to %s: %s", address, strerror(errno));
	return fd;
}

int
links_stranger(void)
{
	return connect_to(handoff__channel_bound(b.channel));
}

static void
close_fds(struct relay *r)
{
	for (int i = 0; i < 2; i++) {
		handoff__watch_del(&loop, &r->watches[i]);
		if (r->fds[i] >= 0)
			close(r->fds[i]);
		r->fds[i] = -1;
	}
}

static void
on_relay_accept(struct handoff__watch *watch, uint32_t events)
{
	struct relay *r = watch->arg;
	int fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	assert_true(fd >= 0);
	r->accepted++;
	close_fds(r);
	r->fds[0] = fd;
	r->fds[1] = connect_to(r->target);
	for (int i = 0; i < 2; i++)
		assert_int_equal(handoff__watch_add(&loop, &r->watches[i],
					 r->fds[i], EPOLLIN),
			0);
}

static void
on_relay(struct handoff__watch *watch, uint32_t events)
{
	struct relay *r = watch->arg;
	int from = watch == &r->watches[1];
	size_t most = r->most < 65536 ? r->most : 65536;
	char data[65536];
	ssize_t n;

	(void)events;
	if (most == 0) { /* cut: nothing goes through */
		handoff__watch_set(&loop, watch, 0);
		if (events & (EPOLLHUP | EPOLLERR))
			handoff__watch_del(&loop, watch);
		return;
	}
	n = recv(r->fds[from], data, most, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || send(r->fds[!from], data, (size_t)n, MSG_NOSIGNAL) != n) {
		close_fds(r);
		return;
	}
	r->passed += (size_t)n;
}

void
relay_open(struct relay *r, size_t most)
{
	struct handoff__error error;

	memset(r, 0, sizeof(*r));
	r->most = most;
	r->fds[0] = r->fds[1] = -1;
	for (int i = 0; i < 3; i++)
		r->watches[i] = (struct handoff__watch){
			.fd = -1, .fn = on_relay, .arg = r};
	r->watches[2].fn = on_relay_accept;
	handoff__copy(r->target, sizeof(r->target),
		handoff__channel_bound(b.channel));
	r->listener = handoff__addr_listen("127.0.0.1:0", r->bound, &error);
	assert_true(r->listener >= 0);
	assert_int_equal(
		handoff__watch_add(&loop, &r->watches[2], r->listener, EPOLLIN),
		0);
}

void
relay_close(struct relay *r)
{
	close_fds(r);
	handoff__watch_del(&loop, &r->watches[2]);
	close(r->listener);
}

void
relay_shut(struct relay *r, int from)
{
	shutdown(r->fds[!from], SHUT_WR);
}

void
relay_reset(struct relay *r)
{
	struct linger hard = {.l_onoff = 1};

	for (int i = 0; i < 2; i++)
		setsockopt(
			r->fds[i], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close_fds(r);
}
