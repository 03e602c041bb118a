/* SPDX-License-Identifier: Apache-2.0 */
/* One text per thread. */
#include "base/fail.h"

static _Thread_local char kept[1024];

static int keep(const char *format, va_list args, int error) {
	char text[sizeof kept]; /* the arguments may point into the kept text */
	int n = vsnprintf(text, sizeof text, format, args);
	if (n < 0) n = 0;
	size_t len = MIN_OF((size_t)n, sizeof text - 1);
	if (error != 0) {
		char why[128];
		snprintf(text + len, sizeof text - len, ": %s", strerror_r(error, why, sizeof why));
	}
	memcpy(kept, text, sizeof kept);
	return -1;
}

int fail(const char *format, ...) {
	va_list args;
	va_start(args, format);
	keep(format, args, 0);
	va_end(args);
	return -1;
}

int fail_errno(const char *format, ...) {
	int error = errno;
	va_list args;
	va_start(args, format);
	keep(format, args, error);
	va_end(args);
	errno = error;
	return -1;
}

int fail_add(const char *format, ...) {
	char what[256];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(what, sizeof what, format, args);
	va_end(args);
	return n < 0 ? -1 : fail("%s: %s", what, kept);
}

const char *fail_text(void) {
	return kept;
}
