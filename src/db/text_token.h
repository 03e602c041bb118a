/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* Tokens of folded text (mime/fold.h), for the full-text index. A token begins at every character and is decided by the
 * characters from there on only: the first two when the first is of a script that is written without blanks (Han, kana,
 * Hangul, bopomofo), else the first three. One that would hold a blank or a control character, or go over the end, is
 * none.
 *
 * So every token of a needle is a token of any text that the needle is a part of, which is what makes the index exact
 * enough for IMAP's substring rule: two Japanese characters or three letters can be looked up. */
struct text_token {
	struct slice text; /* in the text given */
	uint64_t key;      /* its characters, 21 bits each: the same only for the same token; never 0 */
};
bool text_token_next(struct slice *rest, struct text_token *out);
