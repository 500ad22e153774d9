/* SPDX-License-Identifier: MIT */
/*
 * A third party's program: serves, connects to itself, and prints the version
 * of the library that it has used. usage: consumer DIRECTORY
 */
#include <handoff.h>

#include <poll.h>
#include <stdio.h>

static int
echo(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const void *input = handoff_conn_input(conn, &len);

	(void)arg;
	return handoff_conn_consume(conn, handoff_conn_write(conn, input, len));
}

/* One turn of the loop. Returns 1 when the answer has come, 0 if not yet. */
static int
turn(struct handoff_server *server, struct handoff_client *client)
{
	struct pollfd fds[] = {
		{.fd = handoff_server_fd(server), .events = POLLIN},
		{.fd = handoff_client_fd(client), .events = POLLIN},
	};
	const struct handoff_client_event *event;
	int answered = 0;

	if (poll(fds, 2, 10000) <= 0)
		return -1;
	if (handoff_server_dispatch(server) < 0 ||
		handoff_client_dispatch(client) < 0)
		return -1;
	while (handoff_client_next(client, &event) > 0)
		if (event->type == HANDOFF_CLIENT_DATA)
			answered = printf("handoff %s: %.*s\n",
					   handoff_version(), (int)event->len,
					   (const char *)event->data) > 0;
	return answered;
}

int
main(int argc, char **argv)
{
	static const struct handoff_service service = {
		.size = sizeof(service), .name = "echo", .handle = echo};
	char dir[256], address[256], why[HANDOFF_TEXT_MAX] = "";
	const char *addresses[] = {address};
	struct handoff_server_opts server_opts = {.size = sizeof(server_opts),
		.dir = dir,
		.name = "one",
		.service = &service,
		.listen = addresses,
		.nlisten = 1,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	struct handoff_client_opts client_opts = {.size = sizeof(client_opts),
		.endpoints = addresses,
		.nendpoints = 1,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	struct handoff_server *server = NULL;
	struct handoff_client *client = NULL;
	int rc = -1;

	snprintf(dir, sizeof(dir), "%s/service", argc > 1 ? argv[1] : ".");
	snprintf(address, sizeof(address), "unix:%s/socket",
		argc > 1 ? argv[1] : ".");
	if (handoff_server_open(&server, &server_opts) < 0 ||
		handoff_client_open(&client, &client_opts) < 0)
		fprintf(stderr, "%s\n", why);
	else if (handoff_client_send(client, "hello", 5) == 0)
		while ((rc = turn(server, client)) == 0)
			;
	handoff_client_free(client);
	handoff_server_free(server);
	return rc < 0;
}
