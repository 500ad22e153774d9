/* SPDX-License-Identifier: MIT */
/*
 * A client of the timetable: each line of its input is a call of one of the
 * stubs that rpcgen has made of timetable.x. They are called like any function;
 * where and when they are executed, this program does not see.
 *
 *   rpc_client --connect 127.0.0.1:7000 anna
 *   add monday 09:30 algebra r101
 *   day monday
 */
#include <handoff.h>
#include <handoff/rpc.h>

#include <timetable.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static CLIENT *clnt;

/* A failed call: the reason is in the handle. */
static void
failed(const char *what)
{
	printf("%s\n", clnt_sperror(clnt, what));
}

static void
add(char *day, char *time, char *name, char *room)
{
	course c = {day, time, name, room};
	int *count = add_1(c, clnt);

	if (!count)
		failed("add");
	else if (*count < 0)
		printf("refused: %s\n",
			*count == -1 ? "no login" : "the table is full");
	else
		printf("added, %d now\n", *count);
}

static void
day(char *name)
{
	courses *result = day_1(name, clnt);

	if (!result) {
		failed("day");
		return;
	}
	for (u_int i = 0; i < result->list.list_len; i++) {
		const course *c = &result->list.list_val[i];

		printf("%s %s %s %s\n", c->day, c->time, c->name, c->room);
	}
	printf("%u on %s\n", result->list.list_len, name);
	clnt_freeres(clnt, (xdrproc_t)xdr_courses, (char *)result);
}

static void
run(char *line)
{
	char *word[6] = {NULL};
	int n = 0;

	for (char *w = strtok(line, " \n"); w && n < 6; w = strtok(NULL, " \n"))
		word[n++] = w;
	if (n == 5 && strcmp(word[0], "add") == 0)
		add(word[1], word[2], word[3], word[4]);
	else if (n == 2 && strcmp(word[0], "day") == 0)
		day(word[1]);
	else if (n > 0)
		printf("add DAY TIME NAME ROOM, or day DAY\n");
}

/* What becomes of the connection, meanwhile. */
static void
print_event(const struct handoff_client_event *event, void *arg)
{
	(void)arg;
	if (event->type != HANDOFF_CLIENT_CONNECTED)
		printf("(%s)\n", event->text);
}

int
main(int argc, char **argv)
{
	char why[HANDOFF_TEXT_MAX] = "", line[200];
	struct handoff_client_opts opts = {.size = sizeof(opts),
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	struct handoff_client *client;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (handoff_client_opts_read(&opts, &argc, argv) < 0 || argc != 2 ||
		handoff_client_open(&client, &opts) < 0) {
		fprintf(stderr,
			"usage: rpc_client --connect ADDR STUDENT\n%s\n", why);
		return 2;
	}
	clnt = handoff_clnt_create(client, TIMETABLE, TIMETABLE_1);
	if (!clnt)
		return 1;
	handoff_clnt_events(clnt, print_event, NULL);
	if (login_1(argv[1], clnt))
		printf("logged in as %s\n", argv[1]);
	else
		failed("login");
	while (fgets(line, sizeof(line), stdin))
		run(line);
	clnt_destroy(clnt);
	handoff_client_free(client);
	return 0;
}
