/* SPDX-License-Identifier: Apache-2.0 */
/* opendkim-testkey(8): is the record of a key in DNS, and is it this key's? opendkim-testmsg(8): signs, or verifies,
 * the message on the standard input. DNS is asked as this configuration (MAIL_CONFIG) says, or the system. */
#include "base/clock.h"
#include "base/fail.h"
#include "cli/tool.h"
#include "conf/opendkim_file.h"
#include "mime/header.h"
#include "net/file.h"
#include "role/settings.h"
#include "trust/dkim_text.h"
#include "trust/keyring.h"

#include <getopt.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <sysexits.h>

enum { LOOKUP_MS = 30000, PEM_MAX = 64 << 10, INPUT_MAX = 256 << 20 };

/* With the settings of MAIL_CONFIG if there are any. */
static int open_dns(int argc, char **argv, struct arena *mem, struct dns **out) {
	struct tool tool = { 0 };
	AUTO_CONF struct conf *conf = NULL;
	struct dns_params params = { 0 };
	tool_begin(&tool, argc, argv);
	if (access(tool.conf_dir, R_OK) == 0 && conf_load(&(struct conf_options){ .dir = tool.conf_dir }, &conf) >= 0)
		params = dns_params_of(conf_main(conf), mem);
	return dns_open(&params, out);
}

/* ---- testkey ---- */

struct testkey {
	const char *program, *domain, *selector, *path, *conf;
	unsigned verbose;
	struct dns *dns;
	struct arena *mem;
};

static void remark(const struct testkey *t, unsigned level, FILE *to, const char *format, ...) {
	va_list args;
	if (t->verbose < level) return;
	va_start(args, format);
	fprintf(to, "%s: ", t->program);
	vfprintf(to, format, args);
	fputc('\n', to);
	va_end(args);
}

static int testkey_usage(const char *program) {
	fprintf(stderr,
		"%s: usage: %s [options]\n\t-d domain  \tdomain name\n\t-k keypath \tpath to private key\n\t-s "
		"selector\tselector name\n"
		"\t-v         \tincrease verbose output\n\t-x conffile\tconfiguration file\n",
		program, program);
	return EX_USAGE;
}

/* 0: good; 1: not. */
static int test_one(const struct testkey *t, struct slice domain, struct slice selector, const char *path) {
	AUTO_BUF struct buf pem = BUF(PEM_MAX);
	AUTO_BUF struct buf public_key = BUF(KIB(16));
	struct dns_facts facts = { 0 };
	struct stat st;
	enum dkim_algorithm algorithm;
	unsigned bits;
	if (path != NULL) {
		if (file_read(path, &pem) < 0 ||
		    keyring_examine(buf_slice(&pem), &algorithm, &bits, &public_key) != 0) {
			remark(t, 0, stderr, "%s: %s", path, fail_text());
			return 1;
		}
		mem_wipe(pem.at, pem.len);
		remark(t, 1, stderr, "key loaded from %s", path);
		if (stat(path, &st) == 0 && (st.st_mode & 077) != 0)
			remark(t, 0, stderr, "%s: WARNING: unsafe permissions", path);
	}
	struct slice name = arena_fmt(t->mem, "%.*s._domainkey.%.*s", SLICE_ARG(selector), SLICE_ARG(domain)), *texts,
		     reason;
	size_t count = 0;
	remark(t, 1, stderr, "checking key '%s'", name.at);
	int r = dns_txt(t->dns, name, deadline_in(LOOKUP_MS), t->mem, &texts, &count, &facts);
	if (r == DNS_LATER || r < 0) remark(t, 0, stderr, "'%s' query failed: %s", name.at, fail_text());
	else if (r != DNS_OK || count == 0) remark(t, 0, stderr, "'%s' record not found", name.at);
	if (r != DNS_OK || count == 0) return 1;
	remark(t, 1, stderr, facts.secure ? "key secure" : "key not secure");
	struct dkim_record record;
	if (!dkim_record_parse(texts[0], t->mem, &record, &reason)) {
		remark(t, 0, stderr, "'%s' %.*s", name.at, SLICE_ARG(reason));
		return 1;
	}
	if (record.revoked ||
	    (path != NULL && dkim_published(t->dns, selector, domain, buf_slice(&public_key), deadline_in(LOOKUP_MS),
					    t->mem, &reason) != DKIM_PUBLISHED)) {
		remark(t, 0, stderr, record.revoked ? "key is revoked" : "keys do not match");
		return 1;
	}
	remark(t, 1, stderr, "key OK");
	return 0;
}

