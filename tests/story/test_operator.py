# SPDX-License-Identifier: Apache-2.0
"""The operator's day: accounts, aliases, domains, the queue, and "where is my mail?"."""
import json, re, smtplib
import pytest
from around import *

pytestmark = pytest.mark.core
ANN, BOB, CAT = 'ann@example.test', 'bob@example.test', 'cat@second.test'


@pytest.fixture
def server(hosts, sink):
    """Everything that leaves goes to a sink that is busy, so that the queue has something in it."""
    busy = sink(banner='421 4.3.2 too busy')
    instance = hosts(accounts=[ANN, BOB], main=f'relayhost = [127.0.0.1]:{busy.port}\nminimal_backoff_time = 300s\nrecipient_delimiter = +-')
    instance.busy = busy
    return instance


def accepts(server, to):
    with server.dialogue() as d:
        d.ehlo()
        d.say('MAIL FROM:<x@else.test>', 250)
        return d.say(f'RCPT TO:<{to}>')[0] == 250


def test_accounts(server):
    server.account(CAT)  # a domain with an account is local without further settings
    listed = server.hato('account', 'list').stdout
    assert all(a in listed for a in (ANN, BOB, CAT))
    server.send('x@else.test', CAT, message('x@else.test', CAT, 'second'))
    assert server.subjects(CAT) == ['second']
    server.hato('account', 'password', CAT, '--password-stdin', input='other\n')
    assert server.imap(CAT, 'other')
    with pytest.raises(Exception):
        server.imap(CAT, 'secret')
    server.hato('account', 'del', CAT)
    with pytest.raises(Exception):
        server.imap(CAT, 'other')
    assert 'second.test' not in server.hato('account', 'list').stdout
    assert not any('secret' in open(p, errors='replace').read() for p in [server.folder + '/mail.log'])


def test_while_stopped(server):
    server.stop()
    server.account(CAT)
    server.hato('alias', 'add', 'team@example.test', ANN, CAT)
    assert CAT in server.hato('account', 'list').stdout
    server.start()
    server.send('x@else.test', 'team@example.test', message('x@else.test', 'team@example.test', 'both'))
    assert server.subjects(ANN) == server.subjects(CAT) == ['both']


def test_aliases(server):
    server.hato('alias', 'add', 'sales@example.test', ANN, BOB)
    server.hato('alias', 'add', 'info@example.test', 'sales@example.test')
    server.send('x@else.test', ['info@example.test', ANN], message('x@else.test', 'info@example.test', 'to all'))
    assert server.subjects(ANN) == server.subjects(BOB) == ['to all']  # once each, however many ways lead there
    assert 'sales@example.test' in server.hato('alias', 'list').stdout
    server.hato('alias', 'add', '@example.test', BOB)
    server.send('x@else.test', 'anything@example.test', message('x@else.test', 'anything@example.test', 'caught'))
    assert server.subjects(BOB) == ['to all', 'caught'] and server.subjects(ANN) == ['to all']
    server.hato('alias', 'del', '@example.test')
    assert not accepts(server, 'anything@example.test')
    server.hato('alias', 'add', 'out@example.test', 'x@far.test')
    server.send('x@else.test', 'out@example.test', message('x@else.test', 'out@example.test', 'forwarded'))
    wait_until(lambda: 'x@far.test' in server.hato('queue', 'list').stdout, 10, 'the forwarded copy')
    server.hato('alias', 'add', 'a1@example.test', 'a2@example.test')
    server.hato('alias', 'add', 'a2@example.test', 'a1@example.test', check=False)  # a loop does not hang us
    accepts(server, 'a1@example.test')


def test_delimiters(server):
    for to in ('ann+news@example.test', 'ann-shop@example.test'):
        server.send('x@else.test', to, message('x@else.test', to, to))
    assert len(server.subjects(ANN)) == 2
    server.account('ann-shop@example.test')  # the whole address goes before the split
    server.send('x@else.test', 'ann-shop@example.test', message('x@else.test', 'x', 'whole'))
    assert server.subjects('ann-shop@example.test') == ['whole']


