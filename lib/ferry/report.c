/* SPDX-License-Identifier: MIT */
/*
 * Says what a move has come to, and what a ferry is at the moment, for people,
 * programs and monitors. Formats what it is given; asks nobody and changes
 * nothing.
 */
#include "ferry/report.h"

#include "ferry/ferry.h"
#include "peer/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The sentence about a move */

static const char *
host_text(const char *host)
{
	return host && host[0] ? host : "the other host";
}

static const char *
towards(const struct handoff__ferry_report *r)
{
	return r->way == HANDOFF__FERRY_IN ? "from" : "to";
}

/* "9 ms", "0.4 ms" */
static void
add_hold(struct handoff__buf *buf, uint32_t us)
{
	if (us < 1000)
		handoff__buf_add(buf, "0.%u ms", us / 100);
	else
		handoff__buf_add(buf, "%u ms", us / 1000);
}

/* "0.15 s", "3.2 ms" */
static void
add_duration(struct handoff__buf *buf, uint32_t us)
{
	if (us < 10000)
		handoff__buf_add(buf, "%u.%u ms", us / 1000, us / 100 % 10);
	else
		handoff__buf_add(
			buf, "%u.%02u s", us / 1000000, us / 10000 % 100);
}

/* "7998 of 8000 connections" */
static void
add_count(struct handoff__buf *buf, const struct handoff__ferry_report *r)
{
	handoff__buf_add(buf, "%u of %u connection%s", r->moved, r->total,
		handoff__plural(r->total));
}

/* ", 2 left: 1 MPTCP, 1 LAST_ACK" */
static void
add_whys(struct handoff__buf *buf, const struct handoff__ferry_report *r)
{
	const char *comma = ": ";

	handoff__buf_add(buf, ", %u left", r->left);
	for (uint32_t i = 0; i < r->nwhys && i < HANDOFF__FERRY_WHYS; i++) {
		if (r->whys[i].count == 0)
			continue;
		handoff__buf_add(buf, "%s%u %s", comma, r->whys[i].count,
			r->whys[i].word);
		comma = ", ";
	}
}

static void
add_doubt(struct handoff__buf *buf, const struct handoff__ferry_report *r,
	const char *host)
{
	if (r->doubt > 0)
		handoff__buf_add(buf,
			"; %u %s in doubt: silent until %s answers", r->doubt,
			r->doubt == 1 ? "is" : "are", host_text(host));
}

/* All are accounted for at the end: what has neither moved nor stayed has
 * ended, by its client or by the service. */
static uint32_t
count_ended(const struct handoff__ferry_report *r)
{
	uint32_t known = r->moved + r->left + r->doubt;

	return r->ok && !r->dry && r->total > known ? r->total - known : 0;
}

static void
add_ended(struct handoff__buf *buf, const struct handoff__ferry_report *r)
{
	uint32_t count = count_ended(r);

	if (count > 0)
		handoff__buf_add(buf, "; %u %s ended meanwhile", count,
			count == 1 ? "has" : "have");
}

/* While it goes on. */
static void
add_progress(struct handoff__buf *buf, const struct handoff__ferry_report *r,
	const char *host)
{
	host = host_text(host);
	if (r->step == HANDOFF__FERRY_ASKING) {
		handoff__buf_add(
			buf, "asking %s whether it can take the service", host);
		return;
	}
	if (r->step == HANDOFF__FERRY_FETCHING) {
		handoff__buf_add(
			buf, "waiting for %s to send the service", host);
		return;
	}
	handoff__buf_add(buf, "moving %s %s: ", towards(r), host);
	add_count(buf, r);
	if (r->step == HANDOFF__FERRY_LAST)
		handoff__buf_add(buf, ", now the last of them");
	else if (r->step == HANDOFF__FERRY_ADDRESS)
		handoff__buf_add(buf, ", now the addresses");
	add_doubt(buf, r, host);
}

