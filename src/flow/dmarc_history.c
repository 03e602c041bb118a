/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers are those of libopendmarc: reports are made of them by other programs, which know no others. */
#include "flow/dmarc_history.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/ask.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

enum { BLOCK_MAX = 64 << 10 };
/* ARES_RESULT_… */
static const int results[] = {
	[TRUST_NONE] = 6,     [TRUST_NEUTRAL] = 3, [TRUST_PASS] = 0,      [TRUST_FAIL] = 7,
	[TRUST_SOFTFAIL] = 2, [TRUST_POLICY] = 8,  [TRUST_TEMPERROR] = 4, [TRUST_PERMERROR] = 5
};

static int result_of(uint32_t r) {
	return r < LEN(results) ? results[r] : 11;
}

static int letter(uint32_t policy) {
	static const char letters[] = { [DMARC_POLICY_ABSENT] = 0,
					[DMARC_POLICY_NONE] = 'n',
					[DMARC_POLICY_QUARANTINE] = 'q',
					[DMARC_POLICY_REJECT] = 'r' };
	return policy < LEN(letters) ? letters[policy] : 0;
}

/* DMARC_POLICY_…: what the record wants of this message; DMARC_RESULT_…: what was done. */
static int wanted(const struct evidence_dmarc *d) {
	static const int codes[] = {
		[DMARC_POLICY_NONE] = 18, [DMARC_POLICY_QUARANTINE] = 17, [DMARC_POLICY_REJECT] = 16
	};
	if (d->domain.len == 0) return 14;
	return d->result == TRUST_PASS || d->policy == DMARC_POLICY_ABSENT || d->policy >= LEN(codes)
		       ? 15
		       : codes[d->policy];
}

static int done(const struct evidence_dmarc *d) {
	return d->disposition == DMARC_POLICY_REJECT ? 0 : d->disposition == DMARC_POLICY_QUARANTINE ? 4 : 2;
}

/* A word of a line: what strangers wrote must not end it. */
static void word(struct buf *out, const char *key, struct slice value) {
	buf_addf(out, "%s ", key);
	for (size_t i = 0; i < value.len; i++)
		buf_byte(out, (unsigned char)value.at[i] <= ' ' || value.at[i] == 127 ? '?' : value.at[i]);
	buf_byte(out, '\n');
}

static void number(struct buf *out, const char *key, long long n) {
	buf_addf(out, "%s %lld\n", key, n);
}

static void compose(struct buf *out, const struct dmarc_history *p, struct slice queue_id, struct slice sender,
		    const struct evidence_record *e) {
	const struct evidence_dmarc *d = &e->dmarc;
	bool there = d->domain.len != 0;
	struct slice rua = d->rua;
	word(out, "job", queue_id);
	word(out, "reporter", p->reporter);
	number(out, "received", wall_s());
	word(out, "ipaddr", e->client);
	word(out, "from", d->from);
	word(out, "mfrom",
	     slice_find(sender, '@') < sender.len ? slice_skip(sender, slice_find_last(sender, '@') + 1)
						  : e->spf.domain);
	for (size_t i = 0; i < e->dkim_count; i++) {
		if (e->dkim[i].domain.len == 0 || e->dkim[i].selector.len == 0) continue;
		word(out, "dkim", e->dkim[i].domain);
		out->len--;
		word(out, "", e->dkim[i].selector);
		out->len--;
		buf_addf(out, " %d\n", result_of(e->dkim[i].result));
	}
	number(out, "spf", result_of(e->spf.result));
	word(out, "pdomain", there ? d->domain : d->from);
	number(out, "policy", wanted(d));
	bool any = false;
	for (struct slice uri; (uri = slice_trim(slice_cut(&rua, ','))).at != NULL && uri.len != 0; any = true)
		word(out, "rua", uri);
	if (!any) word(out, "rua", S("-"));
	number(out, "pct", there ? (long long)d->percent : 0);
	number(out, "adkim", !there ? 0 : d->adkim_strict ? 's' : 'r');
	number(out, "aspf", !there ? 0 : d->aspf_strict ? 's' : 'r');
	number(out, "p", there ? letter(d->p) : 0);
	number(out, "sp", there ? letter(d->sp) : 0);
	number(out, "align_dkim", d->dkim_aligned ? 4 : 5);
	number(out, "align_spf", d->spf_aligned ? 4 : 5);
	number(out, "arc", result_of(e->arc));
	buf_addf(out, "arc_policy %d json:[]\n",
		 e->arc == TRUST_PASS && d->comment.len != 0 && slice_starts(d->comment, S("arc=pass")) ? 0 : 6);
	number(out, "action", done(d));
}

static bool is_exempt(const struct dmarc_history *p, const struct accept_recipient *to, size_t count) {
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < p->exempt_count; k++)
			if (slice_same(to[i].address, p->exempt[k])) return true;
	return false;
}

void dmarc_history_add(const struct dmarc_history *p, struct slice queue_id, struct slice sender,
		       const struct accept_recipient *to, size_t count, const struct evidence_record *e) {
	if (p->file.len == 0 || !e->checked || e->dmarc.from.len == 0 || (!p->all && e->dmarc.domain.len == 0) ||
	    is_exempt(p, to, count))
		return;
	AUTO_BUF struct buf block = BUF(BLOCK_MAX);
	AUTO_FREE char *path = slice_text(p->file);
	compose(&block, p, queue_id, sender, e);
	AUTO_FD int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
	bool good = fd >= 0 && !block.full && flock(fd, LOCK_EX) == 0 &&
		    write(fd, block.at, block.len) == (ssize_t)block.len;
	if (!good)
		say(L_WARN, "/opendmarc", "dmarc_history_file %s: %s", path,
		    block.full ? "the record is too long" : strerror(errno));
}
