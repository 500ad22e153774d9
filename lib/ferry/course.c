/* SPDX-License-Identifier: MIT */
/*
 * The report of the move in progress: begun, passed to the other ferry, ended.
 * Decides nothing.
 */
#include "ferry/course.h"

#include "ferry/letters.h"

#include <string.h>
#include <time.h>

bool
handoff__course_runs(const struct handoff__ferry *ferry)
{
	return ferry->report.way != 0 && ferry->report.ended_ms == 0;
}

void
handoff__course_begin(struct handoff__ferry *ferry, enum handoff__ferry_way way,
	enum handoff__ferry_step step)
{
	if (ferry->report.ended_ms > 0 && !ferry->report.dry)
		ferry->before = ferry->report;
	memset(&ferry->report, 0, sizeof(ferry->report));
	ferry->report.way = way;
	ferry->report.step = step;
	ferry->report.began_us = handoff__now_us();
}

void
handoff__course_end(struct handoff__ferry *ferry, const char *text)
{
	struct handoff__ferry_report *report = &ferry->report;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	report->ended_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	report->took_us = (uint32_t)(handoff__now_us() - report->began_us);
	report->ok = text == NULL;
	report->partial = text && report->moved > 0;
	if (text)
		handoff__copy(report->text, sizeof(report->text), text);
	if (text)
		ferry->moves_failed++;
	else if (!report->dry)
		(*(report->way == HANDOFF__FERRY_OUT ? &ferry->moves_out
						     : &ferry->moves_in))++;
	report->step = HANDOFF__FERRY_IDLE;
	if (ferry->events.ended)
		ferry->events.ended(ferry, report);
}

/* The last row is for all that find no other. */
void
handoff__course_count(
	struct handoff__ferry *ferry, const char *word, uint32_t count)
{
	struct handoff__ferry_report *report = &ferry->report;
	uint32_t i = 0;

	while (i < report->nwhys && strcmp(report->whys[i].word, word) != 0)
		i++;
	if (i == HANDOFF__FERRY_WHYS)
		i--;
	if (i == report->nwhys) {
		handoff__copy(report->whys[i].word,
			sizeof(report->whys[i].word), word);
		report->nwhys++;
	}
	report->whys[i].count += count;
	report->left += count;
}

void
handoff__course_send(struct handoff__ferry *ferry)
{
	const struct handoff__ferry_report *from = &ferry->report;
	struct handoff__letter letter = {.type = HANDOFF__LETTER_REPORT};
	struct handoff__letter_report *to = &letter.report;

	to->step = from->step;
	to->ok = from->ok;
	to->partial = from->partial;
	to->total = from->total;
	to->moved = from->moved;
	to->left = from->left;
	to->doubt = from->doubt;
	to->listeners = from->listeners;
	to->batches = from->batches;
	to->again = from->again;
	to->took_us = from->took_us;
	to->hold_us = from->hold_us;
	to->nwhys = from->nwhys;
	for (uint32_t i = 0; i < from->nwhys; i++) {
		handoff__copy(to->whys[i].word, sizeof(to->whys[i].word),
			from->whys[i].word);
		to->whys[i].count = from->whys[i].count;
	}
	handoff__copy(letter.text, sizeof(letter.text), from->text);
	handoff__letters_send(ferry, &letter);
}

void
handoff__course_receive(
	struct handoff__ferry *ferry, const struct handoff__letter_report *from)
{
	struct handoff__ferry_report *to = &ferry->report;

	to->total = from->total;
	to->moved = from->moved;
	to->left = from->left;
	to->doubt = from->doubt;
	to->listeners = from->listeners;
	to->batches = from->batches;
	to->again = from->again;
	to->hold_us = from->hold_us;
	to->nwhys = from->nwhys < HANDOFF__FERRY_WHYS ? from->nwhys
						      : HANDOFF__FERRY_WHYS;
	for (uint32_t i = 0; i < to->nwhys; i++) {
		handoff__copy(to->whys[i].word, sizeof(to->whys[i].word),
			from->whys[i].word);
		to->whys[i].count = from->whys[i].count;
	}
}
