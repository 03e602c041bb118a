# SPDX-License-Identifier: Apache-2.0
"""Searching is right whatever the index knows: nothing, half, all; after kill -9, without its file, with a broken one. And what is
expunged comes back, and hato verify finds what is wrong."""
import base64, contextlib, json, os, random, re, socket, sqlite3, unicodedata
import pytest
from around import *
from hato import running

# one for each story: they may run in any order, and on servers of their own
ANN, BOB, CAS, DAN = (f'{name}@example.test' for name in ('ann', 'bob', 'cas', 'dan'))
COUNT = 2000
LATIN = 'hello World invoice Rechnung Straße café naïve résumé meeting 2024-11 foo_bar the a1b2 Ünïcödé'.split()
CYRILLIC = 'Привет мир счёт встреча завтра'.split()
JAPANESE = '鳩 の 巣 日本語 会議 資料 を 送り ます 東京 タワー ラーメン 見積書 ご確認 ください アイウ'.split()
KOREAN = '안녕 하세요 회의 자료'.split()
CHARSETS = [('us-ascii', LATIN[:4]), ('iso-8859-1', LATIN), ('utf-8', LATIN + CYRILLIC), ('utf-8', JAPANESE + LATIN), ('koi8-r', CYRILLIC),
            ('iso-2022-jp', JAPANESE), ('shift_jis', JAPANESE), ('euc-jp', JAPANESE), ('euc-kr', KOREAN), ('utf-8', KOREAN + JAPANESE)]


def fold(text):
    """i;unicode-casemap (RFC 5051): each character titlecased (never to more than one), then decomposed."""
    return ''.join(unicodedata.normalize('NFKD', c.title() if len(c.title()) == 1 else c) for c in text)


def mail(n):
    """One message as bytes, and the text a person would read in it, folded: (body, subject, header)."""
    pick = random.Random(n)
    charset, words = CHARSETS[n % len(CHARSETS)]
    dense = words[0] in JAPANESE or words[0] == JAPANESE[0]
    glue = '' if dense else ' '
    subject = glue.join(pick.choices(words, k=3)) + f' nr{n:05d}x'
    lines = [glue.join(pick.choices(words, k=pick.randrange(1, 12))) for _ in range(pick.randrange(1, 12))]
    if n % 400 == 7:
        lines.append({'us-ascii': 'Zugzwang', 'utf-8': 'Quetzalcóatl 鳩小屋'}.get(charset, lines[0]))
    body = '\r\n'.join(lines) + '\r\n'
    raw = body.encode(charset, 'replace')
    coded, how = (base64.encodebytes(raw).replace(b'\n', b'\r\n'), 'base64') if n % 3 else (raw, '8bit')
    word = base64.b64encode(subject.encode(charset, 'replace')).decode()
    head = (f'From: Sender {n % 17} <s{n % 17}@else.test>\r\nTo: {ANN}\r\nSubject: =?{charset}?B?{word}?=\r\nMIME-Version: 1.0\r\n'
            f'Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {how}\r\n\r\n').encode()
    subject = subject.encode(charset, 'replace').decode(charset)
    said = re.sub(r'(?m)^Subject: .*?\r$', lambda _: f'Subject: {subject}\r', head.decode().rstrip()).replace('\r', '')
    return head + coded, (fold(raw.decode(charset)), fold(subject), fold(said))


class Truth:
    def __init__(self):
        self.texts = {}  # uid: (body, subject, header)

    def find(self, key, needle):
        needle = fold(needle)
        hit = {'BODY': lambda t: needle in t[0], 'SUBJECT': lambda t: needle in t[1], 'TEXT': lambda t: needle in t[0] or needle in t[2]}[key]
        return {u for u, t in self.texts.items() if hit(t)}


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp('index'), ANN, BOB, CAS, DAN) as instance:
        yield instance


def mailbox(server, user=ANN):
    m = server.imap(user, select='INBOX')
    m.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # imaplib sends the end of a literal by itself
    return m


def fill(server, truth, first, count, user=ANN):
    m = mailbox(server, user)
    for n in range(first, first + count):
        raw, text = mail(n)
        answer = m.append('INBOX', None, None, raw)
        uid = int(re.search(rb'APPENDUID \d+ (\d+)', answer[1][0]).group(1))
        truth.texts[uid] = text
    m.logout()


