# SPDX-License-Identifier: Apache-2.0
"""doveadm: Debian's on a Dovecot and ours on the same mail, line by line where the two can be the same."""
import imaplib, json, os, poplib, re, shutil, subprocess, tempfile
import pytest
from around import *
import dovecot as peer
from hato import running

ANN, BEN = 'ann@example.test', 'ben@example.test'
CONF = peer.CONF.replace('mail_plugins =', 'mail_plugins = quota acl').replace(
    '  driver = static\n  args = uid=mail gid=mail home={folder}/home/%u',
    '  driver = passwd-file\n  args = {folder}/users') + '''
plugin {{
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:storage=10M
  acl = vfile
}}
'''


def letter(i):
    return (f'From: else@other.test\r\nTo: {ANN}\r\nSubject: letter {i}\r\nDate: Fri, 5 Mar 2021 10:11:12 +0100\r\n'
            f'Message-ID: <{i}@other.test>\r\n\r\nBody {i}\r\nmore\r\n').encode()


def fill(m):
    for i in range(1, 6):
        m.append('INBOX', '(\\Seen $Work)' if i % 2 else None, f'"0{i}-Mar-2021 10:11:12 +0000"', letter(i))
    for name in ('Lists', 'Lists/hato', '&U9dP4Q-'):
        m.create(f'"{name}"')
    for name in ('Sent', 'Drafts', 'Junk', 'Trash', 'Archive'):
        m.create(name)
    m.subscribe('"Lists/hato"')
    m.append('"Lists/hato"', None, '"05-Mar-2021 10:11:12 +0000"', letter(9) + b'x' * 70000)
    m.select('INBOX')
    m.store('2', '+FLAGS', '\\Flagged')
    m.logout()


class Ours:
    def __init__(self, server):
        self.server = server

    def __call__(self, *words, form=None, input=None):
        command = [TOP_BUILD + '/doveadm', *(('-f', form) if form else ()), '-c', self.server.folder, *words]
        return subprocess.run(command, capture_output=True, text=True, input=input, timeout=60 * SLOW, env=self.server.env,
                              stdin=None if input is not None else subprocess.DEVNULL)


