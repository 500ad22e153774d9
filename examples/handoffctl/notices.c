/* SPDX-License-Identifier: MIT */
/*
 * Notices as they come. Subscribes as any client does, and unsubscribes when a
 * signal ends it or its reader goes away.
 */
#include "notices.h"

#include <handoff.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 1000 /* stays subscribed if the directory is cleaned */

static volatile sig_atomic_t ended;

static void
on_signal(int sig)
{
	(void)sig;
	ended = 1;
}

static void
handle_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

static void
print_text(const struct handoff_notice *n)
{
	char when[32];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%s %s %s: %s serves, generation %llu.%llu", when,
		handoff_notice_kind_name(n->kind), n->service, n->serving,
		(unsigned long long)n->generation, (unsigned long long)n->seq);
	for (uint32_t i = 0; i < n->nendpoints; i++)
		printf("%s%s", i == 0 ? ", at " : " ", n->endpoints[i]);
	putchar('\n');
}

/* What is not a name may hold anything but control characters. */
static void
print_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		if ((unsigned char)*text < 0x80)
			putchar(*text);
		else
			printf("\\u00%02x", (unsigned)(unsigned char)*text);
	}
	putchar('"');
}

static void
print_json(const struct handoff_notice *n)
{
	printf("{\"kind\":\"%s\",\"service\":\"%s\",\"serving\":\"%s\","
	       "\"generation\":%llu,\"seq\":%llu,\"grace_ms\":%u,"
	       "\"spread_ms\":%u,\"expires_ms\":%lld,\"endpoints\":[",
		handoff_notice_kind_name(n->kind), n->service, n->serving,
		(unsigned long long)n->generation, (unsigned long long)n->seq,
		n->grace_ms, n->spread_ms, (long long)n->expires_ms);
	for (uint32_t i = 0; i < n->nendpoints; i++) {
		if (i > 0)
			putchar(',');
		print_string(n->endpoints[i]);
	}
	puts("]}");
}

/* What a transport lacks, such as its server, when that changes. */
static void
print_trouble(struct handoff_subscriber *sub)
{
	static char last[HANDOFF_TEXT_MAX];
	const char *text = handoff_subscriber_errmsg(sub);

	if (strcmp(text, last) == 0)
		return;
	snprintf(last, sizeof(last), "%s", text);
	fprintf(stderr, "handoffctl: notices: %s\n",
		text[0] ? text : "connected");
}

/* Prints all that is there. False if that is not possible. */
static bool
print_all(struct handoff_subscriber *sub, bool json)
{
	const struct handoff_notice *n;
	int rc;

	while ((rc = handoff_subscriber_next(sub, &n)) > 0) {
		if (json)
			print_json(n);
		else
			print_text(n);
	}
	if (rc < 0)
		fprintf(stderr, "handoffctl: %s\n",
			handoff_subscriber_errmsg(sub));
	else
		print_trouble(sub);
	if (rc >= 0 && fflush(stdout) != 0 && errno != EPIPE)
		fprintf(stderr, "handoffctl: standard output: %s\n",
			strerror(errno));
	return rc == 0 && !ferror(stdout);
}

int
follow_notices(const char *const *addresses, size_t count, bool json)
{
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_subscriber_opts opts = {
		.size = sizeof(opts),
		.addresses = addresses,
		.naddresses = count,
		.errbuf = why,
		.errbuf_size = sizeof(why),
	};
	struct pollfd p[2] = {{.events = POLLIN}, {.fd = STDOUT_FILENO}};
	struct handoff_subscriber *sub;
	int err = handoff_subscriber_open(&sub, &opts);
	bool gone = false, good = err >= 0;

	if (err < 0) {
		fprintf(stderr, "handoffctl: %s\n",
			why[0] ? why : strerror(-err));
		return 1;
	}
	handle_signals();
	p[0].fd = handoff_subscriber_fd(sub);
	while (good && !ended && !gone) {
		good = print_all(sub, json);
		if (good && !ended && poll(p, 2, LOOK_MS) > 0)
			gone = p[1].revents != 0;
	}
	handoff_subscriber_free(sub);
	return !good;
}