def ask(m, *words, needle):
    m.literal = needle.encode()
    return {int(u) for u in m.uid('SEARCH', 'CHARSET', 'UTF-8', *words)[1][0].split()}


def check(server, truth, rounds, seed):
    """Needles cut from the texts, and some that are nowhere."""
    pick = random.Random(seed)
    m = mailbox(server)
    for _ in range(rounds):
        key = pick.choice(['TEXT', 'BODY', 'SUBJECT'])
        text = truth.texts[pick.choice(list(truth.texts))][1 if key == 'SUBJECT' else 0]
        at, length = pick.randrange(len(text)), pick.randrange(1, 9)
        needle = text[at:at + length].strip('\r\n')
        if not needle or '\r' in needle or '\n' in needle:
            continue
        if pick.random() < 0.1:
            needle += 'qxz'
        want = truth.find(key, needle)
        assert ask(m, key, needle=needle) == want, (key, needle)
        if pick.random() < 0.3:
            assert ask(m, 'NOT', key, needle=needle) == set(truth.texts) - want, (key, needle)
            assert ask(m, 'OR', 'SUBJECT', '"nr00003x"', key, needle=needle) == want | truth.find('SUBJECT', 'nr00003x'), (key, needle)
    m.logout()


def status(server, *more):
    return json.loads(server.hato('index', 'status', *more, '--json').stdout)


def is_indexed(server):
    s = status(server)
    return s['waiting'] == 0 and not s['rebuilding'] and s


