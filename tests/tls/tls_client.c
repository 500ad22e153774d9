/* SPDX-License-Identifier: MIT */
/*
 * A client of OpenSSL that makes unusual TLS records: it connects to 127.0.0.1
 * and sends a line of LEN bytes, as TLS records of CHUNK bytes that are padded
 * to multiples of PAD, waits for the answer, does it again N times, and ends in
 * order.
 * usage: tls_client PORT CA LEN CHUNK PAD N
 */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
fail(const char *what)
{
	printf("failed: %s\n", what);
	ERR_print_errors_fp(stdout);
	return 1;
}

static SSL *
connect_to(SSL_CTX *ctx, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL *ssl = SSL_new(ctx);

	if (fd < 0 || !ssl ||
		connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
		SSL_set_fd(ssl, fd) != 1 ||
		SSL_set1_host(ssl, "localhost") != 1)
		return NULL;
	return SSL_connect(ssl) == 1 ? ssl : NULL;
}

static int
read_line(SSL *ssl, char *line, int size)
{
	int n = 0;

	while (n < size - 1 && (n == 0 || line[n - 1] != '\n'))
		if (SSL_read(ssl, line + n, 1) != 1)
			return -1;
		else
			n++;
	line[n] = '\0';
	return n;
}

/* One line and its answer, "N: LINE". */
static int
exchange(SSL *ssl, int len, int chunk, char *line, char *reply)
{
	for (int i = 0; i < len - 1; i++)
		line[i] = (char)('a' + rand() % 26);
	line[len - 1] = '\n';
	line[len] = '\0';
	for (int at = 0, n; at < len; at += n) {
		n = len - at < chunk ? len - at : chunk;
		if (SSL_write(ssl, line + at, n) != n)
			return fail("write");
	}
	if (read_line(ssl, reply, len + 32) < 0)
		return fail("read");
	if (!strchr(reply, ' ') || strcmp(strchr(reply, ' ') + 1, line) != 0)
		return fail("another answer");
	printf("%.*s\n", (int)strcspn(reply, " "), reply);
	return 0;
}

int
main(int argc, char **argv)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	char *line, *reply;
	int len, chunk, pad, rc = 0;
	SSL *ssl;

	if (argc != 7 || !ctx)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	len = atoi(argv[3]);
	chunk = atoi(argv[4]);
	pad = atoi(argv[5]);
	line = malloc((size_t)len + 32);
	reply = malloc((size_t)len + 64);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (!line || !reply ||
		SSL_CTX_load_verify_locations(ctx, argv[2], NULL) != 1 ||
		(pad > 1 && SSL_CTX_set_block_padding(ctx, (size_t)pad) != 1))
		return fail("setup");
	ssl = connect_to(ctx, atoi(argv[1]));
	if (!ssl)
		return fail("connect");
	if (read_line(ssl, reply, 32) < 0 || strcmp(reply, "hello\n") != 0)
		return fail("greeting");
	for (int i = 0; i < atoi(argv[6]) && rc == 0; i++)
		rc = exchange(ssl, len, chunk, line, reply);
	if (rc == 0 &&
		(SSL_shutdown(ssl) < 0 || read_line(ssl, reply, 32) < 0 ||
			strcmp(reply, "end\n") != 0))
		rc = fail("the end was not answered");
	if (rc == 0 &&
		(SSL_read(ssl, reply, 1) > 0 ||
			SSL_get_shutdown(ssl) !=
				(SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)))
		rc = fail("no close_notify");
	if (rc == 0)
		printf("done\n");
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	free(line);
	free(reply);
	return rc;
}
