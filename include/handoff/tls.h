/* SPDX-License-Identifier: MIT */
/*
 * TLS 1.3 in the process: connections that are handed over and survive
 * SIGKILL as any other, also in the middle of a handshake. A library of its
 * own, -lhandoff-tls, built if OpenSSL >= 3.0 is present. Experimental until
 * reviewed outside; what an attacker can reach where is in handoff_tls(3).
 *
 * A service that wraps another one: that is not changed, and its handlers see
 * plain text through the same calls. OpenSSL does the handshake; afterwards the
 * keys are part of the connection's state, in memory that both peers share.
 *
 * There are no session tickets and no early data, no client certificates after
 * the handshake, and no older versions of TLS.
 */
#ifndef HANDOFF_TLS_H
#define HANDOFF_TLS_H

#include <handoff/client.h>
#include <handoff/service.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

/* Whether clients are asked for a certificate. */
enum handoff_tls_client_cert {
	HANDOFF_TLS_CLIENT_NONE = 0,     /* no */
	HANDOFF_TLS_CLIENT_ASKED = 1,    /* one that is sent must be good */
	HANDOFF_TLS_CLIENT_REQUIRED = 2, /* and there must be one */
};

/* Sets what the options do not have in an SSL_CTX of the library, for example
 * groups or ciphers: called for each that is made, also at a reload, before the
 * certificate is loaded. Returns 0, or a negative errno. What it sets must be
 * the same in both peers; handoff_tls_opts.version says so. */
typedef int handoff_tls_configure_fn(struct ssl_ctx_st *ctx, void *arg);

#define HANDOFF_TLS_HANDSHAKE_MS 10000 /* the default */

/* `size` is sizeof(struct handoff_tls_opts); zero means the default. All that
 * it points to is copied, but for `arg` and `log_arg`. */
struct handoff_tls_opts {
	size_t size;
	const char *cert_file; /* PEM: the server's certificate, and those
				* between it and the root */
	const char *key_file;  /* PEM: its private key, without a passphrase */
	const char *client_ca_file;          /* PEM: who may certify clients */
	enum handoff_tls_client_cert client; /* default: REQUIRED with a
					      * client_ca_file, else NONE */
	const char *const *alpn; /* protocols, the server's first choice first;
				  * a client with ALPN and none of them is
				  * turned away. Default: ALPN is ignored */
	size_t nalpn;
	uint32_t handshake_ms; /* a handshake may take so long; default
				* HANDOFF_TLS_HANDSHAKE_MS */
	handoff_tls_configure_fn *configure;
	void *arg;
	const char *version; /* a text that changes with what `configure` does:
			      * a handshake that began in a process with another
			      * one cannot go on after its death */
	char *errbuf;        /* where handoff_tls_service writes its error */
	size_t errbuf_size;
	/* One line at HANDOFF_LOG_INFO for each handshake that fails, and for
	 * each connection that ends with an alert: its number, the client's
	 * address, and why. Of a process at most 10 in 10 s; the next one has
	 * the number of those left out. Several threads may call it at once
	 * where there are several: model `thread`, workers. Default: none */
	handoff_log_fn *log;
	void *log_arg;
	/* After many connections have become idle, or ended, gives the memory
	 * of their handshakes back to the system, which the C library would
	 * keep for the next ones: at most four times a second, by
	 * malloc_trim(3), for the heap of the whole process. Without effect
	 * where there is none */
	bool trim_heap;
};

/* The caller's memory for a service with TLS; it must outlive the server, and
 * its content is the library's. */
struct handoff_tls {
	struct handoff_service service; /* for the options of the server, or
					 * for one that wraps it */
	void *component;
	uint64_t unused[7];
};

/*
 * Makes tls->service of a service: it has the same name and calls it. `inner`
 * is copied, but what it points to remains the caller's. Sessions go around it,
 * not into it: by `sessions` of the server's options, or by
 * handoff_session_service of tls->service.
 *
 * A state of the result begins with the secrets of its connection, so the
 * service is `secret`: no dump shows it.
 *
 * -EINVAL: no handler, no certificate or no key, ALPN that is empty or too
 * long, a client CA file with NONE, or ASKED or REQUIRED without one;
 * -EOPNOTSUPP: the service has a pass_size or sessions; -E2BIG: a field is set
 * that this library does not know, or the state is too large; -ENOMEM; other
 * errors: a file cannot be used. errbuf says which, and what to do.
 */
HANDOFF_API int handoff_tls_service(struct handoff_tls *tls,
	const struct handoff_service *inner,
	const struct handoff_tls_opts *opts);

/* Frees what the library keeps for it, not the caller's memory; after its
 * server's. NULL is fine, and memory that was zero and never used. */
HANDOFF_API void handoff_tls_free(struct handoff_tls *tls);

/* Loads certificate, key and client CA file again, for handshakes that begin
 * from now on, in this process: those under way and established connections go
 * on as they are. If it fails all stays as it was, and errbuf, which may be
 * NULL, says why. From any thread. In model `fork` a child that was forked
 * before keeps the old ones for its connection. */
HANDOFF_API int handoff_tls_reload(
	struct handoff_tls *tls, char *errbuf, size_t errbuf_size);

