# SPDX-License-Identifier: Apache-2.0
"""Thunderbird without a screen, driven from within by its Marionette port: it lists, reads, marks, moves, deletes and hears of news."""
import json, os, shutil, socket, subprocess
import pytest
from around import *
from clients import certificate, flags_of, home_of

pytestmark = pytest.mark.skipif(not shutil.which('thunderbird'), reason='thunderbird is not installed (tools/install-deps --test)')
ANN = 'ann@example.test'
BEGIN = '''const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const server = MailServices.accounts.getAccount("account1").incomingServer;
const folder = name => server.rootFolder.descendants.find(f => f.name.toLowerCase() == name.toLowerCase());
const all = name => folder(name) ? Array.from(folder(name).messages) : [];
const one = (name, subject) => all(name).find(m => m.mime2DecodedSubject == subject);
const listen = start => new Promise((good, bad) => start({ QueryInterface: ChromeUtils.generateQI(["nsIUrlListener", "nsIMsgCopyServiceListener"]),
  OnStartRunningUrl() {}, OnStopRunningUrl(u, status) { status ? bad(status) : good(true); },
  onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() {}, onStopCopy(status) { status ? bad(status) : good(true); } }));
'''


class Marionette:
    """Its protocol: packets of "LENGTH:JSON", [0, id, name, parameters] answered by [1, id, error, value]."""
    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port), 60 * SLOW)
        self.file, self.n = self.socket.makefile('rb'), 0
        self.packet()
        self.call('WebDriver:NewSession', capabilities={})
        self.call('Marionette:SetContext', value='chrome')
        self.call('WebDriver:SetTimeouts', script=int(60000 * SLOW))

    def packet(self):
        size = b''
        while (c := self.file.read(1)) != b':':
            assert c, 'Thunderbird hung up'
            size += c
        return json.loads(self.file.read(int(size)))

    def call(self, name, **parameters):
        self.n += 1
        data = json.dumps([0, self.n, name, parameters]).encode()
        self.socket.sendall(b'%d:%s' % (len(data), data))
        _, _, error, value = self.packet()
        assert not error, error
        return value

    def do(self, script, *args):
        """Runs the body of an async function, and returns what it returns."""
        value = self.call('WebDriver:ExecuteAsyncScript', args=list(args), sandbox='system', newSandbox=False,
                          script=f'const done = arguments[arguments.length - 1]; const args = arguments; (async () => {{{BEGIN}{script}}})()'
                          '.then(done, e => done(`error: ${e} ${e && e.stack}`));')['value']
        assert not (isinstance(value, str) and value.startswith('error: ')), value
        return value


@pytest.fixture
def server(hosts, tmp_path):
    return hosts(accounts=[ANN], main=certificate(tmp_path))