static int test_table(const struct testkey *t, struct sources *files, struct problems *problems,
		      const struct opendkim_line *table) {
	struct opendkim_set keys = { 0 };
	unsigned passed = 0, wrong = 0;
	if (opendkim_set_read(files, table, problems, &keys) != SOURCE_FOUND) {
		remark(t, 0, stderr, "%.*s: cannot be read", SLICE_ARG(table->value));
		return EX_CONFIG;
	}
	for (size_t i = 0; i < keys.count; i++) {
		struct slice rest = keys.at[i].value, domain = slice_cut(&rest, ':'), selector = slice_cut(&rest, ':');
		AUTO_FREE char *path = slice_text(rest);
		if (test_one(t, domain, selector, path[0] != '\0' ? path : NULL) == 0) passed++;
		else wrong++;
	}
	printf("%s: %u key%s checked; %u pass, %u fail\n", t->program, passed + wrong, passed + wrong == 1 ? "" : "s",
	       passed, wrong);
	return wrong == 0 ? 0 : 1;
}

static struct slice value_of(const struct opendkim_file *f, const char *key, const char *given) {
	const struct opendkim_line *l = opendkim_find(f, key);
	return given != NULL ? slice_of(given) : l != NULL ? l->value : SLICE_NONE;
}

static int testkey(struct testkey *t) {
	struct sources files = { .mem = t->mem };
	struct problems problems = { .mem = t->mem };
	struct opendkim_file file = { 0 };
	const char *path = t->conf != NULL ? t->conf : "/etc/opendkim.conf";
	if (t->conf == NULL) remark(t, 1, stderr, "using default configfile %s", path);
	bool none = strcmp(path, "/dev/null") == 0; /* the habit of who wants no settings */
	if (!none && opendkim_file_read(&files, slice_of(path), &problems, &file) != SOURCE_FOUND && t->conf != NULL) {
		remark(t, 0, stderr, "%s: configuration file cannot be read", path);
		return EX_CONFIG;
	}
	const struct opendkim_line *table = opendkim_find(&file, "KeyTable");
	if (table != NULL && t->domain == NULL && t->selector == NULL) return test_table(t, &files, &problems, table);
	struct slice domain = value_of(&file, "Domain", t->domain), selector = value_of(&file, "Selector", t->selector),
		     key = value_of(&file, "KeyFile", t->path);
	if (domain.len == 0 || selector.len == 0) return testkey_usage(t->program);
	AUTO_FREE char *key_path = key.len != 0 ? slice_text(key) : NULL;
	return test_one(t, domain, selector, key_path);
}

int opendkim_testkey_main(int argc, char **argv) {
	AUTO_ARENA struct arena mem = { 0 };
	struct testkey t = { .program = "opendkim-testkey", .mem = &mem };
	optind = 0;
	for (int letter; (letter = getopt(argc, argv, "d:k:s:vx:")) >= 0;) {
		switch (letter) {
		case 'd': t.domain = optarg; break;
		case 'k': t.path = optarg; break;
		case 's': t.selector = optarg; break;
		case 'v': t.verbose++; break;
		case 'x': t.conf = optarg; break;
		default: return testkey_usage(t.program);
		}
	}
	if (open_dns(1, argv, &mem, &t.dns) < 0) {
		remark(&t, 0, stderr, "%s", fail_text());
		return EX_OSERR;
	}
	int code = testkey(&t);
	dns_close(&t.dns);
	return code;
}

/* ---- testmsg ---- */

struct testmsg {
	const char *program, *domain, *selector, *path;
	bool keep_crlf;
	struct slice message;
	struct arena *mem;
};

static int testmsg_usage(const char *program) {
	fprintf(stderr,
		"%s: usage: %s [options]\nValid options:\n\t-C         \tpreserve CRLFs\n\t-d domain  \tset signing "
		"domain\n"
		"\t-K         \tkeep temporary files\n\t-k keyfile \tprivate key file\n\t-s selector\tset signing "
		"selector\n"
		"\t-t path    \tdirectory for temporary files\n",
		program, program);
	return EX_CONFIG;
}

static int complain_of(const struct testmsg *t, int code) {
	fprintf(stderr, "%s: %s\n", t->program, fail_text());
	return code;
}

/* Line ends become CRLF. */
static int read_message(struct testmsg *t, struct buf *out) {
	AUTO_BUF struct buf raw = BUF(INPUT_MAX);
	for (ssize_t n = 1; n > 0;) {
		char *room = buf_room(&raw, KIB(64));
		if (room == NULL) return fail("the message is too large");
		n = read(STDIN_FILENO, room, KIB(64));
		if (n < 0) return fail_errno("standard input");
		raw.len += (size_t)n;
	}
	for (struct slice rest = buf_slice(&raw); rest.at != NULL && rest.len != 0;) {
		struct slice line = slice_cut(&rest, '\n');
		if (line.len != 0 && line.at[line.len - 1] == '\r') line.len--;
		buf_add(out, line);
		buf_add(out, S("\r\n"));
	}
	t->message = buf_slice(out);
	return 0;
}

