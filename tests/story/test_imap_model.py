# SPDX-License-Identifier: Apache-2.0
"""Thirty clients do what they like to the mailboxes of one account, and each believes only what it is told. No client may ever
be told what cannot be (a number out of range, an EXPUNGE where none may come, another message under a UID), and when all
is quiet everybody's picture is the truth, also that of clients which came back with QRESYNC. Two mailboxes stay; others are
made, renamed and deleted under those who have them open.

HATO_MODEL_SECONDS (20), HATO_MODEL_CLIENTS (30), HATO_MODEL_SEED for a longer, larger or repeated run; HATO_MODEL_KILL: a
process ("edge", "core") that is killed every few seconds meanwhile."""
import os, random, re, socket, threading, time
import pytest
from around import *
from hato import running

pytestmark = pytest.mark.core
ANN = 'ann@example.test'
SECONDS = float(os.environ.get('HATO_MODEL_SECONDS') or 20)
CLIENTS = int(os.environ.get('HATO_MODEL_CLIENTS') or 30)
FLAGS = ['\\Seen', '\\Answered', '\\Flagged', '\\Draft', '$Work', '$Later']
BOXES = ['INBOX', 'Archive']
SHAKY = ['Loose 1', 'Loose 2', 'Loose 3']
KILL = os.environ.get('HATO_MODEL_KILL')


class Gone(Exception):
    """The server has hung up, or the mailbox is no more."""


def numbers(text):
    for part in text.split(','):
        first, _, last = part.partition(':')
        yield from range(int(first), int(last or first) + 1)


class World:
    """What all clients must agree on. A mailbox is known by its UIDVALIDITY, which a new one of the same name may not have."""
    def __init__(self):
        self.lock, self.subjects, self.validity = threading.Lock(), {}, {}
        self.counter = 0

    def same(self, validity, uid, subject):
        with self.lock:
            had = self.subjects.setdefault((validity, uid), subject)
        assert had == subject, f'UID {uid} of {validity} was "{had}" and now is "{subject}"'

    def next(self):
        with self.lock:
            self.counter += 1
            return self.counter


