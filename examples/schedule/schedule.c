/* SPDX-License-Identifier: MIT */
/*
 * The schedule service: a line is a request and gets one answer, see
 * schedule(7). Who is logged in is the state of the connection, so that it
 * moves along and outlives a process. All that is in the timetable is in its
 * file, see datafile.h.
 *
 * ADD is an effect outside of the connection, and the handler is a transaction
 * that runs again in the other peer if this one dies before it returns. So the
 * course is saved first and then answered, and a course that is there already
 * is answered like a new one: then the second run does no harm.
 */
#include "schedule.h"
#include "datafile.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REQUEST_MAX 256 /* bytes of a line, with its newline */
#define ANSWER_MAX  (16 + DAY_MAX * COURSE_SIZE)

/* The state of a connection. */
struct login {
	char student[WORD_SIZE]; /* empty: nobody */
	uint32_t skipping;       /* in the midst of a line that is too long */
};

struct schedule {
	struct datafile file;
	bool verbose;
};

struct request {
	struct schedule *schedule;
	struct handoff_conn *conn;
	struct login *login;
	struct words words;
	char answer[ANSWER_MAX];
	size_t len;         /* of the answer */
	char why[WHY_SIZE]; /* there is none */
};

/* Answers, or says why not and returns a negative errno. */
typedef int command_fn(struct request *r);

static void __attribute__((format(printf, 2, 3)))
put(struct request *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	r->len += (size_t)vsnprintf(
		r->answer + r->len, sizeof(r->answer) - r->len, fmt, ap);
	va_end(ap);
}

static void
put_courses(struct request *r, const struct course *list, size_t count)
{
	char text[COURSE_SIZE];

	put(r, "OK %zu\n", count);
	for (size_t i = 0; i < count; i++) {
		course_text(&list[i], text);
		put(r, "%s\n", text);
	}
}

static int
do_login(struct request *r)
{
	strcpy(r->login->student, r->words.word[1]);
	put_courses(r, NULL, 0);
	return 0;
}

static int
look_up(struct request *r, timetable_find_fn *find, int moment)
{
	const struct timetable *table;
	const struct course *list;
	size_t count;

	if (moment < 0)
		return moment;
	table = datafile_begin(&r->schedule->file, r->why);
	if (!table)
		return -EIO;
	count = find(table, r->login->student, (unsigned)moment, &list);
	put_courses(r, list, count);
	datafile_end(&r->schedule->file);
	return 0;
}

static int
do_day(struct request *r)
{
	return look_up(r, timetable_day,
		moment_read(r->words.word[1], "00:00", r->why));
}

static int
do_next(struct request *r)
{
	return look_up(r, timetable_next, moment_now());
}

static int
do_next_after(struct request *r)
{
	return look_up(r, timetable_next,
		moment_read(r->words.word[1], r->words.word[2], r->why));
}

static int
do_add(struct request *r)
{
	struct course course;
	int err = course_read(&course, r->login->student, &r->words, r->why);

	if (err == 0)
		err = datafile_add(&r->schedule->file, &course, r->why);
	if (err == 0)
		put_courses(r, NULL, 0);
	return err;
}

static int
do_quit(struct request *r)
{
	handoff_conn_close(r->conn);
	put_courses(r, NULL, 0);
	return 0;
}

static const struct command {
	const char *name;
	size_t words; /* with its name */
	bool anybody; /* also without a login */
	command_fn *fn;
	const char *usage;
} commands[] = {
	{"LOGIN", 2, true, do_login, "LOGIN name"},
	{"DAY", 2, false, do_day, "DAY day"},
	{"NEXT", 1, false, do_next, "NEXT or NEXT day time"},
	{"NEXT", 3, false, do_next_after, "NEXT or NEXT day time"},
	{"ADD", 5, false, do_add, "ADD day time course room"},
	{"QUIT", 1, true, do_quit, "QUIT"},
};

/* The command of these words; NULL if there is none. */
static const struct command *
command_of(const struct words *words, char *why)
{
	const char *usage = NULL;

	if (words->count == 0) {
		explain(why, 0, "empty: a command is wanted");
		return NULL;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcasecmp(words->word[0], commands[i].name) != 0)
			continue;
		if (words->count == commands[i].words)
			return &commands[i];
		usage = commands[i].usage;
	}
	if (usage)
		explain(why, 0, "wrong number of words: %s is wanted", usage);
	else
		explain(why, 0,
			"unknown command '%s': LOGIN, DAY, NEXT, ADD or QUIT "
			"is wanted",
			words->word[0]);
	return NULL;
}

static int
run(struct request *r, const char *line, size_t len)
{
	const struct command *command;

	if (r->login->skipping || len > REQUEST_MAX)
		return explain(r->why, -EINVAL,
			"longer than %d bytes: a shorter line is wanted",
			REQUEST_MAX);
	if (words_split(&r->words, line, len, r->why) < 0)
		return -EINVAL;
	command = command_of(&r->words, r->why);
	if (!command)
		return -EINVAL;
	if (!command->anybody && r->login->student[0] == '\0')
		return explain(
			r->why, -EPERM, "not logged in: LOGIN name is wanted");
	return command->fn(r);
}

static void
answer(struct handoff_conn *conn, struct schedule *schedule, const char *line,
	size_t len)
{
	struct request r = {.schedule = schedule,
		.conn = conn,
		.login = handoff_conn_state(conn)};
	char at[HANDOFF_STAMP_MAX];

	if (schedule->verbose)
		printf("%sconnection %llu: %s: %.*s\n",
			handoff_log_stamp(STDOUT_FILENO, at, sizeof(at)),
			(unsigned long long)handoff_conn_id(conn),
			r.login->student[0] ? r.login->student : "nobody",
			(int)(len < 60 ? len - 1 : 60), line);
	if (run(&r, line, len) < 0)
		put(&r, "ERR %s\n", r.why);
	r.login->skipping = false;
	handoff_conn_write(conn, r.answer, r.len);
}

/* One request. What is not a whole line yet is waited for, but nothing that
 * is too long for one is kept. A last line without its end may have been cut
 * off and is no request. */
static int
handle_schedule(struct handoff_conn *conn, void *arg)
{
	struct login *login = handoff_conn_state(conn);
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *newline = memchr(input, '\n', len);

	/* Before anything is done that can't be undone. */
	if (handoff_conn_room(conn) < ANSWER_MAX)
		return 0;
	if (newline) {
		len = (size_t)(newline - input) + 1;
		answer(conn, arg, input, len);
	} else if (len > REQUEST_MAX) {
		login->skipping = true;
	} else if (!login->skipping) {
		return 0;
	}
	return handoff_conn_consume(conn, len);
}

const struct handoff_service *
schedule_service(const char *path, bool verbose, char *why, size_t size)
{
	static struct schedule schedule;
	static const struct handoff_service service = {
		.size = sizeof(service),
		.name = "schedule",
		.state_version = 1,
		.state_size = sizeof(struct login),
		.handle = handle_schedule,
		.arg = &schedule,
	};
	char what[WHY_SIZE];
	size_t len = strlen(path);

	schedule.verbose = verbose;
	if (datafile_open(&schedule.file, path, what) < 0) {
		/* Of a path that is too long for a line, its end. */
		snprintf(why, size, "%s%s: %s", len > 80 ? "..." : "",
			path + (len > 80 ? len - 80 : 0), what);
		return NULL;
	}
	/* A limit on the size of files (setrlimit(2)) is an answer too. */
	signal(SIGXFSZ, SIG_IGN);
	return &service;
}