/* What has happened in this process; in model `fork` not in its children. May
 * grow. */
struct handoff_tls_counts {
	size_t size;         /* by the caller */
	uint64_t handshakes; /* finished */
	uint64_t failed;     /* ended with an alert, or by the client */
	uint64_t late;       /* not finished in handshake_ms */
	uint64_t replays;    /* run again from their seed */
	uint64_t mismatches; /* ended: the replay made other bytes */
	uint64_t strangers;  /* ended: they had begun with another
			      * certificate, other options or another
			      * OpenSSL */
	uint64_t key_updates_in, key_updates_out;
	uint64_t alerts_in, alerts_out; /* without close_notify */
	uint64_t truncated; /* connections that ended without close_notify */
};

/* -EINVAL: `size` is not set. */
HANDOFF_API int handoff_tls_stats(
	const struct handoff_tls *tls, struct handoff_tls_counts *stats);

/* About the connection whose handler runs, for the handlers of the service that
 * is wrapped; valid until the handler returns, and NULL in others. "" if there
 * is none. The protocol that ALPN has chosen; the host name that the client has
 * asked for (SNI), in lower case; the subject of its certificate, as text of
 * RFC 2253: longer ones are cut, see handoff_tls_peer_cut. A client that asks
 * for what has other characters than letters, digits, '-', '.' and '_' is
 * turned away. */
HANDOFF_API const char *handoff_tls_alpn(const struct handoff_conn *conn);
HANDOFF_API const char *handoff_tls_server_name(
	const struct handoff_conn *conn);
HANDOFF_API const char *handoff_tls_peer(const struct handoff_conn *conn);

/* Bytes of these texts, including the zero. */
#define HANDOFF_TLS_ALPN_MAX        32
#define HANDOFF_TLS_SERVER_NAME_MAX 256
#define HANDOFF_TLS_PEER_MAX        256

/* True if the subject was longer, so that it must not be compared. */
HANDOFF_API bool handoff_tls_peer_cut(const struct handoff_conn *conn);

/* ---- options of programs ---- */

/*
 * Takes --tls-cert FILE, --tls-key FILE and --tls-client-ca FILE out of a
 * command line and into `opts`, whose size is set: argv[0] and all other
 * arguments stay in their order, `*argc` is their number. Returns 1 if TLS was
 * asked for, 0 if not, -EINVAL if a value is missing, one is given twice, or a
 * certificate comes without its key; errbuf then says what.
 */
HANDOFF_API int handoff_tls_opts_read(struct handoff_tls_opts *opts, int *argc,
	char **argv, char *errbuf, size_t errbuf_size);

/* ---- the client's side ---- */

/* `size` is sizeof(struct handoff_tls_client_opts); zero means the default. All
 * that it points to is copied, but for the `arg` of `configure`. The server's
 * certificate is always checked: by CA and name, or by its key, or by both. */
struct handoff_tls_client_opts {
	size_t size;
	const char *ca_file;   /* PEM: who may certify the server; default: whom
				* the system trusts, if there is no `pin` */
	const char *name;      /* that the certificate must have, and that is
				* asked for (SNI): a DNS name or an IP address;
				* default: the host of the endpoint. Needed for
				* endpoints unix:/PATH */
	const char *pin;       /* 64 hexadecimal digits: SHA-256 of the server's
				* public key (SubjectPublicKeyInfo, DER). Without a
				* ca_file it replaces CA and name */
	const char *cert_file; /* PEM: the client's own certificate, with those
				* between it and the root */
	const char *key_file;  /* PEM: its private key, without a passphrase */
	const char *const *alpn; /* protocols, first choice first; a server that
				  * chooses none of them is turned away */
	size_t nalpn;
	handoff_tls_configure_fn *configure; /* called once */
	void *arg;
	char *errbuf; /* where handoff_tls_client writes its error */
	size_t errbuf_size;
};

/*
 * Makes the `layer` for struct handoff_client_opts, of any number of clients in
 * one thread at a time: TLS 1.3 and nothing older. It must outlive them. Files
 * are read now. -EINVAL: a key without its certificate, or the reverse, a pin
 * or ALPN that is not one; -E2BIG: a field is set that this library does not
 * know; -ENOMEM; other errors: a file cannot be used. errbuf says which, and
 * what to do.
 */
HANDOFF_API int handoff_tls_client(struct handoff_client_layer *layer,
	const struct handoff_tls_client_opts *opts);

/* Frees it, after its clients; NULL is fine, and a layer that is all zero. */
HANDOFF_API void handoff_tls_client_free(struct handoff_client_layer *layer);

/*
 * Takes --tls, --ca FILE, --tls-name NAME, --tls-pin HEX, --tls-alpn PROTOCOL,
 * --tls-cert FILE and --tls-key FILE out of a client's command line, like
 * handoff_tls_opts_read. Returns 1 if TLS was asked for, by any of them, 0 if
 * not, or a negative errno.
 */
HANDOFF_API int handoff_tls_client_opts_read(
	struct handoff_tls_client_opts *opts, int *argc, char **argv,
	char *errbuf, size_t errbuf_size);

/* The --help text of these options. */
HANDOFF_API const char *handoff_tls_client_opts_help(void);

#ifdef __cplusplus
}
#endif

#endif
