/* SPDX-License-Identifier: MIT */
/*
 * What every public header needs: visibility, version, limits, logging.
 */
#ifndef HANDOFF_COMMON_H
#define HANDOFF_COMMON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HANDOFF_API __attribute__((visibility("default")))

#define HANDOFF_VERSION_MAJOR 0
#define HANDOFF_VERSION_MINOR 1
#define HANDOFF_VERSION_PATCH 0

/* Names of services, peers, clients and extra descriptors: 1 to 31 characters
 * of [A-Za-z0-9._-], so that they need no quoting anywhere. */
#define HANDOFF_NAME_MAX 32

/* An address as text, including the terminating zero, e.g. "[::1]:7000". */
#define HANDOFF_ADDRESS_MAX 128

/* A sentence for people, including the terminating zero. */
#define HANDOFF_TEXT_MAX 256

enum handoff_log_level {
	HANDOFF_LOG_ERROR = 0,
	HANDOFF_LOG_WARNING = 1,
	HANDOFF_LOG_INFO = 2,
	HANDOFF_LOG_DEBUG = 3,
};

/* Receives one line without a newline; `text` belongs to the library and is
 * valid only during the call. With HANDOFF_MODEL_THREAD it may be called by
 * several threads at once. */
typedef void handoff_log_fn(
	enum handoff_log_level level, const char *text, void *arg);

#define HANDOFF_SAY_MAX 4095 /* bytes of a line for clients */

/* Size of the time stamp of a log line, with its terminating zero. */
#define HANDOFF_STAMP_MAX 32

/* Stores the time stamp that a log line begins with, for example
 * "2026-11-29T14:02:11.123+01:00 " (ISO 8601, local time, a blank at the end),
 * and returns `stamp`; HANDOFF_STAMP_MAX bytes are enough. Stores an empty
 * string if `size` is too small, and if `fd`, to which the line is written, is
 * a stream of systemd's journal (JOURNAL_STREAM in systemd.exec(5)), which
 * stamps lines itself. Thread-safe. */
HANDOFF_API const char *handoff_log_stamp(int fd, char *stamp, size_t size);

/* The version of the linked library, e.g. "0.1.0"; static memory. */
HANDOFF_API const char *handoff_version(void);

#ifdef __cplusplus
}
#endif

#endif
