/* SPDX-License-Identifier: Apache-2.0 */
#include "store/extract.h"
#include "base/fail.h"
#include "mime/decode.h"

#include <sys/mman.h>
#include <unistd.h>

enum { PIECE = 64 * 1024, PART_MOST = 64 * 1024 * 1024 };

static bool is_file(const struct part *p) {
	return p->child == 0 && !slice_eq(p->type, S("text")) && !slice_eq(p->type, S("multipart")) &&
	       !slice_eq(p->type, S("message")) && p->body_end > p->body_start;
}

bool extract_may(const struct summary *s) {
	for (size_t i = 0; i < s->parts_count; i++)
		if (is_file(&s->parts[i])) return true;
	return false;
}

static bool is_wanted(const struct extractor *e, const struct part *p, struct arena *mem, struct slice *type) {
	if (!is_file(p) || p->body_end - p->body_start > PART_MOST) return false;
	*type = arena_fmt(mem, "%.*s/%.*s", SLICE_ARG(p->type), SLICE_ARG(p->subtype));
	for (size_t i = 0; i < e->count; i++)
		if (slice_matches(e->types[i], *type)) return true;
	return false;
}

static int write_out(int fd, struct buf *out) {
	struct slice all = buf_slice(out);
	while (all.len != 0) {
		ssize_t n = write(fd, all.at, all.len);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return fail_errno("attachment: memory file");
		all = slice_skip(all, (size_t)n);
	}
	buf_clear(out);
	return 0;
}

/* A descriptor of the part's bytes. */
static int decode(struct blob *blob, const struct part *p) {
	AUTO_FD int fd = memfd_create("attachment", MFD_CLOEXEC);
	AUTO_FREE char *piece = mem_get(PIECE);
	AUTO_BUF struct buf out = BUF(PIECE * 4);
	struct transfer t = transfer_start(encoding_of(p->encoding));
	if (fd < 0) return fail_errno("attachment: memory file");
	for (uint64_t at = p->body_start; at < p->body_end;) {
		ssize_t n = blob_read(blob, at, piece, (size_t)MIN_OF(p->body_end - at, (uint64_t)PIECE));
		if (n < 0) return -1;
		if (n == 0) break;
		transfer_feed(&t, slice_from(piece, (size_t)n), &out);
		at += (uint64_t)n;
		if (write_out(fd, &out) < 0) return -1;
	}
	transfer_finish(&t, &out);
	return write_out(fd, &out) < 0 || lseek(fd, 0, SEEK_SET) != 0 ? -1 : TAKE_FD(fd);
}

static int make_part(const struct extractor *e, struct blob *blob, const struct part *p, struct slice type,
		     struct arena *mem, struct buf *text) {
	struct slice name = param_text(p->disposition_params, p->disposition_params_count, S("filename"), mem);
	if (name.len == 0) name = param_text(p->params, p->params_count, S("name"), mem);
	AUTO_BUF struct buf said = BUF(e->text_limit);
	AUTO_FD int fd = decode(blob, p);
	int r = fd < 0 ? EXTRACT_NONE : e->make(e->ctx, type, name, fd, &said);
	if (r != 0) return r;
	struct text_decoder *utf8 = text_decoder_open(SLICE_NONE, S("utf-8"), false);
	text_decoder_feed(utf8, buf_slice(&said), text);
	text_decoder_finish(&utf8, text);
	buf_byte(text, '\n');
	return 0;
}

struct storing {
	int64_t blob_id;
	struct slice text;
};

static int store_it(struct db_conn *tx, void *arg) {
	const struct storing *s = arg;
	AUTO_STMT struct db_stmt *q =
		db_sql(tx, "INSERT INTO blob_text (blob_id, data) SELECT id, ? FROM blob WHERE id = ?"
			   " ON CONFLICT (blob_id) DO UPDATE SET data = excluded.data");
	db_bind_bytes(q, s->text.at != NULL ? s->text : S("")); /* not NULL */
	db_bind_int(q, s->blob_id);
	return db_run(q);
}

int extract_text(struct db *db, const struct extractor *e, int64_t blob_id, struct blob *blob,
		 const struct summary *s) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf text = BUF(e->text_limit + 1);
	bool any = false;
	for (size_t i = 0; i < s->parts_count && !text.full; i++) {
		struct slice type;
		if (!is_wanted(e, &s->parts[i], &mem, &type)) continue;
		any = true;
		int r = make_part(e, blob, &s->parts[i], type, &mem, &text);
		if (r < 0 || r == EXTRACT_SKIP) return MIN_OF(r, 0);
	}
	if (!any) return 0;
	return db_write(db, store_it, &(struct storing){ blob_id, buf_slice(&text) });
}

int extract_read(struct db_conn *c, int64_t blob_id, struct buf *out) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT data FROM blob_text WHERE blob_id = ?");
	db_bind_int(s, blob_id);
	int r = db_step(s);
	if (r == DB_ROW) buf_add(out, db_bytes(s, 0));
	return MIN_OF(r, 0);
}
