/* SPDX-License-Identifier: MIT */
/* TLS for the service of a program: --tls-cert, --tls-key, --tls-client-ca. */
#ifndef EXAMPLES_TLS_H
#define EXAMPLES_TLS_H

#include <handoff.h>

#define TLS_HELP                                                               \
	"  --tls-cert FILE      speak TLS 1.3 with this certificate chain "    \
	"(PEM)\n"                                                              \
	"  --tls-key FILE       its private key (PEM); SIGHUP loads both "     \
	"again\n"                                                              \
	"  --tls-client-ca FILE clients need a certificate of this "           \
	"authority\n"

/* Takes these options out of argv. False: `why` says what is wrong. */
bool tls_read_options(int *argc, char **argv, char *why, size_t size);

/* The service as the server is to have it: itself if TLS was not asked for.
 * Log and errbuf are those of the server's options. NULL: errbuf says what is
 * wrong. */
const struct handoff_service *tls_wrap(const struct handoff_service *service,
	const struct handoff_server_opts *server);

/* From now on SIGHUP loads the files again. */
void tls_reload_at_hangup(struct handoff_server *server);

#endif
