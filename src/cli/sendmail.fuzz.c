/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a program writes becomes lines that SMTP can carry, with an empty line before the text; and a field that is
 * added stands in the header. */
#include "cli/sendmail.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size == 0) return 0;
	struct reading r = { 0 };
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	must(write(fd, data, size) == (ssize_t)size && lseek(fd, 1, SEEK_SET) == 1);
	must(reading_take(&r, fd, (data[0] & 1) != 0, (data[0] & 2) != 0 ? 100 : 0) == 0);
	close(fd);
	reading_header(&r, true);
	reading_add_field(&r, S("X-Added: yes"));
	struct slice text = buf_slice(&r.text);
	for (size_t i = 0; i < text.len; i++) {
		must(text.at[i] != '\0');
		must(text.at[i] != '\r' || (i + 1 < text.len && text.at[i + 1] == '\n'));
		must(text.at[i] != '\n' || (i != 0 && text.at[i - 1] == '\r'));
	}
	size_t end = slice_starts(text, S("\r\n")) ? 0 : slice_search(text, S("\r\n\r\n"));
	must(slice_search(slice_head(text, end == text.len ? text.len : end + 2), S("X-Added: yes\r\n")) < text.len);
	reading_done(&r);
	return 0;
}
