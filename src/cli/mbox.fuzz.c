/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/mbox.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void tell(void *ctx UNUSED, uint64_t line, const char *what) {
	must(line != 0 && what != NULL);
}

static int count(void *ctx, struct slice piece) {
	*(size_t *)ctx += piece.len;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size == 0) return 0;
	int fd = memfd_create("mbox", MFD_CLOEXEC);
	must(fd >= 0 && write(fd, data + 1, size - 1) == (ssize_t)size - 1);
	struct mbox *m = mbox_open(fd, data[0] % 5, tell, NULL);
	struct mbox_message one;
	size_t bytes = 0;
	uint64_t line = 0;
	while (mbox_next(m, &one) == 1) {
		must(one.line >= line);
		line = one.line;
		bytes += one.header.len;
		if (line % 3 != 0) must(mbox_body(m, count, &bytes) == 0);
	}
	must(bytes <= 2 * size);
	mbox_close(&m);
	close(fd);
	return 0;
}
