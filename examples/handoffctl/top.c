/* SPDX-License-Identifier: MIT */
/*
 * Composes the frames of `top` from samples. What a terminal is like is
 * screen.c's, what a number means sample.c's.
 */
#include "top.h"

#include "screen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_MS 500 /* the first frame is early */
#define FIXED    8   /* lines beside those of connections and handoffs */

/* "812 B", "1.2 kB" */
static const char *
bytes_text(double bytes, char text[16])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	size_t i = 0;

	while (bytes >= 999.95 && i + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1000;
		i++;
	}
	snprintf(text, 16, i == 0 ? "%.0f %s" : "%.1f %s", bytes, units[i]);
	return text;
}

/* "2:03:04" */
static const char *
age_text(long long ms, char text[24])
{
	long long s = ms > 0 ? ms / 1000 : 0;

	snprintf(text, 24, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
	return text;
}

static void
clock_text(long long ms, char text[16])
{
	time_t at = (time_t)(ms / 1000);
	struct tm tm;

	localtime_r(&at, &tm);
	strftime(text, 16, "%H:%M:%S", &tm);
}

static void
add_head(FILE *out, const struct sample *s, long long now_ms)
{
	char in[16], sent[16], at[16];

	clock_text(now_ms, at);
	fprintf(out, "%s  %s:", at, s->service[0] ? s->service : "?");
	for (size_t i = 0; i < s->peers.count; i++) {
		const struct peer *peer = &s->peers.peer[i];

		fprintf(out, "%s %s (pid %d) is %s", i > 0 ? "," : "",
			peer->name, (int)peer->pid, peer->role);
		if (peer_is(peer, "owner"))
			fprintf(out, " of %lld connection%s, %lld not covered",
				peer->connections,
				peer->connections == 1 ? "" : "s",
				peer->uncovered);
	}
	fprintf(out, "\nreceived %s/s, sent %s/s\n\n", bytes_text(s->in, in),
		bytes_text(s->out, sent));
}

/* Up to the label a row has 79 columns: a terminal has 80. */
static void
add_flow(FILE *out, const struct flow *flow, long long now_ms)
{
	char in[16], sent[16], all[16], age[24];

	fprintf(out, "%-10s %8lld  %-21s %8s %8s %8s %9s  %s%s\n", flow->peer,
		flow->id, flow->client, bytes_text(flow->in, in),
		bytes_text(flow->out, sent),
		bytes_text((double)(flow->received + flow->sent), all),
		age_text(now_ms - flow->since_ms, age),
		flow->session ? "[session] " : "", flow->label);
}

static void
add_flows(FILE *out, const struct sample *s, long long now_ms, size_t most)
{
	size_t shown = s->count < most ? s->count : most;
	long long rest = (long long)(s->count - shown) + s->omitted;

	fprintf(out, "%-10s %8s  %-21s %8s %8s %8s %9s  %s\n", "PEER", "ID",
		"CLIENT", "IN/S", "OUT/S", "BYTES", "SINCE", "LABEL");
	for (size_t i = 0; i < shown; i++)
		add_flow(out, &s->flows[i], now_ms);
	if (rest > 0)
		fprintf(out, "... and %lld more\n", rest);
}

static void
add_gives(FILE *out, const struct gives *gives, size_t most)
{
	const struct give *longest = &gives->longest;
	char at[16];

	if (gives->count == 0) {
		fputs("\nno handoff yet\n", out);
		return;
	}
	fprintf(out, "\nhandoffs; longest silence %.3f ms, in number %lld\n",
		(double)longest->took_us / 1000, longest->id);
	for (size_t i = 0; i < gives->count && i < most; i++) {
		const struct give *give = &gives->list[i];

		clock_text(give->at_ms, at);
		fprintf(out,
			"%6lld  %s  %-12s  %s -> %s  %lld connection%s in "
			"%.3f ms%s\n",
			give->id, at, give->cause, give->from, give->to,
			give->connections, give->connections == 1 ? "" : "s",
			(double)give->took_us / 1000,
			give->complete ? "" : ", not complete");
	}
}

/* Cuts the lines, none of them within a character, and drops those that are
 * too many. */
static void
cut_lines(char *text, size_t rows, size_t columns)
{
	char *to = text;

	for (size_t at = 0; *text && rows > 0; text++) {
		if (*text == '\n') {
			at = 0;
			rows--;
		} else if (((unsigned char)*text & 0xc0) != 0x80) {
			at++;
		}
		if (at <= columns)
			*to++ = *text;
	}
	*to = '\0';
}

char *
top_frame(const struct sample *sample, const struct gives *gives,
	long long now_ms, size_t rows, size_t columns)
{
	size_t room = rows > FIXED ? rows - FIXED : 1, size;
	size_t listed = gives->count < room / 2 ? gives->count : room / 2;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	add_head(out, sample, now_ms);
	add_flows(out, sample, now_ms, room - listed);
	add_gives(out, gives, listed);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	cut_lines(text, rows, columns);
	return text;
}

static long long
clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct top {
	const char *dir;
	struct screen screen;
	struct sample sample, before; /* `before` at first without a moment */
	struct gives gives;
	bool first;
	char why[HANDOFF_TEXT_MAX]; /* there is no sample */
};

/* 0, -ENOENT without a peer, or another negative errno */
static int
look(struct top *top)
{
	int err;

	sample_free(&top->sample);
	err = sample_take(&top->sample, top->dir, top->why);
	if (err < 0) {
		sample_free(&top->before);
		top->before.at_ms = 0;
		return err;
	}
	gives_add(&top->gives, &top->sample);
	if (top->before.at_ms > 0)
		sample_rate(&top->sample, &top->before);
	sample_free(&top->before);
	return sample_copy(&top->before, &top->sample) ? 0 : -ENOMEM;
}

static bool
draw(struct top *top, int err)
{
	size_t rows, columns;
	char *text;
	bool good;

	screen_size(&top->screen, &rows, &columns);
	if (err < 0 && asprintf(&text, "%s\n", top->why) < 0)
		text = NULL;
	if (err == 0)
		text = top_frame(&top->sample, &top->gives,
			clock_ms(CLOCK_REALTIME), rows, columns);
	if (err < 0 && text)
		cut_lines(text, rows, columns);
	good = text && screen_draw(&top->screen, text, top->first);
	top->first = false;
	free(text);
	return good;
}

static int
tell(const char *why)
{
	fprintf(stderr, "handoffctl: %s\n", why);
	return 1;
}

static int
tell_output(void)
{
	fprintf(stderr, "handoffctl: standard output: %s\n", strerror(errno));
	return 1;
}

/* Waits for the moment, drawing again what there is. */
static bool
wait_until(struct top *top, long long end_ms, int err)
{
	enum screen_event event;

	while ((event = screen_wait(&top->screen, end_ms)) == SCREEN_REDRAW) {
		if (top->screen.drawn && !draw(top, err))
			return false;
	}
	return event == SCREEN_TIME;
}

static int
run_once(struct top *top, int period_ms)
{
	int err = look(top);

	if (err == 0) {
		struct timespec pause = {.tv_sec = period_ms / 1000,
			.tv_nsec = (long)(period_ms % 1000) * 1000000};

		nanosleep(&pause, NULL);
		err = look(top);
	}
	if (err < 0)
		return tell(top->why);
	if (!draw(top, 0))
		return tell_output();
	return top->sample.partly ? tell("not every peer has answered") : 0;
}

static int
run_again(struct top *top, int period_ms)
{
	int err = look(top);
	long long end_ms = clock_ms(CLOCK_MONOTONIC);
	bool good = true, early = err == 0;

	if (err < 0 && err != -ENOENT)
		return tell(top->why);
	screen_open(&top->screen);
	do {
		if (!early && !(good = draw(top, err)))
			break;
		end_ms += early && period_ms > FIRST_MS ? FIRST_MS : period_ms;
		early = false;
		if (!wait_until(top, end_ms, err))
			break;
		err = look(top);
	} while (true);
	screen_close(&top->screen);
	return good ? 0 : tell("standard output cannot be written");
}

int
run_top(const char *dir, int period_ms, bool once)
{
	struct top top = {.dir = dir, .first = true};
	int code =
		once ? run_once(&top, period_ms) : run_again(&top, period_ms);

	sample_free(&top.sample);
	sample_free(&top.before);
	return code;
}
