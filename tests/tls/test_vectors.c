/* SPDX-License-Identifier: MIT */
/*
 * RFC 8448, section 3: keys of the published secrets, and TLS records with the
 * published payloads, opened and sealed again to the same bytes. The ticket is
 * the first one under the server's keys, so that all numbers are there.
 */
#include "support/support.h"

#include "tls/ends.h"

#include <string.h>

#define CLIENT_HANDSHAKE                                                       \
	"b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21"
#define SERVER_HANDSHAKE                                                       \
	"b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38"
#define CLIENT_APPLICATION                                                     \
	"9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"
#define SERVER_APPLICATION                                                     \
	"a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"

static const struct {
	const char *secret, *key, *iv;
} keys[] = {
	{CLIENT_HANDSHAKE, "dbfaa693d1762c5b666af5d950258d01",
		"5bd3c71b836e0b76bb73265f"},
	{SERVER_HANDSHAKE, "3fce516009c21727d0f2e4e86ee403bc",
		"5d313eb2671276ee13000b30"},
	{CLIENT_APPLICATION, "17422dda596ed5d9acd890e3c63f5051",
		"5b78923dee08579033e523d9"},
	{SERVER_APPLICATION, "9f02283b6c9c07efc26bb9f2ac92e356",
		"cf782b88dd83549aadf1e984"},
};

#define FIFTY                                                                  \
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"     \
	"202122232425262728292a2b2c2d2e2f3031"

struct vector {
	const char *name, *secret;
	uint64_t seq;
	enum handoff__tls_type type;
	const char *payload, *record;
};

static const struct vector vectors[] = {
	{"the client's Finished", CLIENT_HANDSHAKE, 0, HANDOFF__TLS_HANDSHAKE,
		"14000020"
		"a8ec436d677634ae525ac1fcebe11a039ec17694fac6e98527b642f2edd5ce"
		"61",
		"1703030035"
		"75ec4dc238cce60b298044a71e219c56cc77b0517fe9b93c7a4bfc44d87f38"
		"f80338ac98fc46deb384bd1caeacab6867d726c40546"},
	{"NewSessionTicket", SERVER_APPLICATION, 0, HANDOFF__TLS_HANDSHAKE,
		"040000c90000001efad6aac502000000b22c035d829359ee5ff7af4ec90000"
		"0000262a6494dc486d2c8a34cb33fa90bf1b0070ad3c498883c9367c09a2be"
		"785abc55cd226097a3a982117283f82a03a143efd3ff5dd36d64e861be7fd6"
		"1d2827db279cce145077d454a3664d4e6da4d29ee03725a6a4dafcd0fc67d2"
		"aea70529513e3da2677fa5906c5b3f7d8f92f228bda40dda721470f9fbf297"
		"b5aea617646fac5c03272e970727c621a79141ef5f7de6505e5bfbc388e933"
		"43694093934ae4d3570008002a000400000400",
		"17030300de"
		"3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6"
		"b580dcf3d11d63c758db289a015940252f55713e061dc13e078891a38efbcf"
		"5753ad8ef170ad3c7353d16d9da773b9ca7f2b9fa1b6c0d4a3d03f75e09c30"
		"ba1e62972ac46f75f7b981be63439b2999ce13064615139891d5e4c5b406f1"
		"6e3fc181a77ca475840025db2f0a77f81b5ab05b94c01346755f69232c8651"
		"9d86cbeeac87aac347d143f9605d64f650db4d023e70e952ca49fe5137121c"
		"74bc2697687e248746d6df353005f3bce18696129c8153556b3b6c6779b37b"
		"f15985684f"},
	{"the client's data", CLIENT_APPLICATION, 0, HANDOFF__TLS_APPLICATION,
		FIFTY,
		"1703030043"
		"a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8"
		"a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb"
		"21694915e4"},
	{"the server's data", SERVER_APPLICATION, 1, HANDOFF__TLS_APPLICATION,
		FIFTY,
		"1703030043"
		"2e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf9"
		"7d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032"
		"e167c2955d"},
	{"the client's close_notify", CLIENT_APPLICATION, 1, HANDOFF__TLS_ALERT,
		"0100", "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3"},
	{"the server's close_notify", SERVER_APPLICATION, 2, HANDOFF__TLS_ALERT,
		"0100", "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9"},
};

static void
keys_of_published_secrets(void **state)
{
	struct ends e;
	uint8_t secret[64], want[64];
	unsigned i;

	(void)state;
	ends_open(&e, 0);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		ends_hex(keys[i].secret, secret);
		assert_int_equal(handoff__tls_dir_init(
					 e.w.suite, &e.write, secret, NULL),
			0);
		assert_memory_equal(e.write.secret, secret, 32);
		assert_memory_equal(
			e.write.key, want, ends_hex(keys[i].key, want));
		assert_memory_equal(
			e.write.iv, want, ends_hex(keys[i].iv, want));
		assert_int_equal(e.write.seq, 0);
		assert_int_equal(e.write.updates, 0);
	}
	ends_close(&e);
}

static void
begin(struct ends *e, const struct vector *v)
{
	uint8_t secret[64];

	ends_hex(v->secret, secret);
	assert_int_equal(
		handoff__tls_dir_init(e->w.suite, &e->write, secret, NULL), 0);
	e->write.seq = v->seq;
	e->read = e->write;
}

/* One key object is used for all, each with other keys. */
static void
published_records_are_opened_and_sealed(void **state)
{
	struct ends e;
	uint8_t payload[300], record[300], out[300];
	unsigned i;

	(void)state;
	ends_open(&e, 0);
	for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *v = &vectors[i];
		size_t len = ends_hex(v->payload, payload);
		size_t record_len = ends_hex(v->record, record);

		print_message("%s\n", v->name);
		begin(&e, v);
		assert_int_equal(
			handoff__tls_record_len(record, 5), record_len);
		ends_expect(&e, record, record_len, v->type, payload, len);
		assert_int_equal(
			handoff__tls_seal(&e.w, v->type, payload, len, out),
			record_len);
		assert_memory_equal(out, record, record_len);
	}
	ends_close(&e);
}

static void
published_alerts_are_received(void **state)
{
	struct ends e;
	enum handoff__tls_event event;
	uint8_t record[64], out[64];
	size_t len;

	(void)state;
	ends_open(&e, 0);
	begin(&e, &vectors[4]);
	len = ends_hex(vectors[4].record, record);
	assert_int_equal(handoff__tls_receive(&e.r, &e.messages, record, len,
				 16384, out, &event),
		0);
	assert_int_equal(event, HANDOFF__TLS_CLOSED);
	assert_int_equal(
		handoff__tls_send_alert(&e.w, HANDOFF__TLS_CLOSE_NOTIFY, out),
		len);
	assert_memory_equal(out, record, len);
	ends_close(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(keys_of_published_secrets),
		handoff_test(published_records_are_opened_and_sealed),
		handoff_test(published_alerts_are_received),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
