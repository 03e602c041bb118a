/* SPDX-License-Identifier: Apache-2.0 */
/* opendkim-genkey(8): its options, files and texts, byte for byte. Beyond it: --type ed25519. */
#include "base/fail.h"
#include "cli/tool.h"
#include "net/file.h"
#include "trust/dkim_text.h"
#include "trust/keyring.h"

#include <getopt.h>
#include <sys/stat.h>

static const char program[] = "opendkim-genkey";
static const char usage_text[] =
	"opendkim-genkey: usage: opendkim-genkey [options]\n"
	"\t--append-domain        include domain name in zone file stub\n"
	"\t--bits=n               use n bits to generate the key\n"
	"\t--directory=path       leave output in the named directory\n"
	"\t--domain=name          generate data for the named domain [localhost]\n"
	"\t--hash-algorithms=list limit to use of the named algorithm(s)\n"
	"\t--help                 print help and exit\n"
	"\t--note=string          include specified note in zone data\n"
	"\t--restrict             restrict key to email use only\n"
	"\t--selector=name        selector name [default]\n"
	"\t--subdomains           allow signing of subdomains\n"
	"\t--testmode             indicate key is in test mode\n"
	"\t--type=kind            rsa or ed25519 [rsa]\n"
	"\t--verbose              increased output\n"
	"\t--version              print version and exit\n";

enum { OPTION_SUBDOMAINS = 256, OPTION_TYPE, OPTION_HELP, BITS_MOST = 16384 };
static const struct option options[] = {
	{ "append-domain", no_argument, NULL, 'a' }, { "bits", required_argument, NULL, 'b' },
	{ "directory", required_argument, NULL, 'D' }, { "domain", required_argument, NULL, 'd' },
	{ "hash-algorithms", required_argument, NULL, 'h' }, { "help", no_argument, NULL, OPTION_HELP },
	{ "note", required_argument, NULL, 'n' }, { "restrict", no_argument, NULL, 'r' },
	{ "selector", required_argument, NULL, 's' }, { "subdomains", no_argument, NULL, OPTION_SUBDOMAINS },
	{ "nosubdomains", no_argument, NULL, 'S' }, { "testmode", no_argument, NULL, 't' },
	{ "type", required_argument, NULL, OPTION_TYPE }, { "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 },
};

struct genkey {
	struct dkim_record_text record;
	const char *folder;
	uint64_t bits;
	bool ed25519, help, version, wrong;
	unsigned verbose;
};

static void read_option(struct genkey *g, int letter) {
	switch (letter) {
	case 'a': g->record.full_name = true; break;
	case 'b': g->wrong |= !slice_number(slice_of(optarg), BITS_MOST, &g->bits) || g->bits < 512; break;
	case 'D': g->folder = optarg; break;
	case 'd': g->record.domain = slice_of(optarg); break;
	case 'h': g->record.hashes = slice_of(optarg); break;
	case 'n': g->record.note = slice_of(optarg); break;
	case 'r': g->record.email_only = true; break;
	case 's': g->record.selector = slice_of(optarg); break;
	case 'S': g->record.no_subdomains = true; break;
	case 't': g->record.testing = true; break;
	case 'v': g->verbose++; break;
	case 'V': g->version = true; break;
	case OPTION_SUBDOMAINS: g->record.no_subdomains = false; break;
	case OPTION_TYPE:
		g->ed25519 = strcmp(optarg, "ed25519") == 0;
		g->wrong |= !g->ed25519 && strcmp(optarg, "rsa") != 0;
		break;
	case OPTION_HELP: g->help = true; break;
	default: g->wrong = true;
	}
}

static void tell(const struct genkey *g, const char *format, ...) {
	va_list args;
	if (g->verbose == 0) return;
	va_start(args, format);
	fprintf(stderr, "%s: ", program);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

static int failed(void) {
	fprintf(stderr, "%s: %s\n", program, fail_text());
	return 1;
}

static int make(struct genkey *g) {
	AUTO_BUF struct buf pem = BUF(KIB(64));
	AUTO_BUF struct buf public_key = BUF(KIB(16));
	AUTO_BUF struct buf zone = BUF(KIB(64));
	AUTO_BUF struct buf name = BUF(PATH_MAX);
	struct slice selector = g->record.selector;
	tell(g, "generating private key");
	if (g->bits < 1024 && !g->ed25519)
		fprintf(stderr, "%s: WARNING: RFC6376 advises minimum 1024-bit keys\n", program);
	if (keyring_generate(g->ed25519, (unsigned)g->bits, &pem, &public_key) < 0) return failed();
	buf_addf(&name, "%.*s.private", SLICE_ARG(selector));
	if (file_write(buf_text(&name), buf_slice(&pem), 0600) < 0) return failed();
	mem_wipe(pem.at, pem.len);
	tell(g, "private key written to %s", buf_text(&name));
	tell(g, "extracting public key");
	g->record.public_key = buf_slice(&public_key);
	g->record.algorithm = g->ed25519 ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256;
	dkim_record_zone(&zone, &g->record);
	buf_clear(&name);
	buf_addf(&name, "%.*s.txt", SLICE_ARG(selector));
	if (file_write(buf_text(&name), buf_slice(&zone), 0600) < 0) return failed();
	tell(g, "DNS TXT record written to %s", buf_text(&name));
	return 0;
}

int opendkim_genkey_main(int argc, char **argv) {
	struct genkey g = { .folder = ".", .bits = 2048 };
	g.record =
		(struct dkim_record_text){ .domain = S("localhost"), .selector = S("default"), .hashes = S("sha256") };
	optind = 0;
	for (int letter; (letter = getopt_long(argc, argv, "ab:D:d:h:n:rs:StvV", options, NULL)) >= 0;)
		read_option(&g, letter);
	if (g.wrong || g.help) {
		fputs(usage_text, stderr);
		return g.help && !g.wrong ? 0 : 1;
	}
	if (g.version) {
		puts("opendkim-genkey v2.11.0");
		return 0;
	}
	if (chdir(g.folder) != 0) {
		fprintf(stderr, "%s: %s: chdir(): %s\n", program, g.folder, strerror(errno));
		return 2;
	}
	umask(077);
	return make(&g);
}