static void
add_moved(struct handoff__buf *buf, const struct handoff__ferry_report *r,
	const char *host)
{
	handoff__buf_add(buf, "moved ");
	if (r->total > 0)
		add_count(buf, r);
	else
		handoff__buf_add(buf, "the service, which had no connections,");
	handoff__buf_add(buf, " %s %s in ", towards(r), host_text(host));
	add_duration(buf, r->took_us);
	if (r->hold_us > 0) {
		handoff__buf_add(buf, ", longest hold ");
		add_hold(buf, r->hold_us);
	}
}

static void
add_dry(struct handoff__buf *buf, const struct handoff__ferry_report *r,
	const char *host)
{
	uint32_t movable = r->total - (r->left < r->total ? r->left : r->total);

	if (r->total == 0) {
		handoff__buf_add(buf,
			"would move the service %s %s: it has no connections",
			towards(r), host_text(host));
		return;
	}
	handoff__buf_add(buf, "would move %u of %u connection%s %s %s", movable,
		r->total, handoff__plural(r->total), towards(r),
		host_text(host));
	add_whys(buf, r);
}

static void
add_failure(struct handoff__buf *buf, const struct handoff__ferry_report *r,
	const char *host)
{
	uint32_t gone = r->moved + r->doubt;
	uint32_t here = r->total > gone ? r->total - gone : 0;

	if (r->partial) {
		add_moved(buf, r, host);
		handoff__buf_add(buf, ", then stopped: ");
	}
	handoff__buf_add(buf, "%s",
		r->text[0] ? r->text : "the move failed, and left no reason");
	if (r->partial || (r->total > 0 && !r->dry))
		handoff__buf_add(buf, "; %u%s %s where %s", here,
			r->partial      ? ""
			: r->total == 1 ? " connection"
					: " connections",
			here == 1 ? "stays" : "stay",
			here == 1 ? "it was" : "they were");
	add_doubt(buf, r, host);
}

void
handoff__ferry_sentence(const struct handoff__ferry_report *report,
	const char *host, struct handoff__buf *buf)
{
	if (report->way == 0) {
		handoff__buf_add(buf, "no move yet");
	} else if (report->ended_ms == 0) {
		add_progress(buf, report, host);
	} else if (!report->ok) {
		add_failure(buf, report, host);
	} else if (report->dry) {
		add_dry(buf, report, host);
	} else if (report->rest && report->total == 0) {
		handoff__buf_add(buf,
			"nothing of the service was on %s any more",
			report->way == HANDOFF__FERRY_IN ? host_text(host)
							 : "this host");
	} else {
		add_moved(buf, report, host);
		add_whys(buf, report);
		add_ended(buf, report);
		add_doubt(buf, report, host);
	}
}

uint32_t
handoff__ferry_cut(const struct handoff__ferry_report *report)
{
	uint32_t count = 0;

	if (!report->ok || report->dry)
		return 0;
	for (uint32_t i = 0; i < report->nwhys && i < HANDOFF__FERRY_WHYS; i++)
		if (strcmp(report->whys[i].word, HANDOFF__FERRY_NOT_MOVING) !=
			0)
			count += report->whys[i].count;
	return count;
}

void
handoff__ferry_cut_text(
	uint32_t count, const char *host, struct handoff__buf *buf)
{
	if (count > 0)
		handoff__buf_add(buf,
			"error %u connection%s stay%s on %s, which %s address "
			"has left: %s client%s lose%s %s\n",
			count, handoff__plural(count), count == 1 ? "s" : "",
			host, count == 1 ? "its" : "their",
			count == 1 ? "its" : "their", handoff__plural(count),
			count == 1 ? "s" : "", count == 1 ? "it" : "them");
}

/* The status for people */

static const char *
site_word(enum handoff__ferry_site site)
{
	switch (site) {
	case HANDOFF__FERRY_HERE:
		return "here";
	case HANDOFF__FERRY_THERE:
		return "there";
	case HANDOFF__FERRY_NOWHERE:
		break;
	}
	return "nowhere";
}

