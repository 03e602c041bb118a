/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/blob.h"
#include "mime/summary.h"
/* The text of attachments that only other programs can read (PDF, office files). It is made once for each body, in the
 * background, before that is indexed, and kept beside it (blob_text); SEARCH and the index read it from there. What
 * makes it is handed in: this room knows no programs. */
struct extractor {
	const struct slice *types; /* media types as "application/pdf"; '*' stands for any text */
	size_t count;
	size_t text_limit;         /* bytes kept for a message */
	/* One part, decoded, in a descriptor of its own. What it says is added to out. <0: cannot be asked now. */
	int (*make)(void *ctx, struct slice type, struct slice name, int fd, struct buf *out);
	void *ctx;
};
enum extract_result {
	EXTRACT_MADE,
	EXTRACT_NONE, /* it has no text, for good */
	EXTRACT_SKIP, /* the program does not run here: gone on without, and made again with the next index */
};
/* Is there a part that has a text of this kind? */
bool extract_may(const struct summary *s);
/* Makes and stores it where parts of it are of these types. <0: failed, or cannot be made now. */
int extract_text(struct db *db, const struct extractor *e, int64_t blob_id, struct blob *blob, const struct summary *s);
/* What was made for it, UTF-8, added to out; nothing when there is none. */
int extract_read(struct db_conn *c, int64_t blob_id, struct buf *out);
enum { EXTRACT_MOST = 16 * 1024 * 1024 }; /* of text_limit */
