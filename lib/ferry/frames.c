/* SPDX-License-Identifier: MIT */
/*
 * Moves bytes between a socket, the TLS session and two buffers. One turn of
 * the loop reads at most what the session's buffer holds, so other descriptors
 * are served between; all that is decrypted is given out in that turn. What is
 * put during a turn leaves at its end in full records.
 */
#include "ferry/frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORD ((size_t)16384) /* the most that a record holds (RFC 8446) */
#define EARLY  (8 * RECORD)    /* sent before the turn is over */
#define SMALL  (4 * RECORD)    /* a buffer to begin with */
#define KEPT   (64 * RECORD)   /* a larger one is freed once it is empty */

static void
free_bytes(struct handoff__bytes *b)
{
	if (b->data)
		explicit_bzero(b->data + b->head, b->tail - b->head);
	free(b->data);
	*b = (struct handoff__bytes){0};
}

/* What was used is cleared: it may be the state of a connection, and keys. */
static void
drop_bytes(struct handoff__bytes *b, size_t len)
{
	if (b->data)
		explicit_bzero(b->data + b->head, len);
	b->head += len;
	if (b->head < b->tail)
		return;
	b->head = b->tail = 0;
	if (b->cap > KEPT)
		free_bytes(b);
}

/* Makes room for `len` bytes at the end. */
static int
reserve_bytes(struct handoff__bytes *b, size_t len)
{
	size_t used = b->tail - b->head, cap = b->cap > 0 ? b->cap : SMALL;
	char *data;

	if (b->cap - b->tail >= len)
		return 0;
	/* at most as much is moved as was consumed since the last time */
	if (b->head >= used && b->cap - used >= len) {
		memcpy(b->data, b->data + b->head, used);
		explicit_bzero(b->data + b->head, used);
		b->head = 0;
		b->tail = used;
		return 0;
	}
	while (cap - used < len || (b->head > 0 && used > cap / 2))
		cap *= 2;
	data = malloc(cap);
	if (!data)
		return -ENOMEM;
	if (used > 0)
		memcpy(data, b->data + b->head, used);
	free_bytes(b);
	*b = (struct handoff__bytes){.data = data, .tail = used, .cap = cap};
	return 0;
}

static uint32_t
get_u32(const char *at)
{
	const unsigned char *b = (const unsigned char *)at;

	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
	       (uint32_t)b[3] << 24;
}

static void
put_u32(char *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (char)(value >> (8 * i) & 0xff);
}

static void
want(struct handoff__frames *f, bool out)
{
	handoff__watch_set(
		f->loop, &f->watch, EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0));
}

/* The owner is told by the loop, after what can still be read: the socket is
 * readable from now on. */
static void
fail_later(struct handoff__frames *f)
{
	f->failed = true;
	shutdown(f->fd, SHUT_RDWR);
}

/* Sends what the session gives out. False if some of it stays. */
static bool
send_output(struct handoff__frames *f)
{
	char *at;
	size_t len;
	ssize_t n;

	while ((len = handoff__tls_output(f->session, &at)) > 0) {
		n = send(f->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			f->blocked = true;
			want(f, true);
			return false;
		}
		if (n < 0) {
			handoff__fail(&f->why, -errno, "sending: %s",
				strerror(errno));
			fail_later(f);
			return false;
		}
		handoff__tls_sent(f->session, (size_t)n);
	}
	return true;
}

/* Encrypts until less than `least` is left or the session's buffer is full. */
static bool
encrypt(struct handoff__frames *f, size_t least)
{
	ssize_t n = 0;

	while (f->out.tail - f->out.head >= least && n >= 0) {
		n = handoff__tls_write(f->session, f->out.data + f->out.head,
			f->out.tail - f->out.head, &f->why);
		if (n > 0)
			drop_bytes(&f->out, (size_t)n);
	}
	if (n < 0 && n != -EAGAIN) {
		fail_later(f);
		return false;
	}
	return true;
}

