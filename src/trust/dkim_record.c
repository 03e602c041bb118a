/* SPDX-License-Identifier: Apache-2.0 */
/* Key records (RFC 6376 §3.6.1). What is there for nobody any more (g=) is read past. */
#include "trust/dkim_private.h"

static bool list_has(struct slice list, struct slice word) {
	while (list.at != NULL)
		if (slice_same(slice_trim(slice_cut(&list, ':')), word)) return true;
	return false;
}

static bool refuse(struct slice *reason, struct slice why) {
	*reason = why;
	return false;
}

bool dkim_record_parse(struct slice text, struct arena *mem, struct dkim_record *out, struct slice *reason) {
	struct tag tags[TAGS_MAX];
	int count = tags_parse(text, tags);
	if (count < 0) return refuse(reason, S("the key record is no list of tags"));
	const struct tag *v = tag_find(tags, count, S("v")), *k = tag_find(tags, count, S("k")),
			 *p = tag_find(tags, count, S("p"));
	const struct tag *h = tag_find(tags, count, S("h")), *s = tag_find(tags, count, S("s")),
			 *t = tag_find(tags, count, S("t"));
	const struct tag *n = tag_find(tags, count, S("n"));
	if (v != NULL && (v != tags || !slice_eq(v->value, S("DKIM1"))))
		return refuse(reason, S("the key record is of another version than DKIM1"));
	struct dkim_record r = { .ed25519 = k != NULL && slice_same(k->value, S("ed25519")) };
	if (k != NULL && !r.ed25519 && !slice_same(k->value, S("rsa")))
		return refuse(reason, S("the key record has an unknown type of key (k=)"));
	if (p == NULL) return refuse(reason, S("the key record has no key (p=)"));
	r.revoked = p->value.len == 0;
	if (!r.revoked && !tag_base64(p->value, mem, &r.public_key))
		return refuse(reason, S("the key in the key record is not base64 (p=)"));
	r.sha256 = h == NULL || list_has(h->value, S("sha256"));
	r.email = s == NULL || list_has(s->value, S("*")) || list_has(s->value, S("email"));
	r.testing = t != NULL && list_has(t->value, S("y"));
	r.strict = t != NULL && list_has(t->value, S("s"));
	r.note = n != NULL ? n->value : SLICE_NONE;
	*out = r;
	return true;
}