def test_right_at_every_moment(server):
    truth = Truth()
    fill(server, truth, 0, COUNT // 2)
    check(server, truth, 20, 1)                                       # while it is being indexed
    s = wait_until(lambda: is_indexed(server), 60, 'the index')
    assert s['documents'] >= COUNT // 2
    check(server, truth, 60, 2)
    fill(server, truth, COUNT // 2, COUNT // 2)
    check(server, truth, 20, 3)                                       # behind
    server.kill()
    server.start()
    check(server, truth, 20, 4)
    wait_until(lambda: is_indexed(server), 60, 'the index')
    check(server, truth, 60, 5)
    account = status(server, ANN)
    assert account['messages'] == COUNT and account['waiting'] == 0
    os.unlink(server.data + '/search.db')                             # under the running server
    check(server, truth, 20, 6)
    wait_until(lambda: os.path.exists(server.data + '/search.db') and is_indexed(server), 60, 'another index')
    check(server, truth, 20, 7)
    server.stop()
    with open(server.data + '/search.db', 'r+b') as f:                # broken
        f.seek(0)
        f.write(b'\xff' * 70000)
    server.start()
    check(server, truth, 20, 8)
    wait_until(lambda: is_indexed(server), 60, 'a whole index')
    assert 'damaged, it is made anew' in server.log()
    check(server, truth, 20, 9)
    server.hato('index', 'rebuild')
    check(server, truth, 20, 10)
    wait_until(lambda: is_indexed(server), 60, 'the new index')
    check(server, truth, 20, 11)
    server.stop()
    assert f'{COUNT} messages' in server.hato('index', 'rebuild').stdout  # without the server
    os.unlink(server.data + '/search.db')
    server.start()


def test_packed_summaries(tmp_path):
    """summaries.db: made in the background, never needed, never believed when it is broken."""
    with running(tmp_path / 'hato', ANN) as server:
        fill(server, Truth(), 0, 700)

        def seen():
            m = server.imap(ANN, select='INBOX')
            got = m.fetch('1:*', '(UID ENVELOPE BODYSTRUCTURE)')[1]
            orders.add(tuple(m.sort('(SUBJECT REVERSE DATE)', 'UTF-8', 'ALL')[1]))
            m.logout()
            return got

        def packs():
            try:
                with contextlib.closing(sqlite3.connect(f'file:{at}?mode=ro', uri=True)) as c:
                    return c.execute('SELECT SUM(count) FROM pack').fetchone()[0]
            except sqlite3.Error:
                return 0
        orders = set()
        before, at = seen(), server.data + '/summaries.db'
        assert len(before) == 700
        for content in (None, b'no database', b'\xff' * 70000, 'middle'):
            server.stop()
            if content == 'middle':
                with open(at, 'r+b') as f:
                    f.seek(os.path.getsize(at) // 2)
                    f.write(b'damage' * 3000)
            elif content is not None:
                with open(at, 'wb') as f:
                    f.write(content)
            server.start()
            if content != 'middle':
                wait_until(packs, 60, 'the packed summaries')
            assert seen() == before
            assert seen() == before                                   # with what was found to be damaged
        assert len(orders) == 1                                           # sorted the same, out of rows and out of packs
        server.stop()
        if os.path.exists(at):                                            # a damaged one goes with the server
            os.unlink(at)
        main = server.extra_main
        server.configure(main + '\nsearch_index = no\n')
        server.start()
        wait_until(packs, 60, 'the packed summaries, without an index of words')
        assert seen() == before
        server.stop()
        server.configure(main)
        server.start()
        server.kill()
        server.start()
        m = server.imap(ANN, select='INBOX')
        m.store('1:300', '+FLAGS', '\\Deleted')
        m.expunge()
        m.logout()
        assert [line.split(b' ', 1)[1] for line in seen()] == [line.split(b' ', 1)[1] for line in before[300:]]


def test_switched_off(server):
    fill(server, Truth(), 42, 1, CAS)
    wait_until(lambda: is_indexed(server), 60, 'the index')
    server.hato('stop')
    with open(server.folder + '/main.cf') as f:
        main = f.read()
    try:
        with open(server.folder + '/main.cf', 'a') as f:
            f.write('search_index = no\n')
        server.start()
        m = server.imap(CAS, select='INBOX')
        assert len(ask(m, 'SUBJECT', needle='nr00042x')) == 1
        m.logout()
        answer = server.hato('index', check=False)
        assert answer.returncode == 78 and 'search_index' in answer.stderr
    finally:
        with open(server.folder + '/main.cf', 'w') as f:
            f.write(main)
        server.hato('reload')
    wait_until(lambda: server.hato('index', check=False).returncode == 0, 20, 'the index to be on again')


def test_undelete(server):
    for n in range(8):
        server.send('x@else.test', BOB, message('x@else.test', BOB, f'letter {n}', 'text'))
    m = server.imap(BOB, select='INBOX')
    m.create('Old/Stuff')
    m.copy('5:8', 'Old/Stuff')
    m.store('1:4', '+FLAGS', r'(\Deleted \Flagged)')
    m.expunge()
    assert len(m.search(None, 'ALL')[1][0].split()) == 4
    m.delete('Old/Stuff')
    stats = json.loads(server.hato('account', 'stats', BOB, '--json').stdout)[0]
    assert stats['messages'] == 4 and stats['bin_messages'] >= 4
    listed = json.loads(server.hato('undelete', BOB, '--list', '--json').stdout)
    assert len(listed) == 8 and {r['mailbox'] for r in listed} == {'INBOX', 'Old/Stuff'}
    assert {r['subject'] for r in listed if r['mailbox'] == 'INBOX'} == {f'letter {n}' for n in range(4)}
    uid = next(r['uid'] for r in listed if r['subject'] == 'letter 2')
    assert '1 message (' in server.hato('undelete', BOB, '--mailbox', 'inbox', str(uid)).stdout
    assert server.hato('undelete', BOB, str(uid), check=False).returncode == 64
    assert '7 messages' in server.hato('undelete', BOB, '--since', '1h').stdout
    assert m.noop()[0] == 'OK' and len(m.search(None, 'ALL')[1][0].split()) == 8
    assert len(m.search(None, 'FLAGGED', 'UNDELETED')[1][0].split()) == 4
    m.select('Old/Stuff')
    assert len(m.search(None, 'ALL')[1][0].split()) == 4
    m.logout()
    nothing = server.hato('undelete', BOB, check=False)
    assert nothing.returncode == 65 and 'nothing' in nothing.stderr
    assert server.hato('undelete', 'nobody@example.test', check=False).returncode == 67


def test_verify(server):
    for n in range(8):
        server.send('x@else.test', DAN, message('x@else.test', DAN, f'letter {n}', 'text'))
    answer = server.hato('verify', '--json')
    assert all(row['wrong'] == 0 for row in json.loads(answer.stdout)), answer.stdout
    server.stop()
    with sqlite3.connect(server.data + '/hato.db') as db:
        db.execute("UPDATE mailbox SET messages = 77, unseen = 1 WHERE name = 'INBOX' AND account_id = 4")
        db.execute('UPDATE blob SET refs = refs + 1 WHERE id = (SELECT MIN(id) FROM blob)')
    db.close()
    told = server.hato('verify', '--json', check=False)
    found = {row['check']: row['found'] for row in json.loads(told.stdout)}
    assert told.returncode == 65 and not told.stderr, told
    assert 'messages is' in found['mailboxes'][0] and 'used by' in found['references'][0] and not found['database'], found
    found = server.hato('verify', check=False)
    assert found.returncode == 65 and 'messages is' in found.stderr and 'used by' in found.stderr, found
    mended = server.hato('verify', '--repair', check=False)
    assert mended.returncode == 0, mended
    assert server.hato('verify', '--quick').returncode == 0
    server.start()
    m = server.imap(DAN, select='INBOX')
    assert len(m.search(None, 'ALL')[1][0].split()) == 8
    m.logout()


DAMAGE = {
    'mailbox counter': ("UPDATE mailbox SET unseen = 77 WHERE name = 'INBOX'", 'unseen is 4, not 77'),
    'account counter': ('UPDATE account_state SET bytes = bytes + 5', 'account 1: 4 messages of'),
    'doubled row': ('INSERT INTO message SELECT account_id, mailbox_id, uid + 100, modseq, flags, keywords, received_us, size, blob_id,'
                    ' email_id, saved_us FROM message WHERE uid = 1', 'counted as used by 1 messages, used by 2'),
    'modseq of a row': ('UPDATE message SET modseq = modseq + 100000 WHERE uid = 2', 'INBOX: change number is 1'),
    'modseq of a mailbox': ("UPDATE mailbox SET highestmodseq = highestmodseq + 500000 WHERE name = 'INBOX'", 'account 1: change number is 6'),
    'next uid': ("UPDATE mailbox SET uidnext = 3 WHERE name = 'INBOX'", 'next uid is 102, not 3'),
    'no mailbox': ('UPDATE message SET mailbox_id = 4711 WHERE uid = 3', '1 messages are in mailbox 4711, which does not exist'),
    'text of no body': ("INSERT INTO blob_text VALUES (99999, x'41')", 'blob_text: 1 rows belong to no body'),
    'summary of no body': ("INSERT INTO summary VALUES (99999, x'41')", 'summary: 1 rows belong to no body'),
}


def test_verify_names_and_mends_each_thing(tmp_path):
    """One damage after the other: it is named, mended, and gone; what only a backup mends is named and stays."""
    with running(tmp_path, ANN) as server:
        m = mailbox(server)
        for n in range(4):
            m.append('INBOX', None, None, f'Subject: {n}\r\n\r\ntext {n}\r\n'.encode())
        m.logout()
        server.stop()
        for what, (sql, words) in DAMAGE.items():
            spoil(server, 'hato.db', sql)
            found = server.hato('verify', check=False)
            assert found.returncode == 65 and words in found.stderr, (what, found)
            assert server.hato('verify', '--repair', check=False).returncode == 0, what
            again = server.hato('verify', check=False)
            assert again.returncode == 0 and again.stderr == '', (what, again)
        for file, sql, words in (('search.db', 'DELETE FROM doc', 'bodies are missing in it'),):
            server.hato('index', 'rebuild')
            told = server.hato('index', 'status').stdout.splitlines()
            assert '(100 %)' in told[0] and told[2].startswith('file') and '%' not in told[2], told  # too little text for a share of it
            spoil(server, file, sql)
            assert words in server.hato('verify', check=False).stderr
            server.hato('verify', '--repair')
            assert server.hato('verify', check=False).returncode == 0
        spoil(server, 'hato.db', 'DELETE FROM blob WHERE id = (SELECT blob_id FROM message WHERE uid = 2)')
        gone = server.hato('verify', '--repair', check=False)
        assert gone.returncode == 65 and 'is not there, 1 messages are without it (restore a backup)' in gone.stderr, gone
        server.start()
        m = mailbox(server)
        assert len(m.search(None, 'ALL')[1][0].split()) == 4
        assert m.select('"Lost and found 4711"')[1] == [b'1'] and m.fetch('1', 'BODY.PEEK[TEXT]')[1][0][1] == b'text 2\r\n'
        m.logout()


def spoil(server, file, sql):
    with sqlite3.connect(f'{server.data}/{file}') as db:
        db.execute(sql)
    db.close()
