/* SPDX-License-Identifier: Apache-2.0 */
/* ENABLE (RFC 5161): what a client may be told in another language from now on. What is unknown is passed over. */
#include "access/imap/state.h"

static const struct { const char *name; unsigned bits; } enablings[] = {
	{ "CONDSTORE", IMAP_CONDSTORE },
	{ "QRESYNC", IMAP_QRESYNC | IMAP_CONDSTORE }, /* RFC 7162 §3.2.3 */
	{ "IMAP4rev2", IMAP_REV2 },
	{ "UIDONLY", IMAP_UIDONLY },
	{ "UTF8=ACCEPT", IMAP_UTF8 },
};

/* RFC 7162 §3.1: whoever begins to follow modseqs in the middle is told where it stands. */
void imap_enable(struct imap_session *s, unsigned bits) {
	bool first = !imap_enabled(s, IMAP_CONDSTORE) && (bits & IMAP_CONDSTORE) != 0;
	s->enabled |= bits;
	if (!first || !s->box.open) return;
	s->box.modseq_said = imap_safe_modseq(s);
	buf_addf(imap_out(s), "* OK [HIGHESTMODSEQ %llu] ", (unsigned long long)s->box.modseq_said);
	imap_say(s, "Highest");
}

IMAP_COMMAND(imap_do_enable) {
	AUTO_BUF struct buf said = BUF(KIB(1));
	unsigned bits = 0;
	struct slice name;
	do {
		if (!imap_parse_space(&call->p) || !imap_parse_atom(&call->p, &name)) return imap_bad(&call->p);
		for (size_t i = 0; i < LEN(enablings); i++) {
			if (!slice_same(name, slice_of(enablings[i].name))) continue;
			if ((bits & enablings[i].bits) != enablings[i].bits) buf_addf(&said, " %s", enablings[i].name);
			bits |= enablings[i].bits;
		}
	} while (call->p.rest.len != 0);
	buf_addf(imap_out(s), "* ENABLED%s\r\n", said.len != 0 ? buf_text(&said) : "");
	imap_enable(s, bits);
	return imap_ok("Enabled.");
}
