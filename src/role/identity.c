/* SPDX-License-Identifier: Apache-2.0 */
#include "role/identity.h"
#include "base/fail.h"
#include "base/log.h"
#include "net/file.h"
#include "net/tls.h"

#include <sys/stat.h>

enum { PEM_MAX = 1 << 20 };

void identities_done(struct identities *all) {
	for (size_t i = 0; i < all->count; i++) {
		mem_wipe(all->at[i].key, strlen(all->at[i].key));
		free(all->at[i].key);
		free(all->at[i].chain);
	}
	for (size_t i = 0; i < all->client_count; i++) {
		mem_wipe(all->client[i].key, strlen(all->client[i].key));
		free(all->client[i].key);
		free(all->client[i].chain);
		free(all->client[i].name);
	}
	for (size_t i = 0; i < all->file_count; i++) free(all->files[i]);
	free(all->why);
	*all = (struct identities){ 0 };
}

/* The PEM blocks whose title ends in `title`: edge must never see the others. */
char *identity_blocks(struct slice pem, const char *title) {
	AUTO_BUF struct buf out = BUF(PEM_MAX);
	bool inside = false;
	while (pem.at != NULL && pem.len != 0) {
		struct slice line = slice_cut(&pem, '\n'), bare = slice_trim(line);
		bool begins = slice_starts(bare, S("-----BEGIN ")), ends = slice_starts(bare, S("-----END "));
		if (begins) inside = slice_search(bare, slice_of(title)) < bare.len;
		if (inside) {
			buf_add(&out, bare);
			buf_byte(&out, '\n');
		}
		if (ends) inside = false;
	}
	char *text = slice_text(buf_slice(&out));
	mem_wipe(out.at, out.len);
	return text;
}

int identity_read_pem(struct identities *all, const char *path, struct buf *out) {
	if (all->file_count < LEN(all->files)) all->files[all->file_count++] = mem_text(path);
	int r = file_read(path, out);
	if (r < 0 && errno == ENOENT)
		return fail("%s: no such file (get one first; without these settings hato signs one itself)", path);
	return r;
}

/* setting: names the key's file, for the remedy. */
static int read_pair(struct identities *all, const char *chain_path, const char *key_path, const char *setting,
		     struct identity_text *out) {
	AUTO_BUF struct buf chain = BUF(PEM_MAX);
	AUTO_BUF struct buf key = BUF(PEM_MAX);
	if (identity_read_pem(all, chain_path, &chain) < 0) return fail_add("certificate");
	if (identity_read_pem(all, key_path, &key) < 0) return fail_add("private key");
	*out = (struct identity_text){ identity_blocks(buf_slice(&chain), "CERTIFICATE"),
				       identity_blocks(buf_slice(&key), "PRIVATE KEY") };
	mem_wipe(key.at, key.len);
	if (out->key[0] == '\0')
		return fail("%s: no private key in it (%s names the file that holds it)", key_path, setting);
	int r = tls_check_identity(slice_of(out->chain), slice_of(out->key), chain_path);
	if (r > 0) say(L_WARN, "master", "%s", fail_text()); /* expired: still better than no TLS */
	return r < 0 ? r : 0;
}

static int add_pair(struct identities *all, const char *chain_path, const char *key_path) {
	if (all->count == IDENTITIES_MAX) return fail("more than %d certificates", IDENTITIES_MAX);
	struct identity_text *id = &all->at[all->count];
	int r = read_pair(all, chain_path, key_path, "smtpd_tls_key_file", id);
	if (id->key != NULL) all->count++;
	return r;
}

static int self_signed(struct identities *all, const struct conf *c, const char *dir) {
	AUTO_BUF struct buf folder = BUF(PATH_MAX);
	AUTO_BUF struct buf chain_path = BUF(PATH_MAX);
	AUTO_BUF struct buf key_path = BUF(PATH_MAX);
	buf_addf(&folder, "%s/tls", dir);
	buf_addf(&chain_path, "%s/tls/self-signed.crt", dir);
	buf_addf(&key_path, "%s/tls/self-signed.key", dir);
	const char *chain = buf_text(&chain_path), *key = buf_text(&key_path);
	if (access(chain, F_OK) != 0 || access(key, F_OK) != 0) {
		AUTO_BUF struct buf chain_pem = BUF(PEM_MAX);
		AUTO_BUF struct buf key_pem = BUF(PEM_MAX);
		struct slice host = conf_text(conf_main(c), SET_myhostname);
		if (file_make_dir(buf_text(&folder), 0700) < 0 ||
		    tls_make_self_signed(host.at, &chain_pem, &key_pem) < 0 ||
		    file_write(key, buf_slice(&key_pem), 0600) < 0 ||
		    file_write(chain, buf_slice(&chain_pem), 0644) < 0)
			return fail_add("self-signed certificate");
		mem_wipe(key_pem.at, key_pem.len);
	}
	return add_pair(all, chain, key);
}

