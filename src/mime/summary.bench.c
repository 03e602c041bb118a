/* SPDX-License-Identifier: Apache-2.0 */
/* Speed of the scan, on made-up mail and on the files named. Not part of the build:
 * cc -O2 -D_GNU_SOURCE -Isrc src/mime/summary.bench.c build/src/libhato-mime.a build/src/libhato-base.a -lidn2 */
#include <fcntl.h>

#include "base/clock.h"
#include "mime/summary.h"

static void measure(const char *what, struct slice text) {
	enum { TOTAL = 400 * 1000 * 1000 };
	size_t rounds = TOTAL / MAX_OF(text.len, (size_t)1) + 1, packed_len = 0;
	int64_t start = clock_us();
	for (size_t i = 0; i < rounds; i++) {
		AUTO_BUF struct buf packed = BUF(MIB(16));
		struct summary s;
		struct summary_scan *scan = summary_scan_new();
		for (struct slice rest = text; rest.len != 0; rest = slice_skip(rest, KIB(64))) summary_scan_feed(scan,
			slice_head(rest, KIB(64)));
		summary_scan_finish(scan, &s);
		summary_pack(&packed, &s);
		packed_len = packed.len;
		summary_scan_free(&scan);
	}
	double seconds = (double)(clock_us() - start) / 1e6;
	printf("%-40s %9zu bytes  packed %5zu  %8.0f MB/s  %8.2f us\n", what, text.len, packed_len,
		(double)(rounds * text.len) / seconds / 1e6,
	       seconds * 1e6 / (double)rounds);
}

static void fill(struct buf *b, const char *header, size_t size, const char *end) {
	buf_clear(b);
	buf_addf(b, "%s", header);
	for (size_t i = 0; b->len < size; i++) buf_addf(b,
		"%zu The quick brown fox jumps over the lazy dog, and the dog does not mind.\r\n", i % 10);
	buf_addf(b, "%s", end);
}

#define FIELDS \
	"Received: from a.example (a.example [192.0.2.1]) by mx.example with ESMTPS id 1\r\n\tfor <b@example>; Sun, " \
	"22 Nov 2026 04:31:39 +0000\r\n" \
	"From: A <a@example>\r\nTo: B <b@example>\r\nSubject: hello\r\nDate: Sun, 22 Nov 2026 04:31:39 " \
	"+0000\r\nMessage-ID: <1@a.example>\r\nMIME-Version: 1.0\r\n"
int main(int argc, char **argv) {
	AUTO_BUF struct buf text = BUF(MIB(256));
	fill(&text, FIELDS "\r\n", KIB(4), "");
	measure("plain, 4 KiB", buf_slice(&text));
	fill(&text, FIELDS "\r\n", MIB(10), "");
	measure("plain, 10 MiB", buf_slice(&text));
	fill(&text,
	     FIELDS "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: "
		    "text/html\r\n\r\n<p>x</p>\r\n--b\r\nContent-Type: a/b\r\n\r\n",
	     MIB(10), "--b--\r\n");
	measure("multipart, 10 MiB", buf_slice(&text));
	for (int i = 1; i < argc; i++) {
		AUTO_FD int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
		buf_clear(&text);
		char *at = fd < 0 ? NULL : buf_room(&text, MIB(255));
		ssize_t n = at == NULL ? -1 : read(fd, at, MIB(255));
		if (n < 0) continue;
		text.len = (size_t)n;
		measure(argv[i], buf_slice(&text));
	}
	return 0;
}
