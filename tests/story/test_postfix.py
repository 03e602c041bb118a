# SPDX-License-Identifier: Apache-2.0
"""Debian's Postfix on the other side: as the server we deliver to, and as the one that delivers to us."""
import re, time
import pytest
from around import *

pytestmark = pytest.mark.root
ANN, BOB = 'ann@a.test', 'bob@b.test'
HASTE = 'minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\n'


@pytest.fixture
def names(dns):
    """Addresses of hato and of Postfix, and the nsd that knows them (on port 53, where Postfix asks)."""
    class Names:
        hato, postfix = own_address(), own_address()
    Names.dns = dns(f'a.test MX 10 mail.a.test.\nmail.a.test A {Names.hato}\nb.test MX 10 mx.b.test.\nmx.b.test A {Names.postfix}\n',
                    address=own_address(), port=53)
    return Names


def start_hato(hosts, names, start=True):
    return hosts('mail.a.test', HASTE, accounts=[ANN], dns=names.dns, address=names.hato, ports={'smtp': 25}, start=start)


@pytest.mark.core
def test_postfix_receives(hosts, postfix, names):
    b = postfix('b.test', users=['bob'], address=names.postfix)
    a = start_hato(hosts, names)
    a.send(ANN, [BOB, 'nobody@b.test'], message(ANN, BOB, 'to Postfix', noise(50000, 3)), 'submission', ANN)
    wait_until(lambda: b.subjects('bob') == ['to Postfix'], 30, lambda: b.log() + a.log())
    assert 'TLS connection established from mail.a.test' in b.log() or re.search(r'TLS connection established from', b.log())
    m, whole = a.wait_bounce(ANN)
    assert 'nobody@b.test' in whole and '5.1.1' in whole
    b.stop()
    a.send(ANN, BOB, message(ANN, BOB, 'while it is down'), 'submission', ANN)
    a.wait_log('status=deferred')
    b.start()
    wait_until(lambda: b.subjects('bob') == ['to Postfix', 'while it is down'], 30, lambda: b.log() + a.log())


@pytest.mark.core
def test_postfix_delivers(hosts, postfix, names):
    import smtplib
    b = postfix('b.test', users=['bob'], address=names.postfix, port=2525, dns=names.dns)
    a = start_hato(hosts, names, start=False)
    with smtplib.SMTP(b.address, 2525, timeout=20) as s:
        s.sendmail(BOB, [ANN], message(BOB, ANN, 'too early'))
        wait_until(lambda: 'status=deferred' in b.log(), 20, b.log)
        a.start()
        for n in range(20):
            s.sendmail(BOB, [ANN], message(BOB, ANN, f'from Postfix {n:02d}', noise(3000, n)))
        s.sendmail(BOB, ['nobody@a.test'], message(BOB, 'nobody@a.test', 'to nobody'))
    wait_until(lambda: len(a.subjects(ANN)) == 21, 40, lambda: b.log() + a.log())
    assert sorted(a.subjects(ANN)) == sorted([f'from Postfix {n:02d}' for n in range(20)] + ['too early'])
    assert all('ESMTPS' in m.get_all('Received')[0] for m in a.messages(ANN))
    bounce = wait_until(lambda: b.messages('bob'), 20, b.log)[0]
    assert 'nobody@a.test' in bounce.as_string() and '550' in bounce.as_string()


def test_a_large_one_both_ways(hosts, postfix, names):
    import smtplib
    b = postfix('b.test', users=['bob'], address=names.postfix, dns=names.dns)
    a = start_hato(hosts, names)
    body = noise(8 << 20, 5)
    a.send(ANN, BOB, message(ANN, BOB, 'large', body), 'submission', ANN)
    wait_until(lambda: b.subjects('bob'), 60, lambda: b.log() + a.log())
    assert b.messages('bob')[0].get_payload() == body.replace('\r\n', '\n')
    with smtplib.SMTP(b.address, 25, timeout=20) as s:
        s.sendmail(BOB, [ANN], message(BOB, ANN, 'large', body))
    wait_until(lambda: a.subjects(ANN) == ['large'], 60, lambda: b.log() + a.log())
    assert a.messages(ANN)[0].get_payload() == body
