/* SPDX-License-Identifier: MIT */
/*
 * The operator's tool: asks the peers of a service directory for their status
 * or has them hand over, take back, stop or dump their entries.
 * Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 the standby is not
 * ready to serve yet.
 */
#include "../components.h"
#include "notices.h"
#include "watch.h"

#include <handoff.h>

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"usage: handoffctl --dir DIR COMMAND\n"
	"\n"
	"Commands:\n"
	"  status [--json] [--watch [SECONDS]]\n"
	"                    which peer serves and which stands by; --watch:\n"
	"                    repeated every 2 seconds, or every SECONDS\n"
	"  status --connections [--json]\n"
	"                    the connections of both peers\n"
	"  metrics           the counters of both peers, for Prometheus\n"
	"  maintenance [--wait SECONDS] [--whole] [NAME]\n"
	"                    the owner hands everything to its standby, if "
	"NAME\n"
	"                    serves; repeated, it changes nothing; --wait: "
	"for\n"
	"                    a standby that is not ready to serve yet; "
	"--whole:\n"
	"                    everything or nothing\n"
	"  maintenance --to HOST [--dry-run] [--whole] [--timeout SECONDS]\n"
	"                    everything moves to another host, by the ferry "
	"of\n"
	"                    the directory; HOST is a name or an address, or\n"
	"                    -: whichever it is; --dry-run: only says what\n"
	"                    would move, and what not\n"
	"  ready [--silent]  the standby takes the service back and notifies\n"
	"                    the clients, which reconnect to it; --silent:\n"
	"                    their connections move too, without a notice; "
	"from\n"
	"                    another host everything comes in silence\n"
	"  say [@N] TEXT     sends a line to all clients, or to connection N;\n"
	"                    say @list lists the connections\n"
	"  settle --here|--drop BATCH\n"
	"                    decides about connections in doubt, because the\n"
	"                    other host is gone for good: they are served "
	"here,\n"
	"                    or dropped; BATCH as the status has it\n"
	"  stop NAME         stops the peer with that name or process ID\n"
	"  notices [--json] [ADDR...]\n"
	"                    prints notices to clients as they come, the one "
	"that\n"
	"                    is retained first; ADDR: see handoff_notice(3);\n"
	"                    without it mq: and DIR\n"
	"  dump FILE         writes every entry to FILE as a JSON object per\n"
	"                    line; -: to standard output\n"
	"\n"
	"Options:\n"
	"  --dir DIR         the service directory; without this option the\n"
	"                    environment's HANDOFF_DIR\n"
	"  --help            this text\n"
	"  --version         the version of the library\n";

struct args {
	const char *dir, *command, *name, *to;
	const char *const *words; /* notices: addresses */
	size_t nwords;
	char text[HANDOFF_SAY_MAX + 2]; /* one more than may be said */
	bool json, silent, whole, connections, dry, here, drop;
	int watch_ms;   /* 0: once */
	int wait_ms;    /* 0: the default */
	int timeout_ms; /* the same */
};

static void __attribute__((noreturn)) usage(const char *why, const char *word)
{
	fprintf(stderr, "handoffctl: %.60s%s; see --help\n", word, why);
	exit(2);
}

static int
milliseconds(const char *text, const char *why)
{
	char *end;
	double seconds = strtod(text, &end);

	/* No "nan", and nothing in hexadecimal digits. */
	if (text[strspn(text, "0123456789.")] || *end || seconds < 0.1 ||
		seconds > 86400)
		usage(why, text);
	return (int)(seconds * 1000);
}

/* The word after --watch, if that is a number. */
static const char *
period(int argc, char **argv)
{
	if (optarg)
		return optarg;
	if (optind < argc && strchr("0123456789.", argv[optind][0]))
		return argv[optind++];
	return "2";
}

