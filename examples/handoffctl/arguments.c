/* SPDX-License-Identifier: MIT */
/*
 * The command line of handoffctl: which command it is, and whether each word
 * and option goes with it. Opens nothing; what is wrong ends the program.
 */
#include "arguments.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"usage: handoffctl --dir DIR COMMAND\n"
	"\n"
	"Commands:\n"
	"  status [--json] [--watch [SECONDS]]\n"
	"                    which peer serves and which stands by; --watch:\n"
	"                    repeated every 2 seconds, or every SECONDS\n"
	"  status --check    one line for a monitor; exit status 0 OK, 1 "
	"warning,\n"
	"                    2 critical, 3 unknown\n"
	"  status --connections [--json]\n"
	"                    the connections of both peers\n"
	"  top [--once] [--every SECONDS]\n"
	"                    the busiest connections and the last handoffs, "
	"drawn\n"
	"                    every 2 seconds, or every SECONDS; q ends it\n"
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
	"  stay              the service is at home with the peer that "
	"serves:\n"
	"                    a maintenance or failover is over\n"
	"  say [@N] TEXT     sends a line to all clients, or to connection N;\n"
	"                    say @list lists the connections\n"
	"  settle --here|--drop BATCH\n"
	"                    decides about connections in doubt, because the\n"
	"                    other host is gone for good: they are served "
	"here,\n"
	"                    or dropped; BATCH as the status has it\n"
	"  stop NAME         stops the peer with that name or process ID\n"
	"  wait [--owner NAME] [--standby[=NAME]] [--covered] [--gone NAME]\n"
	"       [--timeout SECONDS]\n"
	"                    returns when all of these is so: NAME serves; a\n"
	"                    standby is ready to serve; every entry is "
	"covered;\n"
	"                    no peer NAME is there; up to 60 s, or SECONDS\n"
	"  upgrade [--check COMMAND] [--log FILE] [--timeout SECONDS]\n"
	"          -- PROGRAM [ARGUMENT...]\n"
	"                    starts PROGRAM, moves everything to it once it "
	"is\n"
	"                    ready, and ends the one that served; if anything\n"
	"                    goes wrong, or COMMAND fails, that serves on\n"
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

/* What a monitor takes for "unknown", if it is one that calls. */
static int wrong_status = 2;

void
arguments_wrong(const char *why, const char *word)
{
	fprintf(stderr, "handoffctl: %.60s%s; see --help\n", word, why);
	exit(wrong_status);
}

