/* SPDX-License-Identifier: MIT */
/*
 * Makes the layer of clients: reads the options and files into an SSL_CTX,
 * once. Knows nothing of conversations.
 */
#include "tls/conversation.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A key with a passphrase is refused: OpenSSL would ask the terminal. */
static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static const char *
reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());

	return text ? text : "no reason given";
}

static int
bad_file(struct handoff__error *error, const char *what, const char *path,
	const char *remedy)
{
	return handoff__fail(error, -EINVAL,
		"TLS: %s '%.100s' cannot be used: %.60s: %s", what, path,
		reason(), remedy);
}

static int
check_readable(struct handoff__error *error, const char *what, const char *path)
{
	if (access(path, R_OK) == 0)
		return 0;
	return handoff__fail(error, -errno,
		"TLS: %s '%.150s' cannot be read: %s", what, path,
		strerror(errno));
}

static int
check_private(struct handoff__error *error, const char *path)
{
	struct stat st;
	int err = check_readable(error, "key", path);

	if (err == 0 && stat(path, &st) == 0 && st.st_mode & S_IROTH)
		err = handoff__fail(error, -EPERM,
			"TLS: all users may read the key '%.120s': chmod 600 "
			"it",
			path);
	return err;
}

static int
load_trust(struct handoff__tls_client *client,
	const struct handoff_tls_client_opts *o, struct handoff__error *error)
{
	int err;

	if (!o->ca_file) {
		if (client->by_ca &&
			SSL_CTX_set_default_verify_paths(client->ctx) != 1)
			return handoff__fail(error, -EINVAL,
				"TLS: the CAs of the system cannot be read: "
				"%s: name a CA file",
				reason());
		return 0;
	}
	err = check_readable(error, "CA file", o->ca_file);
	if (err < 0)
		return err;
	if (SSL_CTX_load_verify_file(client->ctx, o->ca_file) != 1)
		return bad_file(error, "CA file", o->ca_file,
			"it must have certificates in PEM");
	handoff__copy(client->ca_file, sizeof(client->ca_file), o->ca_file);
	return 0;
}

static int
load_certificate(struct handoff__tls_client *client,
	const struct handoff_tls_client_opts *o, struct handoff__error *error)
{
	int err;

	if (!o->cert_file && !o->key_file)
		return 0;
	if (!o->cert_file || !o->key_file)
		return handoff__fail(error, -EINVAL,
			"TLS: a client's certificate and its key belong "
			"together: the %s file is missing",
			o->cert_file ? "key" : "certificate");
	err = check_readable(error, "certificate", o->cert_file);
	if (err == 0)
		err = check_private(error, o->key_file);
	if (err < 0)
		return err;
	if (SSL_CTX_use_certificate_chain_file(client->ctx, o->cert_file) != 1)
		return bad_file(error, "certificate", o->cert_file,
			"it must be PEM, the client's own first");
	if (SSL_CTX_use_PrivateKey_file(
		    client->ctx, o->key_file, SSL_FILETYPE_PEM) != 1)
		return bad_file(error, "key", o->key_file,
			"it must be that of the certificate, in PEM, without a "
			"passphrase");
	client->certified = true;
	return 0;
}

static int
hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at =
		c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static int
read_pin(struct handoff__tls_client *client, const char *pin,
	struct handoff__error *error)
{
	if (!pin)
		return 0;
	client->by_pin = true;
	for (size_t i = 0; i < HANDOFF__TLS_PIN_LEN; i++) {
		int high = hex_digit(pin[2 * i]);
		int low = high < 0 ? -1 : hex_digit(pin[2 * i + 1]);

		if (low < 0)
			break;
		client->pin[i] = (unsigned char)(high << 4 | low);
		if (i + 1 == HANDOFF__TLS_PIN_LEN && !pin[2 * i + 2])
			return 0;
	}
	return handoff__fail(error, -EINVAL,
		"TLS: the pin '%.80s' is not 64 hexadecimal digits, the "
		"SHA-256 of a public key",
		pin);
}

