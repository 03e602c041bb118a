/* SPDX-License-Identifier: Apache-2.0 */
/* What the search index says before any message is opened: of a tree of tests, which bodies cannot fit. Only positive
 * tests of texts say something; of AND it is enough that one child excludes, of OR all must; NOT says nothing. */
#include "access/imap/search.h"
#include "store/rows.h"
#include "store/search_index.h"

/* What is known of a node's text; NULL: nothing. */
static const struct text_found *known_of(struct imap_session *s, const struct search_node *node) {
	bool of_text = node->test == search_in_text || node->test == search_in_body || node->test == search_in_field ||
		       node->test == search_in_envelope;
	if (!of_text || node->fuzzy || node->text.len == 0) return NULL;
	struct text_found *f = arena_get(&s->mem, sizeof *f);
	return search_index_find(s->context->index, node->text, &s->mem, f) == 0 ? f : NULL;
}

/* A tree of what excludes: leaves are lists of candidates. */
struct excluder {
	const struct text_found *found; /* of a leaf */
	struct excluder **children;
	size_t count;
	bool all;                       /* all children must exclude (OR), else one is enough */
};

static struct excluder *excluder_of(struct imap_session *s, const struct search_node *node) {
	struct excluder e = { .found = known_of(s, node), .all = node->test == search_any };
	if (e.found == NULL && node->test != search_all && node->test != search_any) return NULL;
	e.children = arena_array(&s->mem, node->count + 1, sizeof *e.children);
	for (size_t i = 0; i < node->count; i++) {
		struct excluder *child = excluder_of(s, node->children[i]);
		if (child == NULL && e.all) return NULL;
		if (child != NULL) e.children[e.count++] = child;
	}
	if (e.found == NULL && e.count == 0) return NULL;
	struct excluder *out = arena_get(&s->mem, sizeof *out);
	*out = e;
	return out;
}

static bool excludes(const struct excluder *e, int64_t blob_id) {
	if (e->found != NULL) return search_index_excludes(e->found, blob_id);
	for (size_t i = 0; i < e->count; i++)
		if (excludes(e->children[i], blob_id) != e->all) return !e->all;
	return e->all;
}

struct keeping {
	const struct excluder *e;
	struct imap_set_builder kept;
};

static int keep(void *ctx, const struct message *m) {
	struct keeping *k = ctx;
	if (!excludes(k->e, m->blob_id)) imap_set_append(&k->kept, m->uid, m->uid);
	return 0;
}

int search_narrow(struct imap_session *s, struct box box, const struct search_node *root, struct imap_set *set) {
	struct excluder *e = s->context->index != NULL && set->count != 0 ? excluder_of(s, root) : NULL;
	if (e == NULL) return 0;
	struct keeping k = { .e = e };
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	struct rows_list *l = c != NULL ? rows_of(s->context->rows, c, box, imap_uid_set(set), true) : NULL;
	int r = -1;
	if (l != NULL) r = rows_each(l, c, imap_uid_set(set), 0, keep, &k);
	else if (c != NULL) r = store_each(c, box, imap_uid_set(set), WANT_LEAN | WANT_BLOB, keep, &k);
	rows_release(s->context->rows, &l);
	if (r == 0) {
		struct imap_range *ranges = arena_array(&s->mem, k.kept.set.count + 1, sizeof *ranges);
		if (k.kept.set.count != 0) memcpy(ranges, k.kept.set.ranges, k.kept.set.count * sizeof *ranges);
		*set = (struct imap_set){ ranges, k.kept.set.count };
	}
	imap_set_builder_done(&k.kept);
	return r;
}
