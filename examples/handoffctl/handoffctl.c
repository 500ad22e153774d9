/* SPDX-License-Identifier: MIT */
/*
 * The operator's tool: asks the peers of a service directory for their status
 * or has them hand over, take back, stop or dump their entries.
 * Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 the standby is not
 * ready to serve yet, 4 what was waited for has not come in time.
 */
#include "../components.h"
#include "arguments.h"
#include "interrupt.h"
#include "notices.h"
#include "progress.h"
#include "top.h"
#include "upgrade.h"
#include "watch.h"

#include <handoff.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
run_maintenance(const struct args *args, char **reply)
{
	struct progress progress;
	const struct handoff_maintain_opts opts = {
		.size = sizeof(opts),
		.name = args->name,
		.wait_ms = (uint32_t)args->wait_ms,
		.whole = args->whole,
		.to = args->to,
		.dry_run = args->dry,
		.timeout_ms = (uint32_t)args->timeout_ms,
		.progress = isatty(STDERR_FILENO) ? progress_show : NULL,
		.progress_arg = &progress,
	};
	int err;

	progress_begin(&progress, NULL);
	err = handoff_control_maintain(args->dir, &opts, reply);
	progress_end(&progress);
	return err;
}

static int
run_ready(const struct args *args, char **reply)
{
	struct progress progress;
	const struct handoff_ready_opts opts = {
		.size = sizeof(opts),
		.silent = args->silent,
		.progress = isatty(STDERR_FILENO) ? progress_show : NULL,
		.progress_arg = &progress,
	};
	int err;

	progress_begin(&progress, NULL);
	err = handoff_control_bring_home(args->dir, &opts, reply);
	progress_end(&progress);
	return err;
}

static int
run_dump(const struct args *args, char **reply)
{
	struct progress progress;
	const struct handoff_dump_opts opts = {
		.size = sizeof(opts),
		.path = args->name,
		.progress = isatty(STDERR_FILENO) ? progress_show : NULL,
		.progress_arg = &progress,
	};
	int err;

	progress_begin(&progress, "dump");
	err = handoff_control_write_dump(args->dir, &opts, reply);
	progress_end(&progress);
	return err;
}

static int
run_wait(const struct args *args, char **reply)
{
	struct handoff_wait_opts opts = args->until;
	struct progress progress;
	int err;

	progress_begin(&progress, "waiting");
	opts.size = sizeof(opts);
	opts.timeout_ms = (uint32_t)args->timeout_ms;
	opts.look = progress_wait;
	opts.look_arg = &progress;
	err = handoff_control_wait(args->dir, &opts, reply);
	progress_end(&progress);
	return err;
}

static int
run(const struct args *args, char **reply)
{
	if (args->connections)
		return handoff_control_connections(
			args->dir, args->json, reply);
	if (strcmp(args->command, "status") == 0)
		return handoff_control_status(args->dir, args->json, reply);
	if (strcmp(args->command, "metrics") == 0)
		return handoff_control_metrics(args->dir, reply);
	if (strcmp(args->command, "maintenance") == 0)
		return run_maintenance(args, reply);
	if (strcmp(args->command, "ready") == 0)
		return run_ready(args, reply);
	if (strcmp(args->command, "say") == 0)
		return handoff_control_say(args->dir, args->text, reply);
	if (strcmp(args->command, "settle") == 0)
		return handoff_control_settle(
			args->dir, args->name, args->here, reply);
	if (strcmp(args->command, "stay") == 0)
		return handoff_control_stay(args->dir, reply);
	if (strcmp(args->command, "stop") == 0)
		return handoff_control_stop(args->dir, args->name, reply);
	if (strcmp(args->command, "wait") == 0)
		return run_wait(args, reply);
	if (strcmp(args->command, "dump") == 0)
		return run_dump(args, reply);
	arguments_wrong(" is not a command", args->command);
}

/* Of the addresses, or of the directory. */
static int
run_notices(const struct args *args)
{
	char usual[4100];
	const char *only = usual;

	if (args->nwords > 0)
		return follow_notices(args->words, args->nwords, args->json);
	snprintf(usual, sizeof(usual), "mq:%s", args->dir);
	return follow_notices(&only, 1, args->json);
}

/* A monitor reads standard output alone, whatever is wrong. */
static int
run_check(const struct args *args)
{
	char *reply = NULL;
	int grade = handoff_control_check(args->dir, &reply);

	if (!reply)
		printf("HANDOFF UNKNOWN - %s\n", strerror(-grade));
	else
		fputs(reply, stdout);
	free(reply);
	return fflush(stdout) == 0 && grade >= 0 ? grade : 3;
}

static bool
dumps_to_stdout(const struct args *args)
{
	return strcmp(args->command, "dump") == 0 &&
	       strcmp(args->name, "-") == 0;
}

/* Of an answer that is not all that was asked for. */
static const char *
partly(const char *reply, int err)
{
	if (err != -EADDRNOTAVAIL)
		return "not every peer has answered";
	return strstr(reply, "\nerror ") && strstr(reply, " address has left")
		       ? "not every connection could move"
		       : "not every address could be opened";
}

/* Whether a peer may go on with it when this program is gone. */
static bool
changes(const char *command)
{
	static const char *const words[] = {
		"maintenance", "ready", "settle", "stop"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(command, words[i]) == 0)
			return true;
	}
	return false;
}

static int
exit_status(const struct args *args, int err)
{
	if (strcmp(args->command, "wait") == 0) {
		if (err == -ETIMEDOUT)
			return 4;
		if (err == -EINVAL)
			return 2; /* a name that no peer can have */
	}
	return err == -EAGAIN ? 3 : err < 0 ? 1 : 0;
}

int
main(int argc, char **argv)
{
	struct args args = {.dir = NULL};
	char *reply = NULL;
	int err;

	components_register();
	arguments_read(&args, argc, argv);
	if (args.for_monitor)
		return run_check(&args);
	if (args.watch_ms)
		return watch_status(args.dir, args.json, args.watch_ms);
	if (strcmp(args.command, "notices") == 0)
		return run_notices(&args);
	if (strcmp(args.command, "top") == 0)
		return run_top(args.dir,
			args.every_ms > 0 ? args.every_ms : TOP_MS, args.once);
	if (strcmp(args.command, "upgrade") == 0)
		return run_upgrade(args.dir,
			&(struct upgrade_opts){.argv = args.program,
				.check = args.check,
				.log = args.log,
				.timeout_ms = args.timeout_ms > 0
						      ? args.timeout_ms
						      : UPGRADE_MS});
	if (changes(args.command))
		interrupt_tells(false);
	if (strcmp(args.command, "wait") == 0)
		interrupt_tells(true);
	err = run(&args, &reply);
	if (!reply) {
		fprintf(stderr, "handoffctl: %s\n", strerror(-err));
		return 1;
	}
	/* A status with a peer that does not answer is still a status; and a
	 * dump on standard output is all that is there. */
	if (reply[strcspn(reply, "\n")] == '\n') {
		fputs(reply, dumps_to_stdout(&args) ? stderr : stdout);
		if (err < 0)
			fprintf(stderr, "handoffctl: %s\n", partly(reply, err));
	} else {
		fprintf(stderr, "handoffctl: %s\n", reply);
	}
	free(reply);
	if (fflush(stdout) != 0) {
		fprintf(stderr, "handoffctl: standard output: %s\n",
			strerror(errno));
		return 1;
	}
	return exit_status(&args, err);
}