static void
read_options(struct args *args, int argc, char **argv)
{
	static const struct option options[] = {
		{"dir", required_argument, NULL, 'd'},
		{"json", no_argument, NULL, 'j'},
		{"silent", no_argument, NULL, 's'},
		{"connections", no_argument, NULL, 'c'},
		{"watch", optional_argument, NULL, 'w'},
		{"wait", required_argument, NULL, 't'},
		{"whole", no_argument, NULL, 'a'},
		{"to", required_argument, NULL, 'o'},
		{"dry-run", no_argument, NULL, 'n'},
		{"timeout", required_argument, NULL, 'm'},
		{"here", no_argument, NULL, 'H'},
		{"drop", no_argument, NULL, 'D'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c == 'd' && args->dir)
			usage(" is a second --dir: there may be one", optarg);
		else if (c == 'd' && !optarg[0])
			usage("--dir: its value is empty", "");
		else if (c == 'd')
			args->dir = optarg;
		else if (c == 'j')
			args->json = true;
		else if (c == 'a')
			args->whole = true;
		else if (c == 's')
			args->silent = true;
		else if (c == 'c')
			args->connections = true;
		else if (c == 'w')
			args->watch_ms = milliseconds(period(argc, argv),
				" is not a time: --watch takes 0.1 to 86400 "
				"seconds");
		else if (c == 't')
			args->wait_ms = milliseconds(optarg,
				" is not a time: --wait takes 0.1 to 86400 "
				"seconds");
		else if (c == 'm')
			args->timeout_ms = milliseconds(optarg,
				" is not a time: --timeout takes 0.1 to 86400 "
				"seconds");
		else if (c == 'o')
			args->to = optarg;
		else if (c == 'n')
			args->dry = true;
		else if (c == 'H')
			args->here = true;
		else if (c == 'D')
			args->drop = true;
		else if (c == 'h')
			exit(fputs(help, stdout) < 0);
		else if (c == 'v')
			exit(printf("handoffctl %s\n", handoff_version()) < 0);
		else
			usage(c == ':' ? " needs a value" : " is not an option",
				argv[optind - 1]);
	}
}

/* The words that follow, as one text. */
static void
join(struct args *args, int count, char **words)
{
	size_t len = 0;

	for (int i = 0; i < count && len < sizeof(args->text); i++)
		len += (size_t)snprintf(args->text + len,
			sizeof(args->text) - len, "%s%s", i ? " " : "",
			words[i]);
}

/* What goes with a move to another host, and what only with that. */
static void
check_move(const struct args *args, int count)
{
	if (args->to && strcmp(args->command, "maintenance") != 0)
		usage("--to goes with maintenance", "");
	if (args->to && !args->to[0])
		usage("--to: its value is empty", "");
	if (args->to && count > 1)
		usage(" is one word too many: --to moves everything, whoever "
		      "serves",
			args->name);
	if (args->to && args->wait_ms)
		usage("--wait does not go with --to: --timeout does", "");
	if (args->dry && !args->to)
		usage("--dry-run goes with maintenance --to", "");
	if (args->timeout_ms && !args->to)
		usage("--timeout goes with maintenance --to", "");
}

static void
check_settle(const struct args *args, int count)
{
	bool settle = strcmp(args->command, "settle") == 0;

	if (!settle && (args->here || args->drop))
		usage("--here and --drop go with settle", "");
	if (settle && args->here == args->drop)
		usage(" needs one of --here and --drop", "settle");
	if (settle && (count < 2 || !args->name[0]))
		usage(" needs a BATCH, which status has", "settle");
}

