/* SPDX-License-Identifier: MIT */
/*
 * Judges two statuses: picks a sentence of sentences.h and fills it in. Asks
 * nobody. A peer may be of another version: what it does not report counts as
 * not promised.
 */
#include "control/verdict.h"

#include "control/sentences.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum sentence {
#define NAME(name, grade, text) SENTENCE_##name,
	HANDOFF__SENTENCES(NAME)
#undef NAME
};

static const struct {
	enum handoff__grade grade;
	const char *text;
} sentences[] = {
#define ENTRY(name, grade, text) {HANDOFF__GRADE_##grade, text},
	HANDOFF__SENTENCES(ENTRY)
#undef ENTRY
};

/* What a sentence is about. */
struct case_of {
	const struct handoff__contact *peer, *other; /* `other` may be NULL */
};

static unsigned long long
number(const struct handoff__contact *peer, const char *key)
{
	const char *text = NULL;
	size_t len;

	if (peer && peer->role[0])
		text = handoff__contact_value(peer, key, NULL, &len);
	return text ? strtoull(text, NULL, 10) : 0;
}

static bool
is(const struct handoff__contact *peer, const char *key, const char *value)
{
	size_t len = 0;
	const char *text = handoff__contact_value(peer, key, NULL, &len);

	return text && len == strlen(value) && strncmp(text, value, len) == 0;
}

static void
add_value(const struct handoff__contact *peer, const char *key,
	const char *missing, struct handoff__buf *buf)
{
	size_t len = 0;
	const char *text =
		peer ? handoff__contact_value(peer, key, NULL, &len) : NULL;

	if (text && len > 0)
		handoff__buf_add(buf, "%.*s", (int)len, text);
	else
		handoff__buf_add(buf, "%s", missing);
}

static void
add_count(struct handoff__buf *buf, unsigned long long count)
{
	handoff__buf_add(
		buf, "%llu connection%s", count, count == 1 ? "" : "s");
}

/* "no connection", "3 connections, 1 of them absent"; with `all` "all 3
 * connections". */
static void
add_connections(const struct handoff__contact *peer, const char *key, bool all,
	struct handoff__buf *buf)
{
	unsigned long long count = number(peer, key);
	unsigned long long absent = number(peer, "absent");

	if (count == 0) {
		handoff__buf_add(buf, "no connection");
		return;
	}
	if (all)
		handoff__buf_add(buf, count == 1 ? "the " : "all ");
	add_count(buf, count);
	if (absent > 0 && strcmp(key, "connections") == 0)
		handoff__buf_add(buf, " (%llu absent)", absent);
}

/* Those of whom nothing is known beside their number. */
static const char *
count_key(enum sentence sentence)
{
	switch (sentence) {
	case SENTENCE_IN_DOUBT:
		return "in_batches";
	case SENTENCE_LEFT_IN_DOUBT:
		return "in_doubt";
	case SENTENCE_HELD:
		return "holding";
	default:
		return "connections";
	}
}

/* The peer that the service is away from. */
static void
add_home(const struct handoff__contact *peer, struct handoff__buf *buf)
{
	static const char before[] = " in place of ";
	size_t len = 0;
	const char *text = handoff__contact_value(peer, "away", NULL, &len);
	const char *at =
		text ? memmem(text, len, before, sizeof(before) - 1) : NULL;

	if (at) {
		at += sizeof(before) - 1;
		handoff__buf_add(buf, "%.*s", (int)(text + len - at), at);
	} else {
		handoff__buf_add(buf, "the other server");
	}
}

/* With the process ID where both peers have the name. */
static void
add_name(const struct case_of *c, const struct handoff__contact *peer,
	struct handoff__buf *buf)
{
	handoff__buf_add(buf, "%s", peer->name);
	if (c->other && strcmp(c->peer->name, c->other->name) == 0)
		handoff__buf_add(buf, " (pid %ld)", peer->pid);
}

