/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/upload.h"
#include "base/fail.h"
#include "mime/digest.h"
#include "net/file.h"
#include "store/thread.h"

enum { IN_MEMORY = 256 * 1024, SUMMARY_LIMIT = 4 * 1024 * 1024 };

void upload_begin(struct upload *u, struct imap_session *s) {
	*u = (struct upload){ .s = s, .fd = -1, .memory = BUF(IN_MEMORY), .summary = BUF(SUMMARY_LIMIT),
		.digest = BUF(KIB(64)) };
	u->scan = summary_scan_new();
}

void upload_done(struct upload *u) {
	summary_scan_free(&u->scan);
	buf_done(&u->memory);
	buf_done(&u->summary);
	buf_done(&u->digest);
	auto_fd(&u->fd);
	blob_draft_done(&u->draft);
}

static int spill(struct upload *u) {
	const char *dir = u->s->context->params.spool_dir;
	u->fd = file_spool(dir != NULL ? dir : "/tmp");
	if (u->fd < 0) return -1;
	int r = file_write_all(u->fd, buf_slice(&u->memory));
	buf_done(&u->memory);
	return r;
}

int upload_take(void *upload, struct slice piece) {
	struct upload *u = upload;
	summary_scan_feed(u->scan, piece);
	u->append.size += piece.len;
	if (u->fd < 0 && u->memory.len + piece.len <= IN_MEMORY)
		return buf_add(&u->memory, piece) ? 0 : fail("message buffer is full");
	if (u->fd < 0 && spill(u) < 0) return -1;
	return file_write_all(u->fd, piece);
}

/* Takes the place of u's message with what is kept of one that IMAP cannot tell. */
static int recode(struct upload *u, struct summary *summary) {
	struct upload made;
	upload_begin(&made, u->s);
	int r = upload_recode(u, summary, &made);
	if (r < 0) {
		upload_done(&made);
		return r;
	}
	summary_scan_finish(made.scan, summary);
	made.append = (struct append){ .box = u->append.box, .flags = u->append.flags, .keywords = u->append.keywords,
		.received_us = u->append.received_us, .size = made.append.size };
	made.next = u->next;
	upload_done(u);
	*u = made;
	return 0;
}

int upload_finish(struct upload *u) {
	struct summary summary;
	summary_scan_finish(u->scan, &summary);
	if (upload_is_binary(&summary) && recode(u, &summary) < 0) return -1;
	struct slice part = buf_slice(&u->memory);
	struct blob_source source = { &part, 1, u->fd, 0, u->fd >= 0 ? u->append.size : 0 };
	if (u->fd >= 0) source.part_count = 0;
	summary_pack_ready(&u->summary, &summary);
	digest_of_summary(&u->digest, &summary);
	summary_scan_free(&u->scan);
	if (u->summary.full) return fail("the message's summary is larger than %d bytes", SUMMARY_LIMIT);
	int r = blob_prepare(u->s->context->db, &source, &u->draft);
	buf_done(&u->memory);
	auto_fd(&u->fd);
	return r;
}

int upload_store(struct db_conn *tx, struct upload *u) {
	int r = blob_insert(tx, u->draft, buf_slice(&u->summary), &u->append.blob_id);
	if (r == 0) r = store_digest(tx, u->append.blob_id, buf_slice(&u->digest));
	return r != 0 ? r : store_append(tx, &u->append, &u->done);
}