@pytest.fixture
def thunderbird(server, tmp_path):
    profile, port = tmp_path / 'profile', free_port()
    profile.mkdir()
    one, identity, smtp = 'mail.server.server1.', 'mail.identity.id1.', 'mail.smtpserver.smtp1.'
    prefs = {
        'marionette.port': port, 'mail.accountmanager.accounts': 'account1,account2', 'mail.accountmanager.defaultaccount': 'account1',
        'mail.account.account1.server': 'server1', 'mail.account.account1.identities': 'id1', 'mail.account.account2.server': 'server2',
        'mail.accountmanager.localfoldersserver': 'server2', 'mail.server.server2.type': 'none', 'mail.server.server2.hostname': 'Local Folders',
        'mail.server.server2.userName': 'nobody', 'mail.server.server2.name': 'Local Folders',
        one + 'type': 'imap', one + 'hostname': 'localhost', one + 'port': server.ports['imaps'], one + 'socketType': 3, one + 'authMethod': 3,
        one + 'userName': ANN, one + 'name': ANN, one + 'login_at_startup': False, one + 'check_new_mail': False,
        identity + 'useremail': ANN, identity + 'fullName': 'Ann', identity + 'valid': True, identity + 'smtpServer': 'smtp1',
        'mail.smtpservers': 'smtp1', 'mail.smtp.defaultserver': 'smtp1', smtp + 'hostname': 'localhost', smtp + 'port': server.ports['smtps'],
        smtp + 'try_ssl': 3, smtp + 'authMethod': 3, smtp + 'username': ANN,
        'mail.spotlight.firstRunDone': True, 'mail.winsearch.firstRunDone': True, 'mail.rights.version': 1,
        'mail.provider.suppress_dialog_on_startup': True, 'app.update.enabled': False, 'mailnews.start_page.enabled': False, 'network.proxy.type': 0,
        'datareporting.policy.dataSubmissionEnabled': False, 'mail.shell.checkDefaultClient': False, 'extensions.update.enabled': False,
        'services.settings.server': 'http://127.0.0.1:1/'}
    (profile / 'user.js').write_text(''.join(f'user_pref({json.dumps(k)}, {json.dumps(v)});\n' for k, v in prefs.items()))
    mark = subprocess.run(['openssl', 'x509', '-in', f'{tmp_path}/localhost.crt', '-noout', '-fingerprint', '-sha256'], capture_output=True,
                          text=True, check=True).stdout.strip().split('=')[1]
    (profile / 'cert_override.txt').write_text(f'localhost:{server.ports["imaps"]}:\tOID.2.16.840.1.101.3.4.2.1\t{mark}\t\n')
    with open(tmp_path / 'out', 'w') as out:
        p = subprocess.Popen(['thunderbird', '--headless', '--marionette', '--remote-allow-system-access', '--no-remote', '--profile', str(profile)],
                             env=home_of(tmp_path, MOZ_CRASHREPORTER_DISABLE='1', MOZ_LOG='sync,IMAP:4', MOZ_LOG_FILE=f'{tmp_path}/imap.log'), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        try:
            wait_port(port, seconds=60)
        except AssertionError:  # no matter of ours
            pytest.skip(f'Thunderbird does not start here: {(tmp_path / "out").read_text()[-500:]}')
        m = Marionette(port)
        m.do('''const info = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
info.init("imap://localhost", null, "imap://localhost", args[0], "secret", "", "");
await Services.logins.addLoginAsync(info); return true;''', ANN)
        yield m
    finally:
        kill(descendants([p.pid]))
        p.wait()


def test_thunderbird(server, thunderbird, tmp_path):
    m = server.imap(ANN)
    for n in range(1, 8):
        m.append('INBOX', None, None, message('x@else.test', ANN, f'letter {n}', f'Body of letter {n}.\n').encode())
    m.logout()
    t = thunderbird
    subjects = lambda name='INBOX': t.do('return all(args[0]).map(m => m.mime2DecodedSubject).sort()', name)
    # the folders with their uses, the list
    wait_until(lambda: 'Archive' in t.do('const names = server.rootFolder.descendants.map(f => f.name); if (!names.includes("Archive")) '
                                         'server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox).updateFolder(null); return names'),
               40, 'the folders', every=2)
    uses = t.do('const F = Ci.nsMsgFolderFlags; return [F.Inbox, F.SentMail, F.Drafts, F.Trash, F.Junk, F.Archive].map('
                'f => (server.rootFolder.getFolderWithFlags(f) || {}).name)')
    assert [(u or '').replace('Inbox', 'INBOX') for u in uses] == ['INBOX', 'Sent', 'Drafts', 'Trash', 'Junk', 'Archive']
    t.do('return listen(l => folder("INBOX").QueryInterface(Ci.nsIMsgImapMailFolder).updateFolderWithListener(null, l))')
    wait_until(lambda: len(subjects()) == 7, 30, lambda: f'seven messages, there are {subjects()}')
    # a body
    body = t.do('''const f = folder("INBOX"), uri = f.getUriForMsg(one("INBOX", "letter 2"));
const { NetUtil } = ChromeUtils.importESModule("resource://gre/modules/NetUtil.sys.mjs");
return new Promise((good, bad) => { const out = Cc["@mozilla.org/network/sync-stream-listener;1"].createInstance(Ci.nsISyncStreamListener);
MailServices.messageServiceFromURI(uri).streamMessage(uri, { QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]), text: "",
 onStartRequest() {}, onStopRequest(r, status) { status ? bad(status) : good(this.text); },
 onDataAvailable(r, stream, offset, count) { this.text += NetUtil.readInputStreamToString(stream, count); } }, null, null, false, "", false); });''')
    assert 'Body of letter 2.' in body
    # marks
    t.do('folder("INBOX").markMessagesRead([one("INBOX", "letter 2")], true); folder("INBOX").markMessagesFlagged([one("INBOX", "letter 3")], true);'
         'folder("INBOX").addKeywordsToMessages([one("INBOX", "letter 3")], "$label1")')

    def marked():
        flags = flags_of(server, ANN)
        return '\\Seen' in flags['letter 2'] and '\\Flagged' in flags['letter 3'] and '$label1' in {f.lower() for f in flags['letter 3']}

    wait_until(marked, 20, lambda: f'the marks: {flags_of(server, ANN)}')
    # a copy, a move, a deletion (to Trash), a new folder
    copy = 'return listen(l => MailServices.copy.copyMessages(folder("INBOX"), [one("INBOX", args[0])], folder(args[1]), args[2], l, null, false))'
    assert t.do(copy, 'letter 4', 'Archive', False) is True and t.do(copy, 'letter 5', 'Archive', True) is True
    assert sorted(server.subjects(ANN, 'Archive')) == ['letter 4', 'letter 5'] and 'letter 5' not in server.subjects(ANN)
    t.do('folder("INBOX").deleteMessages([one("INBOX", "letter 6")], null, false, true, null, true)')
    wait_until(lambda: server.subjects(ANN, 'Trash') == ['letter 6'], 20, 'letter 6 in the Trash')
    t.do('server.rootFolder.createSubfolder("Prüfung", null)')
    wait_until(lambda: '&APw-' in str(server.imap(ANN).list('""', '"Pr*"')[1]), 20, 'the new folder on the server')
    # it hears of what others do
    server.send('else@other.test', ANN, message('else@other.test', ANN, 'came later'))
    wait_until(lambda: 'came later' in subjects(), 30, lambda: f'the new message: {subjects()}')
    # (it takes no notice of an EXPUNGE among the answers to its own UID FETCH, by which it looks into the new message)
    def idles():
        with open(tmp_path / 'imap.log.moz_log', encoding='utf-8', errors='replace') as f:
            return [l for l in f if ':S-INBOX:SendData' in l or ':S-INBOX:CreateNewLine' in l][-1].endswith('+ idling\n')
    wait_until(idles, 30, 'Thunderbird to idle again')
    m = server.imap(ANN, select='INBOX')
    m.store('1', '+FLAGS', '(\\Deleted)'), m.expunge(), m.store('1', '+FLAGS', '(\\Answered)'), m.logout()
    wait_until(lambda: 'letter 1' not in subjects(), 30, lambda: f'letter 1 to vanish: {subjects()}')
    wait_until(lambda: t.do('return one("INBOX", "letter 2").isReplied === true || (one("INBOX", "letter 2").flags & 2) != 0'), 30, 'the answered mark')
    assert sorted(set(server.subjects(ANN))) == subjects()
    assert not [line for line in server.log().splitlines() if 'imap' in line and ('warning' in line or 'too many' in line.lower())]