/* A dry run that is over was no move. */
static const struct handoff__ferry_report *
last_move(const struct handoff__ferry_report *report,
	const struct handoff__ferry_report *before)
{
	static const struct handoff__ferry_report none;

	if (!report->dry || report->ended_ms == 0)
		return report;
	return before ? before : &none;
}

static bool
under_way(const struct handoff__ferry_report *r)
{
	return r->way != 0 && r->ended_ms == 0;
}

static const char *
text_or(const char *text, const char *otherwise)
{
	return text && text[0] ? text : otherwise;
}

static void
add_link_text(const struct handoff__ferry_status *s, const char *name,
	struct handoff__buf *buf)
{
	const char *host = host_text(s->other_host);

	if (!s->linked) {
		handoff__buf_add(buf, "! %s: no link to %s: %s\n", name, host,
			text_or(s->link_text, "none was made yet"));
		return;
	}
	handoff__buf_add(buf, "! %s: linked with %s on %s", name,
		text_or(s->other_name, "the ferry"), host);
	if (s->other_address[0])
		handoff__buf_add(buf, " (%s)", s->other_address);
	handoff__buf_add(buf, ", where %s\n",
		s->other_has_server ? "a server is ready"
				    : "no server is ready to take over");
}

static void
add_site_text(const struct handoff__ferry_status *s, const char *name,
	struct handoff__buf *buf)
{
	const char *addresses = text_or(s->addresses, "the service");

	if (s->site_text[0])
		handoff__buf_add(buf, "! %s: %s\n", name, s->site_text);
	switch (s->site) {
	case HANDOFF__FERRY_HERE:
		handoff__buf_add(buf, "! %s: here: %s", name, addresses);
		if (s->device && s->device[0])
			handoff__buf_add(buf, " on %s", s->device);
		if (s->absent[0])
			handoff__buf_add(buf, ", but not %s", s->absent);
		handoff__buf_add(buf, "\n");
		return;
	case HANDOFF__FERRY_THERE:
		handoff__buf_add(buf, "! %s: on %s: %s\n", name,
			host_text(s->other_host), addresses);
		return;
	case HANDOFF__FERRY_NOWHERE:
		break;
	}
	if (s->site_text[0])
		return;
	handoff__buf_add(buf, "! %s: on neither host, as far as is known: %s\n",
		name, addresses);
}

/* "2026-11-29 10:00:00" */
static void
add_time(struct handoff__buf *buf, int64_t at_ms)
{
	time_t at = (time_t)(at_ms / 1000);
	char text[32];
	struct tm tm;

	localtime_r(&at, &tm);
	strftime(text, sizeof(text), "%F %T", &tm);
	handoff__buf_add(buf, "%s", text);
}

/* Since when is known to the ferry that has sent it. */
static void
add_away_text(const struct handoff__ferry_status *s,
	const struct handoff__ferry_report *r, const char *name,
	struct handoff__buf *buf)
{
	if (s->site != HANDOFF__FERRY_THERE || r->way != HANDOFF__FERRY_OUT ||
		!r->ok)
		return;
	handoff__buf_add(buf, "gone %lld\n! %s: maintenance under way since ",
		(long long)r->ended_ms, name);
	add_time(buf, r->ended_ms);
	handoff__buf_add(buf, ": %s serves in place of this host\n",
		host_text(s->other_host));
}

/* The helper begins what it says with its own name. */
static void
add_gate_text(const struct handoff__ferry_status *s, const char *name,
	struct handoff__buf *buf)
{
	const char *text = text_or(s->gate_text, "no packet was held yet");

	if (strncmp(text, "gate: ", 6) == 0)
		text += 6;
	handoff__buf_add(buf, "! %s: %s: %s\n", name,
		s->gate ? "gate" : "no gate", text);
}

static void
add_doubt_text(const struct handoff__ferry_status *s, const char *name,
	struct handoff__buf *buf)
{
	const char *host = host_text(s->other_host);