static void
fill_in(const struct case_of *c, enum sentence sentence, const char *word,
	size_t len, struct handoff__buf *buf)
{
	unsigned long long entries = number(c->peer, "uncovered");
	const char *key = count_key(sentence);

#define WORD(text) (len == sizeof(text) - 1 && strncmp(word, text, len) == 0)
	if (WORD("peer"))
		add_name(c, c->peer, buf);
	else if (WORD("other"))
		add_name(c, c->other, buf);
	else if (WORD("connections"))
		add_connections(c->peer, key, false, buf);
	else if (WORD("all"))
		add_connections(c->peer, key, true, buf);
	else if (WORD("rest"))
		add_connections(c->other, key, false, buf);
	else if (WORD("entries"))
		handoff__buf_add(buf, "%llu entr%s", entries,
			entries == 1 ? "y" : "ies");
	else if (WORD("home"))
		add_home(c->peer, buf);
	else if (WORD("host"))
		add_value(c->peer, "other_host", "another host", buf);
	else if (WORD("suspects"))
		add_count(buf, number(c->peer, "suspects"));
	else if (WORD("why"))
		add_value(c->other, "loading", "it is loading", buf);
#undef WORD
}

static enum handoff__grade
add_sentence(const struct case_of *c, enum sentence sentence,
	struct handoff__buf *buf)
{
	const char *at = sentences[sentence].text;

	while (*at) {
		size_t plain = strcspn(at, "{"), word;

		handoff__buf_add(buf, "%.*s", (int)plain, at);
		at += plain;
		if (!*at)
			break;
		word = strcspn(at + 1, "}");
		fill_in(c, sentence, at + 1, word, buf);
		at += word + 2;
	}
	return sentences[sentence].grade;
}

static bool
has_role(const struct handoff__contact *peer, const char *role)
{
	return strcmp(peer->role, role) == 0;
}

static bool
is_silent(const struct handoff__contact *peer)
{
	return peer && !peer->role[0];
}

static enum sentence
judge_silence(const struct case_of *c)
{
	if (!c->other)
		return SENTENCE_SILENT;
	if (is_silent(c->peer))
		return SENTENCE_SILENT_BOTH;
	return has_role(c->peer, "owner") ? SENTENCE_SILENT_STANDBY
					  : SENTENCE_SILENT_OWNER;
}

/* A ferry owns the service: it serves nothing. */
static enum sentence
judge_ferry(const struct case_of *c)
{
	if (number(c->peer, "holding") > 0)
		return SENTENCE_HELD;
	return is(c->peer, "site", "there") ? SENTENCE_ELSEWHERE
					    : SENTENCE_FERRY_ALONE;
}

static enum sentence
judge_alone(const struct case_of *c)
{
	static const char hosted[] = "the service is on another host";
	size_t len = 0;
	const char *away = handoff__contact_value(c->peer, "away", NULL, &len);

	if (away && strncmp(away, hosted, sizeof(hosted) - 1) == 0)
		return SENTENCE_HOSTED;
	if (number(c->peer, "connections") == 0)
		return SENTENCE_ALONE_IDLE;
	return away ? SENTENCE_ALONE_AWAY : SENTENCE_ALONE;
}

/* What the owner says of its link. */
static bool
judge_link(const struct case_of *c, enum sentence *sentence)
{
	if (is(c->peer, "partner", "ready"))
		return false;
	*sentence = is(c->peer, "partner", "hung")      ? SENTENCE_HUNG
		    : is(c->peer, "partner", "apart")   ? SENTENCE_APART
		    : is(c->peer, "partner", "loading") ? SENTENCE_LOADING
							: SENTENCE_UNJOINED;
	return true;
}

static enum sentence
judge_both(const struct case_of *c)
{
	enum sentence sentence;
	size_t len;

	if (judge_link(c, &sentence))
		return sentence;
	if (number(c->other, "connections") > 0)
		return SENTENCE_SPLIT;
	if (number(c->peer, "uncovered") > 0)
		return SENTENCE_UNCOVERED;
	if (is(c->peer, "lagging", "yes"))
		return SENTENCE_LAGGING;
	if (handoff__contact_is_ferry(c->other))
		return SENTENCE_FERRY;
	return handoff__contact_value(c->peer, "away", NULL, &len)
		       ? SENTENCE_AWAY
		       : SENTENCE_COVERED;
}

/* `peer` is the owner, if there is one. */
static enum sentence
judge_case(struct case_of *c)
{
	const struct handoff__contact *ferry =
		handoff__contact_is_ferry(c->peer)                ? c->peer
		: c->other && handoff__contact_is_ferry(c->other) ? c->other
								  : NULL;
	const char *idle = handoff__contact_idle(c->peer);

	if (is_silent(c->peer) || is_silent(c->other))
		return judge_silence(c);
	if (number(ferry, "in_batches") > 0) {
		if (ferry != c->peer)
			c->other = c->peer;
		c->peer = ferry;
		return SENTENCE_IN_DOUBT;
	}
	if (!has_role(c->peer, "owner"))
		return c->other ? SENTENCE_UNOWNED_BOTH : SENTENCE_UNOWNED;
	if (number(c->peer, "in_doubt") > 0)
		return SENTENCE_LEFT_IN_DOUBT;
	if (ferry == c->peer)
		return judge_ferry(c);
	if (idle)
		return strcmp(idle, "frozen") == 0 ? SENTENCE_FROZEN
						   : SENTENCE_NO_LEASE;
	return c->other ? judge_both(c) : judge_alone(c);
}

