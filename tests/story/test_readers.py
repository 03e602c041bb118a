# SPDX-License-Identifier: Apache-2.0
"""The programs and libraries with which people read: each over TLS, as its manual says, both ways where it goes both ways."""
import email, email.message, hashlib, imaplib, importlib.util, json, mailbox, os, re, shutil
import pytest
from around import *
from clients import at_terminal, certificate, home_of, mbsync_rc, run
from hato import running

ANN, BOB = 'ann@example.test', 'bob@example.test'
NPM = f'{TOP}/tests/lib/npm'


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f'{program} is not installed (tools/install-deps --test)')


@pytest.fixture
def server(hosts, tmp_path):
    return hosts(accounts=[ANN, BOB], main=certificate(tmp_path))


@pytest.fixture
def home(tmp_path):
    return home_of(tmp_path, SSL_CERT_FILE=f'{tmp_path}/localhost.crt')


def fill(server, count, user=ANN, folder='INBOX'):
    m = server.imap(user)
    for n in range(1, count + 1):
        m.append(folder, None, None, message(f'Sender {n} <s{n}@else.test>', user, f'letter {n:02d}', f'Body of letter {n}.\r\n').encode())
    m.logout()


def state(server, user=ANN, folder='INBOX'):
    """{subject: flags} of a mailbox, without \\Recent."""
    m = server.imap(user, select=f'"{folder}"')
    _, data = m.fetch('1:*', '(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])')
    m.logout()
    return {d[1].decode().split(':', 1)[1].strip(): set(re.search(r'FLAGS \((.*?)\)', d[0].decode()).group(1).split()) - {'\\Recent'}
            for d in data if isinstance(d, tuple)}


# mbsync, ten thousand messages

def big_maildir(path, count):
    for sub in ('cur', 'new', 'tmp'):
        os.makedirs(f'{path}/{sub}')
    for n in range(count):
        with open(f'{path}/cur/{1700000000 + n}.M{n}.story:2,{"S" if n % 3 else ""}{"F" if n % 50 == 0 else ""}'.replace('SF', 'FS'), 'wb') as f:
            f.write(message(f'Sender {n} <s{n % 97}@else.test>', ANN, f'many {n}', f'Body {n}.\n' * (1 + n % 30), X_Number=str(n)).replace(
                '\r\n', '\n').encode())


def snapshot(folder):
    return {os.path.join(p, f): os.stat(os.path.join(p, f)).st_mtime_ns for p, _, files in os.walk(folder) for f in files
            if p.endswith(('/cur', '/new'))}


def test_mbsync_ten_thousand(hosts, home, tmp_path):
    """Two ways, with changes on both sides; what has nothing to do does nothing, on either side."""
    server = hosts(accounts=[ANN], main=certificate(tmp_path))
    big_maildir(tmp_path / 'old', 10000)
    server.hato('import', 'maildir', str(tmp_path / 'old'), '--account', ANN, seconds=120)
    local = tmp_path / 'mail'
    local.mkdir()
    mbsync_rc(tmp_path, server, ANN, start='FSync no')
    sync = lambda: run(['mbsync', '-V', '-c', str(tmp_path / 'rc'), '-a'], home, seconds=240)
    where = lambda: server.imap(ANN).status('INBOX', '(MESSAGES UNSEEN UIDNEXT HIGHESTMODSEQ)')[1][0]
    sync()
    assert len(os.listdir(local / 'INBOX' / 'cur')) + len(os.listdir(local / 'INBOX' / 'new')) == 10000
    before, far = snapshot(local), where()
    assert len(before) == 10000 and b'MESSAGES 10000' in far
    sync()
    assert snapshot(local) == before and where() == far, (far, where())
    files = sorted(os.listdir(local / 'INBOX' / 'cur'))
    for f in sorted(os.listdir(local / 'INBOX' / 'new'))[:100]:  # mbsync keeps there what was not seen
        os.rename(local / 'INBOX' / 'new' / f, local / 'INBOX' / 'cur' / (f + ('S' if ':2,' in f else ':2,S')))
    for f in [f for f in files if 'S' in f.split(':2,')[1]][:50]:
        os.unlink(local / 'INBOX' / 'cur' / f)
    mailbox.Maildir(str(local / 'INBOX'), create=False).add(message(ANN, BOB, 'from this side').encode())
    m = server.imap(ANN, select='INBOX')
    assert m.store('9000:9099', '+FLAGS', '(\\Answered)')[0] == 'OK'
    assert m.store('9500:9549', '+FLAGS', '(\\Deleted)')[0] == 'OK' and m.expunge()[0] == 'OK'
    count = lambda key: len(m.search(None, key)[1][0].split())
    unseen_before = count('UNSEEN')
    sync()
    m.noop()
    near = mailbox.Maildir(str(local / 'INBOX'), create=False)
    assert len(near) == count('ALL') == 10000 - 50 - 50 + 1
    assert sum('R' in k for k in os.listdir(local / 'INBOX' / 'cur')) == count('ANSWERED') == 100
    assert unseen_before - count('UNSEEN') == 100 - 1  # the new one is unseen
    before, far = snapshot(local), where()
    sync()
    assert snapshot(local) == before and where() == far


