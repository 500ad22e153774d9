/* SPDX-License-Identifier: MIT */
/*
 * A nats-server that does not let everybody in: users, tokens, permissions,
 * TLS. What is refused is said in a sentence that names the cause, and what is
 * put right works without opening anything again.
 */
#include "nats/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The permissions that handoff_nats(3) names. */
#define PERMISSIONS                                                            \
	"authorization: {users: ["                                             \
	"{user: pub, password: p1, permissions: {"                             \
	"publish: [\"$JS.API.DIRECT.GET.HANDOFF.handoff.state.echo\", "        \
	"\"handoff.state.echo\", \"$JS.API.STREAM.CREATE.HANDOFF\"], "         \
	"subscribe: [\"handoff.live.echo\", \"_INBOX.handoff.>\"]}}, "         \
	"{user: sub, password: p2, permissions: {"                             \
	"publish: [\"$JS.API.DIRECT.GET.HANDOFF.handoff.state.echo\"], "       \
	"subscribe: [\"handoff.live.echo\", \"_INBOX.handoff.>\"]}}, "         \
	"{user: deaf, password: p3, permissions: {"                            \
	"publish: [\"$JS.API.DIRECT.GET.HANDOFF.handoff.state.echo\"], "       \
	"subscribe: [\"_INBOX.handoff.>\"]}}]}\n"

static const char *
with_login(const char *name, const char *text)
{
	static char rest[300];

	snprintf(rest, sizeof(rest), "?login=%s", place_file(name, text, 0600));
	return place_address("nats:", rest);
}

static void
test_token(void **state)
{
	struct handoff_subscriber *sub;
	struct publishing p;

	(void)state;
	place_begin("authorization: {token: \"s3cret\"}\n");
	sub = place_subscribe(place_address("nats:", ""));
	place_says(sub, "Authorization Violation");
	handoff_subscriber_free(sub);
	publishing_open(&p, with_login("token", "s3cret\n"));
	publishing_publish(&p, 1, 1);
	sub = place_subscribe(with_login("other", "wrong\n"));
	place_says(sub, "Authorization Violation");
	place_file("other", "s3cret\n", 0600);
	place_hears(sub, 1, 1);
	handoff_subscriber_free(sub);
	publishing_close(&p);
	place_end();
}

static void
test_permissions(void **state)
{
	struct handoff_subscriber *sub, *deaf;
	struct publishing p, wrong;

	(void)state;
	place_begin(PERMISSIONS);
	publishing_open(&p, with_login("pub", "pub:p1"));
	publishing_publish(&p, 1, 1);
	sub = place_subscribe(with_login("sub", "sub:p2"));
	place_hears(sub, 1, 1);
	deaf = place_subscribe(with_login("deaf", "deaf:p3"));
	place_says(deaf, "not permitted");
	place_says(deaf, "handoff.live.echo");
	publishing_open(&wrong, with_login("sub", "sub:p2"));
	publishing_begin(&wrong, 1, 2);
	publishing_says(&wrong, "not permitted");
	publishing_says(&wrong, "handoff.state.echo");
	publishing_publish(&p, 1, 3);
	place_hears(sub, 1, 3);
	handoff_subscriber_free(deaf);
	handoff_subscriber_free(sub);
	publishing_close(&wrong);
	publishing_close(&p);
	place_end();
}

static void
test_without_jetstream(void **state)
{
	struct publishing p;

	(void)state;
	place_begin("accounts: {A: {users: [{user: a, password: b}]}}\n");
	publishing_open(&p, with_login("a", "a:b"));
	publishing_says(&p, "JetStream");
	publishing_close(&p);
	place_end();
}

/* Certificates in the test's directory: of an authority, and of a server. */
static void
make_certificates(const char *folder, const char *names)
{
	char command[2048];

	snprintf(command, sizeof(command),
		"cd %s && { openssl req -x509 -newkey ec -pkeyopt "
		"ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem "
		"-subj /CN=ca -days 2 && openssl req -newkey ec -pkeyopt "
		"ec_paramgen_curve:P-256 -nodes -keyout s.key -out s.csr -subj "
		"/CN=s && echo subjectAltName=%s >ext && openssl x509 -req -in "
		"s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out s.pem "
		"-days 2 -extfile ext; } >/dev/null 2>&1",
		folder, names);
	if (system(command) != 0) {
		printf("SKIP: there is no openssl\n");
		skip();
	}
}

