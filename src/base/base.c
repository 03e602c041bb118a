/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is there or ends the process, and the two ways to end it. */
#include "base/base.h"
#include "base/log.h"
#include "base/slice.h"

void *mem_get(size_t size) {
	void *at = calloc(1, size != 0 ? size : 1);
	if (at == NULL) die_now("out of memory, wanted %zu bytes", size);
	return at;
}

void *mem_array(size_t count, size_t size) {
	void *at = calloc(count != 0 ? count : 1, size != 0 ? size : 1);
	if (at == NULL) die_now("out of memory, wanted %zu times %zu bytes", count, size);
	return at;
}

void *mem_resize(void *at, size_t size) {
	void *moved = realloc(at, size != 0 ? size : 1);
	if (moved == NULL) die_now("out of memory, wanted %zu bytes", size);
	return moved;
}

char *mem_text(const char *text) {
	return slice_text(slice_of(text));
}

void mem_wipe(void *at, size_t size) {
	if (size != 0) explicit_bzero(at, size);
}

void must_failed(const char *truth, const char *file, int line) {
	die_now("cannot be: not (%s) at %s:%d", truth, file, line);
}

void die_now(const char *format, ...) {
	char text[512];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (n > 0) say(L_FATAL, "hato", "%s", text);
	abort();
}

void auto_fd(int *fd) {
	if (*fd >= 0) {
		int kept = errno;
		close(*fd);
		errno = kept;
		*fd = -1;
	}
}

void auto_free(void *pointer_to_pointer) {
	void **p = pointer_to_pointer;
	free(*p);
	*p = NULL;
}

void auto_file(FILE **file) {
	if (*file != NULL) fclose(*file);
	*file = NULL;
}
