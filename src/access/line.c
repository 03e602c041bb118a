/* SPDX-License-Identifier: Apache-2.0 */
#include "access/line.h"

/* True when the line's end was among what is buffered. */
static bool drop(struct stream *wire) {
	struct slice have = stream_peek(wire);
	size_t end = slice_find(have, '\n');
	stream_eat(wire, MIN_OF(end + 1, have.len));
	return end < have.len;
}

int access_line(struct stream *wire, size_t max, bool *dropping, struct slice *line) {
	if (*dropping && !drop(wire)) return STREAM_AGAIN;
	*dropping = false;
	int r = stream_line(wire, max, line, NULL);
	if (r == STREAM_LONG) *dropping = !drop(wire);
	return r;
}