	if (s->visiting > 0)
		handoff__buf_add(buf,
			"! %s: serves %u connection%s that an interrupted move "
			"has brought here: the addresses are on %s, and ready "
			"there takes %s back\n",
			name, s->visiting, handoff__plural(s->visiting), host,
			s->visiting == 1 ? "it" : "them");
	if (s->astray > 0)
		handoff__buf_add(buf,
			"! %s: %s serves %u connection%s that %s not "
			"come home\n",
			name, host, s->astray, handoff__plural(s->astray),
			s->astray == 1 ? "has" : "have");
	if (s->batches_doubt > 0)
		handoff__buf_add(buf,
			"! %s: in doubt: %u batch%s, %u connection%s, silent "
			"until %s answers\n",
			name, s->batches_doubt,
			s->batches_doubt == 1 ? "" : "es", s->doubt,
			handoff__plural(s->doubt), host);
	for (uint32_t i = 0; i < s->batches_doubt; i++)
		handoff__buf_add(buf,
			"! %s: batch %016llx: %u connection%s %s %s\n", name,
			(unsigned long long)s->doubts[i].id, s->doubts[i].count,
			handoff__plural(s->doubts[i].count),
			s->doubts[i].out ? "to" : "from", host);
	if (s->holding > 0)
		handoff__buf_add(buf,
			"! %s: holds %u connection%s that nobody serves until "
			"a server joins\n",
			name, s->holding, handoff__plural(s->holding));
}

static void
add_move_text(const struct handoff__ferry_status *s,
	const struct handoff__ferry_report *r, const char *name,
	struct handoff__buf *buf)
{
	if (r->way == 0)
		return;
	handoff__buf_add(buf, "! %s: ", name);
	if (!under_way(r)) {
		handoff__buf_add(buf, "last move, ");
		add_time(buf, r->ended_ms);
		handoff__buf_add(buf, ": ");
	}
	handoff__ferry_sentence(r, s->other_host, buf);
	handoff__buf_add(buf, "\n");
}

void
handoff__ferry_text(const struct handoff__ferry_status *status,
	const struct handoff__ferry_report *report, const char *name,
	struct handoff__buf *buf)
{
	report = last_move(report, status->before);
	handoff__buf_add(buf,
		"link %s\nsite %s\nother_host %s\n"
		"holding %u\nin_batches %u\n",
		status->linked ? "up" : "down", site_word(status->site),
		host_text(status->other_host), status->holding, status->doubt);
	if (under_way(report)) {
		handoff__buf_add(buf, "moving ");
		handoff__ferry_sentence(report, status->other_host, buf);
		handoff__buf_add(buf, "\n");
	}
	add_link_text(status, name, buf);
	add_site_text(status, name, buf);
	add_away_text(status, report, name, buf);
	add_gate_text(status, name, buf);
	if (status->hook && status->hook[0])
		handoff__buf_add(buf, "! %s: steers by %s%s%s\n", name,
			status->hook,
			text_or(status->hook_text, "")[0] ? ", which failed: "
							  : "",
			text_or(status->hook_text, ""));
	add_doubt_text(status, name, buf);
	add_move_text(status, report, name, buf);
}

/* The same for programs */

static void
add_string(struct handoff__buf *buf, const char *member, const char *value)
{
	handoff__buf_add(buf, ",\"%s\":", member);
	handoff__buf_json(buf, value ? value : "");
}

static const char *
json_bool(bool value)
{
	return value ? "true" : "false";
}

static void
add_whys_json(struct handoff__buf *buf, const struct handoff__ferry_report *r)
{
	const char *comma = "";

	for (uint32_t i = 0; i < r->nwhys && i < HANDOFF__FERRY_WHYS; i++) {
		handoff__buf_add(buf, "%s{\"reason\":", comma);
		handoff__buf_json(buf, r->whys[i].word);
		handoff__buf_add(buf, ",\"count\":%u}", r->whys[i].count);
		comma = ",";
	}
}

