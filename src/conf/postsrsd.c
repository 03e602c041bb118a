/* SPDX-License-Identifier: Apache-2.0 */
/* PostSRSd's own settings: postsrsd.conf of version 2, and the SRS_… of version 1 (/etc/default/postsrsd, and what
 * containers are given). */
#include "base/fail.h"
#include "conf/adopt.h"
#include "conf/equal_file.h"

static void names_add(struct slice list, struct buf *out) {
	for (struct slice word; (word = slice_word(&list, " ,\t\n")).len != 0;) buf_addf(out, "%.*s ", SLICE_ARG(word));
}

/* domains, domains-file and SRS_EXCLUDE_DOMAINS are one list. */
static void excluded(struct adoption *w) {
	static const char *const lists[] = { "domains", "SRS_EXCLUDE_DOMAINS" };
	AUTO_BUF struct buf out = BUF(MIB(4));
	for (size_t i = 0; i < LEN(lists); i++) {
		const struct opendkim_line *l = opendkim_find(&w->file, lists[i]);
		if (l != NULL) names_add(l->value, &out);
	}
	const struct opendkim_line *file = opendkim_find(&w->file, "domains-file");
	struct slice text;
	int found =
		file != NULL && file->value.len != 0 ? source_read(&w->c->files, file->value, &text) : SOURCE_ABSENT;
	if (found < 0) adopt_warn(w, fail_text());
	if (found == SOURCE_ABSENT && file != NULL && file->value.len != 0)
		opendkim_tell_absent(&w->c->files, file, file->value, &w->c->problems);
	while (found == SOURCE_FOUND && text.at != NULL) {
		struct slice line = slice_cut(&text, '\n');
		names_add(slice_head(line, slice_find(line, '#')), &out);
	}
	adopt_put(w, "srs_exclude_domains", buf_slice(&out));
}

static void text(struct adoption *w) {
	if (w->line->value.len != 0) adopt_put(w, w->setting, w->line->value);
}

static void secret(struct adoption *w) {
	if (slice_starts(w->line->value, S("/"))) adopt_put(w, w->setting, w->line->value);
	else adopt_warn(w, "no file: put the secret into one that only its owner may read, and name it in srs_secrets");
}

static void always(struct adoption *w) {
	bool yes;
	struct slice v = w->line->value;
	if (slice_same(v, S("on"))) yes = true;
	else if (slice_same(v, S("off"))) yes = false;
	else if (!adopt_truth(w, &yes)) return;
	if (yes) adopt_put(w, "srs", S("yes"));
}

static void envelope(struct adoption *w) {
	if (!slice_same(w->line->value, S("embedded")))
		adopt_warn(w, "the original sender always stands in the address itself (embedded), which needs no "
			      "database; bounces to return addresses that PostSRSd keeps in its database are refused "
			      "as unknown. To have them find back, leave PostSRSd running for some days and ask it: "
			      "recipient_canonical_maps = socketmap:unix:/var/spool/postfix/srs:reverse");
}

static void classes(struct adoption *w) {
	if (slice_search(w->line->value, S("header_sender")) < w->line->value.len)
		adopt_warn(w, "header_sender: only the envelope gets another sender; a rewritten From would break the "
			      "author's signature and DMARC");
}

static const struct adopted_key keys[] = {
	{ "domains", excluded },
	{ "domains-file", excluded },
	{ "SRS_EXCLUDE_DOMAINS", excluded },
	{ "srs-domain", text, "srs_domain" },
	{ "SRS_DOMAIN", text, "srs_domain" },
	{ "SRS_DOMAINNAME", text, "srs_domain" },
	{ "separator", text, "srs_separator" },
	{ "SRS_SEPARATOR", text, "srs_separator" },
	{ "hash-length", text, "srs_hash_length" },
	{ "SRS_HASHLENGTH", text, "srs_hash_length" },
	{ "hash-minimum", text, "srs_hash_min" },
	{ "SRS_HASHMIN", text, "srs_hash_min" },
	{ "secrets-file", text, "srs_secrets" },
	{ "SRS_SECRET", secret, "srs_secrets" },
	{ "always-rewrite", always },
	{ "original-envelope", envelope },
	{ "SRS_SENDER_CLASSES", classes },
	{ "envelope-database", adopt_silently }, /* of original-envelope = database */
	{ "socketmap", adopt_silently },
	{ "milter", adopt_silently },
	{ "keep-alive", adopt_silently },
	{ "unprivileged-user", adopt_silently },
	{ "chroot-dir", adopt_silently },
	{ "daemonize", adopt_silently },
	{ "pid-file", adopt_silently },
	{ "syslog", adopt_silently },
	{ "debug", adopt_silently },
	{ "SRS_FORWARD_PORT", adopt_silently },
	{ "SRS_REVERSE_PORT", adopt_silently },
	{ "SRS_LISTEN_ADDR", adopt_silently },
	{ "RUN_AS", adopt_silently },
	{ "CHROOT", adopt_silently },
	{ "SRS_LISTEN_ADDRESS", adopt_silently },
	{ "SRS_EXTRA_OPTIONS", adopt_silently },
};

static void nothing(struct adoption *w UNUSED, struct slice path UNUSED) {}

void postsrsd_adopt(struct conf *c) {
	static const struct adopted_program program = {
		.name = "PostSRSd",
		.setting = "postsrsd_config",
		.id = SET_postsrsd_config,
		.keys = keys,
		.keys_count = LEN(keys),
		.read = equal_file_read,
		.defaults = nothing,
	};
	adopt_file(c, &program);
}
