/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"
#include "db/blob.h"
#include "mime/digest.h"
#include "store/store.h"
#include "store/thread.h"

struct mail { struct blob_draft *draft; struct slice digest; struct append a; };

static int enter(struct db_conn *tx, void *arg) {
	struct mail *m = arg;
	struct appended done;
	int r = blob_insert(tx, m->draft, S(""), &m->a.blob_id);
	if (r == 0) r = store_digest(tx, m->a.blob_id, m->digest);
	return r == 0 ? store_append(tx, &m->a, &done) : r;
}

static int make(struct db_conn *tx, void *arg) {
	(void)arg;
	return store_account_create(tx, 1);
}

static int read_thread(void *ctx, const struct message *m) {
	struct digest d;
	assert_true(digest_read(m->digest, &d));
	*(uint64_t *)ctx = digest_thread(&d);
	return 0;
}

/* The conversation of a message that came with this header. */
static uint64_t thread_of(struct db *db, const char *header) {
	struct slice body = slice_of(header);
	struct blob_source source = { .parts = &body, .part_count = 1, .fd = -1 };
	AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
	AUTO_BUF struct buf digest = BUF(KIB(64));
	struct summary summary;
	struct summary_scan *scan = summary_scan_new();
	uint64_t thread = 0;
	summary_scan_feed(scan, body);
	summary_scan_finish(scan, &summary);
	digest_of_summary(&digest, &summary);
	summary_scan_free(&scan);
	assert_done(blob_prepare(db, &source, &draft));
	struct mail m = { draft, buf_slice(&digest), { .box = { 1, 0 }, .size = body.len } };
	assert_done(db_write(db, enter, &m));
	AUTO_READ struct db_conn *c = db_read(db);
	struct box inbox;
	assert_done(store_inbox(c, 1, &inbox));
	assert_done(store_each(c, inbox, UID_ALL, WANT_DIGEST, read_thread, &thread)); /* the last stays */
	return thread;
}

static void test_threads(void **state) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	(void)state;
	assert_done(db_write(db, make, NULL));
	uint64_t one = thread_of(db, "Subject: Plans\r\nMessage-ID: <a@x>\r\n\r\n");
	/* each names only what it answers */
	assert_true(thread_of(db, "Subject: Re: Plans\r\nMessage-ID: <b@x>\r\nIn-Reply-To: <a@x>\r\n\r\n") == one);
	assert_true(thread_of(db, "Subject: Re: Plans\r\nMessage-ID: <c@x>\r\nIn-Reply-To: <b@x>\r\n\r\n") == one);
	assert_true(thread_of(db, "Subject: AW: Re: Plans\r\nMessage-ID: <d@x>\r\nIn-Reply-To: <c@x>\r\n\r\n") != one);
	assert_true(thread_of(db, "Subject: Re: Plans\r\nMessage-ID: <e@x>\r\nIn-Reply-To: <d@x>\r\n\r\n") == one);
	/* the beginning of the list of references was cut off on the way */
	assert_true(thread_of(db, "Subject: Re: Plans\r\nReferences: <d@x> <e@x>\r\n\r\n") == one);
	/* the same answered under another subject, an unknown message, oneself */
	assert_true(thread_of(db, "Subject: Other\r\nMessage-ID: <f@x>\r\nIn-Reply-To: <c@x>\r\n\r\n") != one);
	assert_true(thread_of(db, "Subject: Re: Plans\r\nMessage-ID: <g@x>\r\nIn-Reply-To: <z@x>\r\n\r\n") != one);
	/* a second message with an id that is known already, as if it began elsewhere */
	assert_true(thread_of(db, "Subject: Re: Plans\r\nMessage-ID: <e@x>\r\nReferences: <y@x>\r\n\r\n") == one);
	assert_true(thread_of(db, "Subject: Re: Plans\r\nIn-Reply-To: <e@x>\r\n\r\n") == one);
	uint64_t self = thread_of(db, "Subject: Me\r\nMessage-ID: <h@x>\r\nIn-Reply-To: <h@x>\r\n\r\n");
	assert_true(thread_of(db, "Subject: Me\r\nMessage-ID: <i@x>\r\nIn-Reply-To: <h@x>\r\n\r\n") == self);
	db_close(&db);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_threads) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