static void
add_move_json(struct handoff__buf *buf, const struct handoff__ferry_status *s,
	const struct handoff__ferry_report *r)
{
	struct handoff__buf text = {0};

	handoff__buf_add(buf, ",\"move\":");
	if (r->way == 0) {
		handoff__buf_add(buf, "null");
		return;
	}
	handoff__ferry_sentence(r, s->other_host, &text);
	buf->failed |= text.failed;
	handoff__buf_add(buf,
		"{\"direction\":\"%s\",\"under_way\":%s,\"complete\":%s,"
		"\"dry_run\":%s,\"ended_ms\":%lld,\"took_us\":%u,"
		"\"longest_hold_us\":%u,\"connections\":%u,\"moved\":%u,"
		"\"in_doubt\":%u,\"listeners\":%u,\"batches\":%u,"
		"\"tried_again\":%u,\"ended\":%u,\"left\":%u,"
		"\"left_behind\":[",
		r->way == HANDOFF__FERRY_IN ? "in" : "out",
		json_bool(under_way(r)), json_bool(r->ok), json_bool(r->dry),
		(long long)r->ended_ms, r->took_us, r->hold_us, r->total,
		r->moved, r->doubt, r->listeners, r->batches, r->again,
		count_ended(r), r->left);
	add_whys_json(buf, r);
	handoff__buf_add(buf, "]");
	add_string(buf, "text", text.data);
	handoff__buf_add(buf, "}");
	free(text.data);
}

static void
add_doubts_json(struct handoff__buf *buf, const struct handoff__ferry_status *s)
{
	handoff__buf_add(buf, ",\"doubts\":[");
	for (uint32_t i = 0; i < s->batches_doubt; i++)
		handoff__buf_add(buf,
			"%s{\"batch\":\"%016llx\",\"direction\":\"%s\","
			"\"connections\":%u}",
			i > 0 ? "," : "", (unsigned long long)s->doubts[i].id,
			s->doubts[i].out ? "out" : "in", s->doubts[i].count);
	handoff__buf_add(buf, "]");
}

void
handoff__ferry_json(const struct handoff__ferry_status *status,
	const struct handoff__ferry_report *report, struct handoff__buf *buf)
{
	handoff__buf_add(
		buf, ",\"ferry\":{\"linked\":%s", json_bool(status->linked));
	add_string(buf, "link_text", status->link_text);
	add_string(buf, "host", status->other_host);
	add_string(buf, "other", status->other_name);
	add_string(buf, "other_address", status->other_address);
	handoff__buf_add(buf, ",\"other_has_server\":%s,\"site\":\"%s\"",
		json_bool(status->other_has_server), site_word(status->site));
	add_string(buf, "site_text", status->site_text);
	add_string(buf, "addresses", status->addresses);
	add_string(buf, "device", status->device);
	handoff__buf_add(buf, ",\"gate\":%s", json_bool(status->gate));
	add_string(buf, "gate_text", status->gate_text);
	add_string(buf, "hook", status->hook);
	add_string(buf, "hook_text", status->hook_text);
	report = last_move(report, status->before);
	handoff__buf_add(buf,
		",\"batches_in_doubt\":%u,\"in_doubt\":%u,\"holding\":%u,"
		"\"astray\":%u,\"visiting\":%u,\"moves_out\":%u,\"moves_in\":%"
		"u,"
		"\"moves_failed\":%u,\"sent\":%llu,\"received\":%llu",
		status->batches_doubt, status->doubt, status->holding,
		status->astray, status->visiting, status->moves_out,
		status->moves_in, status->moves_failed,
		(unsigned long long)status->sent,
		(unsigned long long)status->received);
	add_doubts_json(buf, status);
	add_move_json(buf, status, report);
	handoff__buf_add(buf, "}");
}

/* And for monitors */

struct metrics {
	const struct handoff__pair *pair;
	struct handoff__buf *buf;
};

static void
gauge(const struct metrics *m, const char *name, uint64_t value,
	const char *help)
{
	handoff__metrics_family(m->buf, name, "gauge", help);
	handoff__metrics_sample(m->pair, m->buf, name, "", value);
}