# offlineimap3

@needs('offlineimap')
def test_offlineimap(server, home, tmp_path):
    fill(server, 20)
    local = tmp_path / 'mail'
    (tmp_path / 'rc').write_text(f'''[general]
accounts = hato
metadata = {tmp_path}/meta
[Account hato]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {local}
[Repository far]
type = IMAP
remotehost = localhost
remoteport = {server.ports['imaps']}
ssl = yes
sslcacertfile = {tmp_path}/localhost.crt
remoteuser = {ANN}
remotepass = secret
''')
    sync = lambda: run(['offlineimap', '-c', str(tmp_path / 'rc'), '-o', '-u', 'basic'], home, seconds=120)
    sync()
    inbox = lambda: mailbox.Maildir(str(local / 'INBOX'), create=False)
    assert sorted(m['Subject'] for m in inbox()) == [f'letter {n:02d}' for n in range(1, 21)]
    assert (local / 'Drafts').is_dir()
    box = inbox()
    for key, m in list(box.items()):
        if m['Subject'] in ('letter 01', 'letter 02'):
            m.add_flag('SF')
            m.set_subdir('cur')
            box[key] = m
        elif m['Subject'] == 'letter 03':
            box.remove(key)
    box.add(message(ANN, BOB, 'from this side').encode())
    mailbox.Maildir(str(local / 'Project'), create=True).add(message(ANN, BOB, 'in project').encode())
    m = server.imap(ANN, select='INBOX')
    m.store('10', '+FLAGS', '(\\Answered)'), m.store('20', '+FLAGS', '(\\Deleted)'), m.expunge(), m.logout()
    sync()
    far = state(server)
    assert set(far) == {m['Subject'] for m in inbox()} == {f'letter {n:02d}' for n in range(1, 20) if n != 3} | {'from this side'}
    assert far['letter 01'] == far['letter 02'] == {'\\Seen', '\\Flagged'}
    assert [m.get_flags() for m in inbox() if m['Subject'] == 'letter 10'] == ['R']
    assert server.subjects(ANN, 'Project') == ['in project']
    before = snapshot(local)
    shown = sync()
    assert snapshot(local) == before and state(server) == far, shown


# on a terminal

