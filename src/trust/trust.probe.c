/* SPDX-License-Identifier: Apache-2.0 */
/* For tests and measurements only, never installed: makes and verifies signatures as they are told to, with keys in
 * files and with a name server given, so that stories can set this room beside other people's programs.
 *
 *   probe-trust verify|arc [OPTION…] FILE   one line for each signature (for the chain): facts with tabs between them
 *   probe-trust sign|seal [OPTION…] FILE    the message with its new fields before it
 *   probe-trust speed [OPTION…] FILE        signatures made and verified in a second of CPU time
 *     --dns ADDRESS:PORT   --now SECONDS   --most SIGNATURES   --key rsa|ed25519:DOMAIN:SELECTOR:PEM-FILE (also
 * several)
 *     --canon relaxed/simple   --headers from:to   --oversign from:from   --lifetime SECONDS   --identity @DOMAIN
 *     --results TEXT --chain none|pass|fail   --unfolded 1   --step BYTES */
#include "base/clock.h"
#include "base/fail.h"
#include "net/remote_key.h"
#include "trust/arc.h"
#include "trust/dkim_private.h"
#include <openssl/evp.h>

enum { KEYS = 4, NAMES = 200 };

struct probe {
	struct dkim_params verify;
	struct dkim_sign_params sign;
	struct dkim_key keys[KEYS];
	struct private_key *private[KEYS];
	size_t keys_count, step;
	struct slice headers[NAMES], oversign[NAMES];
	struct slice results, chain, resolvers;
	bool unfolded;
	struct buf mail;
	struct arena mem;
};

NO_RETURN static void stop(const char *what) {
	fprintf(stderr, "probe-trust: %s\n", what);
	exit(2);
}

static void file_read(const char *path, struct buf *out) {
	AUTO_FILE FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	char piece[4096];
	size_t n;
	if (f == NULL) stop(path);
	while ((n = fread(piece, 1, sizeof piece, f)) != 0) buf_add(out, slice_from(piece, n));
}

static int probe_sign(void *ctx, uint64_t key, enum dkim_algorithm algorithm, struct slice tbs, struct buf *signature) {
	const struct probe *p = ctx;
	bool rsa = algorithm == DKIM_RSA_SHA256;
	struct remote_sign_request request = { .digest = rsa ? S("SHA256") : SLICE_NONE,
		.padding = rsa ? REMOTE_PADDING_PKCS1 : REMOTE_PADDING_NONE, .tbs = tbs };
	return private_key_sign(p->private[key], &request, signature);
}

static void key_option(struct probe *p, struct slice text) {
	AUTO_BUF struct buf pem = BUF(KIB(64));
	struct slice kind = slice_cut(&text, ':'), domain = slice_cut(&text, ':'), selector = slice_cut(&text, ':');
	size_t n = p->keys_count++;
	if (n == KEYS) stop("too many keys");
	file_read(arena_text(&p->mem, text), &pem);
	if (private_key_load(buf_slice(&pem), &p->private[n]) < 0) stop(fail_text());
	p->keys[n] = (struct dkim_key){ n, domain, selector,
					slice_eq(kind, S("rsa")) ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256 };
}

static size_t list_option(struct slice *list, struct slice text) {
	size_t n = 0;
	while (text.at != NULL && n < NAMES) list[n++] = slice_cut(&text, ':');
	return n;
}

static int64_t number(const char *text) {
	return strtoll(text, NULL, 10);
}

static void option(struct probe *p, const char *name, const char *value) {
	struct slice v = slice_of(value), body = v;
	if (strcmp(name, "--dns") == 0) p->resolvers = v;
	else if (strcmp(name, "--now") == 0) p->verify.now_s = p->sign.now_s = number(value);
	else if (strcmp(name, "--most") == 0) p->verify.signatures_max = (unsigned)number(value);
	else if (strcmp(name, "--key") == 0) key_option(p, v);
	else if (strcmp(name, "--headers") == 0)
		p->sign.sign_headers = p->headers, p->sign.sign_headers_count = list_option(p->headers, v);
	else if (strcmp(name, "--oversign") == 0)
		p->sign.oversign_headers = p->oversign, p->sign.oversign_headers_count = list_option(p->oversign, v);
	else if (strcmp(name, "--lifetime") == 0) p->sign.lifetime_s = number(value);
	else if (strcmp(name, "--identity") == 0) p->sign.identity = v;
	else if (strcmp(name, "--results") == 0) p->results = v;
	else if (strcmp(name, "--chain") == 0) p->chain = v;
	else if (strcmp(name, "--unfolded") == 0) p->unfolded = number(value) != 0;
	else if (strcmp(name, "--step") == 0) p->step = (size_t)number(value);
	else if (strcmp(name, "--canon") == 0) {
		p->sign.header = slice_eq(slice_cut(&body, '/'), S("relaxed")) ? DKIM_RELAXED : DKIM_SIMPLE;
		p->sign.body = slice_eq(body, S("relaxed")) ? DKIM_RELAXED : DKIM_SIMPLE;
	} else stop(name);
}

static void print_mail(const struct buf *fields, const struct probe *p) {
	fwrite(fields->at, 1, fields->len, stdout);
	fwrite(p->mail.at, 1, p->mail.len, stdout);
}

#define EACH_PIECE(p, body, piece) \
	(struct slice rest_ = (body), piece; (piece = slice_head(rest_, (p)->step)).len != 0; \
	 rest_ = slice_skip(rest_, piece.len))