/* Each command with exactly the words and options that it takes. */
static void
read_command(struct args *args, int count, char **words)
{
	bool stop = count > 0 && strcmp(words[0], "stop") == 0;
	bool say = count > 0 && strcmp(words[0], "say") == 0;
	bool dump = count > 0 && strcmp(words[0], "dump") == 0;
	bool named = count > 0 && strcmp(words[0], "maintenance") == 0;
	bool notices = count > 0 && strcmp(words[0], "notices") == 0;
	bool settle = count > 0 && strcmp(words[0], "settle") == 0;
	int most = stop || dump || named || settle ? 2 : 1;

	if (count == 0)
		usage("no command was given", "");
	args->command = words[0];
	args->name = words[1];
	if (stop && (count < 2 || !words[1][0]))
		usage(" needs the NAME of a peer", "stop");
	if (named && count > 1 && !words[1][0])
		usage(" takes no empty NAME: name a peer, or leave it out",
			"maintenance");
	if ((stop || named) && count > 1 &&
		strlen(words[1]) >= HANDOFF_NAME_MAX)
		usage(" is longer than a name, which has up to 31 bytes",
			words[1]);
	if (notices) {
		args->words = (const char *const *)words + 1;
		args->nwords = (size_t)count - 1;
	}
	if (say && count < 2)
		usage(" needs a TEXT", "say");
	if (dump && (count < 2 || !words[1][0]))
		usage(" needs a FILE", "dump");
	if (say)
		join(args, count - 1, words + 1);
	else if (count > most && args->watch_ms)
		usage(" is not a number of SECONDS, and no other word may "
		      "follow status --watch",
			words[most]);
	else if (count > most && !notices)
		usage(" is one word too many", words[most]);
	if (args->json && strcmp(args->command, "status") != 0 && !notices)
		usage("--json goes with status and notices", "");
	if (args->connections && strcmp(args->command, "status") != 0)
		usage("--connections goes with status", "");
	if (args->connections && args->watch_ms)
		usage("--connections does not go with --watch", "");
	if (args->watch_ms && strcmp(args->command, "status") != 0)
		usage("--watch goes with status", "");
	if (args->wait_ms && strcmp(args->command, "maintenance") != 0)
		usage("--wait goes with maintenance", "");
	if (args->whole && strcmp(args->command, "maintenance") != 0)
		usage("--whole goes with maintenance", "");
	if (args->silent && strcmp(args->command, "ready") != 0)
		usage("--silent goes with ready", "");
	check_move(args, count);
	check_settle(args, count);
	if (!args->dir)
		args->dir = getenv("HANDOFF_DIR");
	if ((!args->dir || !args->dir[0]) && args->nwords == 0)
		usage("--dir DIR is missing", "");
}

/* One line of a terminal, which the next one overwrites. */
static void
show_progress(void *arg, const char *text)
{
	bool *shown = arg;

	*shown = true;
	fprintf(stderr, "\r\033[K%.*s", 200, text);
}

static int
run_maintenance(const struct args *args, char **reply)
{
	bool shown = false;
	const struct handoff_maintain_opts opts = {
		.size = sizeof(opts),
		.name = args->name,
		.wait_ms = (uint32_t)args->wait_ms,
		.whole = args->whole,
		.to = args->to,
		.dry_run = args->dry,
		.timeout_ms = (uint32_t)args->timeout_ms,
		.progress = args->to && isatty(STDERR_FILENO) ? show_progress
							      : NULL,
		.progress_arg = &shown,
	};
	int err = handoff_control_maintain(args->dir, &opts, reply);

	if (shown)
		fputs("\r\033[K", stderr);
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
		return handoff_control_ready(args->dir, args->silent, reply);
	if (strcmp(args->command, "say") == 0)
		return handoff_control_say(args->dir, args->text, reply);
	if (strcmp(args->command, "settle") == 0)
		return handoff_control_settle(
			args->dir, args->name, args->here, reply);
	if (strcmp(args->command, "stop") == 0)
		return handoff_control_stop(args->dir, args->name, reply);
	if (strcmp(args->command, "dump") == 0)
		return handoff_control_dump(args->dir, args->name, reply);
	usage(" is not a command", args->command);
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

int
main(int argc, char **argv)
{
	struct args args = {.dir = NULL};
	char *reply = NULL;
	int err;

	components_register();
	read_options(&args, argc, argv);
	read_command(&args, argc - optind, argv + optind);
	if (args.watch_ms)
		return watch_status(args.dir, args.json, args.watch_ms);
	if (strcmp(args.command, "notices") == 0)
		return run_notices(&args);
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
	return err == -EAGAIN ? 3 : err < 0 ? 1 : 0;
}
