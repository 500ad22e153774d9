/* SPDX-License-Identifier: MIT */
/*
 * Requests of operators to a ferry: those of every peer, by lib/operator, and
 *
 *   move [timeout=MS] [whole=1] [dry=1] [host=NAME]
 *       everything goes to the other host; the answer comes at the end
 *   fetch [timeout=MS] [silent=1]
 *       the service comes from the other host to this one
 *   settle batch=ID here=1|0
 *       a batch in doubt is this host's, or dropped; ID in hexadecimal
 *
 * One move at a time, in either direction; a repetition of the request under
 * way waits with it. `ready` is `fetch` here. Decides what a request means, not
 * how anything moves.
 */
#include "ferry/ferry.h"
#include "ferry/report.h"
#include "operator/reply.h"
#include "peer/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_MAX 256

/* What a request asks for. */
struct wish {
	uint32_t timeout_ms; /* 0: as usual */
	bool whole, dry;
	char host[HOST_MAX]; /* "": any */
};

/* Replies */

static const char *
host_text(const struct handoff__ferry_status *status)
{
	return status->other_host[0] ? status->other_host : "the other host";
}

/* Nothing was to be done; the other host's name goes in between. */
static void
succeed(struct handoff__ferry *ferry, struct handoff__request *request,
	const char *before, const char *after)
{
	struct handoff__ferry_status status = {.linked = false};
	struct handoff__buf buf = {0};

	handoff__ferry_status(ferry, &status);
	handoff__status_header(&ferry->pair, &buf);
	handoff__buf_add(&buf, "%s%s%s", before, host_text(&status), after);
	if (status.stays > status.cut)
		handoff__buf_add(&buf, "; %u left here %s",
			status.stays - status.cut, HANDOFF__FERRY_NOT_MOVING);
	handoff__buf_add(&buf, "\n");
	handoff__ferry_cut_text(status.cut, "this host", &buf);
	handoff__reply(request, &buf);
}

