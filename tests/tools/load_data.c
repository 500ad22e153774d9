/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a stream, a function of its key and the position, so the sender
 * and the verifier need not store them; and counts of silences.
 */
#include "load.h"

#include <string.h>
#include <time.h>

/* The finaliser of splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t
mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t
word_at(uint64_t key, uint64_t index)
{
	return mix(key + (index + 1) * 0x9e3779b97f4a7c15u);
}

void
load_fill(uint64_t key, uint64_t pos, unsigned char *out, size_t len)
{
	while (len > 0) {
		uint64_t word = word_at(key, pos / 8);
		size_t skip = (size_t)(pos % 8);
		size_t n = 8 - skip < len ? 8 - skip : len;

		memcpy(out, (unsigned char *)&word + skip, n);
		out += n;
		pos += n;
		len -= n;
	}
}

size_t
load_verify(uint64_t key, uint64_t pos, const unsigned char *in, size_t len)
{
	size_t bad = 0;

	while (len > 0) {
		unsigned char want[4096];
		size_t n = len < sizeof(want) ? len : sizeof(want);

		load_fill(key, pos, want, n);
		if (memcmp(want, in, n) != 0)
			for (size_t i = 0; i < n; i++)
				bad += want[i] != in[i];
		in += n;
		pos += n;
		len -= n;
	}
	return bad;
}

uint64_t
load_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15u;
	return mix(*state);
}

static unsigned
bucket_of(int64_t us)
{
	uint64_t v = (uint64_t)us;
	unsigned top;

	if (v < 16)
		return (unsigned)v;
	top = 63u - (unsigned)__builtin_clzll(v);
	top = 16 + (top - 4) * 8 + (unsigned)((v >> (top - 3)) & 7);
	return top < LOAD_BUCKETS ? top : LOAD_BUCKETS - 1;
}

/* The longest silence that falls into the bucket. */
static int64_t
bucket_end(unsigned bucket)
{
	unsigned top = (bucket - 16) / 8 + 4;

	if (bucket < 16)
		return bucket;
	return (int64_t)(((8 + (bucket - 16) % 8 + 1) << (top - 3)) - 1);
}

void
load_gap_add(struct load_gaps *gaps, int64_t us)
{
	if (us > gaps->max_us)
		gaps->max_us = us;
	gaps->count++;
	gaps->bucket[bucket_of(us)]++;
}

int64_t
load_gap_quantile(const struct load_gaps *gaps, double q)
{
	uint64_t want = (uint64_t)((double)gaps->count * q), seen = 0;

	for (unsigned i = 0; i < LOAD_BUCKETS; i++) {
		seen += gaps->bucket[i];
		if (seen > want)
			return bucket_end(i) < gaps->max_us ? bucket_end(i)
							    : gaps->max_us;
	}
	return gaps->max_us;
}

int64_t
load_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
