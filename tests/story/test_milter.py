# SPDX-License-Identifier: Apache-2.0
"""Milters: what they are told, what they may change, and that none of them can do harm. Postfix with the same milter is
asked where its words or its order matter. (Debian's miltertest is no help here: it plays the MTA and proves filters. lib/milter.py
plays the filter; real ones are in test_real_milters.py and test_seed_misskey.py.)"""
import os, re, smtplib, socket, struct, subprocess, time
import pytest
import hato
import milter as m
import postfix as postfix_
from around import *

MESSAGE = 'From: ann@example.test\r\nTo: bob@example.test\r\nSubject: hello\r\nX-Old: one\r\n\ttwo\r\nX-Old: three\r\n\r\ntext\r\n'


@pytest.fixture
def milter(folder):
    made = []

    def make(answers=None, unix=False, **more):
        made.append(m.Milter(f'{folder}/m{len(made)}.sock' if unix else 0, answers, **more))
        return made[-1]
    yield make
    for one in made:
        one.close()


def serve(hosts, *milters, main=''):
    listed = ', '.join(one if isinstance(one, str) else one.spec for one in milters)
    return hosts(accounts=['ann@example.test', 'bob@example.test'], main=f'smtpd_milters = {listed}\n{main}')


def only(server, user='bob@example.test'):
    found = server.messages(user)
    assert len(found) == 1, server.log()[-2000:]
    return found[0]


@pytest.mark.core
def test_told_everything(hosts, milter):
    spy = milter(unix=True)
    server = serve(hosts, spy)
    server.send('ann@example.test', 'bob@example.test', MESSAGE)
    wait_until(lambda: spy.of('quit'), 5)
    kinds = [k for k, _, _ in spy.events]
    assert kinds == ['offer', 'connect', 'helo', 'mail', 'rcpt', 'data'] + ['header'] * (len(spy.header())) + \
        ['eoh', 'body', 'eom', 'quit']
    macros, data = spy.of('connect')[0]
    assert data.startswith(b'localhost\x004') and data.endswith(b'127.0.0.1\0')
    assert macros == {'j': server.host, '{daemon_name}': server.host, '{daemon_addr}': '127.0.0.1',
                      'v': macros['v'], '_': 'localhost [127.0.0.1]'}
    assert spy.of('mail')[0][1].startswith(b'<ann@example.test>\0')
    assert spy.of('rcpt')[0][1] == b'<bob@example.test>\0'
    assert spy.of('mail')[0][0]['{mail_addr}'] == 'ann@example.test'
    assert (b'X-Old', b'one\n\ttwo') in spy.header() and not [h for h in spy.header() if h[0] == b'Received']
    assert spy.of('body')[0][1] == b'text\r\n'
    queue_id = spy.of('eom')[0][0]['i']
    assert re.search(rf'{queue_id}: client=localhost', server.log())


@pytest.mark.core
def test_all_changes(hosts, milter):
    eager = milter({'eom': [
        b'p', m.insert(1, 'X-First', 'a\n b'), m.add('X-Last', 'end'), m.change(2, 'x-old', ''), m.change(1, 'X-Old', 'new'),
        m.change(1, 'X-None', 'added'), m.del_rcpt('<bob@example.test>'), m.add_rcpt('<ann@example.test>', 'NOTIFY=NEVER'),
        m.sender('<new@example.test>', 'RET=HDRS'), m.body(b'other '), m.body(b'text\r\n'), m.CONTINUE]})
    after = milter()
    server = serve(hosts, eager, after)
    server.send('ann@example.test', 'bob@example.test', MESSAGE)
    got = only(server, 'ann@example.test')
    assert server.messages('bob@example.test') == []
    names = got.keys()
    assert names.index('Return-Path') < names.index('Received') < names.index('X-First') < names.index('From')
    assert got['Return-Path'] == '<new@example.test>' and names[-1] == 'X-None'
    assert got['X-Last'] == 'end' and got.get_all('X-Old') == ['new'] and got['X-First'] == 'a\r\n b'
    assert got.get_payload() == 'other text\r\n'
    assert [h[0] for h in after.header()].index(b'X-First') == 0 and after.of('body')[0][1] == b'other text\r\n'


