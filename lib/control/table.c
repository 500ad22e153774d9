/* SPDX-License-Identifier: MIT */
/*
 * Formats a table of peers. A peer may be of another version: fields that it
 * does not report show a dash, and unknown fields are left out.
 */
#include "control/table.h"

#include "control/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX 40
#define PEERS    2

static const struct column {
	const char *title, *key;
	bool number;
} columns[] = {
	{"PEER", NULL, false},
	{"PID", NULL, true},
	{"ROLE", NULL, false},
	{"MODEL", "model", false},
	{"CONNECTIONS", "connections", true},
	{"HELD", "held", true},
	{"LAGGING", "lagging", false},
	{"NOT COVERED", "uncovered", true},
	{"OTHER", "partner", false},
};

enum { PEER, PID, ROLE, MODEL, COLUMNS = sizeof(columns) / sizeof(columns[0]) };

struct row {
	char cells[COLUMNS][CELL_MAX];
};

/* The value of a key, or a dash. */
static void
column_value(const struct handoff__contact *peer, const char *key,
	char cell[CELL_MAX])
{
	size_t len = 0;
	const char *text =
		peer->role[0] ? handoff__contact_value(peer, key, NULL, &len)
			      : NULL;

	if (text && len > 0)
		snprintf(cell, CELL_MAX, "%.*s", (int)len, text);
	else
		snprintf(cell, CELL_MAX, "-");
}

static void
fill_row(struct row *row, const struct handoff__contact *peer)
{
	const char *idle = handoff__contact_idle(peer);
	char workers[CELL_MAX];
	size_t len;

	for (size_t i = 0; i < COLUMNS; i++) {
		if (columns[i].key)
			column_value(peer, columns[i].key, row->cells[i]);
	}
	snprintf(row->cells[PEER], CELL_MAX, "%s", peer->name);
	snprintf(row->cells[PID], CELL_MAX, "%ld", peer->pid);
	snprintf(row->cells[ROLE], CELL_MAX, "%s",
		idle            ? idle
		: peer->role[0] ? peer->role
				: "unresponsive");
	column_value(peer, "workers", workers);
	len = strlen(row->cells[MODEL]);
	if (strtoul(workers, NULL, 10) > 1)
		snprintf(row->cells[MODEL] + len, CELL_MAX - len, "/%.8s",
			workers);
}

static int
width_of(const struct row *rows, size_t nrows, size_t column)
{
	size_t width = strlen(columns[column].title);

	for (size_t i = 0; i < nrows; i++) {
		size_t len = strlen(rows[i].cells[column]);

		if (len > width)
			width = len;
	}
	return (int)width;
}

/* `row` NULL: the titles. */
static void
add_row(struct handoff__buf *buf, const struct row *rows, size_t nrows,
	const struct row *row)
{
	for (size_t i = 0; i < COLUMNS; i++) {
		const char *text = row ? row->cells[i] : columns[i].title;
		int width = width_of(rows, nrows, i);

		if (i + 1 == COLUMNS)
			width = 0; /* the last column needs no padding */
		handoff__buf_add(buf, columns[i].number ? "%s%*s" : "%s%-*s",
			i > 0 ? "  " : "", width, text);
	}
	handoff__buf_add(buf, "\n");
}

/* "echo: generation 4, listening on 127.0.0.1:7000" */
static void
add_service(const struct handoff__contact *peer, struct handoff__buf *buf)
{
	const char *at = NULL, *comma = ", listening on ";
	char generation[CELL_MAX];
	size_t len;

	column_value(peer, "generation", generation);
	handoff__buf_add(buf, "%s: ",
		strcmp(peer->service, "-") == 0 ? "service unknown"
						: peer->service);
	if (strcmp(generation, "0") == 0)
		handoff__buf_add(buf, "no owner yet");
	else
		handoff__buf_add(buf, "generation %s", generation);
	while ((at = handoff__contact_value(peer, "listener", at, &len))) {
		handoff__buf_add(buf, "%s%.*s", comma, len > 0 ? (int)len : 9,
			len > 0 ? at : "(unnamed)");
		comma = ", ";
	}
	at = handoff__contact_value(peer, "away", NULL, &len);
	if (at)
		handoff__buf_add(buf, "\n%.*s", (int)len, at);
	handoff__buf_add(buf, "\n\n");
}

