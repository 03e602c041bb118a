/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/fetch.h"
#include "access/imap/parse.h"

/* A whole command, read as every family would read it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice text = slice_from(data, size), out, *all;
	struct imap_parse p = IMAP_PARSE(text, &mem);
	struct imap_literal literal;
	AUTO_BUF struct buf said = BUF(MIB(1));
	size_t count;
	imap_literal_at_end(text, &literal);
	if (imap_parse_tag(&p, &out) && imap_parse_space(&p) && imap_parse_atom(&p, &out))
		while (imap_parse_take(&p, ' '))
			if (imap_parse_astring(&p, &out)) imap_put_astring(&said, out);
	p = IMAP_PARSE(text, &mem);
	imap_parse_strings(&p, 10, &all, &count);
	struct imap_session session = { 0 };
	struct fetch fetch = { .s = &session };
	p = IMAP_PARSE(text, &mem);
	fetch_parse(&p, &fetch, size % 2 == 0);
	arena_done(&fetch.mem);
	return 0;
}
