/* SPDX-License-Identifier: Apache-2.0 */
/* smtpd_tls_chain_files and tls_server_sni_maps (postconf(5)): the files count as one text of keys, each followed by
 * its certificates. Key and certificate in two files, the key first, is what every how-to for Let's Encrypt has. */
#include "base/fail.h"
#include "base/log.h"
#include "net/file.h"
#include "net/tls.h"
#include "role/identity.h"

enum { LIST_MOST = 1 << 20 };

struct list {
	const struct identity_taker *to;
	struct slice where; /* the first file of what is read now */
	struct buf pem;     /* a key and its certificates so far, in whatever order */
	size_t keys;        /* in it */
};

static size_t count_keys(struct slice pem) {
	static const struct slice mark = S("PRIVATE KEY-----");
	size_t found = 0;
	for (size_t at; (at = slice_search(pem, mark)) < pem.len; pem = slice_skip(pem, at + mark.len)) found++;
	return found / 2; /* it begins and ends with it */
}

static int give(struct list *l, struct slice pem) {
	struct identity_text text = { identity_blocks(pem, "CERTIFICATE"), identity_blocks(pem, "PRIVATE KEY") };
	AUTO_FREE char *path = slice_text(l->where);
	int r = text.key[0] == '\0' ? fail("%s: no private key in it (it comes first, then its certificate)", path)
				    : tls_check_identity(slice_of(text.chain), slice_of(text.key), path);
	if (r > 0) say(L_WARN, "master", "%s", fail_text()); /* expired: still better than no TLS */
	if (r >= 0) r = l->to->take(l->to->ctx, &text);
	if (r == 0) return 0;
	mem_wipe(text.key, strlen(text.key));
	free(text.key);
	free(text.chain);
	return r;
}

/* Where the line is that begins the next key behind the first one of pem. */
static size_t second_key(struct slice pem) {
	size_t at = 0, keys = 0;
	while (at < pem.len) {
		struct slice rest = slice_skip(pem, at), line = slice_trim(slice_head(rest, slice_find(rest, '\n')));
		bool key = slice_starts(line, S("-----BEGIN ")) && slice_ends(line, S("PRIVATE KEY-----"));
		if (key && keys++ == 1) return at;
		at += MIN_OF(slice_find(rest, '\n') + 1, rest.len);
	}
	return pem.len;
}

static int give_all(struct list *l) {
	int r = 0;
	struct slice pem = buf_slice(&l->pem);
	if (l->keys < 2) r = give(l, pem);
	for (size_t cut; l->keys > 1 && pem.len != 0 && r == 0; pem = slice_skip(pem, cut)) {
		cut = second_key(pem);
		r = give(l, slice_head(pem, cut));
	}
	mem_wipe(l->pem.at, l->pem.len);
	buf_clear(&l->pem);
	l->keys = 0;
	return r;
}

static int add_file(struct list *l, struct identities *all, struct slice file) {
	AUTO_FREE char *path = slice_text(file);
	AUTO_BUF struct buf text = BUF(LIST_MOST);
	if (identity_read_pem(all, path, &text) < 0) return fail_add("certificate");
	size_t keys = count_keys(buf_slice(&text));
	int r = keys != 0 && l->keys != 0 ? give_all(l) : 0; /* that one is complete */
	if (l->pem.len == 0) l->where = file;
	l->keys += keys;
	buf_add(&l->pem, buf_slice(&text));
	buf_byte(&l->pem, '\n');
	mem_wipe(text.at, text.len);
	return r == 0 && l->pem.full ? fail("%s: more than %d bytes of certificates", path, LIST_MOST) : r;
}

int identity_read_list(struct identities *all, const struct slice *files, size_t count,
		       const struct identity_taker *to) {
	struct list l = { .to = to, .pem = BUF(LIST_MOST) };
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++) r = add_file(&l, all, files[i]);
	if (r == 0 && count != 0) r = give_all(&l);
	if (l.pem.at != NULL) mem_wipe(l.pem.at, l.pem.len);
	buf_done(&l.pem);
	return r;
}
