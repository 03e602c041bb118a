# SPDX-License-Identifier: Apache-2.0
"""Nothing acknowledged is lost or doubled: processes die by kill -9 at random moments under load, and afterwards every
message that was answered 250 is in its mailbox exactly once.

The long run: HATO_KILLS=20 HATO_SENDERS=50 ./test story -k durability"""
import collections, os, random, re, smtplib, threading, time
import pytest
from around import *

KILLS = int(os.environ.get('HATO_KILLS', '5'))
SENDERS = int(os.environ.get('HATO_SENDERS', '12'))
ANN = 'ann@example.test'


class Load:
    """Senders that keep going, whatever happens; .acked are the subjects whose 250 has been seen."""
    def __init__(self, server, to, service='smtp', user=None):
        self.server, self.to, self.service, self.user = server, to, service, user
        self.acked, self.stop = set(), threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(k,), daemon=True) for k in range(SENDERS)]
        [t.start() for t in self.threads]

    def run(self, k):
        n, chance = 0, random.Random(k)
        while not self.stop.is_set():
            try:
                with self.server.smtp(self.service, self.user, seconds=10) as s:
                    while not self.stop.is_set():
                        tag, n = f'k{k}n{n}', n + 1
                        size = chance.choice([10, 3000, 60000])
                        s.sendmail('x@else.test', [self.to], message('x@else.test', self.to, tag, 'y' * 70 + '\r\n' if size == 10 else noise(size, n)))
                        self.acked.add(tag)
            except (smtplib.SMTPException, OSError):
                time.sleep(0.05)

    def end(self):
        self.stop.set()
        [t.join(30 * SLOW) for t in self.threads]
        return self.acked


def count_subjects(server, user):
    m = server.imap(user, select='INBOX')
    _, parts = m.fetch('1:*', '(BODY.PEEK[HEADER.FIELDS (SUBJECT)])')
    m.logout()
    subjects = [p[1].decode().split(':', 1)[1].strip() for p in parts if isinstance(p, tuple)]
    return collections.Counter(s for s in subjects if re.fullmatch(r'k\d+n\d+', s))  # and not what postmaster is told of the kills


def all_answers(server, user=ANN):
    def try_it():
        try:
            server.imap(user).logout()
            with server.smtp() as s:
                return s.noop()[0] == 250
        except Exception:
            return False
    wait_until(try_it, 30, 'all services to answer again')


@pytest.mark.core
@pytest.mark.parametrize('victim', ['core', 'edge', 'all'])
def test_local_delivery(hosts, victim):
    server = hosts(accounts=[ANN])
    load = Load(server, ANN)
    for _ in range(max(1, KILLS // (3 if KILLS < 20 else 1))):
        before = len(load.acked)
        wait_until(lambda: len(load.acked) > before + 10, 60, lambda: 'some mail to be accepted\n' + server.log()[-2000:])
        time.sleep(random.uniform(0, 1))
        if victim == 'all':
            assert server.kill()
            server.start()
        else:
            assert server.kill(victim), f'no process {victim}'
            all_answers(server)
    time.sleep(1)
    acked = load.end()
    all_answers(server)
    stored = count_subjects(server, ANN)
    lost, doubled = sorted(acked - set(stored)), [t for t, n in stored.items() if n > 1]
    assert not lost, f'{len(lost)} of {len(acked)} lost: {lost[:10]}'
    assert not doubled, f'{len(doubled)} doubled: {doubled[:10]}'
    assert len(acked) >= 30


@pytest.mark.parametrize('victim', ['relay', 'core', 'all'])
def test_relayed(hosts, victim):
    """Twice is allowed only for what was on its way at the moment of a kill."""
    b = hosts('mx.b.test', accounts=['bob@b.test'])
    a = hosts('mail.a.test', f'relayhost = [127.0.0.1]:{b.ports["smtp"]}\nminimal_backoff_time = 1s\nmaximal_backoff_time = 2s\n'
              'queue_run_delay = 1s\ndefault_destination_concurrency_limit = 5', accounts=[ANN])
    load = Load(a, 'bob@b.test')
    kills = max(1, KILLS // (3 if KILLS < 20 else 1))
    for _ in range(kills):
        before = len(load.acked)
        wait_until(lambda: len(load.acked) > before + 10, 60, lambda: 'some mail to be accepted\n' + a.log()[-2000:])
        time.sleep(random.uniform(0, 1))
        wait_until(lambda: a.kill(None if victim == 'all' else victim), 30, f'a process {victim} to kill')
        if victim == 'all':
            a.start()
        all_answers(a)
    acked = load.end()
    missing = acked
    while missing:  # as long as it takes to send them, if they come at all
        before = len(missing)
        def some_came():
            nonlocal missing
            missing = acked - set(count_subjects(b, 'bob@b.test'))
            return len(missing) < before
        wait_until(some_came, 30, lambda: f'{before} of {len(acked)} messages; log:\n{a.log()[-2000:]}', every=1)
    time.sleep(2)
    doubled = [t for t, n in count_subjects(b, 'bob@b.test').items() if n > 1]
    assert len(doubled) <= 5 * kills, doubled
