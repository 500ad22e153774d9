/* SPDX-License-Identifier: MIT */
/*
 * Echo, the smallest service: what is written is consumed. S and AS run this
 * very file. The handler is a transaction, see handoff/service.h. What it
 * prints with --verbose is not part of that: if a process dies in the handler,
 * the other one prints the same line again. A service that keeps something
 * about each connection has a state; see schedule/schedule.c.
 */
#include "echo.h"

#include <stdio.h>
#include <unistd.h>

static int
handle_echo(struct handoff_conn *conn, void *arg)
{
	const bool *verbose = arg;
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	size_t taken = handoff_conn_write(conn, input, len);
	char at[HANDOFF_STAMP_MAX];

	if (*verbose && taken > 0)
		printf("%sconnection %llu: %zu byte%s: %.*s%s",
			handoff_log_stamp(STDOUT_FILENO, at, sizeof(at)),
			(unsigned long long)handoff_conn_id(conn), taken,
			taken == 1 ? "" : "s", (int)(taken < 60 ? taken : 60),
			input,
			input[taken - 1] == '\n' && taken <= 60 ? "" : "\n");
	return handoff_conn_consume(conn, taken);
}

const struct handoff_service *
echo_service(bool verbose)
{
	static bool be_verbose;
	static const struct handoff_service service = {
		.size = sizeof(service),
		.name = "echo",
		.handle = handle_echo,
		.arg = &be_verbose,
	};

	be_verbose = verbose;
	return &service;
}