static int sign_with_key(void *ctx, uint64_t key UNUSED, enum dkim_algorithm algorithm, struct slice tbs,
			 struct buf *signature) {
	EVP_PKEY *pkey = ctx;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t len = (size_t)EVP_PKEY_get_size(pkey);
	char *room = buf_room(signature, len);
	bool ok = md != NULL && room != NULL &&
		  EVP_DigestSignInit(md, NULL, algorithm == DKIM_RSA_SHA256 ? EVP_sha256() : NULL, NULL, pkey) == 1 &&
		  EVP_DigestSign(md, (unsigned char *)room, &len, (const unsigned char *)tbs.at, tbs.len) == 1;
	EVP_MD_CTX_free(md);
	if (!ok) return fail("the signature cannot be made");
	signature->len += len;
	return 0;
}

static void print_text(const struct testmsg *t, struct slice text) {
	for (size_t i = 0; i < text.len; i++)
		if (t->keep_crlf || text.at[i] != '\r') putchar(text.at[i]);
}

static int sign_message(const struct testmsg *t) {
	AUTO_BUF struct buf pem = BUF(PEM_MAX);
	AUTO_BUF struct buf public_key = BUF(KIB(16));
	AUTO_BUF struct buf field = BUF(KIB(512));
	struct dkim_key key = { .domain = slice_of(t->domain), .selector = slice_of(t->selector) };
	unsigned bits;
	if (file_read(t->path, &pem) < 0) return complain_of(t, EX_OSERR);
	if (keyring_examine(buf_slice(&pem), &key.algorithm, &bits, &public_key) != 0)
		return complain_of(t, EX_DATAERR);
	EVP_PKEY *pkey = keyring_pkey(buf_slice(&pem));
	mem_wipe(pem.at, pem.len);
	struct dkim_sign_params p = {
		.header = DKIM_RELAXED, .body = DKIM_RELAXED, .sign = sign_with_key, .ctx = pkey
	};
	size_t header = header_length(t->message);
	struct dkim_signer *s = dkim_sign_begin(&p, &key, 1, slice_head(t->message, header), t->mem);
	dkim_sign_body(s, slice_skip(t->message, header));
	int r = pkey != NULL ? dkim_sign_end(s, &field) : -1;
	EVP_PKEY_free(pkey);
	if (r < 0) return complain_of(t, EX_SOFTWARE);
	print_text(t, buf_slice(&field));
	print_text(t, t->message);
	return 0;
}

static int verify_message(const struct testmsg *t, char **argv) {
	struct dns *dns;
	if (open_dns(1, argv, t->mem, &dns) < 0) return complain_of(t, EX_OSERR);
	struct dkim_params p = { .dns = dns };
	size_t header = header_length(t->message), count = 0, good = 0;
	struct dkim_verdict *verdicts = NULL;
	struct dkim_verifier *v = dkim_verify_begin(&p, slice_head(t->message, header), t->mem);
	if (v != NULL) {
		dkim_verify_body(v, slice_skip(t->message, header));
		dkim_verify_end(v, deadline_in(LOOKUP_MS), &verdicts, &count);
	}
	for (size_t i = 0; i < count; i++) {
		if (verdicts[i].result == TRUST_PASS) good++;
		else
			fprintf(stderr, "%s: %.*s: %.*s\n", t->program, SLICE_ARG(verdicts[i].domain),
				SLICE_ARG(verdicts[i].reason));
	}
	if (count == 0) fprintf(stderr, "%s: No signature\n", t->program);
	dns_close(&dns);
	return good != 0 ? 0 : EX_UNAVAILABLE;
}

int opendkim_testmsg_main(int argc, char **argv) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf message = BUF(INPUT_MAX);
	struct testmsg t = { .program = "opendkim-testmsg", .mem = &mem };
	optind = 0;
	for (int letter; (letter = getopt(argc, argv, "Cd:Kk:s:t:")) >= 0;) {
		switch (letter) {
		case 'C': t.keep_crlf = true; break;
		case 'd': t.domain = optarg; break;
		case 'k': t.path = optarg; break;
		case 's': t.selector = optarg; break;
		case 'K':
		case 't': break; /* there are no temporary files */
		default: return testmsg_usage(t.program);
		}
	}
	bool all = t.domain != NULL && t.selector != NULL && t.path != NULL,
	     none = t.domain == NULL && t.selector == NULL && t.path == NULL;
	if (!all && !none) return testmsg_usage(t.program);
	if (read_message(&t, &message) < 0) return complain_of(&t, EX_IOERR);
	return all ? sign_message(&t) : verify_message(&t, argv);
}