class Client:
    """One client: list of UIDs by number (None: not heard yet), flags of each, and what QRESYNC needs."""
    def __init__(self, server, world, kind, seed):
        self.server, self.world, self.kind, self.random = server, world, kind, random.Random(seed)
        self.box, self.cache, self.log, self.count = None, {}, [], 0
        self.connect()

    def connect(self):
        self.socket = socket.create_connection((self.server.address, self.server.ports['imap']), 60 * SLOW)
        self.file = self.socket.makefile('rb')
        self.box, self.selecting, self.left, self.leaving, self.at_once = None, None, None, False, False  # told of EXPUNGE at any time (NOTIFY): numbers are of no use then
        self.line()
        self.command(f'LOGIN {ANN} secret')
        if self.kind == 'qresync':
            self.command('ENABLE QRESYNC')
        if self.kind == 'uidonly':
            self.command('ENABLE UIDONLY CONDSTORE')
        if self.kind == 'notify':
            self.notify('selected-delayed')

    def notify(self, how):
        """An EXPUNGE that comes at once comes from here to the answer of the NOTIFY that ends it."""
        events = '(MessageNew MessageExpunge FlagChange)'
        self.at_once = self.at_once or how == 'selected'
        self.command(f'NOTIFY SET {self.random.choice(["STATUS ", ""])}({how} {events}) (personal {events})')
        self.at_once = how == 'selected'

    def back(self):
        while True:
            try:
                return self.select(self.random.choice(BOXES))
            except Gone:
                if not KILL:
                    raise
                self.reconnect()

    def reconnect(self):
        """As often as it takes."""
        self.keep()
        until = time.monotonic() + 30 * SLOW
        while True:
            try:
                self.file.close()
                self.socket.close()
                self.connect()
                return
            except (Gone, OSError):
                assert time.monotonic() < until, 'nobody answers'
                time.sleep(0.1)

    def line(self):
        try:
            line = self.file.readline()
        except ConnectionError:
            line = b''
        if not line.endswith(b'\r\n'):
            raise Gone(f'the connection ended with {line!r}')
        while (size := re.search(rb'\{(\d+)\}\r\n$', line)):
            line += self.file.read(int(size[1])) + self.file.readline()
        line = line.decode('utf-8', 'replace')[:-2]
        self.log.append('S: ' + line)
        return line

    def send(self, text):
        self.log = self.log[-200:] + ['C: ' + text]
        try:
            self.socket.sendall(text.encode() + b'\r\n')
        except ConnectionError as e:
            raise Gone(str(e))

    def command(self, text, quiet=False, ok=('OK',)):
        """Tagged; quiet: no EXPUNGE may come."""
        self.count += 1
        tag = f't{self.count}'
        self.send(f'{tag} {text}')
        said = []
        while not (line := self.line()).startswith(tag + ' '):
            self.told(line, quiet)
            said.append(line)
        word = line.split()[1]
        self.gone(line)
        assert word in ok, f'{text}: {line}'
        self.settle(line)
        return said, line

    def gone(self, line):
        """Whoever deletes what he has open has nothing open; others are told BYE."""
        if self.box in SHAKY and ('[NONEXISTENT]' in line or 'BAD No mailbox selected' in line):
            raise Gone(line)

    # what is told

    def settle(self, line):
        """After a tagged answer: everything up to the highest modseq seen has been told, unless the server says otherwise."""
        if self.box is None:
            return
        m = re.search(r'\[HIGHESTMODSEQ (\d+)\]', line)
        if m:
            self.modseq = int(m[1])
        elif self.floor is not None:
            self.modseq = self.floor
        else:
            self.modseq = max(self.modseq, self.seen)
        self.seen, self.floor = self.modseq, None

    def told(self, line, quiet=False):
        if self.leaving and not line.startswith('* BYE'):  # news of the old mailbox (NOTIFY)
            self.leaving = '[CLOSED]' not in line
        elif m := re.match(r'\* (\d+) EXISTS', line):
            n = int(m[1])
            if self.selecting:
                self.exists = n
                return
            assert n >= len(self.uids), f'EXISTS {n} with {len(self.uids)} messages'
            self.uids += [None] * (n - len(self.uids))
        elif m := re.match(r'\* (\d+) EXPUNGE', line):
            assert not quiet or self.at_once, f'{line} where none may come'
            assert self.kind not in ('qresync', 'uidonly'), f'{line} instead of VANISHED'
            assert 1 <= int(m[1]) <= len(self.uids), f'{line} of {len(self.uids)}'
            self.flags.pop(self.uids.pop(int(m[1]) - 1), None)
        elif m := re.match(r'\* VANISHED (\(EARLIER\) )?(\S+)', line):
            assert self.kind in ('qresync', 'uidonly') and not quiet, f'{line} where none may come'
            for uid in numbers(m[2]):
                self.vanish(uid, bool(m[1]))
        elif m := re.match(r'\* (\d+) (UID)?FETCH \((.*)\)$', line, re.S):
            self.fetched(int(m[1]), bool(m[2]), m[3], line)
        elif m := re.match(r'\* OK \[HIGHESTMODSEQ (\d+)\]', line):
            if self.selecting:
                self.modseq = self.seen = int(m[1])
            else:
                self.floor = int(m[1])
        elif m := re.match(r'\* OK \[UIDVALIDITY (\d+)\]', line):
            self.validity = int(m[1])
            if self.selecting in BOXES:
                with self.world.lock:
                    assert self.world.validity.setdefault(self.selecting, self.validity) == self.validity
        elif line.startswith('* BYE [NONEXISTENT]'):
            self.gone(line)
        elif line.startswith(('* BYE Server shutting down', '* BYE Connection closed')) and KILL:
            raise Gone(line)
        elif line.startswith('* BYE') or line.startswith('* BAD'):
            raise AssertionError(f'{self.box}: {line}')

    def vanish(self, uid, earlier):
        if self.selecting or earlier:
            self.flags.pop(uid, None)
            if not self.selecting and uid in self.uids:
                raise AssertionError(f'VANISHED (EARLIER) {uid}, which is there')
            return
        if uid in self.uids:
            self.uids.remove(uid)
        else:  # one that it has not heard of, between those it knows
            at = next((i + 1 for i in reversed(range(len(self.uids))) if self.uids[i] and self.uids[i] < uid), 0)
            assert at < len(self.uids) and self.uids[at] is None, f'VANISHED {uid}, which is not there: {self.uids}'
            del self.uids[at]
        self.flags.pop(uid, None)

    def fetched(self, number, by_uid, items, line):
        uid = re.search(r'\bUID (\d+)', items)
        uid = number if by_uid else int(uid[1]) if uid else None
        assert by_uid == (self.kind == 'uidonly'), line
        if self.selecting:
            self.late.append((number, uid))
        elif not by_uid:
            assert 1 <= number <= len(self.uids), f'{line} of {len(self.uids)}'
            if uid is None:
                uid = self.uids[number - 1]
            elif self.uids[number - 1] is None:
                before = [u for u in self.uids[:number - 1] if u]
                after = [u for u in self.uids[number:] if u]
                assert (not before or before[-1] < uid) and (not after or uid < after[0]), f'{line}: {self.uids}'
                self.uids[number - 1] = uid
            else:
                assert self.uids[number - 1] == uid, f'{line}: number {number} is UID {self.uids[number - 1]}'
        else:
            assert uid in self.uids or None in self.uids, f'{line}: not there'
        if (m := re.search(r'FLAGS \(([^)]*)\)', items)) and uid is not None:
            self.flags[uid] = frozenset(m[1].split()) - {'\\Recent'}
        if m := re.search(r'MODSEQ \((\d+)\)', items):
            self.seen = max(self.seen, int(m[1]))
        if (m := re.search(r'Subject: ([^\r\n]*)', items)) and uid is not None:
            self.world.same(self.validity, uid, m[1])

    # what it does

    def keep(self):
        """For the next SELECT."""
        if self.kind == 'qresync' and self.box is not None and None not in self.uids:
            self.cache[self.box] = (self.validity, self.modseq, dict(self.flags))

    def select(self, box):
        self.keep()
        self.leaving, self.left = self.box is not None, self.box  # which may be deleted before the server reads this
        self.box, self.uids, self.late, self.exists = None, [], [], 0
        self.selecting, self.flags, self.modseq, self.seen, self.floor = box, {}, 0, 0, None
        extra = ''
        before = None
        if self.kind == 'qresync' and box in self.cache:
            before, modseq, self.flags = self.cache[box]
            extra = f' (QRESYNC ({before} {modseq}))'
            self.flags = dict(self.flags)
        elif self.kind == 'condstore':
            extra = ' (CONDSTORE)'
        _, line = self.command(f'SELECT "{box}"{extra}', ok=('OK', 'NO') if box in SHAKY else ('OK',))
        if line.split()[1] == 'NO':
            self.selecting = None
            raise Gone(line)
        self.box, self.selecting, self.left = box, None, None
        if before is not None and before != self.validity:  # another mailbox, of the same name
            assert not self.late, f'told of changes since another mailbox: {self.late}'
            self.flags = {}
        if before == self.validity:
            self.uids = sorted(self.flags)
            assert len(self.uids) == self.exists, f'after QRESYNC {len(self.uids)} messages are known, {self.exists} exist'
            for number, uid in self.late:
                assert self.uids[number - 1] == uid, f'number {number} is UID {self.uids[number - 1]}, told as {uid}'
        else:
            self.uids = [None] * self.exists
            self.learn()

    def learn(self):
        """All UIDs and flags."""
        if self.uids:
            self.command('UID FETCH 1:* (FLAGS)')
        if self.kind == 'uidonly':  # numbers are not told: those not heard of stand behind
            self.uids = sorted(self.flags) + [None] * (len(self.uids) - len(self.flags))

    def some(self):
        """A set of numbers or UIDs: (text, prefix)."""
        known = [i for i, u in enumerate(self.uids) if u]
        if not known:
            return None, ''
        picked = sorted(self.random.sample(known, min(len(known), self.random.randint(1, 4))))
        if self.kind == 'uidonly' or self.at_once or self.random.random() < 0.5:
            return ','.join(str(self.uids[i]) for i in picked), 'UID '
        return ','.join(str(i + 1) for i in picked), ''

    def act(self):
        r = self.random
        what = r.choices(['append', 'store', 'delete', 'expunge', 'move', 'copy', 'search', 'fetch', 'idle', 'noop', 'select', 'again', 'since', 'condition', 'pipeline', 'everywhere', 'shake', 'notify'],
                         [8 if len(self.uids) < 60 else 1, 14, 6, 5, 3, 3, 4, 10, 4, 5, 3, 1, 3, 3, 3, 2, 2, 2])[0]
        sets, uid = self.some()
        quiet = not uid
        flags = ' '.join(r.sample(FLAGS, r.randint(1, 3)))
        if what == 'append':
            n = self.world.next()
            text = f'Subject: number {n}.\r\n\r\nText {n}.\r\n'
            self.command(f'APPEND {r.choice(BOXES)} ({r.choice(["", flags])}) {{{len(text)}+}}\r\n{text}')
        elif what == 'noop':
            self.command(r.choice(['NOOP', 'CHECK']))
            if None in self.uids:
                self.learn()
        elif what == 'idle':
            self.idle(r.random() * 0.3)
        elif what == 'select':
            self.select(r.choice(BOXES + SHAKY[:2]))
        elif what == 'again':
            self.reconnect()
            self.select(r.choice(BOXES))
        elif what == 'everywhere':
            self.search_everywhere()
        elif what == 'shake':
            self.shake()
        elif what == 'notify':
            if self.kind == 'notify':
                self.notify(r.choice(['selected', 'selected-delayed']))
        elif what == 'expunge':
            if r.random() < 0.5 or not sets or not uid:
                self.command('EXPUNGE')
            else:
                self.command(f'UID EXPUNGE {sets}')
        elif what == 'search':
            by_uid = self.kind == 'uidonly' or self.at_once
            said, _ = self.command('UID SEARCH ALL' if by_uid else 'SEARCH UNDELETED', quiet=not by_uid)
            if not by_uid:
                found = [int(n) for line in said if line.startswith('* SEARCH') for n in line.split('(')[0].split()[2:]]
                assert all(1 <= n <= len(self.uids) for n in found), f'{found} of {len(self.uids)}'
        elif not sets:
            self.command('NOOP')
        elif what == 'store':
            self.command(f'{uid}STORE {sets} {r.choice(["+", "-", ""])}FLAGS ({flags})', quiet, ('OK', 'NO'))
        elif what == 'condition':
            self.command(f'{uid}STORE {sets} (UNCHANGEDSINCE {max(self.modseq, 1)}) +FLAGS ({flags})', quiet, ('OK', 'NO'))
        elif what == 'delete':
            self.command(f'{uid}STORE {sets} +FLAGS (\\Deleted)', quiet, ('OK', 'NO'))
        elif what in ('move', 'copy'):
            self.command(f'{uid}{what.upper()} {sets} "{r.choice(BOXES * 2 + SHAKY)}"', False, ('OK', 'NO'))
        elif what == 'fetch':
            items = r.choice(['(UID FLAGS)', '(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])', '(FLAGS BODY[HEADER.FIELDS (SUBJECT)])', '(UID FLAGS BODY.PEEK[] INTERNALDATE)'])
            self.command(f'{uid}FETCH {sets} {items}', quiet, ('OK', 'NO'))
        elif what == 'since' and self.kind not in ('plain', 'notify'):
            more = ' VANISHED' if self.kind == 'qresync' else ''
            self.command(f'UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE {max(self.modseq, 1)}{more})')
        elif what == 'pipeline':
            self.pipeline(sets, uid, flags)

    def search_everywhere(self):
        """MULTISEARCH: what it finds is where everybody else has seen it."""
        n = self.random.randint(1, self.world.counter + 1)
        said, _ = self.command(f'ESEARCH IN (personal) RETURN (ALL) SUBJECT "number {n}."')
        for line in said:
            if m := re.match(r'\* ESEARCH \(TAG "\w+" MAILBOX ("[^"]*"|\S+) UIDVALIDITY (\d+)\) UID ALL (\S+)', line):
                for uid in numbers(m[3]):
                    self.world.same(int(m[2]), uid, f'number {n}.')

    def shake(self):
        """Mailboxes come, get other names and go, whoever has them open. A renamed one stays open where it is."""
        a, b = self.random.sample(SHAKY, 2)
        line = self.random.choice([f'CREATE "{a}"', f'CREATE "{a}"', f'RENAME "{a}" "{b}"', f'RENAME "{a}" "{b}"', f'DELETE "{a}"'])
        _, answer = self.command(line, ok=('OK', 'NO'))
        if line.startswith('DELETE') and ' OK ' in answer and self.box in SHAKY:
            raise Gone('it may have been one\'s own')

    def pipeline(self, sets, uid, flags):
        """Several commands in one go: numbers may not be used behind one that may change them."""
        lines = [(f'{uid}STORE {sets} +FLAGS ({flags})', not uid), (f'{uid}FETCH {sets} (UID FLAGS)', not uid), ('NOOP', False)]
        if uid:
            lines.insert(1, (f'UID EXPUNGE {sets}', False))
        first = self.count
        self.count += len(lines)
        self.send('\r\n'.join(f't{first + 1 + i} {text}' for i, (text, _) in enumerate(lines)))
        for i, (text, quiet) in enumerate(lines):
            while not (line := self.line()).startswith(f't{first + 1 + i} '):
                self.told(line, quiet)
            self.gone(line)
            assert line.split()[1] in ('OK', 'NO'), line
            self.settle(line)

    def idle(self, seconds):
        self.count += 1
        tag = f't{self.count}'
        self.send(f'{tag} IDLE')
        while not (line := self.line()).startswith('+'):
            self.told(line)
        time.sleep(seconds)
        self.send('DONE')
        while not (line := self.line()).startswith(tag + ' '):
            self.told(line)
        assert line.split()[1] == 'OK', line
        self.settle(line)
        if None in self.uids:
            self.learn()

    def run(self, until, errors):
        try:
            self.back()
            while time.monotonic() < until and not errors:
                try:
                    self.act()
                except Gone:
                    if not KILL and (self.selecting or self.box) in BOXES and self.left not in SHAKY:
                        raise
                    self.reconnect()
                    self.back()
        except Exception as e:
            errors.append(f'a client ({self.kind}) in {self.box}: {type(e).__name__}: {e}\n' + '\n'.join(self.log[-40:]))


