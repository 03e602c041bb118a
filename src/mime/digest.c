/* SPDX-License-Identifier: Apache-2.0 */
#include "mime/digest.h"
#include "base/collate.h"
#include "mime/first_address.h"
#include "mime/subject.h"

enum { TEXT_MAX = 1000 /* bytes of a key that count: subjects of kilobytes need not be told apart */ };

static uint64_t own_id(struct slice message_id) {
	struct slice id;
	if (!msgid_next(&message_id, &id)) return 0;
	uint64_t hash = msgid_hash(id);
	return hash != 0 ? hash : 1;
}

static void put_key(struct buf *out, struct buf *text, struct buf *key) {
	collate_casemap(key, buf_slice(text));
	wire_put_text(out, slice_head(buf_slice(key), TEXT_MAX));
	buf_clear(text);
	buf_clear(key);
}

void digest_add(struct buf *out, const struct summary_head *h) {
	AUTO_BUF struct buf text = BUF(MIB(1)), key = BUF(MIB(4));
	AUTO_BUF struct buf from = BUF(MIB(1)), to = BUF(MIB(1)), cc = BUF(MIB(1)); /* as they are shown */
	const struct envelope *e = &h->envelope;
	bool reply = false;
	subject_add_base(&text, e->subject, &reply);
	wire_put_u64(out, DIGEST_VERSION);
	wire_put_i64(out, h->sent);
	wire_put_u64(out, own_id(e->message_id));
	wire_put_u64(out, reply);
	wire_put_text(out, h->references);
	put_key(out, &text, &key);
	first_address_add(&text, &from, e->from);
	put_key(out, &text, &key);
	first_address_add(&text, &to, e->to);
	put_key(out, &text, &key);
	first_address_add(&text, &cc, e->cc);
	put_key(out, &text, &key);
	put_key(out, &from, &key);
	put_key(out, &to, &key);
}

void digest_of_summary(struct buf *out, const struct summary *s) {
	AUTO_BUF struct buf references = BUF(KIB(4));
	struct summary_head head;
	summary_head_of(s, &references, &head);
	digest_add(out, &head);
}

static uint64_t mix(uint64_t h) {
	h ^= h >> 31;
	h *= UINT64_C(0x7fb5d329728ea185);
	h ^= h >> 27;
	h *= UINT64_C(0x81dadef4bc2dd44d);
	return h ^ h >> 33;
}

uint64_t digest_thread(const struct digest *d) {
	struct slice references = d->references;
	uint64_t root = d->root, subject = UINT64_C(0xcbf29ce484222325);
	if (root == 0 && !summary_reference_next(&references, &root)) root = d->id;
	if (root == 0) return 0;
	for (size_t i = 0; i < d->subject.len; i++)
		subject = (subject ^ (unsigned char)d->subject.at[i]) * UINT64_C(0x100000001b3);
	uint64_t thread = mix(root + mix(subject));
	return thread != 0 ? thread : 1;
}

void digest_add_root(struct buf *packed, uint64_t root) {
	wire_put_u64(packed, root);
}

bool digest_read(struct slice packed, struct digest *out) {
	struct unwire w = UNWIRE(packed, NULL);
	if (wire_get_u64(&w) != DIGEST_VERSION) return false;
	struct digest d = { .sent = wire_get_i64(&w) };
	d.id = wire_get_u64(&w);
	d.reply = wire_get_u64(&w) != 0;
	struct slice *texts[] = { &d.references, &d.subject, &d.from, &d.to, &d.cc, &d.display_from, &d.display_to };
	for (size_t i = 0; i < LEN(texts); i++) *texts[i] = wire_get_text(&w);
	if (!w.bad && w.rest.len != 0) d.root = wire_get_u64(&w);
	if (!w.bad) *out = d;
	return !w.bad;
}