/* "server: survival not promised: this kernel ..." */
static void
add_survival(const struct handoff__contact *peer, struct handoff__buf *buf)
{
	const char *line = NULL;
	size_t len;

	while (peer->role[0] &&
		(line = handoff__contact_value(peer, "survival", line, &len)))
		handoff__buf_add(buf, "\n%s: survival: %.*s\n", peer->name,
			(int)len, line);
}

/* The time of its last handoff; 0: never. */
static long long
last_of(const struct handoff__contact *peer)
{
	char text[CELL_MAX];

	column_value(peer, "last", text);
	return strtoll(text, NULL, 10);
}

static void
add_last(const struct handoff__contact *peer, struct handoff__buf *buf)
{
	const char *line = NULL;
	size_t len;

	handoff__buf_add(buf, "\n");
	while ((line = handoff__contact_value(peer, "|", line, &len)))
		handoff__buf_add(buf, "%.*s\n", (int)len, line);
}

/* The peer's remarks, from lines that begin with "! ". */
static void
add_table_remarks(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf)
{
	const char *line, *before = "\n";
	size_t len;

	for (size_t i = 0; i < npeers; i++) {
		line = NULL;
		while (peers[i].role[0] &&
			(line = handoff__contact_value(
				 &peers[i], "!", line, &len))) {
			handoff__buf_add(
				buf, "%s%.*s\n", before, (int)len, line);
			before = "";
		}
	}
}

void
handoff__table(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf)
{
	const struct handoff__contact *first = NULL, *last = NULL;
	struct row rows[PEERS];

	memset(rows, 0, sizeof(rows));
	npeers = npeers < PEERS ? npeers : PEERS;
	for (size_t i = 0; i < npeers; i++) {
		fill_row(&rows[i], &peers[i]);
		if (!first && peers[i].role[0])
			first = &peers[i];
		/* both peers may report the same handoff */
		if (last_of(&peers[i]) > (last ? last_of(last) : 0))
			last = &peers[i];
	}
	handoff__verdict(peers, npeers, buf);
	handoff__buf_add(buf, first ? "\n" : "\n\n");
	if (first)
		add_service(first, buf);
	add_row(buf, rows, npeers, NULL);
	for (size_t i = 0; i < npeers; i++)
		add_row(buf, rows, npeers, &rows[i]);
	add_table_remarks(peers, npeers, buf);
	for (size_t i = 0; i < npeers; i++)
		add_survival(&peers[i], buf);
	if (last)
		add_last(last, buf);
	else if (first)
		handoff__buf_add(buf, "\nno handoff yet\n");
}

static void
add_silent_json(const struct handoff__contact *peer, struct handoff__buf *buf)
{
	if (peer->pid > 0)
		handoff__buf_add(buf, "{\"name\":\"%s\",\"pid\":%ld",
			peer->name, peer->pid);
	else
		handoff__buf_add(buf, "{\"name\":null,\"pid\":null");
	handoff__buf_add(buf, ",\"role\":\"unresponsive\"}");
}

/* Adds the JSON object that the peer has sent, without surrounding space. */
static bool
add_peer_json(const struct handoff__contact *peer, struct handoff__buf *buf)
{
	size_t len = strlen(peer->body);

	while (len > 0 && strchr(" \r\n\t", peer->body[len - 1]))
		len--;
	if (len < 2 || peer->body[0] != '{' || peer->body[len - 1] != '}')
		return false;
	handoff__buf_add(buf, "%.*s", (int)len, peer->body);
	return true;
}

const struct handoff__contact *
handoff__table_json(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf)
{
	const char *service = handoff__contacts_service(peers, npeers);

	handoff__buf_add(buf, "{\"service\":");
	if (service)
		handoff__buf_json(buf, service);
	else
		handoff__buf_add(buf, "null");
	handoff__buf_add(buf, ",\"peers\":[");
	for (size_t i = 0; i < npeers; i++) {
		if (i > 0)
			handoff__buf_add(buf, ",");
		if (!peers[i].role[0])
			add_silent_json(&peers[i], buf);
		else if (!add_peer_json(&peers[i], buf))
			return &peers[i];
	}
	handoff__buf_add(buf, "]}\n");
	return NULL;
}
