/* SPDX-License-Identifier: Apache-2.0 */
/* Replies are written by other servers' administrators for each other. These are the ones that people ask about most,
 * told in a sentence that says whose turn it is. The first row that fits counts: particular words before general codes.
 */
#include "admin/inside.h"

static const struct {
	const char *words;  /* somewhere in the text, case ignored; NULL: any text */
	const char *status; /* the enhanced status, without its class: ".1.1"; NULL: any */
	const char *hint;
	bool here;          /* said by us at our own door; the others are said by other servers, or about them */
} hints[] = {
	{ "relay access denied", NULL,
	  "That domain is not ours, and strangers may not send through this server: log in first (or: hato domain "
	  "add).",
	  true },
	{ NULL, ".1.1", "No account, alias or catch-all has that address (hato account list, hato alias list).", true },
	{ NULL, ".7.1", "A rule of this server forbids it.", true },
	{ "greylist", NULL,
	  "The other server lets unknown senders wait a few minutes. Nothing to do: the next try is usually "
	  "accepted." },
	{ "graylist", NULL,
	  "The other server lets unknown senders wait a few minutes. Nothing to do: the next try is usually "
	  "accepted." },
	{ "spamhaus", NULL,
	  "This server's address is on a block list. Ask at https://check.spamhaus.org how to be taken off it." },
	{ "block list", NULL,
	  "This server's address is on a block list: the text names it. Ask its keeper to be taken off." },
	{ "blocklist", NULL,
	  "This server's address is on a block list: the text names it. Ask its keeper to be taken off." },
	{ "blacklist", NULL,
	  "This server's address is on a block list: the text names it. Ask its keeper to be taken off." },
	{ "ptr record", NULL,
	  "This server's address has no name in DNS (reverse, PTR). Whoever gives you the address can set it to "
	  "myhostname." },
	{ "reverse dns", NULL,
	  "This server's address has no name in DNS (reverse, PTR). Whoever gives you the address can set it to "
	  "myhostname." },
	{ "reverse hostname", NULL,
	  "This server's address has no name in DNS (reverse, PTR). Whoever gives you the address can set it to "
	  "myhostname." },
	{ "dmarc", NULL,
	  "The sender's domain asks others to refuse mail that it did not sign. Check its SPF and DKIM records." },
	{ "dkim", NULL, "The other server wants mail with a DKIM signature. Check the sender domain's DKIM record." },
	{ "spf", NULL, "The sender's domain does not name this server in its SPF record. Add its address there." },
	{ "relay access denied", NULL,
	  "The other server does not feel responsible for that domain: its MX record in DNS may be wrong." },
	{ "relaying denied", NULL,
	  "The other server does not feel responsible for that domain: its MX record in DNS may be wrong." },
	{ "starttls", NULL, "The other server wants, or cannot do, encryption. Check smtp_tls_security_level." },
	{ "authentication required", NULL,
	  "The next server wants a login. Check relayhost and smtp_sasl_password_maps." },
	{ "authentication failed", NULL, "The next server did not take our login. Check smtp_sasl_password_maps." },
	{ "connection timed out", NULL,
	  "The other server does not answer. It may be down, or a firewall (often the provider's, for port 25) is in "
	  "between." },
	{ "connection refused", NULL, "The other machine is there, but no mail server listens on it at the moment." },
	{ "network is unreachable", NULL,
	  "This machine has no way to that network. For IPv6 addresses: check its IPv6 connection, or inet_protocols = "
	  "ipv4." },
	{ "no route to host", NULL, "This machine has no way to that address at the moment." },
	{ "certificate", NULL, "The other server's certificate is not good enough for smtp_tls_security_level." },
	{ "too many", NULL,
	  "The other server limits how much it takes from one sender. It is tried again, more slowly." },
	{ "rate limit", NULL,
	  "The other server limits how much it takes from one sender. It is tried again, more slowly." },
	{ "does not accept mail", NULL, "That domain says in DNS that it takes no mail at all. The address is wrong." },
	{ "loops back", NULL,
	  "DNS leads that domain back to this server, which does not know it: hato domain add makes it local." },
	{ "host not found", NULL, "That domain does not exist in DNS. Is it spelled right?" },
	{ "domain not found", NULL, "That domain does not exist in DNS. Is it spelled right?" },
	{ NULL, ".1.1", "There is nobody of that name at the other end. Is the address spelled right?" },
	{ NULL, ".1.2", "That domain takes no mail or does not exist. Is it spelled right?" },
	{ NULL, ".1.6", "That person has moved, and left no new address." },
	{ NULL, ".1.8", "The sender's domain does not exist, or cannot be found from there." },
	{ NULL, ".1.10", "That domain says in DNS that it takes no mail at all. The address is wrong." },
	{ NULL, ".2.1", "That mailbox is switched off." },
	{ NULL, ".2.2", "That mailbox is full. Its owner has to make room." },
	{ NULL, ".3.1", "The other server has no room left on its disk." },
	{ NULL, ".3.4", "The message is too large for the other server." },
	{ NULL, ".2.3", "The message is too large for that mailbox." },
	{ NULL, ".4.6",
	  "The message went in circles between servers: look for aliases or forwards that point at each other." },
	{ NULL, ".4.7", "It was tried for as long as maximal_queue_lifetime allows." },
	{ NULL, ".7.1",
	  "The other server's rules forbid this. Its text says which; only its administrators can change that." },
	{ NULL, ".7.26", "The other server wants mail that SPF or DKIM prove to come from its sender's domain." },
};

static bool contains(struct slice text, const char *words) {
	size_t len = strlen(words);
	for (size_t i = 0; i + len <= text.len; i++)
		if (slice_same(slice_from(text.at + i, len), slice_from(words, len))) return true;
	return false;
}

const char *hint_for(struct slice status, struct slice text, bool here) {
	struct slice detail = slice_skip(status, slice_find(status, '.'));
	text = slice_head(text, 2000);
	for (size_t i = 0; i < LEN(hints); i++) {
		if (hints[i].here != here) continue;
		if (hints[i].words != NULL && !contains(text, hints[i].words)) continue;
		if (hints[i].status != NULL && !slice_eq(detail, slice_of(hints[i].status))) continue;
		return hints[i].hint;
	}
	return NULL;
}
