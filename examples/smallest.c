/* SPDX-License-Identifier: MIT */
/* The program of README.md, which quotes all from here on. */
#include <errno.h>
#include <handoff.h>
#include <stdio.h>

static int
echo(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const void *input = handoff_conn_input(conn, &len);

	(void)arg;
	return handoff_conn_consume(conn, handoff_conn_write(conn, input, len));
}

int
main(int argc, char **argv)
{
	static const struct handoff_service service = {
		.size = sizeof(service), .name = "echo", .handle = echo};
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_server_opts opts = {.size = sizeof(opts),
		.name = "echo",
		.service = &service,
		.signals = true,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	const struct handoff_server_event *event;
	struct handoff_server *server;
	int rc;

	if (handoff_server_opts_read(&opts, &argc, argv) < 0 || argc > 1 ||
		handoff_server_open(&server, &opts) < 0) {
		fprintf(stderr, "%s\n%s", why, handoff_server_opts_help());
		return 1;
	}
	while ((rc = handoff_server_wait(server, -1)) >= 0)
		while (handoff_server_next(server, &event) == 1)
			fprintf(stderr, "%s\n", event->text);
	handoff_server_free(server);
	return rc == -ESHUTDOWN ? 0 : 1; /* stopped, as it should */
}
