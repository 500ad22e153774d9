/* SPDX-License-Identifier: MIT */
/*
 * Where the service's addresses are. An operator may put them on the device of
 * a host or remove them while its ferry runs, which then acts as if it had been
 * started like that. Two hosts that both have them are told, and not decided
 * between: only the operator knows.
 */
#include "ferry/site.h"

#include "ferry/choice.h"
#include "ferry/course.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GUEST_FILE "guest"

/* Those that are on the device, a bit for each; and those on lo. */
static int
look(struct handoff__ferry *ferry, uint32_t *on_device, uint32_t *on_lo)
{
	char other[IFNAMSIZ];

	*on_device = *on_lo = 0;
	for (uint32_t i = 0; i < ferry->nprefixes; i++) {
		int spot = handoff__address_spot(&ferry->device,
			&ferry->prefixes[i], other, &ferry->error);

		if (spot < 0)
			return spot;
		if (spot == HANDOFF__ON_DEVICE)
			*on_device |= 1u << i;
		else if (spot == HANDOFF__ON_LO)
			*on_lo |= 1u << i;
	}
	return 0;
}

int
handoff__site_find(struct handoff__ferry *ferry)
{
	uint32_t on_lo;
	int err = look(ferry, &ferry->present, &on_lo);

	if (err < 0)
		return err;
	ferry->site =
		ferry->present ? HANDOFF__FERRY_HERE : HANDOFF__FERRY_NOWHERE;
	return 0;
}

void
handoff__site_remember(struct handoff__ferry *ferry)
{
	ferry->guest = faccessat(ferry->dir.fd, GUEST_FILE, F_OK,
			       AT_SYMLINK_NOFOLLOW) == 0;
}

static void
set_guest(struct handoff__ferry *ferry, bool guest)
{
	int fd;

	if (ferry->guest == guest)
		return;
	ferry->guest = guest;
	if (!guest) {
		unlinkat(ferry->dir.fd, GUEST_FILE, 0);
		return;
	}
	fd = openat(ferry->dir.fd, GUEST_FILE,
		O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		close(fd);
	else
		handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
			"cannot create %s/" GUEST_FILE
			": %s; another ferry here will not know that the "
			"service has its home on the other host",
			ferry->dir.path, strerror(errno));
}

void
handoff__site_came(struct handoff__ferry *ferry)
{
	if (!(ferry->other.flags & HANDOFF__LETTER_GUEST))
		set_guest(ferry, true);
}

static bool
is_there(const struct handoff__ferry *ferry)
{
	return ferry->greeted && ferry->other.flags & HANDOFF__LETTER_AT_HOME;
}

/* Once more if the kernel is slow. */
static int
to_device(struct handoff__ferry *ferry, const struct handoff__prefix *prefix,
	struct handoff__error *error)
{
	int err = handoff__address_to_device(&ferry->device, prefix, error);

	return err == -ETIMEDOUT ? handoff__address_to_device(
					   &ferry->device, prefix, error)
				 : err;
}

/* They answer for themselves here, and the neighbours hear of it. */
static void
adopt(struct handoff__ferry *ferry, uint32_t which)
{
	struct handoff__prefix list[HANDOFF__PREFIXES];
	struct handoff__error error;
	uint32_t n = 0;

	for (uint32_t i = 0; i < ferry->nprefixes; i++) {
		if (!(which & 1u << i))
			continue;
		list[n++] = ferry->prefixes[i];
		if (to_device(ferry, &ferry->prefixes[i], &error) < 0)
			handoff__log(&ferry->log, HANDOFF_LOG_ERROR,
				"address: %s", error.text);
	}
	if (handoff__announce_start(
		    &ferry->announce, &ferry->device, list, n, &error) < 0)
		handoff__log(&ferry->log, HANDOFF_LOG_WARNING, "announce: %s",
			error.text);
}

static void
appear(struct handoff__ferry *ferry, uint32_t which)
{
	if (ferry->site != HANDOFF__FERRY_HERE)
		handoff__log(&ferry->log, HANDOFF_LOG_INFO,
			"the service's addresses were put on %s: it is here",
			ferry->device.name);
	ferry->site = HANDOFF__FERRY_HERE;
	ferry->present |= which;
	ferry->due = ferry->returns = true;
	adopt(ferry, which);
}