def test_domains(server):
    server.hato('domain', 'add', 'third.test')
    assert 'third.test' in server.hato('domain', 'list').stdout
    assert not accepts(server, 'nobody@third.test')
    server.hato('domain', 'del', 'third.test')


def queue_id(server, to='x@far.test'):
    """Ann submits a letter; the id stands in the 250."""
    with server.smtp('submission', ANN) as s:
        s.mail(ANN), s.rcpt(to)
        code, text = s.data(message(ANN, to, 'out'))
        assert code == 250
        return re.search(rb'queued as (\w+)', text).group(1).decode()


def test_queue(server):
    first = queue_id(server)
    server.wait_log(rf'{first}: to=<x@far\.test>.*status=deferred')
    listed = server.hato('queue', 'list').stdout
    assert first in listed and ANN in listed and 'x@far.test' in listed and 'too busy' in listed
    shown = server.hato('queue', 'show', first).stdout
    assert 'Subject: out' in shown and 'x@far.test' in shown
    server.hato('queue', 'hold', first)
    server.busy.rules['banner'] = '220 ready'
    server.hato('queue', 'flush')
    second = queue_id(server, 'y@far.test')
    wait_until(lambda: [m[1] for m in server.busy.messages] == [['y@far.test']], 20, server.log)
    wait_until(lambda: second not in server.hato('queue', 'list').stdout, 5, 'an answer of the next host in the queue')
    server.hato('queue', 'release', first)
    wait_until(lambda: len(server.busy.messages) == 2, 20, server.log)
    server.busy.rules['replies'] = {'MAIL FROM': '451 4.3.0 busy again'}  # a kept connection may be used once more
    third = queue_id(server, 'z@far.test')
    server.hato('queue', 'delete', third)
    wait_until(lambda: third not in server.hato('queue', 'list').stdout, 5, 'an empty queue')
    assert server.hato('queue', 'show', third, check=False).returncode != 0


def test_why(server):
    server.send('x@else.test', ANN, message('x@else.test', ANN, 'in'))
    identity = queue_id(server)
    server.wait_log('status=deferred')
    story = server.hato('why', identity).stdout
    assert ANN in story and 'x@far.test' in story and 'too busy' in story
    story = server.hato('why', 'x@else.test').stdout
    assert ANN in story and 'x@else.test' in story
    assert server.hato('why', 'nobody@nowhere.test', check=False).stdout.count('@else') == 0


def test_status_check_help(server):
    done = server.hato('status')
    assert 'running' in done.stdout and done.returncode == 0
    assert server.hato('check').returncode == 0
    for word in ('start', 'account', 'queue', 'why'):
        assert word in server.hato('help').stdout
    server.stop()
    assert server.hato('status', check=False).returncode != 0


def test_log_forms(server):
    server.send('x@else.test', ANN, message('x@else.test', ANN, 'one'))
    line = server.wait_log(r'(?m)^\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ hato/\w+\[\d+\]: (\w+): to=<ann@example\.test>.*relay=\w+.*delay=[\d.]+.*dsn=2\.\d\.\d.*status=sent')
    assert re.search(rf'{line.group(1)}: from=<x@else\.test>, size=\d+', server.log())
    assert re.search(rf'{line.group(1)}: client=\S+\[127\.0\.0\.1\]', server.log())
    server.configure(server.extra_main + '\nlog_format = json')
    server.stop()
    server.start()
    server.send('x@else.test', ANN, message('x@else.test', ANN, 'two'))
    entries = [json.loads(l) for l in server.log().splitlines() if l.startswith('{')]
    assert any(e.get('to') == ANN and e.get('status') == 'sent' for e in entries)


def test_memory_at_rest(server):
    if SLOW > 1:
        pytest.skip('the sanitizers need their own memory')
    server.send('x@else.test', ANN, message('x@else.test', ANN, 'one'))
    server.imap(ANN).logout()
    assert len(server.pids()) == 5
    assert server.pss_kib() <= 30 * 1024