static int
milliseconds(const char *text, const char *why)
{
	char *end;
	double seconds = strtod(text, &end);

	/* No "nan", and nothing in hexadecimal digits. */
	if (text[strspn(text, "0123456789.")] || *end || seconds < 0.1 ||
		seconds > 86400)
		arguments_wrong(why, text);
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

/* What wait waits for: each once. */
static void
read_until(struct handoff_wait_opts *until, int option, const char *name)
{
	const char **to = option == 'O'   ? &until->owner
			  : option == 'G' ? &until->gone
					  : &until->joined;

	if (option == 'C')
		until->covered = true;
	else if (option == 'S')
		until->standby = true;
	if (!name)
		return;
	if (!name[0])
		arguments_wrong(
			"--owner, --standby= and --gone take a NAME", "");
	if (*to)
		arguments_wrong(
			" is a second name: each may be given once", name);
	*to = name;
}

static void
read_dir(struct args *args, const char *dir)
{
	if (args->dir)
		arguments_wrong(" is a second --dir: there may be one", dir);
	if (!dir[0])
		arguments_wrong("--dir: its value is empty", "");
	args->dir = dir;
}

static void
read_flag(struct args *args, int option)
{
	switch (option) {
	case 'j':
		args->json = true;
		return;
	case 'a':
		args->whole = true;
		return;
	case 's':
		args->silent = true;
		return;
	case 'c':
		args->connections = true;
		return;
	case 'n':
		args->dry = true;
		return;
	case 'H':
		args->here = true;
		return;
	case 'D':
		args->drop = true;
		return;
	case '1':
		args->once = true;
		return;
	}
}

/* Of an upgrade: a second value is an error, and so is what ends the options
 * where the value was forgotten. */
static void
read_once(const char **value, const char *option)
{
	if (*value)
		arguments_wrong(" is given twice", option);
	if (strcmp(optarg, "--") == 0)
		arguments_wrong(" needs a value", option);
	*value = optarg;
}

static void
read_option(struct args *args, int option, int argc, char **argv)
{
	switch (option) {
	case 'd':
		read_dir(args, optarg);
		return;
	case 'w':
		args->watch_ms = milliseconds(period(argc, argv),
			" is not a time: --watch takes 0.1 to 86400 seconds");
		return;
	case 't':
		args->wait_ms = milliseconds(optarg,
			" is not a time: --wait takes 0.1 to 86400 seconds");
		return;
	case 'm':
		args->timeout_ms = milliseconds(optarg,
			" is not a time: --timeout takes 0.1 to 86400 seconds");
		return;
	case 'o':
		args->to = optarg;
		return;
	case 'E':
		args->every_ms = milliseconds(optarg,
			" is not a time: --every takes 0.1 to 86400 seconds");
		return;
	case 'K':
		read_once(&args->check, "--check");
		return;
	case 'L':
		read_once(&args->log, "--log");
		return;
	case 'O':
	case 'S':
	case 'C':
	case 'G':
		read_until(&args->until, option, optarg);
		return;
	case 'h':
		exit(fputs(help, stdout) < 0);
	case 'v':
		exit(printf("handoffctl %s\n", handoff_version()) < 0);
	case ':':
	case '?':
		arguments_wrong(
			option == ':' ? " needs a value" : " is not an option",
			argv[optind - 1]);
	}
	read_flag(args, option);
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
		{"owner", required_argument, NULL, 'O'},
		{"standby", optional_argument, NULL, 'S'},
		{"covered", no_argument, NULL, 'C'},
		{"gone", required_argument, NULL, 'G'},
		{"once", no_argument, NULL, '1'},
		{"every", required_argument, NULL, 'E'},
		{"check", required_argument, NULL, 'K'},
		{"log", required_argument, NULL, 'L'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1)
		read_option(args, c, argc, argv);
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
		arguments_wrong("--to goes with maintenance", "");
	if (args->to && !args->to[0])
		arguments_wrong("--to: its value is empty", "");
	if (args->to && count > 1)
		arguments_wrong(
			" is one word too many: --to moves everything, whoever "
			"serves",
			args->name);
	if (args->to && args->wait_ms)
		arguments_wrong(
			"--wait does not go with --to: --timeout does", "");
	if (args->dry && !args->to)
		arguments_wrong("--dry-run goes with maintenance --to", "");
	if (args->timeout_ms && !args->to &&
		strcmp(args->command, "wait") != 0 &&
		strcmp(args->command, "upgrade") != 0)
		arguments_wrong("--timeout goes with maintenance --to, wait "
				"and upgrade",
			"");
}

static void
check_settle(const struct args *args, int count)
{
	bool settle = strcmp(args->command, "settle") == 0;

	if (!settle && (args->here || args->drop))
		arguments_wrong("--here and --drop go with settle", "");
	if (settle && args->here == args->drop)
		arguments_wrong(" needs one of --here and --drop", "settle");
	if (settle && (count < 2 || !args->name[0]))
		arguments_wrong(" needs a BATCH, which status has", "settle");
}

static void
check_wait(const struct args *args)
{
	const struct handoff_wait_opts *until = &args->until;
	bool given =
		until->owner || until->standby || until->covered || until->gone;

	if (strcmp(args->command, "wait") == 0 && !given)
		arguments_wrong(
			" needs what to wait for: --owner NAME, --standby, "
			"--covered or --gone NAME",
			"wait");
	if (strcmp(args->command, "wait") != 0 && given)
		arguments_wrong(
			"--owner, --standby, --covered and --gone go with wait",
			"");
}

static void
check_top(const struct args *args)
{
	bool top = strcmp(args->command, "top") == 0;

	if (!top && (args->once || args->every_ms))
		arguments_wrong("--once and --every go with top", "");
}

static void
check_upgrade(struct args *args, int count, char **words)
{
	bool upgrade = strcmp(args->command, "upgrade") == 0;

	if (!upgrade && (args->check || args->log))
		arguments_wrong("--check and --log go with upgrade", "");
	if (upgrade && (count < 2 || !words[1][0]))
		arguments_wrong(" needs the PROGRAM that is to serve, after --",
			"upgrade");
	if (upgrade && ((args->check && !args->check[0]) ||
			       (args->log && !args->log[0])))
		arguments_wrong(
			": the value of --check or --log is empty", "upgrade");
	args->program = words + 1;
}

/* Options that go with one command. */
static void
check_flags(const struct args *args, bool notices)
{
	if (args->json && strcmp(args->command, "status") != 0 && !notices)
		arguments_wrong("--json goes with status and notices", "");
	if (args->connections && strcmp(args->command, "status") != 0)
		arguments_wrong("--connections goes with status", "");
	if (args->connections && args->watch_ms)
		arguments_wrong("--connections does not go with --watch", "");
	if (args->watch_ms && strcmp(args->command, "status") != 0)
		arguments_wrong("--watch goes with status", "");
	if (args->wait_ms && strcmp(args->command, "maintenance") != 0)
		arguments_wrong("--wait goes with maintenance", "");
	if (args->whole && strcmp(args->command, "maintenance") != 0)
		arguments_wrong("--whole goes with maintenance", "");
	if (args->silent && strcmp(args->command, "ready") != 0)
		arguments_wrong("--silent goes with ready", "");
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
	bool upgrade = count > 0 && strcmp(words[0], "upgrade") == 0;
	int most = stop || dump || named || settle ? 2 : 1;

	if (count == 0)
		arguments_wrong("no command was given", "");
	args->command = words[0];
	args->name = words[1];
	if (stop && (count < 2 || !words[1][0]))
		arguments_wrong(" needs the NAME of a peer", "stop");
	if (named && count > 1 && !words[1][0])
		arguments_wrong(
			" takes no empty NAME: name a peer, or leave it out",
			"maintenance");
	if ((stop || named) && count > 1 &&
		strlen(words[1]) >= HANDOFF_NAME_MAX)
		arguments_wrong(
			" is longer than a name, which has up to 31 bytes",
			words[1]);
	if (notices) {
		args->words = (const char *const *)words + 1;
		args->nwords = (size_t)count - 1;
	}
	if (say && count < 2)
		arguments_wrong(" needs a TEXT", "say");
	if (dump && (count < 2 || !words[1][0]))
		arguments_wrong(" needs a FILE", "dump");
	if (say)
		join(args, count - 1, words + 1);
	if (say && !args->text[0])
		arguments_wrong(" takes no empty TEXT", "say");
	if (count > most && !say && args->until.standby)
		arguments_wrong(
			" is one word too many: a name of the standby is given "
			"as --standby=NAME",
			words[most]);
	if (count > most && !say && args->watch_ms)
		arguments_wrong(
			" is not a number of SECONDS, and no other word may "
			"follow status --watch",
			words[most]);
	if (count > most && !say && !notices && !upgrade)
		arguments_wrong(" is one word too many", words[most]);
	check_flags(args, notices);
	check_move(args, count);
	check_settle(args, count);
	check_wait(args);
	check_top(args);
	check_upgrade(args, count, words);
	if (!args->dir)
		args->dir = getenv("HANDOFF_DIR");
	if ((!args->dir || !args->dir[0]) && args->nwords == 0)
		arguments_wrong(", and so is HANDOFF_DIR in the environment",
			"--dir DIR is missing");
}

/* Takes --check of status out of the words: with another command it has a
 * value. */
static bool
take_check(int *argc, char **argv)
{
	int at = 0;

	for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "status") == 0)
			break;
		if (argv[i][0] != '-' && strcmp(argv[i - 1], "--dir") != 0)
			return false;
	}
	for (int i = 1; i < *argc && at == 0; i++) {
		if (strcmp(argv[i], "--check") == 0)
			at = i;
	}
	if (at == 0)
		return false;
	for (int i = at; i < *argc; i++)
		argv[i] = argv[i + 1];
	(*argc)--;
	return true;
}

static void
check_monitor(const struct args *args)
{
	if (args->for_monitor &&
		(args->json || args->watch_ms > 0 || args->connections))
		arguments_wrong(
			"--check goes with no other option of status", "");
}

void
arguments_read(struct args *args, int argc, char **argv)
{
	args->for_monitor = take_check(&argc, argv);
	if (args->for_monitor)
		wrong_status = 3;
	read_options(args, argc, argv);
	read_command(args, argc - optind, argv + optind);
	check_monitor(args);
}
