-- The schema of the mail database, version 7. Later versions change this text AND add a step in schema.c.
-- What grows with users has account_id first in its key, so that the data can be spread over machines by account. Bodies and
-- their summaries are shared between accounts and keyed by blob; queue and history belong to the server and are keyed by time.
-- Times are microseconds since 1970 (UTC). Text compares byte by byte.

CREATE TABLE sequence (
	name TEXT PRIMARY KEY,
	last INTEGER NOT NULL               -- numbers are never given twice, whatever was deleted
);
INSERT INTO sequence (name, last) VALUES ('account', 0);

CREATE TABLE domain (
	name TEXT PRIMARY KEY,              -- A-labels, lower case
	created_us INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE account (
	id INTEGER PRIMARY KEY,
	address TEXT NOT NULL UNIQUE,       -- lower case
	domain TEXT NOT NULL,               -- of the address
	disabled INTEGER NOT NULL DEFAULT 0,
	created_us INTEGER NOT NULL,
	quota_bytes INTEGER NOT NULL DEFAULT 0,
	quota_messages INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX account_domain ON account (domain);

CREATE TABLE alias (
	address TEXT NOT NULL,              -- lower case; '@domain' catches all
	target TEXT NOT NULL,
	domain TEXT NOT NULL,               -- of the address
	PRIMARY KEY (address, target)
) WITHOUT ROWID;
CREATE INDEX alias_domain ON alias (domain);

-- What is to be done with mail that an address, of whatever table, cannot well send on (flow/forward.h).
CREATE TABLE forward_choice (
	address TEXT NOT NULL PRIMARY KEY,  -- lower case
	choice INTEGER NOT NULL
) WITHOUT ROWID;

-- What the store counts for an account: its change counter and its use of space.
CREATE TABLE account_state (
	account_id INTEGER NOT NULL PRIMARY KEY,
	modseq INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	messages INTEGER NOT NULL,
	next_mailbox INTEGER NOT NULL,
	last_uidvalidity INTEGER NOT NULL,
	pool TEXT                           -- of quota_pool; NULL: none
);
CREATE INDEX account_state_pool ON account_state (pool) WHERE pool IS NOT NULL;

-- What several accounts may keep together (store/quota.h): a domain that has a limit, counted as its accounts are.
CREATE TABLE quota_pool (
	name TEXT PRIMARY KEY,
	limit_bytes INTEGER NOT NULL,       -- 0: none
	limit_messages INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	messages INTEGER NOT NULL
) WITHOUT ROWID;
-- An account came across a level of its limits; the row stays when its owner was told, so that it is not said too often.
CREATE TABLE quota_warning (
	account_id INTEGER NOT NULL,
	level INTEGER NOT NULL,             -- percent
	crossed_us INTEGER NOT NULL,
	told INTEGER NOT NULL,              -- 1: the mail was sent
	PRIMARY KEY (account_id, level)
) WITHOUT ROWID;
CREATE INDEX quota_warning_due ON quota_warning (crossed_us) WHERE told = 0;

CREATE TABLE mailbox (
	account_id INTEGER NOT NULL,
	id INTEGER NOT NULL,                -- counts from 1 in each account
	name TEXT,                          -- NULL: deleted, its messages are still to be freed
	uidvalidity INTEGER NOT NULL,
	uidnext INTEGER NOT NULL,
	recent_from INTEGER NOT NULL,
	highestmodseq INTEGER NOT NULL,
	messages INTEGER NOT NULL,
	unseen INTEGER NOT NULL,
	deleted INTEGER NOT NULL,           -- flagged \Deleted
	bytes INTEGER NOT NULL,
	special_use INTEGER NOT NULL,
	keywords TEXT,                      -- every keyword ever used here, blank-separated
	object_id INTEGER NOT NULL DEFAULT 0, -- what RFC 8474 calls MAILBOXID, when it is not id: INBOX was renamed
	old_name TEXT,                      -- of a deleted one whose messages are to go into the bin
	PRIMARY KEY (account_id, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX mailbox_name ON mailbox (account_id, name);
CREATE INDEX mailbox_gone ON mailbox (account_id, id) WHERE name IS NULL;

CREATE TABLE subscription (
	account_id INTEGER NOT NULL,
	name TEXT NOT NULL,                 -- of a mailbox that need not exist
	PRIMARY KEY (account_id, name)
) WITHOUT ROWID;

-- What others may do with a mailbox (store/acl.h); its owner may do everything.
CREATE TABLE acl (
	account_id INTEGER NOT NULL,
	mailbox_id INTEGER NOT NULL,
	identifier TEXT NOT NULL,           -- an account's address, 'anyone', 'authenticated', '$group'; with '-' before it: taken away
	rights INTEGER NOT NULL,            -- enum acl_right
	PRIMARY KEY (account_id, mailbox_id, identifier)
) WITHOUT ROWID;
CREATE INDEX acl_identifier ON acl (identifier);
CREATE TABLE acl_group (
	name TEXT NOT NULL,                 -- with its '$'
	member TEXT NOT NULL,               -- an account's address
	PRIMARY KEY (name, member)
) WITHOUT ROWID;
CREATE INDEX acl_group_member ON acl_group (member);

-- METADATA (store/annotation.h).
CREATE TABLE annotation (
	account_id INTEGER NOT NULL,        -- the mailbox's owner; 0: the server's
	mailbox_id INTEGER NOT NULL,        -- 0: of the account or server
	entry TEXT NOT NULL,                -- lower case
	reader_id INTEGER NOT NULL,         -- whose private one it is; 0: /shared
	value BLOB NOT NULL,
	PRIMARY KEY (account_id, mailbox_id, entry, reader_id)
) WITHOUT ROWID;

CREATE TABLE last_login (
	account_id INTEGER NOT NULL PRIMARY KEY,
	time_us INTEGER NOT NULL,
	protocol TEXT NOT NULL,
	remote TEXT NOT NULL
);

CREATE TABLE message (
	account_id INTEGER NOT NULL,
	mailbox_id INTEGER NOT NULL,
	uid INTEGER NOT NULL,
	modseq INTEGER NOT NULL,
	flags INTEGER NOT NULL,
	keywords TEXT,                      -- sorted, blank-separated; NULL: none
	received_us INTEGER NOT NULL,
	size INTEGER NOT NULL,
	blob_id INTEGER NOT NULL,
	email_id INTEGER NOT NULL,          -- the same for all copies in an account
	saved_us INTEGER NOT NULL DEFAULT 0, -- when it came into this mailbox (RFC 8514); 0: not known
	PRIMARY KEY (account_id, mailbox_id, uid)
) WITHOUT ROWID;
-- Where messages were changed after they came: 128 uids a row, so that a change of a whole mailbox writes few of them. Those
-- that only came need no row: they are found from the end, since uid and the modseq of arrival rise together.
CREATE TABLE changed_part (
	account_id INTEGER NOT NULL,
	mailbox_id INTEGER NOT NULL,
	part INTEGER NOT NULL,              -- uid / 128
	modseq INTEGER NOT NULL,            -- of the last change in it
	PRIMARY KEY (account_id, mailbox_id, part)
) WITHOUT ROWID;

-- Ids that POP3 clients knew messages by on another server.
CREATE TABLE pop3_uidl (
	account_id INTEGER NOT NULL,
	mailbox_id INTEGER NOT NULL,
	uid INTEGER NOT NULL,
	uidl TEXT NOT NULL,
	PRIMARY KEY (account_id, mailbox_id, uid)
) WITHOUT ROWID;

-- Files that were imported and had no uid, so that a second import leaves them out.
CREATE TABLE imported (
	account_id INTEGER NOT NULL,
	mailbox_id INTEGER NOT NULL,
	name TEXT NOT NULL,
	PRIMARY KEY (account_id, mailbox_id, name)
) WITHOUT ROWID;

CREATE TABLE expunged (
	account_id INTEGER NOT NULL,
	mailbox_id INTEGER NOT NULL,
	modseq INTEGER NOT NULL,
	first_uid INTEGER NOT NULL,
	last_uid INTEGER NOT NULL,
	PRIMARY KEY (account_id, mailbox_id, modseq, first_uid)
) WITHOUT ROWID;

-- What was expunged and can be brought back (store/bin.h); each row holds a reference to its blob.
CREATE TABLE bin (
	account_id INTEGER NOT NULL,
	expunged_us INTEGER NOT NULL,
	mailbox_id INTEGER NOT NULL,
	uid INTEGER NOT NULL,
	mailbox TEXT NOT NULL,              -- its name at that time
	flags INTEGER NOT NULL,
	keywords TEXT,
	received_us INTEGER NOT NULL,
	size INTEGER NOT NULL,
	blob_id INTEGER NOT NULL,
	email_id INTEGER NOT NULL,
	PRIMARY KEY (account_id, expunged_us, mailbox_id, uid)
) WITHOUT ROWID;
CREATE TABLE bin_keep (keep_us INTEGER NOT NULL); -- one row, or none: 0

CREATE TABLE blob (
	id INTEGER PRIMARY KEY,             -- rises with time
	refs INTEGER NOT NULL,              -- rows of message, bin, queue_message and report_mail that use it
	size INTEGER NOT NULL,              -- plain bytes
	form INTEGER NOT NULL               -- 0 plain in blob_data, 1 zstd, 3 LZ4 there, 2 file of zstd frames
);
-- Apart from the row above, so that counting references does not copy the body.
CREATE TABLE blob_data (
	id INTEGER PRIMARY KEY,
	data BLOB NOT NULL
);
CREATE TABLE summary (
	blob_id INTEGER PRIMARY KEY,
	data BLOB NOT NULL
);
-- What sorting and threading look at (mime/digest.h): small and close together. Made again where it is missing.
CREATE TABLE digest (
	blob_id INTEGER PRIMARY KEY,
	data BLOB NOT NULL
);
-- What a program made of its attachments, for searching (store/extract.h): UTF-8. A row without text: there is none.
CREATE TABLE blob_text (
	blob_id INTEGER PRIMARY KEY,
	data BLOB NOT NULL
);

CREATE TABLE queue_message (
	id TEXT PRIMARY KEY,                -- queue id; rises with time
	sender TEXT NOT NULL,
	blob_id INTEGER NOT NULL,
	size INTEGER NOT NULL,
	arrived_us INTEGER NOT NULL,
	envid TEXT,
	ret INTEGER NOT NULL,
	message_id TEXT,
	extra BLOB,
	held INTEGER NOT NULL,              -- bits; 1: on hold, 2: expired by the operator
	next_number INTEGER NOT NULL        -- of the next recipient
) WITHOUT ROWID;
CREATE INDEX queue_arrived ON queue_message (arrived_us, id);

CREATE TABLE queue_recipient (
	queue_id TEXT NOT NULL,
	number INTEGER NOT NULL,
	address TEXT NOT NULL,
	orcpt TEXT,
	original TEXT,
	hop TEXT NOT NULL,                  -- what deliveries are grouped by
	notify INTEGER NOT NULL,
	target BLOB,                        -- a command or file instead of the address
	due_us INTEGER NOT NULL,            -- 2^63-1 while on hold
	tries INTEGER NOT NULL,
	warned INTEGER NOT NULL,
	status TEXT,
	text TEXT,
	PRIMARY KEY (queue_id, number)
) WITHOUT ROWID;
CREATE INDEX queue_due ON queue_recipient (hop, due_us);

CREATE TABLE history (
	id INTEGER PRIMARY KEY,             -- rises with time
	time_us INTEGER NOT NULL,
	queue_id TEXT,
	kind INTEGER NOT NULL,
	sender TEXT,
	recipient TEXT,
	peer TEXT,
	status TEXT,
	text TEXT,
	message_id TEXT,
	count INTEGER NOT NULL
);
CREATE INDEX history_queue ON history (queue_id) WHERE queue_id IS NOT NULL;

-- Small facts with an end (db/memo.h).
CREATE TABLE memo (
	kind INTEGER NOT NULL,
	key TEXT NOT NULL,
	value BLOB NOT NULL,
	until_us INTEGER NOT NULL,
	PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX memo_until ON memo (until_us);

-- Mail to a report address, to be read; holds a reference to its blob (report/inbox.h).
CREATE TABLE report_mail (
	id INTEGER PRIMARY KEY,
	blob_id INTEGER NOT NULL,
	received_us INTEGER NOT NULL,
	tries INTEGER NOT NULL,
	proof TEXT                          -- domains that SPF, DKIM or DMARC proved it to come from; "*": our own
);
-- What others reported about mail in the name of a domain.
CREATE TABLE report (
	id INTEGER PRIMARY KEY,
	kind INTEGER NOT NULL,              -- enum report_kind
	domain TEXT NOT NULL,
	org TEXT NOT NULL,                  -- who reports
	name TEXT NOT NULL,                 -- the report id
	begin_us INTEGER NOT NULL,
	end_us INTEGER NOT NULL,
	received_us INTEGER NOT NULL,
	policy TEXT,                        -- DMARC: as the reporter saw it, "p=none sp=reject"
	proved INTEGER NOT NULL DEFAULT 1   -- the mail was from the reporter's own domain
);
-- Failure reports that wait to be sent (flow/reporting_failure.c).
CREATE TABLE failure_waiting (
	id INTEGER PRIMARY KEY,
	data BLOB NOT NULL                  -- packed evidence_record
);
CREATE UNIQUE INDEX report_name ON report (domain, kind, org, name, begin_us);
CREATE INDEX report_end ON report (end_us);
CREATE TABLE report_row (
	report_id INTEGER NOT NULL,
	number INTEGER NOT NULL,
	data BLOB NOT NULL,                 -- packed report_record, report_tls_policy or report_arf
	PRIMARY KEY (report_id, number)
) WITHOUT ROWID;
-- Every address that was ever reported to send in the name of a domain.
CREATE TABLE report_source (
	domain TEXT NOT NULL,
	source TEXT NOT NULL,               -- IP address
	first_us INTEGER NOT NULL,
	last_us INTEGER NOT NULL,
	host TEXT,                          -- its PTR name; '' when it has none, NULL: not looked up yet
	PRIMARY KEY (domain, source)
) WITHOUT ROWID;
CREATE INDEX report_source_unnamed ON report_source (last_us) WHERE host IS NULL;

-- What we are going to report to others (report/outbox.h), until it is sent: a day (UTC, since 1970) and a policy domain.
CREATE TABLE feedback (
	day INTEGER NOT NULL,
	domain TEXT NOT NULL,
	policy BLOB NOT NULL,               -- packed evidence_dmarc, the last seen
	kinds INTEGER NOT NULL,             -- rows below
	lost INTEGER NOT NULL,              -- messages without a row, beyond the limit of rows
	due_us INTEGER NOT NULL,            -- when it is tried (again), once the day is over
	PRIMARY KEY (day, domain)
) WITHOUT ROWID;
CREATE TABLE feedback_row (
	day INTEGER NOT NULL,
	domain TEXT NOT NULL,
	key BLOB NOT NULL,                  -- packed feedback_key: address, results
	count INTEGER NOT NULL,
	PRIMARY KEY (day, domain, key)
) WITHOUT ROWID;
