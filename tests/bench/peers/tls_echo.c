/* SPDX-License-Identifier: MIT */
/*
 * A minimal echo server with TLS 1.3: epoll_echo with OpenSSL's SSL_read and
 * SSL_write on the socket, and no session tickets. `--read-ahead` lets OpenSSL
 * read more than one TLS record at once, `--release` lets it free the buffers
 * of connections that are idle.
 */
#include "peer.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64

struct conn {
	int fd;
	SSL *ssl;
	bool shaken;
	uint32_t events;
	unsigned char *unsent; /* NULL: none */
	size_t len;
};

static unsigned char buffer[PEER_BUFFER];
static int epfd;

static void __attribute__((noreturn)) die(const char *what)
{
	perror(what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static void
end(struct conn *conn)
{
	ERR_clear_error();
	SSL_free(conn->ssl);
	close(conn->fd);
	free(conn->unsent);
	free(conn);
}

static void
watch(int op, struct conn *conn, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = conn};

	if (op == EPOLL_CTL_MOD && conn->events == events)
		return;
	conn->events = events;
	if (epoll_ctl(epfd, op, conn->fd, &ev) < 0)
		die("epoll_ctl");
}

/* After a call that did not succeed: waits for what it needs. False: the
 * connection has ended. */
static bool
wait_for(struct conn *conn, int result)
{
	switch (SSL_get_error(conn->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		watch(EPOLL_CTL_MOD, conn, EPOLLIN);
		return true;
	case SSL_ERROR_WANT_WRITE:
		watch(EPOLL_CTL_MOD, conn, EPOLLOUT);
		return true;
	case SSL_ERROR_ZERO_RETURN:
		SSL_shutdown(conn->ssl);
		/* fall through */
	default:
		end(conn);
		return false;
	}
}

static void
keep(struct conn *conn, size_t len)
{
	conn->unsent = malloc(len);
	if (!conn->unsent)
		die("malloc");
	memcpy(conn->unsent, buffer, len);
	conn->len = len;
}

/* True: it may read on. */
static bool
echo(struct conn *conn)
{
	int len = SSL_read(conn->ssl, buffer, sizeof(buffer)), sent;

	if (len <= 0) {
		wait_for(conn, len);
		return false;
	}
	sent = SSL_write(conn->ssl, buffer, len);
	if (sent == len)
		return true;
	if (wait_for(conn, sent))
		keep(conn, (size_t)len);
	return false;
}

static bool
write_unsent(struct conn *conn)
{
	int sent = SSL_write(conn->ssl, conn->unsent, (int)conn->len);

	if (sent != (int)conn->len) {
		wait_for(conn, sent);
		return false;
	}
	free(conn->unsent);
	conn->unsent = NULL;
	watch(EPOLL_CTL_MOD, conn, EPOLLIN);
	return true;
}

static void
on_event(struct conn *conn)
{
	if (!conn->shaken) {
		int done = SSL_accept(conn->ssl);

		if (done != 1) {
			wait_for(conn, done);
			return;
		}
		conn->shaken = true;
		watch(EPOLL_CTL_MOD, conn, EPOLLIN);
		if (!SSL_has_pending(conn->ssl))
			return;
	}
	if (conn->unsent && !write_unsent(conn))
		return;
	while (echo(conn) && SSL_has_pending(conn->ssl))
		;
}

static void
on_listener(int listener, SSL_CTX *ctx)
{
	for (;;) {
		int fd = accept4(
			listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct conn *conn;

		if (fd < 0)
			return;
		conn = calloc(1, sizeof(*conn));
		if (!conn)
			die("calloc");
		conn->fd = fd;
		conn->ssl = SSL_new(ctx);
		if (!conn->ssl || SSL_set_fd(conn->ssl, fd) != 1)
			die("SSL_new");
		SSL_set_accept_state(conn->ssl);
		watch(EPOLL_CTL_ADD, conn, EPOLLIN);
	}
}

static SSL_CTX *
make_ctx(int argc, char **argv)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, argv[1]) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, argv[2], SSL_FILETYPE_PEM) !=
			1)
		die("certificate");
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	for (int i = 3; i < argc; i++) {
		if (strcmp(argv[i], "--read-ahead") == 0)
			SSL_CTX_set_read_ahead(ctx, 1);
		else if (strcmp(argv[i], "--release") == 0)
			SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	}
	return ctx;
}

int
main(int argc, char **argv)
{
	struct epoll_event batch[BATCH];
	struct conn listener = {0};
	SSL_CTX *ctx;

	if (argc < 3) {
		fputs("usage: tls_echo CERT KEY [--read-ahead] [--release]\n",
			stderr);
		return 2;
	}
	ctx = make_ctx(argc, argv);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	listener.fd = peer_listen(SOCK_NONBLOCK);
	watch(EPOLL_CTL_ADD, &listener, EPOLLIN);
	for (;;) {
		int n = epoll_wait(epfd, batch, BATCH, -1);

		for (int i = 0; i < n; i++) {
			if (batch[i].data.ptr == &listener)
				on_listener(listener.fd, ctx);
			else
				on_event(batch[i].data.ptr);
		}
	}
}