def test_refusals_and_log(hosts, milter):
    verdicts = {'mail': m.CONTINUE, 'rcpt': m.CONTINUE, 'eom': m.CONTINUE}
    judge = milter({k: (lambda data, k=k: verdicts[k]) for k in verdicts})
    server = serve(hosts, judge)
    with server.dialogue() as d:
        d.ehlo()
        verdicts['mail'] = m.REJECT
        assert d.say('MAIL FROM:<ann@example.test>') == (550, '550 5.7.1 Command rejected')
        verdicts['mail'] = m.reply('450-4.7.1 one\r\n450 4.7.1 two')
        assert d.say('MAIL FROM:<ann@example.test>') == (450, '450-4.7.1 one\n450 4.7.1 two')
        verdicts['mail'] = m.CONTINUE
        verdicts['rcpt'] = m.TEMPFAIL
        d.say('MAIL FROM:<ann@example.test>', 250)
        assert d.say('RCPT TO:<bob@example.test>') == (451, '451 4.7.1 Service unavailable - try again later')
        verdicts['rcpt'] = m.CONTINUE
        d.say('RCPT TO:<bob@example.test>', 250)
        verdicts['eom'] = m.reply('550 5.7.1 rejected by DMARC policy for example.test')
        d.say('DATA', 354)
        assert d.say(MESSAGE + '.') == (550, '550 5.7.1 rejected by DMARC policy for example.test')
    server.wait_log(r'/smtpd\[\d+\]: NOQUEUE: milter-reject: RCPT from localhost\[127.0.0.1\]: 451 4.7.1 Service unavailable - '
                    r'try again later; from=<ann@example.test> to=<bob@example.test> proto=ESMTP helo=<client.test>')
    server.wait_log(r'/cleanup\[\d+\]: \w+: milter-reject: END-OF-MESSAGE from localhost\[127.0.0.1\]: 5.7.1 rejected by DMARC '
                    r'policy for example.test; from=<ann@example.test> to=<bob@example.test> proto=ESMTP helo=<client.test>\n')
    assert server.log().count('END-OF-MESSAGE') == 1
    assert server.messages('bob@example.test') == []


def test_discard(hosts, milter):
    server = serve(hosts, milter({'eom': m.DISCARD}))
    server.send('ann@example.test', 'bob@example.test', MESSAGE)
    server.wait_log(r'milter-discard: END-OF-MESSAGE from localhost\[127.0.0.1\]: milter triggers DISCARD action;')
    assert server.messages('bob@example.test') == []


@pytest.mark.core
@pytest.mark.parametrize('what', ['absent', 'hangs', 'hangs up', 'lies', 'long', 'no offer'])
def test_no_milter_can_stop_mail(hosts, milter, what):
    bad = {'absent': lambda: f'inet:127.0.0.1:{free_port()}',
           'hangs': lambda: milter({'eom': m.HANG}).spec,
           'hangs up': lambda: milter({'rcpt': m.HANG_UP}).spec,
           'lies': lambda: milter({'mail': b'Zxx'}).spec,
           'long': lambda: milter({'mail': b'c' * 2000000}).spec,
           'no offer': lambda: milter(raw_offer=b'220 not a milter\r\n').spec}[what]()
    server = serve(hosts, f'{{ {bad}, default_action=accept, command_timeout=1s, content_timeout=1s, connect_timeout=1s }}')
    server.send('ann@example.test', 'bob@example.test', MESSAGE)
    assert only(server)['Subject'] == 'hello'
    server.wait_log(r'warning: (connect to M|m)ilter')