/* The owner first, and what answers before what does not. */
static struct case_of
order(const struct handoff__contact *peers, size_t npeers)
{
	struct case_of c = {.peer = &peers[0]};

	if (npeers < 2)
		return c;
	c.other = &peers[1];
	if (has_role(c.peer, "owner") ||
		!(has_role(c.other, "owner") || is_silent(c.peer)))
		return c;
	c.other = c.peer;
	c.peer = &peers[1];
	return c;
}

enum handoff__grade
handoff__verdict(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf)
{
	struct case_of c = order(peers, npeers);
	enum sentence sentence = judge_case(&c);

	return add_sentence(&c, sentence, buf);
}

const char *
handoff__grade_word(enum handoff__grade grade)
{
	static const char *const words[] = {
		"OK", "WARNING", "CRITICAL", "UNKNOWN"};

	return words[grade];
}

static enum handoff__grade
worse(enum handoff__grade a, enum handoff__grade b)
{
	return a > b ? a : b;
}

/* What is worth a warning beside the sentence. */
static enum handoff__grade
add_warnings(const struct handoff__contact *peer,
	const struct handoff__contact *other, bool away,
	struct handoff__buf *buf)
{
	const struct case_of c = {.peer = peer, .other = other};
	enum handoff__grade grade = HANDOFF__GRADE_OK;
	size_t len;

	if (away && handoff__contact_value(peer, "away", NULL, &len)) {
		handoff__buf_add(buf, "; ");
		add_value(peer, "away", "", buf);
		grade = HANDOFF__GRADE_WARNING;
	}
	if (number(peer, "gone") > 0) {
		handoff__buf_add(buf, "; ");
		grade = worse(grade, add_sentence(&c, SENTENCE_GONE, buf));
	}
	if (number(peer, "suspects") > 0) {
		handoff__buf_add(buf, "; ");
		grade = worse(grade, add_sentence(&c, SENTENCE_SUSPECTED, buf));
	}
	if (is(peer, "link", "down")) {
		handoff__buf_add(buf, "; ");
		grade = worse(grade, add_sentence(&c, SENTENCE_UNLINKED, buf));
	}
	return grade;
}

static void
add_numbers(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf)
{
	static const char *const keys[] = {
		"connections", "uncovered", "absent", "in_doubt"};

	handoff__buf_add(buf, " |");
	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
		unsigned long long sum = 0;

		for (size_t i = 0; i < npeers; i++) {
			sum += number(&peers[i], keys[k]);
			if (strcmp(keys[k], "in_doubt") == 0)
				sum += number(&peers[i], "in_batches");
		}
		handoff__buf_add(buf, " %s=%llu", keys[k], sum);
	}
}

/* The bar begins the numbers; what a service says may have one. */
static void
remove_bars(struct handoff__buf *buf)
{
	for (size_t i = 0; !buf->failed && i < buf->len; i++) {
		if (buf->data[i] == '|')
			buf->data[i] = '/';
	}
}

enum handoff__grade
handoff__verdict_line(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf)
{
	const char *service = handoff__contacts_service(peers, npeers);
	struct handoff__buf text = {.data = NULL};
	enum handoff__grade grade = handoff__verdict(peers, npeers, &text);
	bool away = true;

	for (size_t i = 0; i < npeers; i++) {
		size_t len;

		grade = worse(grade, add_warnings(&peers[i],
					     npeers > 1 ? &peers[1 - i] : NULL,
					     away, &text));
		/* both tell of the same maintenance */
		away = away &&
		       !handoff__contact_value(&peers[i], "away", NULL, &len);
	}
	remove_bars(&text);
	handoff__buf_add(buf, "HANDOFF %s - %s%s%s", handoff__grade_word(grade),
		service ? service : "", service ? ": " : "",
		text.data ? text.data : "");
	buf->failed = buf->failed || text.failed;
	free(text.data);
	add_numbers(peers, npeers, buf);
	handoff__buf_add(buf, "\n");
	return grade;
}