static void run_verify(struct probe *p, struct slice header, struct slice body, bool quiet) {
	AUTO_ARENA struct arena mem = { 0 };
	struct dkim_verdict *all;
	size_t count;
	struct dkim_verifier *v = dkim_verify_begin(&p->verify, header, &mem);
	if (v == NULL) return;
	for EACH_PIECE(p, body, piece) dkim_verify_body(v, piece);
	dkim_verify_end(v, deadline_in(SECONDS(5)), &all, &count);
	for (size_t i = 0; i < count; i++) {
		const struct dkim_verdict *d = &all[i];
		if (quiet && d->result != TRUST_PASS) stop("a signature does not verify");
		if (quiet) continue;
		printf("%s\t%.*s\t%.*s\t%.*s\t%s\t%u\t%d\t%d\t%d\t%.*s\t%.*s\n", trust_word(d->result),
		       SLICE_ARG(d->domain), SLICE_ARG(d->selector), SLICE_ARG(d->identity),
		       dkim_algorithm_name(d->algorithm), d->key_bits, d->testing, d->partial, d->from_signed,
		       SLICE_ARG(d->start), SLICE_ARG(d->reason));
	}
}

static void run_arc(struct probe *p, struct slice header, struct slice body) {
	struct arc_verdict out = { .result = TRUST_NONE };
	struct arc_verifier *v = arc_verify_begin(&p->verify, header, &p->mem);
	if (v != NULL) {
		for EACH_PIECE(p, body, piece) arc_verify_body(v, piece);
		arc_verify_end(v, deadline_in(SECONDS(5)), &out);
	}
	printf("%s\t%u\t%zu\t%.*s\n", trust_word(out.result), out.oldest_pass, out.hops_count, SLICE_ARG(out.reason));
}

static void run_sign(struct probe *p, struct slice header, struct slice body, struct buf *fields) {
	AUTO_ARENA struct arena mem = { 0 };
	struct dkim_signer *s = dkim_sign_begin(&p->sign, p->keys, p->keys_count, header, &mem);
	for EACH_PIECE(p, body, piece) dkim_sign_body(s, piece);
	if (dkim_sign_end(s, fields) < 0) stop(fail_text());
}

static void run_seal(struct probe *p, struct slice header, struct slice body, struct buf *fields) {
	struct arc_seal_params params = {
		.sign = p->sign, .key = p->keys[0], .results = p->results, .chain = TRUST_NONE, .unfolded = p->unfolded
	};
	if (p->chain.len != 0 && !trust_result_of(p->chain, &params.chain)) stop("--chain");
	struct arc_sealer *s = arc_seal_begin(&params, header, &p->mem);
	if (s == NULL) return;
	for EACH_PIECE(p, body, piece) arc_seal_body(s, piece);
	if (arc_seal_end(s, fields) < 0) stop(fail_text());
}

static double cpu_s(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The message is signed, then verified, for a second of this process's time each. */
static void run_speed(struct probe *p, struct slice header, struct slice body) {
	AUTO_BUF struct buf fields = BUF(MIB(4));
	unsigned signs = 0, verifies = 0;
	double start = cpu_s(), middle, again;
	do {
		buf_clear(&fields);
		run_sign(p, header, body, &fields);
		signs++;
	} while ((middle = cpu_s()) - start < 1);
	buf_add(&fields, header);
	run_verify(p, buf_slice(&fields), body, true); /* the key is fetched */
	again = cpu_s();
	do {
		run_verify(p, buf_slice(&fields), body, true);
		verifies++;
	} while (cpu_s() - again < 1);
	printf("sign\t%.0f\nverify\t%.0f\n", signs / (middle - start), verifies / (cpu_s() - again));
}

int main(int argc, char **argv) {
	static struct probe p = { .mail = { .limit = MIB(512) }, .step = KIB(64) };
	AUTO_BUF struct buf fields = BUF(MIB(4));
	if (argc < 3 || argc % 2 == 0) stop("a command, options with their values, and a file are needed");
	p.sign = (struct dkim_sign_params){
		.header = DKIM_RELAXED, .body = DKIM_RELAXED, .sign = probe_sign, .ctx = &p
	};
	for (int i = 2; i + 1 < argc; i += 2) option(&p, argv[i], argv[i + 1]);
	file_read(argv[argc - 1], &p.mail);
	struct dns_params params = { .resolvers = arena_text(&p.mem, p.resolvers) };
	if (p.resolvers.len != 0 && dns_open(&params, &p.verify.dns) < 0) stop(fail_text());
	size_t length = header_length(buf_slice(&p.mail));
	struct slice header = slice_head(buf_slice(&p.mail), length), body = slice_skip(buf_slice(&p.mail), length);
	if (strcmp(argv[1], "verify") == 0) run_verify(&p, header, body, false);
	else if (strcmp(argv[1], "arc") == 0) run_arc(&p, header, body);
	else if (strcmp(argv[1], "speed") == 0) run_speed(&p, header, body);
	else if (strcmp(argv[1], "sign") == 0) run_sign(&p, header, body, &fields), print_mail(&fields, &p);
	else if (strcmp(argv[1], "seal") == 0) run_seal(&p, header, body, &fields), print_mail(&fields, &p);
	else stop(argv[1]);
	if (p.verify.dns != NULL) dns_close(&p.verify.dns);
	for (size_t i = 0; i < p.keys_count; i++) private_key_free(&p.private[i]);
	buf_done(&p.mail);
	arena_done(&p.mem);
	return 0;
}
