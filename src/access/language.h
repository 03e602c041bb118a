/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* The language of the words for people in responses of IMAP (RFC 5255 §3) and POP3 (RFC 6856 §3). The code says
 * everything in English; here is one table of what is said otherwise in another language. What is not in it stays
 * English. */
enum language { LANGUAGE_DEFAULT /* i-default: English */, LANGUAGE_EN, LANGUAGE_JA, LANGUAGE_COUNT };
const char *language_tag(enum language l);
const char *language_name(enum language l); /* in itself: "English" */
enum { LANGUAGE_RANGES_MAX = 50 /* in one LANGUAGE command */ };
void language_list(struct buf *out); /* the whole response "* LANGUAGE (…)" with all that we speak */
bool language_choose(const struct slice *ranges, size_t count, enum language *out); /* the first that leads to one */
/* What a language range asks for (RFC 4647 §3.4, lookup: "ja-JP" is ja; "default" is the server's own, i-default; "*"
 * is any). False: none that we speak, or no language range at all. */
bool language_of(struct slice range, enum language *out);
/* Adds a response, or the end of one: "* BYE Text.", "NO [CODE] Text.", "[CODE] Text.", "Text.". Status word and code
 * stay as they are. */
void language_add(struct buf *out, enum language l, struct slice response);
/* The translation of exactly this text; empty: there is none. */
struct slice language_text(enum language l, struct slice english);
