/* SPDX-License-Identifier: MIT */
/*
 * Reads lines of a key log: a label, the client's random, a secret, both in
 * hexadecimal. It has no other part in the handshake.
 */
#include "tls/keylog.h"

#include <stddef.h>
#include <string.h>

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Returns the number of bytes. */
static uint16_t
read_hex(uint8_t out[HANDOFF__TLS_SECRET_BYTES], const char *text)
{
	uint16_t n = 0;

	while (n < HANDOFF__TLS_SECRET_BYTES && digit(text[0]) >= 0 &&
		digit(text[1]) >= 0) {
		out[n++] = (uint8_t)(digit(text[0]) << 4 | digit(text[1]));
		text += 2;
	}
	return n;
}

static const char *
secret_of(const char *line, const char *label)
{
	size_t len = strlen(label);

	return strncmp(line, label, len) == 0 && line[len] == ' '
		       ? strchr(line + len + 1, ' ')
		       : NULL;
}

void
keylog_read(const SSL *ssl, const char *line)
{
	struct handoff__tls_secrets *secrets = SSL_get_app_data(ssl);
	const char *at;

	if (!secrets)
		return;
	at = secret_of(line, "CLIENT_TRAFFIC_SECRET_0");
	if (at)
		secrets->client_len = read_hex(secrets->client, at + 1);
	at = secret_of(line, "SERVER_TRAFFIC_SECRET_0");
	if (at)
		secrets->server_len = read_hex(secrets->server, at + 1);
}
