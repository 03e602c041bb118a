/* SPDX-License-Identifier: Apache-2.0 */
/* postfix tls: the small steps of postfix-tls(1) from no TLS to some. Keys made here are P-256, which every client of
 * our day knows; requests for certificates are OpenSSL's work, and who has hato make certificates needs neither. */
#include "base/encode.h"
#include "base/fail.h"
#include "cli/postfix_tls.h"
#include "conf/conf.h"
#include "net/file.h"
#include "net/remote_key.h"
#include "net/tls.h"

#include <getopt.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>

enum { EX_FATAL = 1, PEM_MOST = 1 << 20 };

struct tls_work {
	const struct tool *tool;
	struct conf *conf;
	struct arena mem;
	char **words; /* behind the subcommand */
	int count;
};

static int fatal(const struct tls_work *w, const char *text) {
	return tool_fatal(w->tool, EX_FATAL, "%s", text);
}

/* postconf -e: one call for all, so that main.cf changes once. */
static int set(const struct tls_work *w, const char *const *assignments, size_t count) {
	char *words[16] = { (char *)(uintptr_t) "postconf", (char *)(uintptr_t) "-c",
			    (char *)(uintptr_t)w->tool->conf_dir, (char *)(uintptr_t) "-e" };
	int n = 4;
	for (size_t i = 0; i < count; i++) words[n++] = (char *)(uintptr_t)assignments[i];
	optind = 0;
	return tool_run(n, words);
}

static bool any_set(const struct tls_work *w, const char *side) {
	static const char *const names[] = {
		"use_tls",       "enforce_tls",    "tls_enforce_peername", "tls_security_level",
		"tls_cert_file", "tls_dcert_file", "tls_eccert_file",      "tls_chain_files"
	};
	struct conf_raw raw;
	for (size_t i = 0; i < LEN(names); i++) {
		char name[64];
		snprintf(name, sizeof name, "%s_%s", side, names[i]);
		if (conf_raw_find(w->conf, slice_of(name), &raw) && raw.is_set) return true;
	}
	return false;
}

static int all_default_client(struct tls_work *w) { return any_set(w, "smtp") ? EX_FATAL : EX_OK; }
static int all_default_server(struct tls_work *w) { return any_set(w, "smtpd") ? EX_FATAL : EX_OK; }

static int enable_client(struct tls_work *w) {
	static const char *const wanted[] = { "smtp_tls_security_level = may", "smtp_tls_loglevel = 1" };
	if (any_set(w, "smtp")) {
		puts("*** Non-default SMTP client TLS settings detected, no changes made.\n"
		     "For opportunistic TLS in the Postfix SMTP client, the below settings\nare typical:\n"
		     "  smtp_tls_security_level = may\n  smtp_tls_loglevel = 1");
		return EX_OK;
	}
	int code = set(w, wanted, LEN(wanted));
	if (code == EX_OK)
		puts("Enabled opportunistic TLS in the Postfix SMTP client.\nRun the command:\n  # postfix reload\n"
		     "if you want the new settings to take effect immediately.");
	return code;
}

/* What is left of "[-a algorithm] [-b bits] [hostname]": the name. NULL: told. */
static const char *host_of(struct tls_work *w, const char *command) {
	const char *algorithm = "ecdsa";
	optind = 0;
	char *words[10] = { (char *)(uintptr_t)command };
	int n = 1;
	for (int i = 0; i < w->count && n < 9; i++) words[n++] = w->words[i];
	for (int letter; (letter = getopt(n, words, "+:a:b:r:")) != -1;) {
		if (letter == 'a') algorithm = optarg;
		if (letter == '?' || letter == ':') {
			tool_fatal(w->tool, EX_FATAL, "usage: postfix tls %s [-a algorithm] [-b bits] [hostname]",
				   command);
			return NULL;
		}
	}
	if (strcmp(algorithm, "ecdsa") != 0) {
		tool_fatal(w->tool, EX_FATAL,
			   "-a %s: keys made here are ecdsa (make others with: openssl req -x509 -newkey rsa:2048, "
			   "then postfix tls deploy-server-cert)",
			   algorithm);
		return NULL;
	}
	if (n - optind > 1) {
		fatal(w, "a certificate made here has one name (hato's own ACME, or certbot, make those with several)");
		return NULL;
	}
	return n > optind ? arena_text(&w->mem, slice_of(words[optind]))
			  : conf_text(conf_main(w->conf), SET_myhostname).at;
}

