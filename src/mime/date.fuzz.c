/* SPDX-License-Identifier: Apache-2.0 */
/* A date that was read is written and read back as the same moment. */
#include "mime/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_BUF struct buf text = BUF(100);
	struct slice in = slice_from(data, size);
	struct date d, again;
	int64_t day;
	if (date_parse(in, &d) == DATE_OK) {
		date_add(&text, d);
		must(date_parse(buf_slice(&text), &again) == DATE_OK && again.utc == d.utc && again.zone == d.zone);
	}
	buf_clear(&text);
	if (date_parse_internal(in, &d) == DATE_OK) {
		date_add_internal(&text, d);
		must(date_parse_internal(buf_slice(&text), &again) == DATE_OK && again.utc == d.utc &&
		     again.zone == d.zone);
	}
	date_parse_day(in, &day);
	return 0;
}
