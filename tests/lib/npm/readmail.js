// SPDX-License-Identifier: Apache-2.0
// Sends with nodemailer, reads with imapflow as its manual says; prints one JSON object of what it saw. For story/test_readers.py.
const { ImapFlow } = require('imapflow');
const nodemailer = require('nodemailer');
const [imaps, submission, smtps, ann, bob] = process.argv.slice(2);

async function send(port, secure, subject) {
	const transport = nodemailer.createTransport({ host: 'localhost', port: Number(port), secure, requireTLS: !secure,
		auth: { user: bob, pass: 'secret' } });
	await transport.verify();
	const info = await transport.sendMail({ from: { name: 'Böb', address: bob }, to: ann, subject, text: 'plain ü\n.\n..\n', html: '<p>rich <b>ü</b></p>',
		attachments: [{ filename: 'データ.bin', content: Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 256)) }] });
	transport.close();
	return info.accepted;
}

async function collect(stream) {
	const chunks = [];
	for await (const chunk of stream)
		chunks.push(chunk);
	return Buffer.concat(chunks);
}

(async () => {
	const seen = {};
	seen.sent = [await send(submission, false, 'nodemailer — grüße'), await send(smtps, true, 'nodemailer two')];
	const client = new ImapFlow({ host: 'localhost', port: Number(imaps), secure: true, auth: { user: ann, pass: 'secret' }, logger: process.env.TRACE ? undefined : false,
		qresync: true });
	const events = [];
	client.on('exists', data => events.push(['exists', data.prevCount, data.count]));
	client.on('expunge', data => events.push(['expunge', data.uid || data.seq]));
	client.on('flags', data => events.push(['flags', data.seq, [...data.flags]]));
	await client.connect();
	seen.enabled = [...client.enabled];
	seen.folders = (await client.list({ statusQuery: { messages: true, unseen: true, highestModseq: true } })).map(
		m => [m.path, m.specialUse || '', m.status && m.status.messages]);
	await client.mailboxCreate(['Work', '日本語']);
	const lock = await client.getMailboxLock('INBOX');
	seen.exists = client.mailbox.exists;
	seen.list = [];
	for await (const m of client.fetch('1:*', { uid: true, flags: true, envelope: true, bodyStructure: true, size: true, internalDate: true }))
		seen.list.push({ uid: m.uid, subject: m.envelope.subject, from: m.envelope.from[0].name, type: m.bodyStructure.type, id: m.emailId || null });
	const uid = String(seen.list[0].uid);
	const { meta, content } = await client.download(uid, '2', { uid: true });
	seen.attachment = [meta.filename, (await collect(content)).length];
	const text = await client.download(uid, '1.1', { uid: true });
	seen.text = (await collect(text.content)).toString();
	seen.found = await client.search({ subject: 'grüße', seen: false }, { uid: true });
	seen.body = await client.search({ body: 'rich' }, { uid: true });
	await client.messageFlagsAdd(uid, ['\\Seen', '$Label1'], { uid: true });
	seen.flags = [...(await client.fetchOne(uid, { flags: true }, { uid: true })).flags].sort();
	seen.appended = (await client.append('Drafts', 'Subject: draft\r\n\r\ntext\r\n', ['\\Draft'], new Date('2020-02-03T04:05:06Z'))).uid;
	seen.copied = [...(await client.messageCopy(uid, 'Archive', { uid: true })).uidMap];
	seen.moved = [...(await client.messageMove(uid, 'Work/日本語', { uid: true })).uidMap];
	seen.deleted = await client.messageDelete('1:*', {});
	seen.status = await client.status('Work/日本語', { messages: true, uidNext: true, unseen: true });
	seen.quota = await client.getQuota('INBOX');
	await client.mailboxRename(['Work', '日本語'], 'Elsewhere');
	await client.mailboxDelete('Elsewhere');
	client.idle();
	await new Promise(done => setTimeout(done, 200));
	await send(submission, false, 'while idling');
	for (let i = 0; i < 100 && !events.some(e => e[0] === 'exists' && e[2] === 1); i++)
		await new Promise(done => setTimeout(done, 100));
	seen.events = events;
	lock.release();
	await client.logout();
	console.log(JSON.stringify(seen));
})().catch(error => {
	console.error(error, error.responseText || '');
	process.exit(1);
});