static void
flush_from(struct handoff__frames *f, size_t least)
{
	if (f->fd < 0 || f->failed || f->blocked)
		return;
	do {
		if (f->secured && !encrypt(f, least))
			return;
		if (!send_output(f))
			return;
	} while (f->secured && f->out.tail - f->out.head >= least);
}

void
handoff__frames_flush(struct handoff__frames *f)
{
	flush_from(f, 1);
}

size_t
handoff__frames_queued(const struct handoff__frames *f)
{
	char *at;

	if (f->fd < 0)
		return 0;
	return f->out.tail - f->out.head + handoff__tls_output(f->session, &at);
}

int
handoff__frames_put(struct handoff__frames *f, uint32_t type,
	const struct iovec *pieces, unsigned count, size_t len)
{
	char *at;

	if (reserve_bytes(&f->out, HANDOFF__FRAME_HEAD + len) < 0)
		return -ENOMEM;
	at = f->out.data + f->out.tail;
	put_u32(at, (uint32_t)len);
	put_u32(at + 4, type);
	at += HANDOFF__FRAME_HEAD;
	for (unsigned i = 0; i < count; i++) {
		if (pieces[i].iov_len == 0)
			continue;
		memcpy(at, pieces[i].iov_base, pieces[i].iov_len);
		at += pieces[i].iov_len;
	}
	f->out.tail += HANDOFF__FRAME_HEAD + len;
	f->put_us = handoff__now_us();
	if (f->fd < 0 || f->blocked || f->failed)
		return 0;
	if (f->out.tail - f->out.head >= EARLY)
		flush_from(f, RECORD);
	if (f->out.tail > f->out.head)
		want(f, true);
	return 0;
}

/* Gives out the frames that are there in full. False if it cannot go on. */
static bool
deliver(struct handoff__frames *f)
{
	while (f->fd >= 0 && !f->ending &&
		f->in.tail - f->in.head >= HANDOFF__FRAME_HEAD) {
		const char *at = f->in.data + f->in.head;
		uint32_t len = get_u32(at), type = get_u32(at + 4);

		if (len > f->frame_max) {
			handoff__fail(&f->why, -EMSGSIZE,
				"it sends a frame of %u bytes, the limit is %u",
				len, f->frame_max);
			return false;
		}
		if (f->in.tail - f->in.head - HANDOFF__FRAME_HEAD < len)
			break;
		f->ops->frame(f, type, at + HANDOFF__FRAME_HEAD, len);
		drop_bytes(&f->in, HANDOFF__FRAME_HEAD + (size_t)len);
	}
	return true;
}

/* Decrypts all that came. A frame's buffer grows with what has come of it, not
 * with the length that it announces. */
static bool
decrypt(struct handoff__frames *f)
{
	ssize_t n;

	while (f->fd >= 0 && !f->ending) {
		if (reserve_bytes(&f->in, RECORD) < 0) {
			handoff__fail(&f->why, -ENOMEM, "out of memory");
			return false;
		}
		n = handoff__tls_read(f->session, f->in.data + f->in.tail,
			f->in.cap - f->in.tail, &f->why);
		if (n == -EAGAIN)
			return true;
		if (n == -EPIPE)
			handoff__fail(&f->why, -EPIPE, "it has ended the link");
		if (n < 0)
			return false;
		f->in.tail += (size_t)n;
		if (!deliver(f))
			return false;
	}
	return true;
}

static bool
shake_hands(struct handoff__frames *f)
{
	int rc = handoff__tls_handshake(f->session, &f->why);

	if (rc == 1)
		f->secured = true;
	send_output(f); /* also the alert that says what is wrong */
	if (rc < 0 || f->failed)
		return false;
	if (rc == 1)
		f->ops->ready(f);
	return true;
}