def truth_of(server):
    """{name: (UIDVALIDITY, {uid: flags}, [uid])} as somebody new sees it."""
    c, truth = Client(server, World(), 'plain', 0), {}
    for box in BOXES + SHAKY:
        try:
            c.select(box)
        except Gone:
            continue
        assert None not in c.uids
        truth[box] = c.validity, dict(c.flags), c.uids
    return truth


def killer(server, until):
    while KILL and time.monotonic() < until - 5:
        time.sleep(5)
        server.kill(KILL)


def compare(client, true, where):
    _, flags, uids = true
    tail = '\n'.join(client.log[-60:])
    assert client.uids == uids, f'{where} {client.kind} thinks {client.uids}, there is {uids}\n{tail}'
    wrong = {u: (client.flags.get(u), flags[u]) for u in uids if client.flags.get(u) != flags[u]}
    assert not wrong, f'{where} {client.kind}: flags (it thinks, there is) {wrong}\n{tail}'


def test_thirty_clients_and_the_truth(tmp_path):
    seed = os.environ.get('HATO_MODEL_SEED') or str(time.time())
    print('seed', seed)
    with running(tmp_path, ANN, main='imapd_tls_security_level = none') as server:
        world, errors = World(), []
        kinds = ['plain', 'qresync', 'condstore', 'qresync', 'uidonly', 'notify']
        clients = [Client(server, world, kinds[i % len(kinds)], f'{seed}/{i}') for i in range(CLIENTS)]
        until = time.monotonic() + SECONDS
        threads = [threading.Thread(target=c.run, args=(until, errors)) for c in clients]
        threads.append(threading.Thread(target=killer, args=(server, until)))
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not errors, f'seed {seed}\n' + '\n\n'.join(errors[:2])
        truth = truth_of(server)
        by_validity = {true[0]: true for true in truth.values()}
        for c in clients:
            try:
                c.command('NOOP')
                c.learn()
            except Gone:
                assert KILL or c.validity not in by_validity, f'{c.box} is there, and {c.kind} was sent away'
                c.reconnect()
                c.select(BOXES[0])
            compare(c, by_validity[c.validity], f'seed {seed}, in {c.box}:')
        for c in clients:  # and those who come back
            for box in truth if c.kind == 'qresync' else ():
                c.select(box)
                compare(c, truth[box], f'seed {seed}, back in {box}:')
        print(f'{sum(c.count for c in clients)} commands, {world.counter} messages')
