/* SPDX-License-Identifier: MIT */
/*
 * One conversation of a client: OpenSSL over two memory BIOs. It does no I/O,
 * and what a failure means is client_trust.c's to say.
 */
#include "tls/conversation.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
failed(struct handoff__tls_end *end)
{
	if (end->state == HANDOFF_CLIENT_LAYER_FAILED)
		return;
	handoff__tls_end_explain(end);
	end->state = HANDOFF_CLIENT_LAYER_FAILED;
	ERR_clear_error();
}

/* No byte that could be its end in order will come any more. */
static void
truncated(struct handoff__tls_end *end, const char *where)
{
	end->state = HANDOFF_CLIENT_LAYER_FAILED;
	end->err = -ECONNABORTED;
	snprintf(end->text, sizeof(end->text),
		"the server has closed the connection %s", where);
}

static void
opened(struct handoff__tls_end *end)
{
	const unsigned char *alpn;
	unsigned len;

	SSL_get0_alpn_selected(end->ssl, &alpn, &len);
	if (end->client->alpn_len > 0 && len == 0) {
		end->state = HANDOFF_CLIENT_LAYER_FAILED;
		end->err = -EPROTO;
		snprintf(end->text, sizeof(end->text),
			"the server has chosen none of the protocols that it "
			"was offered (ALPN)");
		return;
	}
	end->state = HANDOFF_CLIENT_LAYER_OPEN;
	snprintf(end->text, sizeof(end->text), "%s, %s%s%.*s",
		SSL_get_version(end->ssl), SSL_get_cipher_name(end->ssl),
		len > 0 ? ", " : "", (int)len, (const char *)alpn);
}

static void
shake(struct handoff__tls_end *end)
{
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(end->ssl);
	if (rc == 1)
		opened(end);
	else if (SSL_get_error(end->ssl, rc) != SSL_ERROR_WANT_READ)
		failed(end);
	else if (end->cut)
		truncated(end, "in the middle of the handshake");
}

static void
end_free(void *arg)
{
	struct handoff__tls_end *end = arg;

	SSL_free(end->ssl);
	X509_free(end->suspect);
	free(end);
}

static bool
make(struct handoff__tls_end *end)
{
	end->ssl = SSL_new(end->client->ctx);
	end->in = BIO_new(BIO_s_mem());
	end->out = BIO_new(BIO_s_mem());
	if (!end->ssl || !end->in || !end->out) {
		BIO_free(end->in);
		BIO_free(end->out);
		return false;
	}
	/* empty is not the end */
	BIO_set_mem_eof_return(end->in, -1);
	SSL_set_bio(end->ssl, end->in, end->out);
	SSL_set_connect_state(end->ssl);
	return SSL_set_app_data(end->ssl, end) == 1;
}

static void *
end_begin(void *arg, const char *endpoint)
{
	struct handoff__tls_end *end = calloc(1, sizeof(*end));

	if (!end)
		return NULL;
	end->client = arg;
	end->state = HANDOFF_CLIENT_LAYER_HANDSHAKE;
	if (!make(end)) {
		end_free(end);
		return NULL;
	}
	end->err = handoff__tls_end_expect(end, endpoint);
	if (end->err < 0)
		end->state = HANDOFF_CLIENT_LAYER_FAILED;
	else
		shake(end);
	return end;
}

static enum handoff_client_layer_state
end_state(void *arg, int *err, const char **text)
{
	struct handoff__tls_end *end = arg;

	*err = end->err;
	*text = end->text;
	return end->state;
}

static void
end_input(void *arg, const void *data, size_t len)
{
	struct handoff__tls_end *end = arg;

	end->cut = end->cut || len == 0;
	while (len > 0) {
		int n = BIO_write(
			end->in, data, len < INT_MAX ? (int)len : INT_MAX);

		if (n <= 0) {
			end->state = HANDOFF_CLIENT_LAYER_FAILED;
			end->err = -ENOMEM;
			snprintf(end->text, sizeof(end->text),
				"no memory for what the server has sent");
			return;
		}
		data = (const char *)data + n;
		len -= (size_t)n;
	}
	if (end->state == HANDOFF_CLIENT_LAYER_HANDSHAKE)
		shake(end);
}

static size_t
end_output(void *arg, const void **data)
{
	struct handoff__tls_end *end = arg;
	char *bytes;
	long len = BIO_get_mem_data(end->out, &bytes);

	*data = bytes + end->sent;
	return (size_t)len - end->sent;
}

/* Reading would copy. */
static void
end_sent(void *arg, size_t len)
{
	struct handoff__tls_end *end = arg;
	const void *data;

	end->sent += len;
	if (end_output(end, &data) > 0)
		return;
	(void)BIO_reset(end->out);
	end->sent = 0;
}

uint32_t handoff__tls_client_records = 1u << 23;

/* OpenSSL leaves it to its user. */
static bool
renew_key(struct handoff__tls_end *end)
{
	if (++end->sealed <= handoff__tls_client_records)
		return true;
	end->sealed = 1;
	return SSL_key_update(end->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1;
}

static void
end_write(void *arg, const void *data, size_t len)
{
	struct handoff__tls_end *end = arg;
	size_t n;

	ERR_clear_error();
	if (end->state != HANDOFF_CLIENT_LAYER_FAILED &&
		(!renew_key(end) || SSL_write_ex(end->ssl, data, len, &n) != 1))
		failed(end);
}

/* A read returns one TLS record at most. */
static size_t
end_read(void *arg, void *data, size_t size)
{
	struct handoff__tls_end *end = arg;
	size_t total = 0, n;

	while (total < size && end->state == HANDOFF_CLIENT_LAYER_OPEN) {
		ERR_clear_error();
		if (SSL_read_ex(end->ssl, (char *)data + total, size - total,
			    &n) == 1) {
			total += n;
			continue;
		}
		switch (SSL_get_error(end->ssl, 0)) {
		case SSL_ERROR_ZERO_RETURN:
			end->state = HANDOFF_CLIENT_LAYER_CLOSED;
			break;
		case SSL_ERROR_WANT_READ:
			if (end->cut)
				truncated(end,
					"without an end of TLS (close_notify): "
					"what it sent may be cut off");
			return total;
		default:
			failed(end);
		}
	}
	return total;
}

static void
end_end(void *arg)
{
	struct handoff__tls_end *end = arg;

	ERR_clear_error();
	if (end->state != HANDOFF_CLIENT_LAYER_FAILED)
		SSL_shutdown(end->ssl);
	ERR_clear_error();
}

const struct handoff_client_layer handoff__tls_client_calls = {
	.size = sizeof(struct handoff_client_layer),
	.begin = end_begin,
	.free = end_free,
	.state = end_state,
	.input = end_input,
	.output = end_output,
	.sent = end_sent,
	.write = end_write,
	.read = end_read,
	.end = end_end,
};