static int make_pair(struct tls_work *w, const char *host, const char **cert, const char **key) {
	AUTO_BUF struct buf cert_pem = BUF(PEM_MOST), key_pem = BUF(PEM_MOST);
	char stamp[40];
	struct tm t;
	time_t now = time(NULL);
	if (tls_make_self_signed(host, &cert_pem, &key_pem) < 0) return fatal(w, fail_text());
	strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", gmtime_r(&now, &t));
	*key = arena_fmt(&w->mem, "%s/eckey-%s.pem", w->tool->conf_dir, stamp).at;
	*cert = arena_fmt(&w->mem, "%s/eccert-%s.pem", w->tool->conf_dir, stamp).at;
	int r = file_write(*key, buf_slice(&key_pem), 0600);
	mem_wipe(key_pem.at, key_pem.len);
	if (r == 0) r = file_write(*cert, buf_slice(&cert_pem), 0644);
	return r == 0 ? EX_OK : fatal(w, fail_text());
}

static int deploy(struct tls_work *w, const char *cert, const char *key, bool enable) {
	AUTO_BUF struct buf cert_pem = BUF(PEM_MOST), key_pem = BUF(PEM_MOST);
	if (file_read(cert, &cert_pem) < 0 || file_read(key, &key_pem) < 0) return fatal(w, fail_text());
	int r = tls_check_identity(buf_slice(&cert_pem), buf_slice(&key_pem), cert);
	mem_wipe(key_pem.at, key_pem.len);
	if (r < 0)
		return tool_fatal(w->tool, EX_FATAL, "Certificate in %s does not match key in %s: %s", cert, key,
				  fail_text());
	const char *wanted[] = { arena_fmt(&w->mem, "smtpd_tls_key_file = %s", key).at,
				 arena_fmt(&w->mem, "smtpd_tls_cert_file = %s", cert).at,
				 "smtpd_tls_security_level = may", "smtpd_tls_received_header = yes",
				 "smtpd_tls_loglevel = 1" };
	int code = set(w, wanted, enable ? LEN(wanted) : 2);
	if (code != EX_OK) return code;
	if (enable) puts("Enabled opportunistic TLS in the Postfix SMTP server");
	puts("New TLS private key and certificate deployed.\nRun the command:\n  # postfix reload\n"
	     "if you want the new settings to take effect immediately.");
	return EX_OK;
}

static int enable_server(struct tls_work *w) {
	const char *cert, *key, *host;
	if (any_set(w, "smtpd")) {
		puts("*** Non-default SMTP server TLS settings detected, no changes made.\n"
		     "For opportunistic TLS in the Postfix SMTP server, the below settings\nare typical:\n"
		     "  smtpd_tls_security_level = may\n  smtpd_tls_loglevel = 1\n"
		     "You can use \"postfix tls new-server-key\" to create a new private key and certificate.");
		return EX_OK;
	}
	if ((host = host_of(w, "enable-server")) == NULL) return EX_FATAL;
	int code = make_pair(w, host, &cert, &key);
	return code == EX_OK ? deploy(w, cert, key, true) : code;
}

static int new_server_key(struct tls_work *w) {
	const char *cert, *key, *host = host_of(w, "new-server-key");
	int code = host != NULL ? make_pair(w, host, &cert, &key) : EX_FATAL;
	if (code == EX_OK)
		printf("New private key and self-signed certificate created. To deploy run:\n  # postfix tls "
		       "deploy-server-cert %s %s\n",
		       cert, key);
	return code;
}

static const char *below_conf(struct tls_work *w, const char *path) {
	return path[0] == '/' ? path : arena_fmt(&w->mem, "%s/%s", w->tool->conf_dir, path).at;
}

static int deploy_server_cert(struct tls_work *w) {
	if (w->count != 2) return fatal(w, "usage: postfix tls deploy-server-cert certfile keyfile");
	return deploy(w, below_conf(w, w->words[0]), below_conf(w, w->words[1]), false);
}

/* "3 1 1": the digest of the public key, which stays when a certificate is renewed with the same key (RFC 7671 §5.1).
 */