/* "none" is Postfix's word for no certificate; TLS is never without one here. */
static bool is_file(struct slice path) { return path.len != 0 && !slice_same(path, S("none")); }

/* The ways out. */

enum { OUT_FILES_MAX = 8 };

size_t identity_client_files(const struct conf_view *v, bool lmtp, struct identity_files *out, size_t room) {
	static const enum setting_id chains[] = { SET_smtp_tls_chain_files, SET_lmtp_tls_chain_files };
	static const enum setting_id pairs[][2][2] = {
		{ { SET_smtp_tls_cert_file, SET_smtp_tls_key_file },
		  { SET_smtp_tls_eccert_file, SET_smtp_tls_eckey_file } },
		{ { SET_lmtp_tls_cert_file, SET_lmtp_tls_key_file },
		  { SET_lmtp_tls_eccert_file, SET_lmtp_tls_eckey_file } },
	};
	size_t listed, count = 0;
	struct slice list = conf_text(v, chains[lmtp]);
	conf_list(v, chains[lmtp], &listed);
	if (listed != 0 && room != 0) out[count++] = (struct identity_files){ list, SLICE_NONE };
	for (size_t i = 0; i < LEN(pairs[0]) && listed == 0 && count < room; i++) {
		struct slice chain = conf_text(v, pairs[lmtp][i][0]), key = conf_text(v, pairs[lmtp][i][1]);
		if (is_file(chain)) out[count++] = (struct identity_files){ chain, key };
	}
	return count;
}

static bool client_known(const struct identities *all, struct slice name) {
	for (size_t i = 0; i < all->client_count; i++)
		if (slice_eq(slice_of(all->client[i].name), name)) return true;
	return false;
}

struct client_taking {
	struct identities *all;
	struct slice name;
};

static int take_client(void *ctx, const struct identity_text *text) {
	struct client_taking *t = ctx;
	if (t->all->client_count == IDENTITIES_MAX)
		return fail("more than %d client certificates", IDENTITIES_MAX);
	t->all->client[t->all->client_count++] =
		(struct client_identity){ slice_text(t->name), text->chain, text->key };
	return 0;
}

static int add_client_list(struct identities *all, const struct conf_view *v, bool lmtp, struct slice name) {
	size_t n;
	const struct slice *files = conf_list(v, lmtp ? SET_lmtp_tls_chain_files : SET_smtp_tls_chain_files, &n);
	struct client_taking t = { all, name };
	return identity_read_list(all, files, n, &(struct identity_taker){ take_client, &t });
}

static int add_client_files(struct identities *all, const struct conf_view *v, bool lmtp) {
	struct identity_files files[OUT_FILES_MAX];
	size_t n = identity_client_files(v, lmtp, files, LEN(files));
	for (size_t i = 0; i < n; i++) {
		if (client_known(all, files[i].chain)) continue;
		if (files[i].key.at == NULL) { /* a list */
			if (add_client_list(all, v, lmtp, files[i].chain) < 0) return -1;
			continue;
		}
		if (all->client_count == IDENTITIES_MAX)
			return fail("more than %d client certificates", IDENTITIES_MAX);
		AUTO_FREE char *chain = slice_text(files[i].chain);
		AUTO_FREE char *key = slice_text(files[i].key);
		struct identity_text text = { 0 };
		int r = read_pair(all, chain, key, lmtp ? "lmtp_tls_key_file" : "smtp_tls_key_file", &text);
		if (text.key != NULL)
			all->client[all->client_count++] =
				(struct client_identity){ TAKE(chain), text.chain, text.key };
		if (r < 0) return r;
	}
	return 0;
}

static int load_client(const struct conf *c, struct identities *all) {
	size_t n;
	const struct conf_service *services = conf_services(c, &n);
	int r = add_client_files(all, conf_main(c), false);
	if (r == 0) r = add_client_files(all, conf_main(c), true);
	for (size_t i = 0; i < n && r == 0; i++) {
		bool smtp = slice_eq(services[i].command, S("smtp")), lmtp = slice_eq(services[i].command, S("lmtp"));
		if (services[i].type == SERVICE_UNIX && (smtp || lmtp))
			r = add_client_files(all, conf_service_view(c, &services[i]), lmtp);
	}
	return r;
}

static int take_server(void *ctx, const struct identity_text *text) {
	struct identities *all = ctx;
	if (all->count == IDENTITIES_MAX) return fail("more than %d certificates", IDENTITIES_MAX);
	all->at[all->count++] = *text;
	return 0;
}