static void
add_gauges(const struct metrics *m, const struct handoff__ferry_status *s,
	const struct handoff__ferry_report *r)
{
	gauge(m, "ferry_linked", s->linked,
		"Whether the ferry has a link to the one of the other host.");
	gauge(m, "ferry_address_here", s->site == HANDOFF__FERRY_HERE,
		"Whether the service's addresses are on this host.");
	gauge(m, "ferry_gate", s->gate,
		"Whether the helper that holds packets is there.");
	gauge(m, "ferry_batches_in_doubt", s->batches_doubt,
		"Batches that wait for the word of the other host.");
	gauge(m, "ferry_connections_in_doubt", s->doubt,
		"Connections in these batches, which nobody serves.");
	gauge(m, "ferry_connections_holding", s->holding,
		"Connections that nobody serves until a server joins.");
	gauge(m, "ferry_connections_astray", s->astray,
		"Connections that the other host serves, while the addresses "
		"are here.");
	gauge(m, "ferry_connections_visiting", s->visiting,
		"Connections that an interrupted move has brought here, while "
		"the addresses are on the other host.");
	gauge(m, "ferry_moving", under_way(r),
		"Whether the service is moving to another host or from it.");
}

static void
add_counters(const struct metrics *m, const struct handoff__ferry_status *s)
{
	const char *name = "ferry_moves_total";

	handoff__metrics_family(m->buf, name, "counter",
		"Moves between the hosts, by how they ended.");
	handoff__metrics_sample(
		m->pair, m->buf, name, "outcome=\"sent\"", s->moves_out);
	handoff__metrics_sample(
		m->pair, m->buf, name, "outcome=\"received\"", s->moves_in);
	handoff__metrics_sample(
		m->pair, m->buf, name, "outcome=\"failed\"", s->moves_failed);
	name = "ferry_connections_total";
	handoff__metrics_family(m->buf, name, "counter",
		"Connections that have changed hosts.");
	handoff__metrics_sample(
		m->pair, m->buf, name, "direction=\"out\"", s->sent);
	handoff__metrics_sample(
		m->pair, m->buf, name, "direction=\"in\"", s->received);
}

static void
add_last(const struct metrics *m, const struct handoff__ferry_report *r)
{
	if (r->way == 0 || r->dry || r->ended_ms == 0)
		return;
	handoff__metrics_family(m->buf, "ferry_last_move_seconds", "gauge",
		"How long the last move took.");
	handoff__metrics_seconds(
		m->pair, m->buf, "ferry_last_move_seconds", "", r->took_us);
	handoff__metrics_family(m->buf, "ferry_last_hold_seconds", "gauge",
		"The longest that packets waited in it.");
	handoff__metrics_seconds(
		m->pair, m->buf, "ferry_last_hold_seconds", "", r->hold_us);
	gauge(m, "ferry_last_left", r->left,
		"Connections that it has left behind.");
}

void
handoff__ferry_metrics(const struct handoff__ferry_status *status,
	const struct handoff__ferry_report *report,
	const struct handoff__pair *pair, struct handoff__buf *buf)
{
	const struct metrics m = {pair, buf};

	report = last_move(report, status->before);
	add_gauges(&m, status, report);
	add_counters(&m, status);
	add_last(&m, report);
}

/* Names of hosts */

/* Whether `name` is the address without its port: "192.0.2.2:7100" has
 * "192.0.2.2", "[fd00::2]:7100" has "[fd00::2]" and "fd00::2". */
static bool
is_without_port(const char *address, const char *name)
{
	const char *end = strrchr(address, ':');
	size_t len = end ? (size_t)(end - address) : 0;

	if (len == 0)
		return false;
	if (strlen(name) == len && strncmp(address, name, len) == 0)
		return true;
	return address[0] == '[' && len > 2 && strlen(name) == len - 2 &&
	       strncmp(address + 1, name, len - 2) == 0;
}

bool
handoff__ferry_is_host(
	const struct handoff__ferry_status *status, const char *name)
{
	return name[0] == '\0' || strcmp(name, "-") == 0 ||
	       strcmp(name, status->other_host) == 0 ||
	       strcmp(name, status->other_name) == 0 ||
	       strcmp(name, status->other_address) == 0 ||
	       is_without_port(status->other_address, name);
}
