/* SPDX-License-Identifier: MIT */
/*
 * A service gets TLS by being wrapped: it is not changed. The certificates are
 * loaded again at SIGHUP, for handshakes that begin from then on. Where these
 * programs were built without the component, the options are refused.
 */
#include "tls.h"

#include <stdio.h>
#include <string.h>

#ifdef EXAMPLES_TLS

#include <handoff/tls.h>

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static struct handoff_tls tls;
static struct handoff_tls_opts opts = {.size = sizeof(opts)};
static bool wanted;

bool
tls_read_options(int *argc, char **argv, char *why, size_t size)
{
	int rc = handoff_tls_opts_read(&opts, argc, argv, why, size);

	wanted = rc > 0;
	return rc >= 0;
}

const struct handoff_service *
tls_wrap(const struct handoff_service *service,
	const struct handoff_server_opts *server)
{
	sigset_t set;
	int err;

	if (!wanted)
		return service;
	sigemptyset(&set); /* before the server starts threads */
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	opts.log = server->log; /* why a client was turned away */
	opts.log_arg = server->log_arg;
	opts.errbuf = server->errbuf;
	opts.errbuf_size = server->errbuf_size;
	opts.trim_heap = true; /* this process has nothing else in its heap */
	err = handoff_tls_service(&tls, service, &opts);
	if (err < 0 && !*server->errbuf)
		snprintf(server->errbuf, server->errbuf_size, "TLS: %s",
			strerror(-err));
	return err < 0 ? NULL : &tls.service;
}

static void
reload(int fd, void *arg)
{
	struct signalfd_siginfo info;
	char why[HANDOFF_TEXT_MAX] = "";

	(void)arg;
	if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (handoff_tls_reload(&tls, why, sizeof(why)) < 0)
		fprintf(stderr, "TLS: the certificates stay as they are: %s\n",
			why);
	else
		printf("TLS: certificates loaded from %s\n", opts.cert_file);
}

void
tls_reload_at_hangup(struct handoff_server *server)
{
	sigset_t set;
	int fd;

	if (!wanted)
		return;
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0 || handoff_server_watch(server, fd, reload, NULL) < 0)
		perror("TLS: certificates cannot be loaded again: signalfd");
}

#else

bool
tls_read_options(int *argc, char **argv, char *why, size_t size)
{
	for (int i = 1; i < *argc; i++) {
		if (strncmp(argv[i], "--tls-", 6) != 0)
			continue;
		snprintf(why, size,
			"%s: built without TLS, since OpenSSL was "
			"not found (on Debian: libssl-dev)",
			argv[i]);
		return false;
	}
	return true;
}

const struct handoff_service *
tls_wrap(const struct handoff_service *service,
	const struct handoff_server_opts *server)
{
	(void)server;
	return service;
}

void
tls_reload_at_hangup(struct handoff_server *server)
{
	(void)server;
}

#endif
