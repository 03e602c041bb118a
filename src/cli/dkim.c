/* SPDX-License-Identifier: Apache-2.0 */
/* `hato dkim check` and `hato dkim import`: what asks DNS or reads the caller's files is done here, with the caller's
 * rights; the server (or its data, when it is down) only says which keys there are, and takes new ones. */
#include "admin/admin.h"
#include "admin/json.h"
#include "base/clock.h"
#include "base/fail.h"
#include "cli/dns.h"
#include "cli/inside.h"
#include "net/file.h"
#include "role/dkim_files.h"
#include "role/settings.h"
#include "trust/dkim_text.h"

#include <sys/stat.h>
#include <sysexits.h>

enum { LOOKUP_MS = 20000, PEM_MAX = 64 << 10 };

static struct slice plain_word(const struct cli *cli, size_t which) {
	for (size_t i = 2; i < cli->count; i++)
		if (!slice_starts(cli->args[i], S("--")) && which-- == 0) return cli->args[i];
	return SLICE_NONE;
}

static bool has_word(const struct cli *cli, struct slice word) {
	for (size_t i = 2; i < cli->count; i++)
		if (slice_eq(cli->args[i], word)) return true;
	return false;
}

/* ---- check ---- */

struct looked {
	struct dns_key key;
	struct slice reason;
	enum dkim_publication publication;
};
static const char *const publication_words[] = { "published", "missing", "wrong", "unknown" };

/* A retired key needs its record no more once it is gone; one that waits is missing it rightly. */
static bool is_bad(const struct looked *l) {
	bool signs = slice_eq(l->key.state, S("active")) || slice_eq(l->key.state, S("given"));
	return l->publication == DKIM_DIFFERENT || (signs && l->publication != DKIM_PUBLISHED);
}

static void print_looked(const struct looked *l) {
	printf("%.*s._domainkey.%.*s (%.*s): %s%s%.*s\n", SLICE_ARG(l->key.selector), SLICE_ARG(l->key.domain),
	       SLICE_ARG(l->key.state), publication_words[l->publication], l->reason.len != 0 ? ": " : "",
	       SLICE_ARG(l->reason));
}

static void json_looked(struct json *j, const struct looked *l) {
	json_open(j, NULL, '{');
	json_text(j, "domain", l->key.domain);
	json_text(j, "selector", l->key.selector);
	json_text(j, "state", l->key.state);
	json_text(j, "record", slice_of(publication_words[l->publication]));
	json_text(j, "reason", l->reason.len != 0 ? l->reason : SLICE_NONE);
	json_close(j, '}');
}

static int check_all(struct dns *dns, struct slice keys, bool as_json, struct arena *mem) {
	AUTO_BUF struct buf text = BUF(MIB(16));
	struct json j = { .out = &text };
	int code = EX_OK;
	int64_t deadline = deadline_in(LOOKUP_MS); /* as long as answers come, there is time for the next */
	if (as_json) json_open(&j, NULL, '[');
	for (struct looked l = { 0 }; dns_key_next(&keys, mem, &l.key); l = (struct looked){ 0 }) {
		l.publication = dkim_published(dns, l.key.selector, l.key.domain, l.key.public_key, deadline, mem,
					       &l.reason);
		if (l.publication != DKIM_UNKNOWN_YET) deadline = deadline_in(LOOKUP_MS);
		if (as_json) json_looked(&j, &l);
		else print_looked(&l);
		if (is_bad(&l)) code = EX_DATAERR;
	}
	if (as_json) json_close(&j, ']');
	if (as_json) puts(buf_text(&text));
	return code;
}

static int run_check_dkim(struct cli *cli, const char *data, const struct conf *conf) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice words[] = { S("dkim"), S("keys"), plain_word(cli, 0) }, keys;
	struct admin_request req = { .args = words, .count = words[2].len != 0 ? 3 : 2 };
	struct dns *dns;
	int code = dispatch_to(cli, data, &req, &mem, &keys);
	struct dns_params params = dns_params_of(conf_main(conf), &mem);
	if (code == EX_OK && keys.len == 0) code = complain(cli, EX_NOUSER, "no keys (hato dkim add DOMAIN)");
	else if (code == EX_OK && dns_open(&params, &dns) < 0) code = complain(cli, EX_CONFIG, "%s", fail_text());
	else if (code == EX_OK) {
		code = check_all(dns, keys, has_word(cli, S("--json")), &mem);
		dns_close(&dns);
	}
	return code;
}

/* ---- import ---- */

static int import_one(struct cli *cli, const char *data, struct slice domain, struct slice selector, struct slice pem) {
	struct slice words[] = { S("dkim"), S("import"), domain, selector };
	return dispatch(cli, data, &(struct admin_request){ .args = words, .count = LEN(words), .input = pem });
}

static int import_folder(struct cli *cli, const char *data, struct slice folder) {
	AUTO_ARENA struct arena mem = { 0 };
	struct keyring_given given;
	int code = EX_OK;
	dkim_files_in(folder, &mem, &given);
	if (given.files_count == 0)
		return complain(cli, EX_NOINPUT,
				"%.*s: neither a KeyTable, nor keys/DOMAIN/SELECTOR.private, nor rspamd's files",
				SLICE_ARG(folder));
	for (size_t i = 0; i < given.files_count; i++) {
		const struct keyring_file *f = &given.files[i];
		int r = f->pem.len != 0 ? import_one(cli, data, f->domain, f->selector, f->pem)
					: complain(cli, EX_NOINPUT, "%.*s: cannot be read", SLICE_ARG(f->path));
		if (r != EX_OK) code = r;
	}
	return code;
}

static int import_file(struct cli *cli, const char *data, struct slice domain, struct slice selector,
		       struct slice path) {
	AUTO_BUF struct buf pem = BUF(PEM_MAX);
	AUTO_FREE char *name = slice_text(path);
	if (file_read(name, &pem) < 0) return complain(cli, EX_NOINPUT, "%s", fail_text());
	int code = import_one(cli, data, domain, selector, buf_slice(&pem));
	mem_wipe(pem.at, pem.len);
	return code;
}

int run_dkim(struct cli *cli) {
	AUTO_CONF struct conf *conf = NULL;
	const char *data;
	bool checks = slice_eq(cli->args[1], S("check"));
	cli->command = checks ? "dkim check" : "dkim import";
	int code = find_data(cli, &data, &conf);
	if (code != EX_OK) return code;
	if (checks) return run_check_dkim(cli, data, conf);
	struct slice first = plain_word(cli, 0), selector = plain_word(cli, 1), path = plain_word(cli, 2);
	if (path.len != 0) return import_file(cli, data, first, selector, path);
	return selector.len == 0 ? import_folder(cli, data, first)
				 : complain(cli, EX_USAGE, "DOMAIN SELECTOR FILE, or a FOLDER (hato help dkim)");
}
