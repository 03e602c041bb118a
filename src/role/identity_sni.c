/* SPDX-License-Identifier: Apache-2.0 */
/* tls_server_sni_maps: a name the client asks for, and the files of the chain it is shown (TLS_README). The table is
 * read whole, since keys must be in vault before the first client comes: it must be made of text. */
#include "base/fail.h"
#include "base/log.h"
#include "conf/table.h"
#include "net/file.h"
#include "net/tls.h"
#include "role/identity.h"

enum { PEM_MOST = 1 << 20 };

struct reading {
	struct identities *all;
	const char *table;
	int result;
};

/* What stands in the files so far is one identity. */
static int add(struct reading *r, struct slice name, struct buf *pem) {
	struct identities *all = r->all;
	if (all->count == IDENTITIES_MAX) return fail("more than %d certificates", IDENTITIES_MAX);
	AUTO_FREE char *chain = identity_blocks(buf_slice(pem), "CERTIFICATE");
	char *key = identity_blocks(buf_slice(pem), "PRIVATE KEY");
	int checked = key[0] == '\0' ? fail("no private key in its files (it comes first)")
				     : tls_check_identity(slice_of(chain), slice_of(key), "chain");
	AUTO_BUF struct buf named = BUF(2 * PEM_MOST);
	buf_addf(&named, IDENTITY_NAME "%.*s\n%s", SLICE_ARG(name), chain);
	all->at[all->count++] = (struct identity_text){ slice_text(buf_slice(&named)), key };
	if (checked > 0) say(L_WARN, "master", "%s: %.*s: %s", r->table, SLICE_ARG(name), fail_text());
	return checked < 0 ? checked : 0;
}

static int entry(struct reading *r, struct slice name, struct slice value) {
	AUTO_BUF struct buf pem = BUF(PEM_MOST);
	bool has_key = false;
	for (struct slice file; (file = slice_word(&value, ", \t\r\n")).len != 0;) {
		AUTO_FREE char *path = slice_text(file);
		AUTO_BUF struct buf text = BUF(PEM_MOST);
		if (r->all->file_count < LEN(r->all->files)) r->all->files[r->all->file_count++] = mem_text(path);
		if (file_read(path, &text) < 0) return -1;
		bool key = slice_search(buf_slice(&text), S("PRIVATE KEY-----")) < text.len;
		if (key && has_key) { /* a second set, of another kind of key */
			if (add(r, name, &pem) < 0) return -1;
			buf_clear(&pem);
		}
		has_key |= key;
		buf_add(&pem, buf_slice(&text));
		buf_byte(&pem, '\n');
		mem_wipe(text.at, text.len);
	}
	int done = add(r, name, &pem);
	mem_wipe(pem.at, pem.len);
	return done;
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