static void
vanish(struct handoff__ferry *ferry)
{
	handoff__announce_stop(&ferry->announce);
	ferry->site =
		is_there(ferry) ? HANDOFF__FERRY_THERE : HANDOFF__FERRY_NOWHERE;
	ferry->due = true;
	handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
		"the service's addresses were removed from %s: %s",
		ferry->device.name,
		is_there(ferry) ? "the service is on the other host"
				: "they are on neither host");
}

void
handoff__site_watch(struct handoff__ferry *ferry)
{
	uint32_t before = ferry->present, now, on_lo;

	if (handoff__course_runs(ferry) || look(ferry, &now, &on_lo) < 0)
		return;
	ferry->present = now;
	if (now == 0 && ferry->site == HANDOFF__FERRY_HERE)
		vanish(ferry);
	else if (now != 0 && !is_there(ferry) &&
		 ferry->site != HANDOFF__FERRY_HERE) {
		/* those on lo had waited for the end of a move to this host */
		if (on_lo)
			handoff__site_came(ferry);
		else if (handoff__choice_count(ferry) == 0)
			set_guest(ferry, false);
		appear(ferry, now | on_lo);
	} else if (now & ~before && !is_there(ferry))
		appear(ferry, now & ~before);
	if (now != before)
		ferry->due = true;
	handoff__site_compare(ferry);
}

void
handoff__site_compare(struct handoff__ferry *ferry)
{
	bool both = ferry->present != 0 && is_there(ferry);
	char text[HANDOFF_TEXT_MAX];

	/* while they move, what the other ferry has said is of before */
	if (handoff__course_runs(ferry) || both == ferry->on_both)
		return;
	ferry->on_both = both;
	if (both && handoff__site_objection(ferry, text))
		handoff__log(&ferry->log, HANDOFF_LOG_ERROR, "%s", text);
	else
		handoff__log(&ferry->log, HANDOFF_LOG_INFO,
			"the service's addresses are not on both hosts any "
			"more");
}

void
handoff__site_command(const struct handoff__ferry *ferry, const char *verb,
	char *text, size_t size)
{
	char prefix[HANDOFF__PREFIX_TEXT];

	handoff__prefix_format(&ferry->prefixes[0], prefix, sizeof(prefix));
	snprintf(text, size, "ip addr %s %s dev %s%s", verb, prefix,
		ferry->device.name,
		ferry->nprefixes > 1 ? ", and so with the others" : "");
}

/* This host and the other one; the latter is "" before it was linked. */
static void
say_both(const struct handoff__ferry *ferry, const char *host, char *text,
	size_t size)
{
	char command[HANDOFF_TEXT_MAX];

	handoff__site_command(ferry, "del", command, sizeof(command));
	snprintf(text, size,
		"the service's addresses are on both hosts, %.40s and %.40s: "
		"remove them from the one that is not to serve: %s",
		host, ferry->other_host, command);
}

/* " (serves 5 connections)", or nothing. */
static const char *
count(uint32_t astray, char text[64])
{
	text[0] = '\0';
	if (astray > 0)
		snprintf(text, 64, " (serves %u connection%s)", astray,
			handoff__plural(astray));
	return text;
}

static void
say_nowhere(const struct handoff__ferry *ferry, const char *host, char *text,
	size_t size)
{
	char command[HANDOFF_TEXT_MAX], here[64], there[64];

	handoff__site_command(ferry, "add", command, sizeof(command));
	snprintf(text, size,
		"the service's addresses are not on %.40s%s%s%.40s%s: put them "
		"on the host that is to serve: %.180s",
		host, count(ferry->astray, here),
		ferry->greeted ? ", nor on " : "",
		ferry->greeted ? ferry->other_host : "",
		count(ferry->greeted ? ferry->other.astray : 0, there),
		command);
}

bool
handoff__site_objection(
	const struct handoff__ferry *ferry, char text[HANDOFF_TEXT_MAX])
{
	char line[2 * HANDOFF_TEXT_MAX], host[HANDOFF__LETTER_HOST] = "";

	if (gethostname(host, sizeof(host) - 1) < 0 || !host[0])
		handoff__copy(host, sizeof(host), ferry->options.name);
	if (ferry->on_both)
		say_both(ferry, host, line, sizeof(line));
	else if (ferry->site == HANDOFF__FERRY_NOWHERE)
		say_nowhere(ferry, host, line, sizeof(line));
	else
		return false;
	handoff__copy(text, HANDOFF_TEXT_MAX, line);
	return true;
}
