/* SPDX-License-Identifier: MIT */
/*
 * The timetable as remote procedures: timetable.x is the interface, rpcgen
 * writes everything but the procedures. Who is logged in is the state of the
 * connection, the courses are in the shared region; both change in the
 * transaction of the call, and the reply is a part of it. So a call is executed
 * exactly once, whichever peer dies in its midst: nothing here needs to
 * recognise a call that comes again.
 *
 *   rpc_server --dir /tmp/rpc --listen 127.0.0.1:7000 --name S
 *   rpc_server --dir /tmp/rpc --name AS
 *
 * --pause SECONDS: ADD waits before it returns, so that it can be killed there.
 */
#include <handoff.h>
#include <handoff/rpc.h>

#include <timetable.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORD 32
#define ROWS 500

struct row {
	char student[WORD], day[WORD], time[WORD], name[WORD], room[WORD];
};

/* The shared region. */
struct table {
	uint32_t rows;
	struct row row[ROWS];
};

static unsigned pause_s;
static const char *self;

/* What rpcgen has written into timetable_svc.c. */
handoff_rpc_dispatch_fn timetable_1;

bool_t *
login_1_svc(word student, struct svc_req *rqstp)
{
	static bool_t yes = TRUE;
	char *login = handoff_conn_state(handoff_rpc_conn(rqstp));

	strcpy(login, student); /* the interface has limited it */
	handoff_conn_label(handoff_rpc_conn(rqstp), student);
	return &yes;
}

static int
add_row(struct table *table, const char *student, const course *c)
{
	struct row *row = &table->row[table->rows];
	int mine = 0;

	if (student[0] == '\0' || table->rows == ROWS)
		return student[0] == '\0' ? -1 : -2;
	strcpy(row->student, student);
	strcpy(row->day, c->day);
	strcpy(row->time, c->time);
	strcpy(row->name, c->name);
	strcpy(row->room, c->room);
	table->rows++;
	for (uint32_t i = 0; i < table->rows; i++)
		mine += strcmp(table->row[i].student, student) == 0;
	return mine;
}

int *
add_1_svc(course c, struct svc_req *rqstp)
{
	static int count;
	struct handoff_conn *conn = handoff_rpc_conn(rqstp);
	void *table;
	int err = handoff_conn_shared(conn, 0, sizeof(struct table), &table);

	if (err < 0) {
		handoff_rpc_fail(rqstp, err); /* executed again, if it waited */
		return NULL;
	}
	count = add_row(table, handoff_conn_state(conn), &c);
	printf("%s: ADD %s: row %u is written\n", self, c.name,
		((struct table *)table)->rows);
	sleep(pause_s);
	if (pause_s > 0)
		printf("%s: ADD %s: returns %d\n", self, c.name, count);
	return &count;
}

/* The result need not be copied: it is encoded before the handler returns. */
courses *
day_1_svc(word day, struct svc_req *rqstp)
{
	static course list[64];
	static courses result = {{0, list}};
	struct handoff_conn *conn = handoff_rpc_conn(rqstp);
	const char *login = handoff_conn_state(conn);
	const struct table *table;
	const void *at;
	u_int n = 0;
	int err = handoff_conn_shared_read(conn, 0, sizeof(*table), &at);

	if (err < 0) {
		handoff_rpc_fail(rqstp, err);
		return NULL;
	}
	table = at;
	for (uint32_t i = 0; i < table->rows && n < 64; i++) {
		const struct row *r = &table->row[i];

		if (strcmp(r->student, login) == 0 && strcmp(r->day, day) == 0)
			list[n++] = (course){(char *)r->day, (char *)r->time,
				(char *)r->name, (char *)r->room};
	}
	result.list.list_len = n;
	return &result;
}

static struct handoff_rpc *
open_rpc(void)
{
	static const struct handoff_rpc_program program = {
		TIMETABLE, TIMETABLE_1, timetable_1};
	static const struct handoff_service service = {
		.size = sizeof(service),
		.name = "timetable",
		.state_size = WORD,
		.shared_size = sizeof(struct table),
	};
	struct handoff_rpc_opts opts = {.size = sizeof(opts),
		.programs = &program,
		.nprograms = 1,
		.service = &service};
	struct handoff_rpc *rpc = NULL;

	handoff_rpc_open(&rpc, &opts);
	return rpc;
}

int
main(int argc, char **argv)
{
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_server_opts opts = {.size = sizeof(opts),
		.name = "S",
		.signals = true,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	const struct handoff_server_event *event;
	struct handoff_rpc *rpc = open_rpc();
	struct handoff_server *server;
	bool stopped = false;

	opts.service = handoff_rpc_service(rpc);
	if (handoff_server_opts_read(&opts, &argc, argv) < 0 ||
		(argc == 3 && strcmp(argv[1], "--pause") != 0) ||
		(argc != 1 && argc != 3)) {
		fprintf(stderr,
			"usage: rpc_server --dir DIR [--listen ADDR] "
			"[--pause SECONDS] ...\n%s\n",
			why);
		return 2;
	}
	pause_s = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	self = opts.name;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (handoff_server_open(&server, &opts) < 0) {
		fprintf(stderr, "rpc_server: %s\n", why);
		return 1;
	}
	do
		while (handoff_server_next(server, &event) > 0) {
			printf("%s: %s\n", opts.name, event->text);
			stopped = event->type == HANDOFF_SERVER_STOPPED;
		}
	while (!stopped && handoff_server_wait(server, -1) >= 0);
	handoff_server_free(server);
	handoff_rpc_free(rpc);
	return stopped ? 0 : 1;
}