@needs('aerc')
def test_aerc(server, home, tmp_path):
    fill(server, 3)
    conf = tmp_path / '.config' / 'aerc'
    conf.mkdir(parents=True)
    (conf / 'accounts.conf').write_text(f'''[hato]
source = imaps://ann%40example.test:secret@localhost:{server.ports['imaps']}
outgoing = smtps://ann%40example.test:secret@localhost:{server.ports['smtps']}
from = Ann <{ANN}>
default = INBOX
copy-to = Sent
''')
    (conf / 'accounts.conf').chmod(0o600)
    (conf / 'aerc.conf').write_text(f'[filters]\ntext/plain=tee {tmp_path}/shown\n[viewer]\npager=less -R\n')
    at_terminal(['aerc'], {**home, 'XDG_CONFIG_HOME': str(tmp_path / '.config')}, [
        ('letter 03', ':select -1\n'), ('letter 01', ':view\n'), ('Date:', ':close\n'),
        ('', ':move Archive\n'), ('', ':cf Archive\n'), ('letter 01', ':quit -f\n')], seconds=20)
    assert state(server, folder='Archive')['letter 01'] >= {'\\Seen'} and 'Body of letter 1' in (tmp_path / 'shown').read_text()
    assert set(state(server)) == {'letter 02', 'letter 03'}


@needs('alpine')
def test_alpine(server, home, tmp_path):
    fill(server, 3)
    at = f'localhost:{server.ports["imaps"]}/ssl/novalidate-cert/user={ANN}'
    (tmp_path / 'rc').write_text(f'''personal-name=Ann
user-domain=example.test
inbox-path={{{at}}}INBOX
folder-collections=hato {{{at}}}[]
smtp-server=localhost:{server.ports['smtps']}/ssl/novalidate-cert/user={ANN}
feature-list=disable-password-caching,disable-password-file-saving,quit-without-confirm,enable-aggregate-command-set,expunge-without-confirm,expunge-without-confirm-everywhere,save-aggregates-copy-sequence
last-version-used=99.99
''')
    (tmp_path / 'mail').mkdir()
    at_terminal(['alpine', '-p', str(tmp_path / 'rc'), '-i'], home, [
        ('(?i)password', 'secret\r'), ('letter 03', 'j1\r'), ('', '\r'), ('Body of letter 1', 'sArchive\r'), ('(?i)saved|copied|\\[', 'q')], seconds=20)
    assert 'letter 01' in state(server, folder='Archive')


# libraries

@pytest.mark.skipif(not importlib.util.find_spec('imapclient'), reason='python3-imapclient is not installed (Debian 12 has none): data/imap/clients/imapclient.txt says what it says')
def test_imapclient(server):
    from imapclient import IMAPClient
    fill(server, 6)
    c = IMAPClient('localhost', server.ports['imaps'], ssl=True, ssl_context=NO_NAME, timeout=30 * SLOW)
    c.login(ANN, 'secret')
    assert {b'IMAP4REV1', b'IDLE', b'UIDPLUS'} <= {w.upper() for w in c.capabilities()}
    assert c.namespace().personal[0][1] == '/'
    assert c.id_({'name': 'story'})
    assert b'\\Sent' in dict((n, f) for f, _, n in c.list_folders())['Sent']
    c.create_folder('Été/日本語'), c.subscribe_folder('Été/日本語')
    assert 'Été/日本語' in [n for _, _, n in c.list_sub_folders()] and c.folder_exists('Été/日本語')
    c.enable('CONDSTORE')
    told = c.select_folder('INBOX')
    assert told[b'EXISTS'] == 6 and told[b'UIDNEXT'] == 7 and b'\\*' in told[b'PERMANENTFLAGS']
    assert c.search(['SUBJECT', 'letter 03']) == [3] and c.search(['NOT', ['FROM', 's1@else.test', 'SEEN']]) == [1, 2, 3, 4, 5, 6]
    assert c.search(['TEXT', 'grüße'], 'UTF-8') == []
    assert c.sort(['REVERSE SUBJECT']) == [6, 5, 4, 3, 2, 1] and c.sort(['ARRIVAL'], 'UNSEEN') == [1, 2, 3, 4, 5, 6]
    assert c.thread('REFERENCES') == tuple((n,) for n in range(1, 7))
    got = c.fetch([2, 3], ['ENVELOPE', 'BODYSTRUCTURE', 'FLAGS', 'RFC822.SIZE', 'INTERNALDATE', 'BODY.PEEK[TEXT]', 'MODSEQ'])
    assert got[2][b'ENVELOPE'].subject == b'letter 02' and got[3][b'ENVELOPE'].from_[0].mailbox == b's3'
    assert got[2][b'BODY[TEXT]'] == b'Body of letter 2.\r\n' and got[2][b'BODYSTRUCTURE'][:2] == (b'text', b'plain')
    modseq = got[2][b'MODSEQ'][0]
    assert b'\\Flagged' in c.add_flags([2], ['\\Flagged', '$Label'])[2]
    assert 2 in c.fetch('1:*', ['FLAGS'], [f'CHANGEDSINCE {modseq}']) and 1 not in c.fetch('1:*', ['FLAGS'], [f'CHANGEDSINCE {modseq}'])
    assert c.get_flags([2])[2] == (b'\\Flagged', b'\\Recent', b'$Label') and c.remove_flags([2], ['$Label']) and c.set_flags([2], [])
    c.copy([1], 'Archive'), c.move([2], 'Été/日本語')
    assert c.folder_status('Été/日本語', ['MESSAGES', 'UIDNEXT', 'UNSEEN']) == {b'MESSAGES': 1, b'UIDNEXT': 2, b'UNSEEN': 1}
    c.delete_messages([3]), c.expunge([3])
    assert c.search() == [1, 4, 5, 6]
    assert b'APPENDUID' in c.append('Drafts', b'Subject: x\r\n\r\ny\r\n', ['\\Draft'])
    assert b'APPENDUID' in c.multiappend('Drafts', [b'Subject: 1\r\n\r\n1\r\n', b'Subject: 2\r\n\r\n2\r\n'])[1][0]
    c.idle()
    server.send(BOB, ANN, message(BOB, ANN, 'while idling'))
    assert wait_until(lambda: [r for r in c.idle_check(timeout=1) if r[1] == b'EXISTS'], 20) == [(5, b'EXISTS')]
    c.idle_done()
    assert c.get_quota_root('INBOX') is not None
    c.rename_folder('Été', 'Hiver'), c.delete_folder('Hiver/日本語')
    c.unselect_folder()
    c.logout()


