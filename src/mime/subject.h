/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* The base subject (RFC 5256 §2.1): what is left of a Subject when "Re:", "Fwd:", "[list]", "(fwd)" and "[fwd: …]" are
 * taken away; it may be empty. text is decoded (header_text); the result is a piece of it, so blanks inside are those
 * of the text: subject_add_base makes one of each run of them. reply: something said that this is an answer or was
 * forwarded. */
struct slice subject_base(struct slice text, bool *reply);
/* The same from the raw field: decoded, blanks in a row as one. */
void subject_add_base(struct buf *out, struct slice raw, bool *reply);
