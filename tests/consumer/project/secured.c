/* SPDX-License-Identifier: MIT */
/* A program with a service that would have TLS, had it a certificate. */
#include <handoff.h>
#include <handoff/tls.h>

#include <stdio.h>
#include <string.h>

static int
handle(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	return handoff_tls_alpn(conn) ? 0 : -1;
}

int
main(void)
{
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_tls_opts opts;
	struct handoff_service service;
	static struct handoff_tls tls;
	int err;

	memset(&service, 0, sizeof(service));
	service.size = sizeof(service);
	service.name = "nothing";
	service.handle = handle;
	memset(&opts, 0, sizeof(opts));
	opts.size = sizeof(opts);
	opts.cert_file = opts.key_file = "/none";
	opts.errbuf = why;
	opts.errbuf_size = sizeof(why);
	err = handoff_tls_service(&tls, &service, &opts);
	printf("handoff %s: %s\n", handoff_version(),
		err < 0 && strstr(why, "/none") ? "hello" : "opened");
	handoff_tls_free(&tls);
	return err == 0;
}