def node_modules():
    """Where tools/install-deps put them (the same rule is there)."""
    with open(f'{NPM}/package-lock.json', 'rb') as f:
        key = hashlib.sha256(f.read()).hexdigest()[:12]
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return f'{cache}/hato-tests/npm-{key}/node_modules'


@needs('node')
@pytest.mark.skipif(not os.path.isdir(node_modules() + '/imapflow'), reason='imapflow and nodemailer are not in the cache: no npm registry when tools/install-deps ran')
def test_imapflow_and_nodemailer(server, home, tmp_path):
    env = {**home, 'NODE_PATH': node_modules(), 'NODE_EXTRA_CA_CERTS': f'{tmp_path}/localhost.crt'}
    p = server.ports
    seen = json.loads(run(['node', f'{NPM}/readmail.js', str(p['imaps']), str(p['submission']), str(p['smtps']), ANN, BOB], env))
    assert seen['sent'] == [[ANN], [ANN]] and seen['exists'] == 2
    assert ['INBOX', '\\Inbox', 2] in seen['folders'] and ['Sent', '\\Sent', 0] in seen['folders']
    assert [m['subject'] for m in seen['list']] == ['nodemailer — grüße', 'nodemailer two'] and seen['list'][0]['from'] == 'Böb'
    assert seen['list'][0]['type'] == 'multipart/mixed' and seen['list'][0]['id']
    assert seen['attachment'] == ['データ.bin', 5000] and seen['text'].splitlines()[:3] == ['plain ü', '.', '..']
    assert seen['found'] == [1] and seen['body'] == [1, 2] and seen['flags'] == ['$Label1', '\\Recent', '\\Seen']
    assert seen['appended'] == 1 and seen['copied'] == [[1, 1]] and seen['moved'] == [[1, 1]] and seen['deleted']
    assert seen['status']['messages'] == 1 and seen['status']['unseen'] == 0
    assert any(e[0] == 'exists' and e[2] == 1 for e in seen['events']), seen['events']