@pytest.mark.parametrize('action,answer', [('tempfail', (451, '4.7.1')), ('reject', (550, '5.5.0')), ('shutdown', (421, '4.7.0'))])
def test_default_action(hosts, action, answer):
    server = serve(hosts, f'inet:127.0.0.1:{free_port()}', main=f'milter_default_action = {action}')
    with server.dialogue() as d:
        assert d.banner[0] == answer[0] and d.banner[1].split()[1] == answer[1], d.banner


def test_large_message(hosts, milter):
    """25 MB go through a milter that reads and changes them."""
    size = [0]

    def count(data):
        size[0] += len(data)
        return m.CONTINUE
    adder = milter({'body': count, 'eom': [m.insert(0, 'X-Seen', 'yes'), m.CONTINUE]})
    server = serve(hosts, adder, main='message_size_limit = 40000000')
    line = 'x' * 70 + '\r\n'
    text = MESSAGE + line * (25000000 // len(line))
    server.send('ann@example.test', 'bob@example.test', text)
    got = only(server)
    assert got['X-Seen'] == 'yes' and len(got.get_payload()) == len(text) - len(MESSAGE) + 6 == size[0]


STEPS = {'connect', 'helo', 'mail', 'rcpt', 'data', 'unknown', 'eoh', 'eom'}


def told(spy, own):
    """What a milter heard, without what must differ: queue ids, ports, versions, names of transports."""
    out = []
    for kind, macros, data in spy.events:
        if kind in ('abort', 'quit', 'offer'):
            continue
        macros = dict(macros or {}) if kind in STEPS else {}  # Postfix repeats {i} with each header and piece of body
        for name in ('i', 'v', '{mail_mailer}', '{rcpt_mailer}'):
            if name in macros:
                macros[name] = name
        if kind == 'connect':
            data = data[:11] + data[13:]
        data = re.sub(rb'<\d{14}\.\w+@|[+-]\d{4}( \(UTC\))?|\d\d:\d\d:\d\d', b'', data).replace(b'Message-Id', b'Message-ID')
        out.append((kind, macros, data))
    return [e for i, e in enumerate(out) if e[0] != 'connect' or out[i + 1][0] != 'connect']


@pytest.mark.root
@postfix_.to_the_letter
@pytest.mark.parametrize('steps', [0, 0x800, 0x100000])
def test_same_as_postfix(hosts, postfix, milter, steps):
    """The same milter is told the same by Postfix and by us, and what it asks for is done in the same way."""
    changes = [m.insert(0, 'X-Zero', '0'), m.insert(1, 'X-One', '1'), m.insert(2, 'X-Two', '2'), m.insert(99, 'X-Far', '9'),
               m.add('X-Add', 'a\n b'), m.change(1, 'X-Sp', 'new'), m.change(1, 'X-None', 'none'), m.change(2, 'X-Twice', ''),
               m.change(5, 'Subject', 'five'), m.change(1, 'Received', 'mine'), m.CONTINUE]
    text = ('From: ann@example.test\r\nTo: bob@example.test\r\nReceived: x\r\nSubject: hello\r\nX-Sp:  two\r\nX-Tab:\ttab\r\n'
            'X-No:none\r\nX-Fold: a\r\n\tb\r\nX-Twice: 1\r\nX-Twice: 2\r\nX-Empty:\r\nX-Trail: x  \r\n\r\ntext\r\n')
    spies = milter({'eom': changes}, steps=steps), milter({'eom': changes}, steps=steps)
    theirs = postfix('example.test', users=['ann', 'bob'], port=free_port(), main=f'smtpd_milters = {spies[0].spec}\n', tls=False)
    ours = hosts(host='mx.example.test', accounts=['ann@example.test', 'bob@example.test'],
                 main=f'smtpd_milters = {spies[1].spec}\nmyorigin = example.test')
    for address, port in ((theirs.address, theirs.port), (ours.address, ours.ports['smtp'])):
        with hato.Dialogue(address, port) as d:
            d.ehlo('me.test')
            d.say('MAIL FROM:<ann@example.test> SIZE=100 BODY=8BITMIME', 250)
            d.say('RCPT TO:<nobody@example.test>', 550)
            d.say('RCPT TO:<bob@example.test> NOTIFY=NEVER ORCPT=rfc822;x@y', 250)
            d.say('RCPT TO:<ann@example.test>', 250)
            d.say('DATA', 354)
            d.say(text + '.', 250)
            d.say('MAIL FROM:<>', 250)
            d.say('RSET', 250)
            d.say('BOGUS x', 500)
            d.say('QUIT', 221)
    wait_until(lambda: spies[0].of('quit') and spies[1].of('quit'), 10)
    assert told(spies[1], True) == told(spies[0], False)
    them = wait_until(lambda: theirs.messages('bob'), 10)[0]
    us = ours.wait_message('bob@example.test', lambda _: True)
    own = ('return-path', 'x-original-to', 'delivered-to')
    headers = [[(k.lower(), ' '.join(v.split()) if k != 'Received' or v == 'mine' else '…') for k, v in msg.items()
                if k.lower() not in own + ('date', 'message-id')] for msg in (us, them)]
    assert headers[0] == headers[1]


def test_milter_header_checks(hosts, folder, milter):
    with open(f'{folder}/mhc', 'w') as f:
        f.write('/^X-Gone:/ IGNORE\n/^X-Score: *([0-9]+)/ REPLACE X-Level: $1\n/^X-Virus: yes/ REJECT virus found\n')
    judge = milter({'eom': lambda data: [m.add('X-Gone', '1'), m.add('X-Score', '7'), m.add('X-Keep', 'k'), *found, m.CONTINUE]})
    found = []
    server = serve(hosts, judge, main=f'milter_header_checks = regexp:{folder}/mhc')
    server.send('ann@example.test', 'bob@example.test', MESSAGE)
    got = only(server)
    assert got['X-Gone'] is None and got['X-Level'] == '7' and got['X-Keep'] == 'k' and got['X-Score'] is None
    found.append(m.add('X-Virus', 'yes'))
    with pytest.raises(smtplib.SMTPDataError, match='5.7.1 virus found'):
        server.send('ann@example.test', 'bob@example.test', MESSAGE)
    server.wait_log(r'/cleanup\[\d+\]: \w+: reject: header X-Virus: yes from localhost')


def test_maps_and_defaults(hosts, folder, milter):
    """smtpd_milter_maps by the client's address; milter_macro_defaults; macros that are asked for; another protocol version."""
    usual, other = milter(macros={2: 'i {mail_addr} {daemon_port} {colour}'}), milter(version=2)
    with open(f'{folder}/maps', 'w') as f:
        f.write(f'127.0.0.1 DISABLE\n127.0.0.3 {{ {other.spec}, protocol=2 }}\n')
    server = serve(hosts, usual, main=f'smtpd_milter_maps = texthash:{folder}/maps\nmilter_macro_defaults = colour=red')
    for source, told in (('127.0.0.1', None), ('127.0.0.2', usual), ('127.0.0.3', other)):
        before = len(usual.events), len(other.events)
        with smtplib.SMTP(server.address, server.ports['smtp'], source_address=(source, 0)) as s:
            s.sendmail('ann@example.test', ['bob@example.test'], MESSAGE)
        wait_until(lambda: told is None or told.of('quit'), 10)
        assert (len(usual.events) > before[0], len(other.events) > before[1]) == (told is usual, told is other)
    assert usual.of('mail')[0][0] == {'{mail_addr}': 'ann@example.test', '{daemon_port}': str(server.ports['smtp']), '{colour}': 'red'}
    assert not other.of('data') and other.of('eom')


def test_login_and_tls_macros(hosts, milter):
    spy = milter()
    server = serve(hosts, spy)
    server.send('ann@example.test', 'bob@example.test', MESSAGE, 'submission', 'ann@example.test')
    macros = spy.of('mail')[0][0]
    assert macros['{auth_authen}'] == 'ann@example.test' and macros['{auth_type}'] in ('PLAIN', 'LOGIN')
    assert spy.of('helo')[-1][0]['{tls_version}'].startswith('TLSv1.') and spy.of('helo')[-1][0]['{cipher_bits}'] in ('128', '256')


def test_quarantine_and_no_milters(hosts, milter):
    holder = milter({'eom': [m.quarantine('odd'), m.CONTINUE]})
    server = serve(hosts, holder)
    server.send('ann@example.test', 'bob@example.test', MESSAGE)
    server.wait_log(r'milter-hold: END-OF-MESSAGE from localhost\[127.0.0.1\]: milter triggers HOLD action;')
    assert server.messages('bob@example.test') == []
    free = serve(hosts, holder, main='receive_override_options = no_milters')
    free.send('ann@example.test', 'bob@example.test', MESSAGE)
    assert only(free)['Subject'] == 'hello'


@pytest.mark.root
@postfix_.to_the_letter
def test_macros_that_main_cf_names(hosts, postfix, milter):
    """milter_…_macros, one list for each stage: what is in them is told, beside Postfix, and nothing else."""
    lists = {'connect': 'j {daemon_name} v', 'helo': 'j {client_addr}', 'mail': 'i {mail_addr} {client_name}', 'rcpt': 'i {rcpt_addr} {mail_addr}', 'data': 'i {mail_addr}',
             'end_of_header': 'i j', 'end_of_data': 'i {mail_addr} v', 'unknown_command': 'j {client_addr}'}
    main = ''.join(f'milter_{stage}_macros = {macros}\n' for stage, macros in lists.items()) + 'milter_macro_v = our own $myhostname\nmilter_macro_daemon_name = gate\n'
    spies = milter(), milter()
    theirs = postfix('example.test', users=['ann', 'bob'], port=free_port(), main=f'smtpd_milters = {spies[0].spec}\n{main}', tls=False)
    ours = hosts(host='mx.example.test', accounts=['ann@example.test', 'bob@example.test'], main=f'smtpd_milters = {spies[1].spec}\nmyorigin = example.test\n{main}')
    for address, port in ((theirs.address, theirs.port), (ours.address, ours.ports['smtp'])):
        with hato.Dialogue(address, port) as d:
            d.ehlo('me.test')
            d.say('BOGUS x', 500)
            d.envelope('ann@example.test', 'bob@example.test')
            d.say('DATA', 354)
            d.say(MESSAGE + '.', 250)
            d.say('QUIT', 221)
    wait_until(lambda: spies[0].of('quit') and spies[1].of('quit'), 20)
    got = []
    for spy in spies:
        seen = {}
        for kind, macros, _ in spy.events:
            if kind in STEPS and macros:
                seen.setdefault(kind, {**macros, **{n: n for n in ('i', '{i}') if n in macros}})
        got.append(seen)
    assert got[1] == got[0]
    assert got[1]['connect']['v'] == 'our own mx.example.test' and set(got[1]) == STEPS


@pytest.mark.parametrize('name, answers', [('milter_connect_timeout', {'raw_offer': m.HANG}), ('milter_command_timeout', {'mail': m.HANG}), ('milter_content_timeout', {'eom': m.HANG})])
def test_how_long_a_milter_may_take(hosts, milter, name, answers):
    slow = milter(answers)
    server = serve(hosts, slow, main=f'{name} = 1s\nmilter_default_action = accept')
    began = time.monotonic()
    server.send('ann@example.test', 'bob@example.test', MESSAGE)
    assert only(server)['Subject'] == 'hello' and time.monotonic() - began < 15 * SLOW
