/* SPDX-License-Identifier: MIT */
/*
 * A third party's program under systemd, which it plays itself: prints the
 * messages that systemd has received when it serves. Compiled as C and as C++.
 * usage: managed DIRECTORY
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <handoff.h>
#include <handoff/systemd.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static int
serve(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	handoff_conn_close(conn);
	return 0;
}

/* A socket on which systemd would listen, or -1. */
static int
play_systemd(const char *dir)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un at;

	memset(&at, 0, sizeof(at));
	at.sun_family = AF_UNIX;
	snprintf(at.sun_path, sizeof(at.sun_path), "%.80s/notify", dir);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -1;
	setenv("NOTIFY_SOCKET", at.sun_path, 1);
	return fd;
}

/* Waits until it is told that the server is ready. */
static int
hear(struct handoff_server *server, struct handoff_systemd *sd, int fd)
{
	const struct handoff_server_event *event;
	char text[1024];
	ssize_t len;

	do {
		while (handoff_server_next(server, &event) == 1)
			handoff_systemd_event(sd, event);
		len = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
		text[len > 0 ? len : 0] = '\0';
		if (strstr(text, "READY=1"))
			return printf(
				"handoff %s: READY=1\n", handoff_version());
	} while (handoff_server_wait(server, 10000) >= 0);
	return -1;
}

int
main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : ".";
	char path[256], why[HANDOFF_TEXT_MAX] = "";
	struct handoff_service service;
	struct handoff_server_opts opts;
	struct handoff_server *server = NULL;
	struct handoff_systemd *sd = NULL;
	int fd = play_systemd(dir), rc = -1;

	snprintf(path, sizeof(path), "%s/service", dir);
	memset(&service, 0, sizeof(service));
	service.size = sizeof(service);
	service.name = "managed";
	service.handle = serve;
	memset(&opts, 0, sizeof(opts));
	opts.size = sizeof(opts);
	opts.dir = path;
	opts.name = "one";
	opts.service = &service;
	opts.errbuf = why;
	opts.errbuf_size = sizeof(why);
	if (fd >= 0 && handoff_systemd_open(&sd, NULL) == 0 &&
		handoff_systemd_adopt(sd, &opts) == 0 &&
		handoff_server_open(&server, &opts) == 0 &&
		handoff_systemd_attach(sd, server) == 0)
		rc = hear(server, sd, fd);
	else
		fprintf(stderr, "%s%s\n", why, handoff_systemd_errmsg(sd));
	handoff_server_free(server);
	handoff_systemd_free(sd);
	return rc < 0;
}