static int put_tlsa(struct tls_work *w, const char *host, const char *path) {
	AUTO_BUF struct buf pem = BUF(PEM_MOST), der = BUF(PEM_MOST), text = BUF(100);
	struct private_key *key = NULL;
	unsigned char digest[SHA256_DIGEST_LENGTH];
	int r = file_read(path, &pem);
	if (r == 0) r = private_key_load(buf_slice(&pem), &key);
	if (r == 0) r = private_key_public(key, &der);
	private_key_free(&key);
	mem_wipe(pem.at, pem.len);
	if (r < 0) return tool_fatal(w->tool, EX_FATAL, "%s: %s", path, fail_text());
	SHA256((const unsigned char *)der.at, der.len, digest);
	hex_add(&text, slice_from((const char *)digest, sizeof digest));
	printf("; %s\n_25._tcp.%s. IN TLSA 3 1 1 %s\n", path, host, buf_text(&text));
	return EX_OK;
}

/* The file that a setting names; for an algorithm's name, as in postfix-tls(1): the setting of its own. */
static struct slice key_setting(const struct tls_work *w, const char *name) {
	const struct conf_view *v = conf_main(w->conf);
	if (strcmp(name, "rsa") == 0) return conf_text(v, SET_smtpd_tls_key_file);
	if (strcmp(name, "ecdsa") == 0) return conf_text(v, SET_smtpd_tls_eckey_file);
	return SLICE_NONE;
}

static int output_server_tlsa(struct tls_work *w) {
	static const char *const usual[] = { "rsa", "ecdsa" };
	const char *host = conf_text(conf_main(w->conf), SET_myhostname).at;
	int first = 0, code = EX_OK;
	if (w->count >= 2 && strcmp(w->words[0], "-h") == 0) host = w->words[1], first = 2;
	bool named = w->count > first, found = false;
	for (int i = 0; i < (named ? w->count - first : (int)LEN(usual)) && code == EX_OK; i++) {
		const char *word = named ? w->words[first + i] : usual[i];
		struct slice setting = key_setting(w, word);
		if (setting.at != NULL && setting.len == 0) continue;
		found = true;
		code = put_tlsa(w, host, below_conf(w, setting.len != 0 ? arena_text(&w->mem, setting) : word));
	}
	return code != EX_OK || found ? code : fatal(w, "No usable keyfiles specified or configured");
}

static int new_server_cert(struct tls_work *w) {
	return fatal(w, "new-server-cert: not here (a new certificate for the key you have: openssl req -x509 -key "
			"FILE -days 3650; for a new key: postfix tls new-server-key)");
}

static int output_server_csr(struct tls_work *w) {
	return fatal(w, "output-server-csr: not here (openssl req -new -key FILE makes a request from the key of "
			"smtpd_tls_key_file)");
}

static const struct {
	const char *name;
	int (*run)(struct tls_work *w);
} commands[] = {
	{ "enable-client", enable_client },           { "enable-server", enable_server },
	{ "new-server-key", new_server_key },         { "new-server-cert", new_server_cert },
	{ "deploy-server-cert", deploy_server_cert }, { "output-server-csr", output_server_csr },
	{ "output-server-tlsa", output_server_tlsa }, { "all-default-client", all_default_client },
	{ "all-default-server", all_default_server },
};

int postfix_tls(const struct tool *tool, int count, char **words) {
	struct tls_work w = { .tool = tool, .words = words + 1, .count = count - 1 };
	AUTO_CONF struct conf *c = NULL;
	const char *name = count > 0 ? words[0] : "";
	size_t i = 0;
	while (i < LEN(commands) && strcmp(name, commands[i].name) != 0) i++;
	if (i == LEN(commands)) {
		tool_warn(tool, "unknown tls command: '%s'", name);
		return tool_fatal(
			tool, EX_FATAL,
			"usage: postfix tls enable-client (or enable-server, new-server-key, new-server-cert, "
			"deploy-server-cert, output-server-csr, output-server-tlsa, all-default-client, "
			"all-default-server)");
	}
	if (conf_load(&(struct conf_options){ .dir = tool->conf_dir }, &c) < 0) return fatal(&w, fail_text());
	w.conf = c;
	int code = commands[i].run(&w);
	arena_done(&w.mem);
	return code;
}