/* The certificates that a view of the settings names; none: it names none. */
static int load_named(struct identities *all, const struct conf_view *v) {
	static const enum setting_id pairs[][2] = {
		{ SET_smtpd_tls_cert_file, SET_smtpd_tls_key_file },
		{ SET_smtpd_tls_eccert_file, SET_smtpd_tls_eckey_file },
	};
	size_t n;
	const struct slice *files = conf_list(v, SET_smtpd_tls_chain_files, &n);
	if (identity_read_list(all, files, n, &(struct identity_taker){ take_server, all }) < 0) return -1;
	for (size_t i = 0; i < LEN(pairs) && n == 0; i++) {
		struct slice chain = conf_text(v, pairs[i][0]), key = conf_text(v, pairs[i][1]);
		int r = is_file(chain) ? add_pair(all, chain.at, key.at) : 0;
		if (r < 0) return r;
	}
	return 0;
}

static void drop_from(struct identities *all, size_t first) {
	while (all->count > first) {
		struct identity_text *id = &all->at[--all->count];
		mem_wipe(id->key, strlen(id->key));
		free(id->key);
		free(id->chain);
	}
}

/* The chains of a listener's own set tell whose they are. */
static void mark(struct identities *all, size_t first, struct slice set) {
	for (size_t i = first; i < all->count && set.len != 0; i++) {
		AUTO_BUF struct buf named = BUF(2 * PEM_MAX);
		buf_addf(&named, IDENTITY_SET "%.*s\n%s", SLICE_ARG(set), all->at[i].chain);
		free(all->at[i].chain);
		all->at[i].chain = slice_text(buf_slice(&named));
	}
}

static int load_set(struct identities *all, const struct conf *c, const struct conf_view *v, struct slice set,
		    bool strict) {
	size_t first = all->count;
	struct slice who;
	if (load_named(all, v) == 0) {
		mark(all, first, set);
		return 0;
	}
	drop_from(all, first);
	if (identity_set_needed(c, set, &who))
		return fail_add("the listener %.*s needs TLS", SLICE_ARG(who));
	if (strict) return -1;
	say(L_WARN, "master", "%s; listeners that only offer TLS go on without it", fail_text());
	free(all->why);
	all->why = mem_text(fail_text());
	all->incomplete = true;
	return 0;
}

/* A listener with files of its own; those with the same files share them. */
static int load_own_sets(struct identities *all, const struct conf *c, bool strict) {
	AUTO_ARENA struct arena mem = { 0 };
	size_t n, seen_count = 0;
	const struct conf_service *services = conf_services(c, &n);
	struct slice *seen = arena_array(&mem, n, sizeof *seen);
	for (size_t i = 0; i < n; i++) {
		enum service_role role = services[i].role;
		if (role != SERVICE_SMTPD && role != SERVICE_IMAPD && role != SERVICE_POP3D) continue;
		const struct conf_view *v = conf_service_view(c, &services[i]);
		struct slice set = identity_set_of(c, v, &mem);
		bool known = set.len == 0;
		for (size_t k = 0; k < seen_count; k++) known = known || slice_eq(seen[k], set);
		if (known) continue;
		seen[seen_count++] = set;
		if (load_set(all, c, v, set, strict) < 0) return -1;
	}
	return 0;
}

int identities_load(const struct conf *c, const char *dir, bool strict, struct identities *out) {
	struct identities all = { 0 };
	int r = load_set(&all, c, conf_main(c), S(""), strict);
	if (r == 0 && all.count == 0 && !all.incomplete && dir != NULL) r = self_signed(&all, c, dir);
	if (r == 0) r = load_own_sets(&all, c, strict);
	if (r == 0) r = identities_load_sni(c, &all);
	if (r == 0) r = load_client(c, &all);
	if (r < 0) {
		identities_done(&all);
		return r;
	}
	*out = all;
	return 0;
}

int identities_load_client(const struct conf *c, struct identities *out) {
	struct identities all = { 0 };
	int r = load_client(c, &all);
	if (r < 0) identities_done(&all);
	else *out = all;
	return r;
}

uint64_t identities_stamp(const struct identities *all) {
	uint64_t stamp = 0;
	for (size_t i = 0; i < all->file_count; i++) {
		struct stat st = { 0 };
		(void)!stat(all->files[i], &st);
		stamp = stamp * 31 + (uint64_t)st.st_mtim.tv_sec * 1000000007u + (uint64_t)st.st_mtim.tv_nsec +
			(uint64_t)st.st_ino + (uint64_t)st.st_size;
	}
	return stamp;
}
