/* SPDX-License-Identifier: MIT */
/*
 * The sentences about a move between two hosts, and the ferry's own part of
 * the status and of the metrics. Pure: all that it says is in the two
 * structures of ferry.h, and `host` is the other host's name, or "".
 */
#ifndef HANDOFF_FERRY_REPORT_H
#define HANDOFF_FERRY_REPORT_H

#include "base/text.h"

struct handoff__ferry_report;
struct handoff__ferry_status;
struct handoff__pair;

/* The outcome of a move, or how far it has come, in one line without a newline:
 * "moved 7998 of 8000 connections to B in 0.15 s, longest hold 9 ms, 2 left: 1
 * MPTCP, 1 LAST_ACK". */
void handoff__ferry_sentence(const struct handoff__ferry_report *report,
	const char *host, struct handoff__buf *buf);

/* How many connections a move has left behind without their address: clients
 * lose these. */
uint32_t handoff__ferry_cut(const struct handoff__ferry_report *report);

/* Adds the line "error ..." about so many, on `host`; nothing for none. */
void handoff__ferry_cut_text(
	uint32_t count, const char *host, struct handoff__buf *buf);

/* Adds lines to the status of the peer `name`, as handoff__status_text does. */
void handoff__ferry_text(const struct handoff__ferry_status *status,
	const struct handoff__ferry_report *report, const char *name,
	struct handoff__buf *buf);

/* Adds the member "ferry" to a JSON object that has others before it. */
void handoff__ferry_json(const struct handoff__ferry_status *status,
	const struct handoff__ferry_report *report, struct handoff__buf *buf);

/* Adds families as handoff__metrics does; of `pair` only the names count. */
void handoff__ferry_metrics(const struct handoff__ferry_status *status,
	const struct handoff__ferry_report *report,
	const struct handoff__pair *pair, struct handoff__buf *buf);

/* Whether `name`, as the operator gives it, means the other host: its name,
 * that of its ferry, the address of that, with or without the port, or "-". */
bool handoff__ferry_is_host(
	const struct handoff__ferry_status *status, const char *name);

#endif
