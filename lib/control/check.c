/* SPDX-License-Identifier: MIT */
/*
 * The line for a monitor: asks all peers once and has verdict.c judge them.
 * What prevents that is a line, too, since a monitor shows nothing else.
 */
#include "control/call.h"
#include "control/verdict.h"

#include <handoff/control.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* No server: that is what a monitor is for. Anything else is about the tool. */
static enum handoff__grade
fail(int err, const char *why, struct handoff__buf *buf)
{
	enum handoff__grade grade = err == -ENOENT ? HANDOFF__GRADE_CRITICAL
						   : HANDOFF__GRADE_UNKNOWN;

	handoff__buf_add(buf, "HANDOFF %s - %s\n", handoff__grade_word(grade),
		why ? why : strerror(-err));
	return grade;
}

int
handoff_control_check(const char *dir, char **reply)
{
	struct handoff__buf buf = {.data = NULL};
	struct handoff__call call;
	enum handoff__grade grade;
	char *why = NULL;
	int err;

	if (!reply)
		return -EINVAL;
	*reply = NULL;
	err = handoff__call_open(&call, dir, &why);
	if (err == 0)
		err = handoff__call_ask(&call, "status\n");
	if (err < 0)
		grade = fail(err, why, &buf);
	else
		grade = handoff__verdict_line(call.peers, call.npeers, &buf);
	free(why);
	handoff__call_close(&call, 0);
	if (buf.failed) {
		free(buf.data);
		return -ENOMEM;
	}
	*reply = buf.data;
	return (int)grade;
}