static char certificates[200];

static const char *
tls_config(bool verify)
{
	static char config[1024];

	/* by default a handshake may take 2 s */
	snprintf(config, sizeof(config),
		"tls: {timeout: 60, cert_file: \"%s/s.pem\", key_file: "
		"\"%s/s.key\", "
		"ca_file: \"%s/ca.pem\", verify: %s}\n",
		certificates, certificates, certificates,
		verify ? "true" : "false");
	return config;
}

static void
begin_tls(const char *names, bool verify)
{
	place_needs_server();
	snprintf(certificates, sizeof(certificates), "/tmp/handoff-tls-XXXXXX");
	assert_int_equal(
		setenv("TMPDIR", "/tmp", 0), 0); /* where openssl looks */
	if (system("command -v openssl >/dev/null") != 0) {
		printf("SKIP: there is no openssl\n");
		skip();
	}
	assert_non_null(mkdtemp(certificates));
	make_certificates(certificates, names);
	place_begin(tls_config(verify));
}

static void
end_tls(void)
{
	char command[256];

	place_end();
	snprintf(command, sizeof(command), "rm -r %s", certificates);
	assert_int_equal(system(command), 0);
}

static const char *
by_tls(const char *more)
{
	static char rest[1000];

	snprintf(rest, sizeof(rest), "?ca=%s/ca.pem%s", certificates, more);
	return place_address("nats+tls:", rest);
}

static void
test_tls(void **state)
{
	struct handoff_subscriber *sub;
	struct publishing p;

	(void)state;
	begin_tls("IP:127.0.0.1", false);
	publishing_open(&p, by_tls(""));
	sub = place_subscribe(by_tls(""));
	publishing_publish(&p, 1, 1);
	place_hears(sub, 1, 1);
	for (uint64_t seq = 2; seq <= 20; seq++) {
		publishing_publish(&p, 1, seq);
		place_hears(sub, 1, seq);
	}
	place_kill();
	place_restart();
	publishing_publish(&p, 2, 1);
	place_hears(sub, 2, 1);
	handoff_subscriber_free(sub);
	/* whom nobody has told to trust this authority */
	sub = place_subscribe(place_address("nats+tls:", ""));
	place_says(sub, "certificate");
	handoff_subscriber_free(sub);
	sub = place_subscribe(place_address("nats:", ""));
	place_says(sub, "certificate");
	handoff_subscriber_free(sub);
	publishing_close(&p);
	end_tls();
}

static void
test_tls_of_another_host(void **state)
{
	struct handoff_subscriber *sub;

	(void)state;
	begin_tls("DNS:elsewhere.example", false);
	sub = place_subscribe(by_tls(""));
	place_says(sub, "mismatch");
	handoff_subscriber_free(sub);
	end_tls();
}

static void
test_tls_of_both(void **state)
{
	struct handoff_subscriber *sub;
	struct publishing p;
	char more[512];

	(void)state;
	begin_tls("IP:127.0.0.1", true);
	sub = place_subscribe(by_tls(""));
	place_says(sub, "cannot connect");
	handoff_subscriber_free(sub);
	snprintf(more, sizeof(more), "&cert=%s/s.pem&key=%s/s.key",
		certificates, certificates);
	publishing_open(&p, by_tls(more));
	publishing_publish(&p, 1, 1);
	publishing_close(&p);
	end_tls();
}

/* No secret is on a command line, nor in a file that others can read. */
static void
test_secrets(void **state)
{
	char rest[300];

	(void)state;
	place_begin(NULL);
	place_refuses("nats://me:secret@127.0.0.1:1/echo", -EINVAL,
		"no user or password in an address");
	snprintf(rest, sizeof(rest), "?login=%s",
		place_file("open", "a:b", 0640));
	place_refuses(place_address("nats:", rest), -EACCES, "0640");
	place_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_token),
		handoff_test(test_permissions),
		handoff_test(test_without_jetstream),
		handoff_test(test_tls),
		handoff_test(test_tls_of_another_host),
		handoff_test(test_tls_of_both),
		handoff_test(test_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