/* 1: bytes came; 0: none are there; -1: the end, or an error. */
static int
receive(struct handoff__frames *f)
{
	char *at;
	size_t space = handoff__tls_space(f->session, &at);
	ssize_t n;

	if (space == 0) { /* no record is that long */
		handoff__fail(&f->why, -EPROTO, "it sends what no session has");
		return -1;
	}
	do {
		n = recv(f->fd, at, space, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0 && !f->failed)
		handoff__fail(
			&f->why, -errno, "receiving: %s", strerror(errno));
	if (n == 0 && !f->failed)
		handoff__fail(&f->why, -EPIPE, "it has closed the connection");
	if (n <= 0)
		return -1;
	f->came_us = handoff__now_us();
	handoff__tls_came(f->session, (size_t)n);
	return 1;
}

/* What comes after the end has been sent is not looked at. */
static bool
discard(struct handoff__frames *f)
{
	char waste[4096];
	ssize_t n = recv(f->fd, waste, sizeof(waste), MSG_DONTWAIT);

	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool
read_some(struct handoff__frames *f)
{
	int came;

	if (f->ending)
		return discard(f);
	came = receive(f);
	if (came <= 0)
		return came == 0;
	if (!f->secured && !shake_hands(f))
		return false;
	return f->fd < 0 || !f->secured || decrypt(f);
}

static void
release(struct handoff__frames *f)
{
	handoff__tls_session_free(f->session);
	free_bytes(&f->in);
	free_bytes(&f->out);
	f->ops->gone(f);
}

static bool
leave(struct handoff__frames *f)
{
	f->busy = false;
	if (f->fd >= 0)
		return true;
	release(f);
	return false;
}

static void
tell_broken(struct handoff__frames *f)
{
	struct handoff__error why = f->why;

	if (f->fd >= 0)
		f->ops->broken(f, why.text);
}

bool
handoff__frames_read(struct handoff__frames *f)
{
	f->busy = true;
	if (!read_some(f))
		tell_broken(f);
	return leave(f);
}

static void
write_some(struct handoff__frames *f)
{
	f->blocked = false;
	flush_from(f, 1);
	if (!f->blocked && !f->failed)
		want(f, false);
	f->ops->sent(f);
}

static void
on_ready(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__frames *f = watch->arg;

	f->busy = true;
	if (events & EPOLLOUT)
		write_some(f);
	if (f->fd >= 0 && (events & ~(uint32_t)EPOLLOUT) && !read_some(f))
		tell_broken(f);
	leave(f);
}

int
handoff__frames_open(struct handoff__frames *f, int fd,
	const struct handoff__tls *tls, bool dialled,
	struct handoff__error *error)
{
	int err;

	f->watch = (struct handoff__watch){.fd = -1, .fn = on_ready, .arg = f};
	f->fd = -1;
	f->came_us = f->put_us = handoff__now_us();
	err = handoff__tls_session_open(&f->session, tls, dialled, error);
	if (err == 0) {
		err = handoff__watch_add(f->loop, &f->watch, fd, EPOLLIN);
		if (err < 0)
			handoff__fail(error, err, "cannot watch a socket: %s",
				strerror(-err));
	}
	/* the dialler speaks first */
	if (err == 0 && dialled &&
		handoff__tls_handshake(f->session, error) < 0) {
		handoff__watch_del(f->loop, &f->watch);
		err = -EPROTO;
	}
	if (err < 0) {
		handoff__tls_session_free(f->session);
		f->session = NULL;
		close(fd);
		return err;
	}
	f->fd = fd;
	send_output(f);
	return 0;
}

void
handoff__frames_close(struct handoff__frames *f)
{
	if (f->fd < 0)
		return;
	handoff__watch_del(f->loop, &f->watch);
	close(f->fd);
	f->fd = -1;
	if (!f->busy)
		release(f);
}

void
handoff__frames_end(struct handoff__frames *f)
{
	if (f->fd < 0 || f->ending)
		return;
	flush_from(f, 1);
	handoff__tls_end(f->session);
	if (!f->blocked && !f->failed)
		send_output(f);
	f->ending = true;
	want(f, false);
	shutdown(f->fd, SHUT_WR);
}
