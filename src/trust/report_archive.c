/* SPDX-License-Identifier: Apache-2.0 */
/* Archives of strangers. Only what reports come in: gzip, and zip with stored or deflated files, read from its central
 * directory. A library for all archives there are would bring every format's decoder into a process that reads
 * strangers' mail. */
#include "trust/report.h"

#include <zlib.h>

enum { FREE_SIZE = 1 << 20, ZIP_ENTRY = 46, ZIP_LOCAL = 30, ZIP_END = 22, ZIP_COMMENT_MAX = 65535, ENTRIES_MAX = 20 };

enum report_archive report_archive_of(struct slice bytes) {
	if (slice_starts(bytes, S("\x1f\x8b"))) return REPORT_GZIP;
	if (slice_starts(bytes, S("PK\x03\x04")) || slice_starts(bytes, S("PK\x05\x06"))) return REPORT_ZIP;
	return REPORT_PLAIN;
}

/* bits: as inflateInit2 takes them. many: gzip allows several members in a row. */
static bool inflate_all(struct slice packed, int bits, bool many, size_t *budget, struct buf *out,
			struct slice *reason) {
	z_stream z = { .next_in = (Bytef *)(uintptr_t)packed.at, .avail_in = (uInt)packed.len };
	bool good = true;
	if (inflateInit2(&z, bits) != Z_OK) return *reason = S("no memory to unpack"), false;
	*out = BUF(*budget);
	for (int r = Z_OK; good && r != Z_STREAM_END;) {
		char *room = buf_room(out, MIN_OF(KIB(64), *budget - out->len));
		if (room == NULL || out->len == *budget) {
			*reason = S("unpacks to more than is read (a bomb?)");
			good = false;
			break;
		}
		size_t space = MIN_OF(KIB(64), *budget - out->len);
		z.next_out = (Bytef *)room;
		z.avail_out = (uInt)space;
		r = inflate(&z, Z_NO_FLUSH);
		out->len += space - z.avail_out;
		if (out->len > FREE_SIZE && out->len / REPORT_RATIO_MAX > packed.len) {
			*reason = S("unpacks to far more than any report does (a bomb?)");
			good = false;
		} else if (r == Z_STREAM_END && many && z.avail_in > 2 && z.next_in[0] == 0x1f &&
			   z.next_in[1] == 0x8b) {
			r = inflateReset(&z);
			good = r == Z_OK;
		} else if (r != Z_OK && r != Z_STREAM_END) {
			*reason = r == Z_BUF_ERROR ? S("the archive ends too early") : S("the archive is damaged");
			good = false;
		}
	}
	inflateEnd(&z);
	return good;
}

static bool unpack_gzip(struct slice bytes, size_t *budget, const struct report_archive_ops *ops,
			struct slice *reason) {
	AUTO_BUF struct buf out = BUF(0);
	if (!inflate_all(bytes, 15 + 16, true, budget, &out, reason)) return false;
	*budget -= out.len;
	ops->file(ops->ctx, S(""), buf_slice(&out));
	return true;
}

static uint32_t little(struct slice s, size_t at, size_t bytes) {
	uint32_t v = 0;
	for (size_t i = bytes; i > 0; i--) v = v << 8 | (unsigned char)s.at[at + i - 1];
	return v;
}

/* Where the end record stands: the last signature from which a comment reaches the end, or anything that trails. */
static bool find_end(struct slice zip, size_t *at) {
	if (zip.len < ZIP_END) return false;
	size_t lowest = zip.len > ZIP_END + ZIP_COMMENT_MAX ? zip.len - ZIP_END - ZIP_COMMENT_MAX : 0;
	for (size_t i = zip.len - ZIP_END + 1; i > lowest; i--) {
		if (!slice_starts(slice_skip(zip, i - 1), S("PK\x05\x06"))) continue;
		*at = i - 1;
		return true;
	}
	return false;
}

struct entry {
	struct slice name, data;
	uint32_t method, flags, crc, size;
};

/* One entry of the central directory; *at moves behind it. */
static bool next_entry(struct slice zip, size_t *at, struct entry *e) {
	size_t o = *at;
	if (o > zip.len || zip.len - o < ZIP_ENTRY || !slice_starts(slice_skip(zip, o), S("PK\x01\x02"))) return false;
	uint32_t name = little(zip, o + 28, 2), extra = little(zip, o + 30, 2), comment = little(zip, o + 32, 2);
	uint32_t packed = little(zip, o + 20, 4), local = little(zip, o + 42, 4);
	if (zip.len - o < ZIP_ENTRY + (size_t)name + extra + comment) return false;
	*e = (struct entry){ .name = slice_from(zip.at + o + ZIP_ENTRY, name),
			     .flags = little(zip, o + 8, 2),
			     .method = little(zip, o + 10, 2),
			     .crc = little(zip, o + 16, 4),
			     .size = little(zip, o + 24, 4) };
	*at = o + ZIP_ENTRY + name + extra + comment;
	if (local > zip.len || zip.len - local < ZIP_LOCAL || !slice_starts(slice_skip(zip, local), S("PK\x03\x04")))
		return false;
	size_t start = (size_t)local + ZIP_LOCAL + little(zip, local + 26, 2) + little(zip, local + 28, 2);
	if (start > zip.len || zip.len - start < packed) return false;
	e->data = slice_from(zip.at + start, packed);
	return true;
}

static bool unpack_entry(const struct entry *e, size_t *budget, const struct report_archive_ops *ops,
			 struct slice *reason) {
	AUTO_BUF struct buf out = BUF(0);
	struct slice bytes = e->data;
	if ((e->flags & 1) != 0) return *reason = S("the zip is encrypted"), false;
	if (e->method != 0 && e->method != 8) return *reason = S("the zip is packed in a way that no report is"), false;
	if (e->method == 8) {
		if (!inflate_all(e->data, -15, false, budget, &out, reason)) return false;
		bytes = buf_slice(&out);
	}
	if (bytes.len > *budget) return *reason = S("unpacks to more than is read (a bomb?)"), false;
	if (crc32(crc32(0, NULL, 0), (const Bytef *)bytes.at, (uInt)bytes.len) != e->crc || bytes.len != e->size)
		return *reason = S("the archive is damaged"), false;
	*budget -= bytes.len;
	ops->file(ops->ctx, e->name, bytes);
	return true;
}

static bool unpack_zip(struct slice zip, size_t *budget, const struct report_archive_ops *ops, struct slice *reason) {
	size_t end, files = 0;
	if (!find_end(zip, &end)) return *reason = S("the zip ends too early"), false;
	uint32_t count = little(zip, end + 10, 2);
	size_t at = little(zip, end + 16, 4);
	if (count > ENTRIES_MAX) return *reason = S("the zip holds more files than any report"), false;
	for (uint32_t i = 0; i < count; i++) {
		struct entry e;
		if (!next_entry(zip, &at, &e)) return *reason = S("the zip is damaged"), false;
		if (slice_ends(e.name, S("/")) || slice_starts(e.name, S("__MACOSX/"))) continue;
		if (!unpack_entry(&e, budget, ops, reason)) return false;
		files++;
	}
	if (files == 0) return *reason = S("the zip is empty"), false;
	return true;
}

bool report_archive_each(struct slice bytes, size_t *budget, const struct report_archive_ops *ops,
			 struct slice *reason) {
	if (bytes.len > REPORT_FILE_MAX) return *reason = S("the archive is larger than any report"), false;
	return report_archive_of(bytes) == REPORT_GZIP ? unpack_gzip(bytes, budget, ops, reason)
						       : unpack_zip(bytes, budget, ops, reason);
}