class Theirs:
    def __init__(self, dovecot):
        self.dovecot = dovecot

    def __call__(self, *words, form=None):
        command = ['doveadm', *(('-f', form) if form else ()), '-c', self.dovecot.conf, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


TOP_BUILD = os.path.dirname(HATO)


@pytest.fixture(scope='module')
def theirs():
    before, peer.CONF = peer.CONF, CONF
    folder = tempfile.mkdtemp(prefix='doveadm')  # not pytest's: each run of it locks Dovecot's user out
    d = peer.Dovecot(folder)
    peer.CONF = before
    with open(d.folder + '/users', 'w') as f:
        for user in (ANN, BEN):
            f.write(f'{user}:{{PLAIN}}secret:8:8::{d.folder}/home/{user}::\n')
    with d:
        fill(d.imap(ANN))
        d.imap(BEN).logout()
        yield Theirs(d)
    shutil.rmtree(folder)


@pytest.fixture(scope='module')
def ours(tmp_path_factory):
    with running(tmp_path_factory.mktemp('hato'), ANN, BEN) as server:
        server.hato('account', 'quota', ANN, '10M')
        fill(server.imap(ANN))
        yield Ours(server)


GUID = re.compile(r'\b[0-9a-f]{32}\b')


def shape(text):
    """What is theirs or ours alone becomes the same; the order of mailboxes is nobody's promise."""
    return sorted(GUID.sub('GUID', text).splitlines())


SAME = [  # words, formatter
    (['quota', 'get', '-u', ANN], None), (['quota', 'get', '-u', ANN], 'tab'), (['quota', 'get', '-u', ANN], 'json'),
    (['quota', 'get', '-u', ANN], 'flow'), (['quota', 'get', '-u', ANN], 'pager'), (['quota', 'recalc', '-u', ANN], None),
    (['mailbox', 'list', '-u', ANN], None), (['mailbox', 'list', '-u', ANN], 'tab'), (['mailbox', 'list', '-7', '-u', ANN], None),
    (['mailbox', 'list', '-u', ANN, 'L*'], None), (['mailbox', 'list', '-u', ANN, 'Lists/h?to', 'INBOX'], None),
    (['mailbox', 'mutf7', '受信', 'INBOX'], None), (['mailbox', 'mutf7', '-7', '&U9dP4Q-'], None),
    (['mailbox', 'status', '-u', ANN, 'messages unseen uidnext', '*'], None),
    (['mailbox', 'status', '-u', ANN, 'unseen messages', 'INBOX'], None),
    (['mailbox', 'status', '-t', '-u', ANN, 'messages vsize', '*'], None),
    (['mailbox', 'status', '-u', ANN, 'messages vsize guid', 'INBOX'], 'tab'),
    (['mailbox', 'status', '-u', ANN, 'messages unseen', 'INBOX'], 'pager'),
    (['mailbox', 'status', '-A', 'messages', 'INBOX'], None),
    (['mailbox', 'status', '-u', ANN, 'bogus', 'INBOX'], None),
    (['search', '-u', ANN, 'ALL'], None), (['search', '-u', ANN, 'mailbox', 'INBOX', 'seen'], None),
    (['search', '-u', ANN, 'mailbox', 'INBOX', '(', 'uid', '1', 'OR', 'subject', 'letter 2', ')'], None),
    (['search', '-u', ANN, 'mailbox', 'INBOX', 'keyword', '$Work', 'NOT', 'uid', '1'], None),
    (['search', '-u', ANN, 'mailbox', 'INBOX', 'before', '2021-03-03'], None),
    (['search', '-u', ANN, 'mailbox', 'INBOX', 'since', '3-Mar-2021'], None),
    (['search', '-u', ANN, 'mailbox', 'INBOX', 'since', '3d'], None),
    (['search', '-u', ANN, 'mailbox', 'INBOX', 'before', '3d'], None),
    (['search', '-u', ANN, 'mailbox', 'INBOX', 'savedsince', '1h'], None),
    (['search', '-u', ANN, 'mailbox', 'INBOX', 'savedbefore', '1h'], None),
    (['search', '-u', ANN, 'mailbox', 'INBOX', 'since', '1614852672'], None),
    (['search', '-u', ANN, 'larger', '50k'], None), (['search', '-u', ANN, 'mailbox', 'L*', 'ALL'], None),
    (['search', '-u', ANN, 'header', 'Message-ID', '<3@other.test>'], None), (['search', '-u', ANN, 'body', 'Body 4'], None),
    (['search', '-u', ANN, 'mailbox', 'INBOX', 'OR', 'mailbox', 'Lists/hato'], None),
    (['search', '-A', 'mailbox', 'INBOX', 'uid', '1'], None), (['search', '-u', '*@example.test', 'mailbox', 'INBOX', 'uid', '1'], None),
    (['search', '-u', ANN, 'mailbox', 'Nope', 'ALL'], None), (['search', '-u', ANN, 'bogus'], None),
    (['search', '-u', 'nobody@example.test', 'ALL'], None), (['search', '-u', ANN, 'mailbox', 'INBOX', 'uid', '1'], 'tab'),
    (['fetch', '-u', ANN, 'user mailbox mailbox-guid seq uid flags size.virtual date.received date.sent date.received.unixtime '
                          'hdr.subject hdr.nope imap.envelope imap.body imap.bodystructure body.snippet', 'mailbox', 'INBOX', 'ALL'], None),
    (['fetch', '-u', ANN, 'hdr', 'mailbox', 'INBOX', 'uid', '1'], None), (['fetch', '-u', ANN, 'text', 'mailbox', 'INBOX', 'uid', '1'], None),
    (['fetch', '-u', ANN, 'body', 'mailbox', 'INBOX', 'uid', '1'], None),
    (['fetch', '-u', ANN, 'body.1 binary.1', 'mailbox', 'INBOX', 'uid', '1'], None),
    (['fetch', '-u', ANN, 'uid flags hdr', 'mailbox', 'INBOX', 'uid', '1:2'], 'json'),
    (['fetch', '-u', ANN, 'uid hdr.subject', 'mailbox', 'INBOX', 'uid', '1:3'], 'table'),
    (['fetch', '-u', ANN, 'uid hdr.subject', 'mailbox', 'INBOX', 'uid', '1:3'], 'tab'),
    (['fetch', '-u', ANN, 'uid hdr.subject', 'mailbox', 'INBOX', 'uid', '1:3'], 'flow'),
    (['fetch', '-A', 'uid', 'mailbox', 'INBOX'], None),
    (['acl', 'rights', '-u', ANN, 'INBOX'], None),
    (['acl', 'set', '-u', ANN, 'INBOX', 'anyone', 'bogus'], None), (['acl', 'set', '-u', ANN, 'INBOX', 'bogus', 'read'], None),
    (['acl', 'set', '-u', ANN, 'INBOX', f'user={BEN}', 'lookup', 'read'], None), (['acl', 'get', '-u', ANN, 'INBOX'], None),
    (['acl', 'add', '-u', ANN, 'INBOX', f'user={BEN}', 'write'], None), (['acl', 'get', '-u', ANN, 'INBOX'], None),
    (['acl', 'remove', '-u', ANN, 'INBOX', f'user={BEN}', 'read'], None), (['acl', 'get', '-u', ANN, 'INBOX'], 'tab'),
    (['acl', 'delete', '-u', ANN, 'INBOX', f'user={BEN}'], None), (['acl', 'get', '-u', ANN, 'INBOX'], None),
    (['expunge', '-u', ANN, 'ALL'], None), (['expunge', '-u', ANN, 'uid', '1'], None),
    (['flags', 'add', '-u', ANN, '\\Bogus', 'mailbox', 'INBOX', 'uid', '1'], None),
    (['copy', '-u', ANN, 'Nope', 'mailbox', 'INBOX', 'uid', '1'], None),
    (['auth', 'test', ANN, 'secret'], None), (['auth', 'test', ANN, 'bad'], None),
    (['user', '*'], None), (['pw', '-p', 'x', '-s', 'PLAIN'], None), (['pw', '-p', 'x', '-t', '{PLAIN}x'], None),
    (['pw', '-p', 'x', '-s', 'SHA256'], None), (['pw', '-p', 'x', '-s', 'NOPE'], None), (['pw', '-p', 'y', '-t', '{PLAIN}x'], None),
    (['kick', 'nobody@example.test'], None), (['index', '-u', ANN, 'INBOX'], None), (['force-resync', '-u', ANN, '*'], None),
    (['purge', '-u', ANN], None), (['stats', 'dump'], None), (['stats', 'dump'], 'tab'),
    # what changes something, and is seen afterwards
    (['mailbox', 'create', '-u', ANN, 'A/B', 'C'], None), (['mailbox', 'create', '-u', ANN, 'C'], None),
    (['mailbox', 'create', '-s', '-u', ANN, 'D'], None),
    (['mailbox', 'delete', '-u', ANN, 'Nope'], None), (['mailbox', 'rename', '-u', ANN, 'A/B', 'A/E'], None),
    (['mailbox', 'rename', '-u', ANN, 'Nope', 'X'], None), (['mailbox', 'subscribe', '-u', ANN, 'C'], None),
    (['mailbox', 'unsubscribe', '-u', ANN, 'D'], None),
    (['mailbox', 'list', '-u', ANN, 'A*', 'C', 'D'], None),
    (['flags', 'add', '-u', ANN, '\\Flagged Foo', 'mailbox', 'INBOX', 'uid', '1'], None),
    (['flags', 'remove', '-u', ANN, '\\Seen', 'mailbox', 'INBOX', 'uid', '1'], None),
    (['flags', 'replace', '-u', ANN, '\\Answered', 'mailbox', 'INBOX', 'uid', '2'], None),
    (['copy', '-u', ANN, 'C', 'mailbox', 'INBOX', 'uid', '1:2'], None), (['move', '-u', ANN, 'D', 'mailbox', 'INBOX', 'uid', '3'], None),
    (['expunge', '-u', ANN, 'mailbox', 'C', 'uid', '1'], None), (['expunge', '-d', '-u', ANN, 'mailbox', 'D', 'ALL'], None),
    (['mailbox', 'status', '-u', ANN, 'messages unseen', 'INBOX', 'A/%', 'L*', 'C', 'D'], None),
    (['fetch', '-u', ANN, 'mailbox uid flags', 'mailbox', 'INBOX', 'OR', 'mailbox', 'C'], 'tab'),
]


def flags_sorted(text):
    """\\Recent is whoever comes first; the order of keywords is free."""
    text = re.sub(r'\\Recent ?', '', text)
    return re.sub(r'[\\$\w]+( [\\$\w]+)+', lambda m: ' '.join(sorted(m[0].split())), text)


def test_the_same(theirs, ours):
    wrong = []
    for words, form in SAME:
        a, b = theirs(*words, form=form), ours(*words, form=form)
        x, y = (sorted(flags_sorted(l).rstrip() for l in shape(r.stdout)) for r in (a, b))
        if x != y or a.returncode != b.returncode:
            wrong.append(f'doveadm {" ".join(words)} -f {form}\ntheirs {a.returncode}: {a.stdout}{a.stderr}\nours {b.returncode}: {b.stdout}{b.stderr}')
    assert not wrong, f'{len(wrong)} of {len(SAME)} differ\n' + '\n\n'.join(wrong)


def test_what_is_ambiguous_is_refused(ours):
    """Dovecot ORs all of it together; its manual wants brackets."""
    done = ours('expunge', '-u', ANN, 'mailbox', 'INBOX', 'uid', '1', 'OR', 'uid', '2')
    assert done.returncode == 75 and 'parenthesis' in done.stderr


def test_who_and_kick(ours):
    s, m = ours.server, ours.server.imap(BEN)
    p = s.smtp('submission', BEN)
    seen = json.loads(s.hato('who', '--json').stdout)
    assert sorted((w['account'], w['protocol'], w['remote']) for w in seen) == \
        [(BEN, 'imap', '127.0.0.1'), (BEN, 'smtp', '127.0.0.1')], seen
    assert BEN in s.hato('who').stdout and s.hato('who', 'nobody*').stdout == ''
    assert len(json.loads(s.hato('who', '--from', '127.0.0.0/8', '--json').stdout)) == 2
    assert json.loads(s.hato('who', '--from', '192.0.2.1', '--json').stdout) == []
    out = ours('who').stdout.splitlines()
    assert re.match(r'username +# proto +\(pids\) +\(ips\)', out[0])
    assert sorted(re.match(r'(\S+) +1 (imap|smtp) +\(\d+\) +\(127\.0\.0\.1\) *$', line).groups() for line in out[1:]) == [(BEN, 'imap'), (BEN, 'smtp')]
    assert ours('who', '-1', BEN).stdout.count(BEN) == 2
    done = ours('kick', BEN)
    assert done.stdout == f'kicked connections from the following users:\n{BEN} \n' and done.returncode == 0
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        for _ in range(100):
            m.noop()
    assert p.docmd('MAIL FROM:<ben@example.test>')[0] == 421
    wait_until(lambda: json.loads(s.hato('who', '--json').stdout) == [], 10, 'everybody to be gone')
    p = poplib.POP3_SSL(s.address, s.ports['pop3s'], context=NO_NAME, timeout=30 * SLOW)
    p.user(BEN), p.pass_('secret')
    assert [w['protocol'] for w in json.loads(s.hato('who', '--json').stdout)] == ['pop3']
    assert s.hato('kick', BEN).returncode == 0
    with pytest.raises((poplib.error_proto, OSError)):
        for _ in range(100):
            p.noop()
    wait_until(lambda: json.loads(s.hato('who', '--json').stdout) == [], 10, 'the POP3 session to be gone')
    assert s.hato('kick', BEN, check=False).returncode == 67
    assert s.hato('kick', check=False).returncode == 64


def test_accounts_and_the_server(ours):
    s = ours.server
    assert ours('user', ANN).stdout.splitlines()[0] == 'field\tvalue'
    assert ours('user', '-f', 'home', ANN).stdout.strip() == s.data
    assert ours('user', 'nobody@example.test').returncode == 67
    hash_ = ours('pw', '-p', 'x', '-s', 'SSHA512').stdout.strip()
    assert ours('pw', '-p', 'x', '-t', hash_).stdout == hash_ + ' (verified)\n'
    s.hato('account', 'password', BEN, '--hash', ours('pw', '-p', 'new secret').stdout.strip())
    s.imap(BEN, 'new secret').logout()
    assert s.hato('account', 'test', BEN, '--password-stdin', input='wrong\n', check=False).returncode == 77
    assert ours('reload').returncode == 0
    assert 'only maildir:DIR' in ours('backup', '-u', ANN, 'remote:elsewhere').stderr
    assert 'one way only' in ours('sync', '-u', ANN, 'maildir:/nowhere').stderr
    assert ours('nosuch').returncode == 64 and ours('mailbox').returncode == 64 and ours('search', 'ALL').returncode == 64
    assert 'data_directory' in ours('config', '-n').stdout
    assert re.fullmatch(rf'path +name +last used +running *\n{re.escape(s.data)} +hato +\d{{4}}-\S+ \S+ +yes *\n', ours('instance', 'list').stdout)
    assert ours('stats', 'add', 'x', 'event=y').returncode == 69 and 'hato status' in ours('stats', 'remove', 'x').stderr
    assert ours('log', 'find').stdout.startswith('Debug: ')
    # in the name of somebody: for whoever has to account for it
    ours('search', '-u', ANN, 'ALL')
    assert re.search(r'Master session: user=<?ann@example.test>?, master_user=<?operator>?', s.log()), s.log()[-2000:]


def test_backup_and_import(ours, tmp_path):
    s, place = ours.server, tmp_path
    eve = s.account('eve@example.test')
    s.imap(eve).append('Sent', '(\\Seen)', None, letter(1))
    for command in (['backup'], ['sync', '-1']):
        done = ours(*command, '-u', 'e*', f'maildir:{place}/%d/%n')
        assert done.returncode == 0 and done.stdout == '', done
    assert len(os.listdir(f'{place}/example.test/eve/.Sent/cur')) == 1
    assert ours('backup', '-A', f'maildir:{place}/one').returncode == 64  # whose would it be?
    fay = s.account('fay@example.test')
    assert ours('import', '-u', fay, f'maildir:{place}/example.test/eve', '', 'ALL').returncode == 0
    assert 'Sent messages=1 unseen=0' in ours('mailbox', 'status', '-u', fay, 'messages unseen', 'Sent').stdout
    assert ours('import', '-u', fay, f'maildir:{place}/example.test/eve', 'Old', 'from x').returncode == 69
    for silent in (['force-resync', '-u', fay, '*'], ['quota', 'recalc', '-u', fay]):
        done = ours(*silent)
        assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_many(ours, theirs):
    """Sets that are longer than a command may be."""
    for run in (ours, theirs):
        run('mailbox', 'create', '-u', ANN, 'Many', 'Odd')
    m = ours.server.imap(ANN)
    for i in range(6):
        m.append('Many', None, None, letter(i))
    m.select('Many')
    for _ in range(10):
        m.copy('1:*', 'Many')
        m.noop()
    assert len(ours('search', '-u', ANN, 'mailbox', 'Many', 'ALL').stdout.splitlines()) == 6144
    m.store('1:*', '-FLAGS', '(\\Seen)')
    odd = ','.join(str(i) for i in range(1, 6144, 2))
    assert ours('flags', 'add', '-u', ANN, 'Odd', 'mailbox', 'Many', 'uid', odd).returncode == 0
    assert ours('move', '-u', ANN, 'Odd', 'mailbox', 'Many', 'keyword', 'Odd').returncode == 0
    assert 'Odd messages=3072' in ours('mailbox', 'status', '-u', ANN, 'messages', 'Odd').stdout
    assert ours('expunge', '-u', ANN, 'mailbox', 'Many', 'OR', 'mailbox', 'Odd').returncode == 0
    assert 'messages=0' in ours('mailbox', 'status', '-t', '-u', ANN, 'messages', 'Many', 'Odd').stdout


def test_without_a_server(ours, tmp_path):
    with running(tmp_path, ANN) as server:
        mine = Ours(server)
        server.stop()
        assert mine('user', '*').stdout == ANN + '\n'
        assert mine('quota', 'get', '-u', ANN).stdout.splitlines()[1].startswith('User quota STORAGE')
        assert mine('auth', 'test', ANN, 'secret').returncode == 0 and mine('auth', 'test', ANN, 'x').returncode == 77
        done = mine('search', '-u', ANN, 'ALL')
        assert done.returncode == 75 and 'hato start' in done.stderr
        server.start()
