/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as TLS records after a handshake. The first byte chooses: as they
 * are, which nothing can open; or each piece (length, bytes) as the inner plain
 * text of a TLS record that is sealed as it should be, so that the types,
 * messages, alerts and padding in it are reached. What is expected of each is
 * worked out here once more, from the whole of what has come.
 */
#include "fuzz.h"

#include "tls/update.h"

#include <errno.h>

struct both {
	struct handoff__tls_suites suites;
	struct handoff__tls_dir write, read;
	struct handoff__tls_key write_key, read_key;
	struct handoff__tls_end w, r;
	struct handoff__tls_messages messages;
	unsigned partial; /* bytes of a message that is not complete */
	uint8_t part[8];
};

static struct both both; /* its suites are fetched once */

static void
begin(unsigned which)
{
	static const uint8_t secret[HANDOFF__TLS_SECRET_MAX] = {1};
	const struct handoff__tls_suite *suite;

	if (!both.suites.suite[0].hmac)
		check(handoff__tls_suites_init(&both.suites, NULL, NULL) == 0);
	suite = &both.suites.suite[which % HANDOFF__TLS_SUITES];
	check(handoff__tls_dir_init(suite, &both.write, secret, NULL) == 0);
	both.read = both.write;
	both.w = (struct handoff__tls_end){suite, &both.write, &both.write_key};
	both.r = (struct handoff__tls_end){suite, &both.read, &both.read_key};
	memset(&both.messages, 0, sizeof(both.messages));
	both.partial = 0;
}

static void
end(void)
{
	handoff__tls_key_drop(&both.write_key);
	handoff__tls_key_drop(&both.read_key);
}

/* Received from memory of its own size, into such memory. */
static int
receive(const uint8_t *data, size_t len, enum handoff__tls_event *event)
{
	uint8_t *record = exact_copy(data, len);
	uint8_t *out = exact_copy(data, len > 21 ? len - 21 : 0);
	int rc = handoff__tls_receive(
		&both.r, &both.messages, record, len, 200, out, event);

	check(both.messages.len < HANDOFF__TLS_UPDATE_LEN || rc < 0);
	free(record);
	free(out);
	return rc;
}

/* Nothing of it is authentic. */
static void
as_they_are(const uint8_t *data, size_t size)
{
	enum handoff__tls_event event;

	while (size > 0) {
		int len = handoff__tls_record_len(data, size);

		if (len <= 0 || (size_t)len > size) {
			check(len != 0 || size < HANDOFF__TLS_HEADER);
			check(len >= 0 || receive(data, size, &event) < 0);
			return;
		}
		check(receive(data, (size_t)len, &event) == -EBADMSG);
		check(both.read.seq == 0);
		data += len;
		size -= (size_t)len;
	}
}

/* What messages up to now end in: an event, or an error. */
static int
model_message(const uint8_t *p, size_t n)
{
	while (n-- > 0) {
		uint8_t *m = both.part;

		m[both.partial++] = *p++;
		if (both.partial == 1 && m[0] != 24)
			return -EPROTO;
		if ((both.partial == 2 && m[1] != 0) ||
			(both.partial == 3 && m[2] != 0) ||
			(both.partial == 4 && m[3] != 1))
			return -EILSEQ;
		if (both.partial < 5)
			continue;
		both.partial = 0;
		if (n > 0)
			return -EPROTO;
		return m[4] > 1 ? -EINVAL : (int)HANDOFF__TLS_UPDATED;
	}
	return HANDOFF__TLS_NOTHING;
}

static int
model(const uint8_t *p, size_t n)
{
	while (n > 0 && p[n - 1] == 0)
		n--;
	if (n == 0)
		return -EPROTO;
	n--; /* content only, from here */
	if (p[n] < 21 || p[n] > 23 || (n == 0 && p[n] != 23))
		return -EPROTO;
	if (n > 200)
		return -EMSGSIZE;
	if (p[n] == 22)
		return model_message(p, n);
	if (both.partial > 0)
		return -EPROTO;
	if (p[n] == 23)
		return HANDOFF__TLS_DATA;
	if (n != 2)
		return -EPROTO;
	if (p[1] == 0)
		return HANDOFF__TLS_CLOSED;
	return p[1] == 90 ? (int)HANDOFF__TLS_NOTHING
			  : (int)HANDOFF__TLS_ALERTED;
}

/* Any inner plain text is one that can be sealed: its last byte as type. */
static bool
as_inner(const uint8_t *inner, size_t n)
{
	uint8_t sealed[256 + HANDOFF__TLS_OVERHEAD];
	enum handoff__tls_event event;
	int len, rc, want = model(inner, n);
	uint32_t updates = both.read.updates;

	len = handoff__tls_seal(&both.w, inner[n - 1], inner, n - 1, sealed);
	check(len == (int)(n + 21));
	rc = receive(sealed, (size_t)len, &event);
	if (want < 0) {
		check(rc == want);
		return false;
	}
	check((int)event == want);
	check(rc >= 0 && (rc == 0 || event == HANDOFF__TLS_DATA));
	check(both.partial == both.messages.len);
	check(both.read.updates == updates + (event == HANDOFF__TLS_UPDATED));
	if (event == HANDOFF__TLS_UPDATED)
		check(handoff__tls_dir_update(both.w.suite, &both.write) == 0);
	check(memcmp(both.read.key, both.write.key, 32) == 0);
	return event != HANDOFF__TLS_CLOSED && event != HANDOFF__TLS_ALERTED;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	begin(data[0] >> 1);
	if (data[0] & 1) {
		as_they_are(data + 1, size - 1);
	} else {
		data++;
		size--;
		while (size > 1 && data[0] > 0 && data[0] < size) {
			size_t n = data[0];

			if (!as_inner(data + 1, n))
				break;
			data += 1 + n;
			size -= 1 + n;
		}
	}
	end();
	return 0;
}
