/* SPDX-License-Identifier: Apache-2.0 */
/* tls_server_sni_maps: a name the client asks for, and the files of the chain it is shown (TLS_README). The table is
 * read whole, since keys must be in vault before the first client comes: it must be made of text. */
#include "base/fail.h"
#include "conf/table.h"
#include "role/identity.h"

enum { PEM_MOST = 1 << 20, FILES_MOST = 64 };

struct reading {
	struct identities *all;
	const char *table;
	struct slice name;
	int result;
};

static int add(void *ctx, const struct identity_text *text) {
	struct reading *r = ctx;
	struct identities *all = r->all;
	AUTO_BUF struct buf named = BUF(2 * PEM_MOST);
	if (all->count == IDENTITIES_MAX) return fail("more than %d certificates", IDENTITIES_MAX);
	buf_addf(&named, IDENTITY_NAME "%.*s\n%s", SLICE_ARG(r->name), text->chain);
	free(text->chain);
	all->at[all->count++] = (struct identity_text){ slice_text(buf_slice(&named)), text->key };
	return 0;
}

static int entry(struct reading *r, struct slice name, struct slice value) {
	struct slice files[FILES_MOST];
	size_t n = 0;
	r->name = name;
	for (struct slice file; (file = slice_word(&value, ", \t\r\n")).len != 0;) {
		if (n == FILES_MOST) return fail("more than %d files", FILES_MOST);
		files[n++] = file;
	}
	if (n == 0) return fail("no files");
	return identity_read_list(r->all, files, n, &(struct identity_taker){ add, r });
}

static int visit(void *ctx, struct slice name, struct slice value) {
	struct reading *r = ctx;
	r->result = entry(r, name, value);
	if (r->result < 0) (void)fail_add("%s: %.*s", r->table, SLICE_ARG(name));
	return r->result < 0 ? 1 : 0;
}

int identities_load_sni(const struct conf *c, struct identities *all) {
	size_t n;
	const struct slice *names = conf_list(conf_main(c), SET_tls_server_sni_maps, &n);
	if (n == 0) return 0;
	struct tables *tables = tables_new(&(struct table_params){ .service = "master" });
	int result = 0;
	for (size_t i = 0; i < n && result == 0; i++) {
		struct table *t;
		struct reading r = { .all = all };
		if (table_open(tables, names[i], 0, &t) != TABLE_FOUND) {
			result = fail_add("tls_server_sni_maps");
			break;
		}
		r.table = table_name(t);
		int done = table_each(t, visit, &r);
		if (done == TABLE_BAD)
			result = fail("tls_server_sni_maps: %s cannot be read as a whole (use a table made of text, "
				      "such as texthash or inline)",
				      r.table);
		else result = r.result;
	}
	tables_free(&tables);
	return result;
}