static int
read_alpn(struct handoff__tls_client *client,
	const struct handoff_tls_client_opts *o, struct handoff__error *error)
{
	for (size_t i = 0; i < o->nalpn; i++) {
		size_t len = o->alpn && o->alpn[i] ? strlen(o->alpn[i]) : 0;

		if (len == 0 || len > 255)
			return handoff__fail(error, -EINVAL,
				"TLS: a protocol of ALPN has 1 to 255 bytes");
		if (client->alpn_len + 1 + len > sizeof(client->alpn))
			return handoff__fail(error, -EINVAL,
				"TLS: the protocols of ALPN are longer than "
				"%zu bytes together",
				sizeof(client->alpn));
		client->alpn[client->alpn_len++] = (unsigned char)len;
		memcpy(client->alpn + client->alpn_len, o->alpn[i], len);
		client->alpn_len += (unsigned)len;
	}
	/* 0 is success, unlike anywhere else */
	if (client->alpn_len > 0 &&
		SSL_CTX_set_alpn_protos(
			client->ctx, client->alpn, client->alpn_len) != 0)
		return -ENOMEM;
	return 0;
}

static int
configure(struct handoff__tls_client *client,
	const struct handoff_tls_client_opts *o, struct handoff__error *error)
{
	int err = 0;

	client->ctx = SSL_CTX_new(TLS_client_method());
	if (!client->ctx ||
		SSL_CTX_set_min_proto_version(client->ctx, TLS1_3_VERSION) !=
			1 ||
		SSL_CTX_set_max_proto_version(client->ctx, TLS1_3_VERSION) != 1)
		return handoff__fail(error, -ENOMEM,
			"TLS: OpenSSL makes no context of TLS 1.3: %s",
			reason());
	SSL_CTX_set_session_cache_mode(client->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(client->ctx, no_passphrase);
	if (o->configure)
		err = o->configure(client->ctx, o->arg);
	if (err < 0)
		return handoff__fail(error, err,
			"TLS: the program's configuration has failed: %s",
			strerror(-err));
	handoff__tls_client_trust(client);
	return 0;
}

static int
read_name(struct handoff__tls_client *client, const char *name,
	struct handoff__error *error)
{
	if (name && strlen(name) >= sizeof(client->name))
		return handoff__fail(error, -EINVAL,
			"TLS: the name '%.60s...' is longer than %zu bytes",
			name, sizeof(client->name) - 1);
	handoff__copy(client->name, sizeof(client->name), name ? name : "");
	return 0;
}

static int
open_client(struct handoff__tls_client *client,
	const struct handoff_tls_client_opts *o, struct handoff__error *error)
{
	int err = read_pin(client, o->pin, error);

	client->by_ca = o->ca_file || !o->pin;
	if (err == 0)
		err = read_name(client, o->name, error);
	if (err == 0)
		err = configure(client, o, error);
	if (err == 0)
		err = read_alpn(client, o, error);
	if (err == 0)
		err = load_trust(client, o, error);
	if (err == 0)
		err = load_certificate(client, o, error);
	return err;
}

int
handoff_tls_client(struct handoff_client_layer *layer,
	const struct handoff_tls_client_opts *opts)
{
	struct handoff__tls_client *client;
	struct handoff_tls_client_opts o;
	struct handoff__error error = {""};
	int err = handoff__opts_copy(&o, sizeof(o), opts, sizeof(size_t));

	if (err < 0 || !layer)
		return err < 0 ? err : -EINVAL;
	memset(layer, 0, sizeof(*layer));
	client = calloc(1, sizeof(*client));
	if (!client)
		return handoff__no_memory("TLS", o.errbuf, o.errbuf_size);
	ERR_clear_error();
	err = open_client(client, &o, &error);
	ERR_clear_error();
	*layer = handoff__tls_client_calls;
	layer->arg = client;
	if (err < 0) {
		handoff__error_copy(&error, o.errbuf, o.errbuf_size);
		handoff_tls_client_free(layer);
	}
	return err;
}

void
handoff_tls_client_free(struct handoff_client_layer *layer)
{
	struct handoff__tls_client *client = layer ? layer->arg : NULL;

	if (!client)
		return;
	SSL_CTX_free(client->ctx);
	free(client);
	memset(layer, 0, sizeof(*layer));
}