static void
refuse(struct handoff__request *request, const char *fmt, ...)
{
	char why[HANDOFF_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	handoff__reply_error(request, why);
}

/* The end of a move */

/* The answer to those that wait: "ok" and the sentence, or "error" and it. */
static char *
answer_of(struct handoff__ferry *ferry,
	const struct handoff__ferry_report *report, const char *host,
	const char *sentence)
{
	struct handoff__buf buf = {0};

	if (!report->ok)
		return handoff__reply_failure(sentence);
	handoff__status_header(&ferry->pair, &buf);
	handoff__buf_add(&buf, "%s\n", sentence);
	handoff__ferry_cut_text(handoff__ferry_cut(report),
		report->way == HANDOFF__FERRY_OUT ? "this host" : host, &buf);
	return handoff__reply_text(&buf);
}

static void
on_ended(struct handoff__ferry *ferry,
	const struct handoff__ferry_report *report)
{
	struct handoff__ferry_status status = {.linked = false};
	struct handoff__buf text = {0};
	const char *sentence;

	handoff__ferry_status(ferry, &status);
	handoff__ferry_sentence(report, status.other_host, &text);
	sentence = text.data && !text.failed ? text.data : "no memory is left";
	handoff__log(&ferry->log,
		report->ok ? HANDOFF_LOG_INFO : HANDOFF_LOG_WARNING, "move: %s",
		sentence);
	handoff__waiting_reply(&ferry->moves,
		answer_of(ferry, report, host_text(&status), sentence));
	free(text.data);
	if (ferry->usual_ms > 0)
		ferry->options.timeout_ms = ferry->usual_ms;
	ferry->usual_ms = 0;
}

static void
on_told(struct handoff__ferry *ferry, const char *text)
{
	handoff__log(&ferry->log, HANDOFF_LOG_INFO, "%s", text);
}

/* Its beginning */

static bool
under_way(const struct handoff__ferry *ferry)
{
	const struct handoff__ferry_report *last = &ferry->report;

	return last->way != 0 && last->ended_ms == 0;
}

static int
begin_move(struct handoff__ferry *ferry, const struct wish *wish)
{
	return handoff__ferry_move(ferry, wish->whole, wish->dry);
}

static int
begin_fetch(struct handoff__ferry *ferry, const struct wish *wish)
{
	(void)wish;
	return handoff__ferry_fetch(ferry);
}

/* The first request begins it; others wait for the same end. A move that the
 * other ferry has asked for is nobody's request here. */
static void
begin(struct handoff__ferry *ferry, struct handoff__request *request,
	const char *line, const struct wish *wish,
	int (*fn)(struct handoff__ferry *ferry, const struct wish *wish))
{
	bool first = ferry->moves.count == 0;

	if (ferry->stopping) {
		handoff__reply_error(request, "it is stopping");
		return;
	}
	if ((first && under_way(ferry)) ||
		!handoff__waiting_add(&ferry->moves, request, line)) {
		handoff__reply_error(request,
			"another move is under way: wait for its end, which "
			"status shows");
		return;
	}
	if (!first)
		return;
	if (wish->timeout_ms > 0) {
		ferry->usual_ms = ferry->options.timeout_ms;
		ferry->options.timeout_ms = wish->timeout_ms;
	}
	if (fn(ferry, wish) >= 0)
		return;
	if (ferry->usual_ms > 0)
		ferry->options.timeout_ms = ferry->usual_ms;
	ferry->usual_ms = 0;
	handoff__waiting_reply(
		&ferry->moves, handoff__reply_failure(ferry->error.text));
}

/* Requests */

/* Reads one word " KEY=VALUE" at `*at`; false if that is another one. */
static bool
read_word(const char **at, const char *key, char *value, size_t size)
{
	size_t key_len = strlen(key), len;

	if (strncmp(*at, key, key_len) != 0)
		return false;
	len = strcspn(*at + key_len, " ");
	if (len >= size)
		return false;
	memcpy(value, *at + key_len, len);
	value[len] = '\0';
	*at += key_len + len;
	return true;
}

/* False if a word is unknown: the tool is newer than this ferry. */
static bool
read_wish(const char *words, struct wish *wish)
{
	char value[HOST_MAX];

	*wish = (struct wish){.timeout_ms = 0};
	while (*words) {
		if (read_word(&words, " timeout=", value, sizeof(value)))
			wish->timeout_ms = (uint32_t)strtoul(value, NULL, 10);
		else if (read_word(&words, " whole=", value, sizeof(value)))
			wish->whole = strcmp(value, "1") == 0;
		else if (read_word(&words, " dry=", value, sizeof(value)))
			wish->dry = strcmp(value, "1") == 0;
		else if (read_word(&words, " host=", value, sizeof(value)))
			handoff__copy(wish->host, sizeof(wish->host), value);
		else if (!read_word(&words, " silent=", value, sizeof(value)))
			return false;
	}
	return true;
}

static void
refuse_host(const struct handoff__ferry *ferry,
	const struct handoff__ferry_status *status,
	struct handoff__request *request, const char *name)
{
	if (!status->other_host[0])
		refuse(request,
			"%s has had no link to another host since it was "
			"started, so it cannot tell whether that is %.100s: %s",
			ferry->pair.name, name,
			status->link_text && status->link_text[0]
				? status->link_text
				: "it waits for one");
	else
		refuse(request,
			"%s is linked with %s (%s, %s), not with %.100s",
			ferry->pair.name, status->other_host,
			status->other_name, status->other_address, name);
}

static void
answer_move(struct handoff__ferry *ferry, struct handoff__request *request,
	const char *line)
{
	struct handoff__ferry_status status = {.linked = false};
	struct wish wish;

	if (!read_wish(line + strlen("move"), &wish)) {
		refuse(request, "move: unknown option in '%.100s'", line);
		return;
	}
	handoff__ferry_status(ferry, &status);
	if (!handoff__ferry_is_host(&status, wish.host)) {
		refuse_host(ferry, &status, request, wish.host);
	} else if (status.site == HANDOFF__FERRY_THERE &&
		   !status.site_text[0] && !under_way(ferry)) {
		succeed(ferry, request, "the service is on ",
			" already; nothing was changed (ready brings it back)");
	} else {
		begin(ferry, request, line, &wish, begin_move);
	}
}

static void
answer_fetch(struct handoff__ferry *ferry, struct handoff__request *request,
	const char *line)
{
	struct handoff__ferry_status status = {.linked = false};
	struct wish wish;

	if (!read_wish(line + strcspn(line, " "), &wish)) {
		refuse(request, "fetch: unknown option in '%.100s'", line);
		return;
	}
	handoff__ferry_status(ferry, &status);
	if (status.site == HANDOFF__FERRY_HERE && status.forwards &&
		!status.linked && !under_way(ferry))
		refuse(request,
			"the service is here, but a move has ended half-way, "
			"and connections are on %.60s, to which there is no "
			"link: %.160s",
			host_text(&status), status.link_text);
	else if (status.site == HANDOFF__FERRY_HERE && !status.site_text[0] &&
		 status.astray == 0 && !status.forwards && !under_way(ferry))
		succeed(ferry, request, "the service is here, not on ",
			", already; nothing was changed");
	else
		begin(ferry, request, line, &wish, begin_fetch);
}

/* What it means, if the other host is not gone: one line more, which begins
 * with "warning". */
static void
answer_settled(struct handoff__ferry *ferry, struct handoff__request *request,
	uint64_t id, bool here)
{
	struct handoff__ferry_status status = {.linked = false};
	struct handoff__buf buf = {0};

	handoff__ferry_status(ferry, &status);
	handoff__status_header(&ferry->pair, &buf);
	handoff__buf_add(&buf,
		"batch %016llx is settled: its connections are "
		"%s here\n",
		(unsigned long long)id, here ? "served" : "dropped");
	handoff__buf_add(&buf,
		here ? "warning: if %s lives and has kept them, two hosts "
		       "serve them: it must not come back to the network "
		       "before it has been booted\n"
		     : "warning: their clients are not told: if %s does not "
		       "serve them, they have lost them\n",
		host_text(&status));
	handoff__reply(request, &buf);
}

static void
answer_settle(struct handoff__ferry *ferry, struct handoff__request *request,
	const char *line)
{
	const char *at = line + strlen("settle");
	char id[17] = "", here[2] = "", *end = id;
	uint64_t number;

	if (!read_word(&at, " batch=", id, sizeof(id)) ||
		!read_word(&at, " here=", here, sizeof(here)) || *at) {
		refuse(request, "settle: unknown option in '%.100s'", line);
		return;
	}
	number = strtoull(id, &end, 16);
	if (!id[0] || *end) {
		refuse(request, "settle: %s is no batch", id);
		return;
	}
	if (handoff__ferry_settle(ferry, number, here[0] == '1') < 0)
		refuse(request, "settle: %s", ferry->error.text);
	else
		answer_settled(ferry, request, number, here[0] == '1');
}

/* `maintenance` without a host: a repetition while the service is away. */
static void
answer_maintenance(
	struct handoff__ferry *ferry, struct handoff__request *request)
{
	struct handoff__ferry_status status = {.linked = false};

	handoff__ferry_status(ferry, &status);
	if (status.site != HANDOFF__FERRY_THERE) {
		refuse(request,
			"%s is a ferry and serves nothing: maintenance --to "
			"HOST moves the service to another host",
			ferry->pair.name);
		return;
	}
	succeed(ferry, request, "maintenance under way: the service is on ",
		"; nothing was changed (ready brings it back)");
}

/* No connection is served here. */
static void
answer_connections(struct handoff__ferry *ferry,
	struct handoff__request *request, bool json)
{
	struct handoff__buf buf = {0};

	handoff__status_header(&ferry->pair, &buf);
	if (json)
		handoff__buf_add(&buf,
			"{\"name\":\"%s\",\"connections\":[],\"omitted\":0}\n",
			ferry->pair.name);
	else
		handoff__buf_add(&buf, "omitted 0\n");
	handoff__reply(request, &buf);
}

/* What goes to the owner, which is elsewhere. */
static void
refuse_to_serve(struct handoff__ferry *ferry, struct handoff__request *request)
{
	struct handoff__ferry_status status = {.linked = false};

	handoff__ferry_status(ferry, &status);
	if (status.site == HANDOFF__FERRY_THERE)
		refuse(request,
			"%s, a ferry, serves nothing: the service is on "
			"%.200s, where that can be asked",
			ferry->pair.name, host_text(&status));
	else
		refuse(request, "%s is a ferry and serves nothing",
			ferry->pair.name);
}

static bool
is_word(const char *line, const char *word)
{
	size_t len = strlen(word);

	return strncmp(line, word, len) == 0 &&
	       (line[len] == '\0' || line[len] == ' ');
}

static bool
op_instead(void *arg, struct handoff__request *request, const char *line)
{
	struct handoff__ferry *ferry = arg;

	if (is_word(line, "move"))
		answer_move(ferry, request, line);
	else if (is_word(line, "fetch"))
		answer_fetch(ferry, request, line);
	else if (strcmp(line, "ready") == 0 ||
		 strcmp(line, "ready silent") == 0)
		answer_fetch(ferry, request, "fetch");
	else if (is_word(line, "settle"))
		answer_settle(ferry, request, line);
	else if (is_word(line, "maintenance"))
		answer_maintenance(ferry, request);
	else if (is_word(line, "connections"))
		answer_connections(
			ferry, request, strcmp(line, "connections") != 0);
	else if (is_word(line, "say") || is_word(line, "dump"))
		refuse_to_serve(ferry, request);
	else
		return false;
	return true;
}

/* The rest of what lib/operator asks for */

static void
op_status(void *arg, bool json, struct handoff__buf *buf)
{
	struct handoff__ferry *ferry = arg;
	struct handoff__ferry_status status = {.linked = false};

	handoff__ferry_status(ferry, &status);
	if (json)
		handoff__ferry_json(&status, &ferry->report, buf);
	else
		handoff__ferry_text(
			&status, &ferry->report, ferry->pair.name, buf);
}

static void
op_metrics(void *arg, struct handoff__buf *buf)
{
	struct handoff__ferry *ferry = arg;
	struct handoff__ferry_status status = {.linked = false};

	handoff__ferry_status(ferry, &status);
	handoff__ferry_metrics(&status, &ferry->report, &ferry->pair, buf);
}

/* It is answered when the ferry has ended. */
static void
op_stop(void *arg)
{
	struct handoff__ferry *ferry = arg;

	handoff__ferry_stop(ferry);
	handoff__operator_wake(&ferry->op);
}

const struct handoff__operator_ops handoff__ferry_operator_ops = {
	.stop = op_stop,
	.instead = op_instead,
	.unknown = "unknown request: want status, status json, metrics, move, "
		   "fetch, settle, or stop",
	.status = op_status,
	.metrics = op_metrics,
	.ready_is_silent = true,
};

int
handoff__ferry_operator_open(struct handoff__ferry *ferry)
{
	ferry->events.ended = on_ended;
	ferry->events.told = on_told;
	return handoff__operator_open(&ferry->op, &ferry->error);
}

void
handoff__ferry_operator_close(struct handoff__ferry *ferry)
{
	struct handoff__buf body = {0};

	handoff__waiting_reply(
		&ferry->moves, handoff__reply_failure("it is stopping"));
	handoff__buf_add(&body, "stopped\n");
	if (ferry->op.stops.count > 0)
		handoff__operator_stopped(&ferry->op, &body);
	else
		free(body.data);
	handoff__operator_close(&ferry->op);
}
