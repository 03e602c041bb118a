# SPDX-License-Identifier: Apache-2.0
"""Where mail goes, as Postfix's tables say: aliases(5), transports, relayhosts, passwords, and what an operator is shown. Rewriting and
classes stand beside Debian's Postfix in test_differential.py (rewrite, classes, routes)."""
import base64, json, os, re, socket, threading, time
import pytest
from around import *
import hato

HASTE = 'minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\nsmtp_connect_timeout = 5s\n'
USUAL = HASTE + 'compatibility_level = 3.11\nsmtp_tls_security_level = none\nsmtp_address_preference = ipv4\n'
SMTP = {'smtp': 'smtpd', 'imaps': 'imapd -o imapd_tls_wrappermode=yes'}


def steps(host, address, *more):
    return json.loads(host.hato('route', address, '--json', *more).stdout)


def ends(host, address, *more):
    return [(e['kind'], e['address'], e['text'] or '') for e in steps(host, address, *more)['ends']]


def taken(sink, n=1, seconds=20):
    wait_until(lambda: len(sink.messages) >= n, seconds, lambda: f'{n} messages; there are {len(sink.messages)}')
    return sink.messages


def write(folder, name, text):
    path = f'{folder}/{name}'
    with open(path + '.new', 'w') as f:
        f.write(text)
    os.chmod(path + '.new', 0o644)
    os.rename(path + '.new', path)
    return path


@pytest.fixture
def out(hosts, sink, folder):
    """An instance whose mail for others goes to a sink: (instance, sink)."""
    def make(main='', accounts=('ann@example.test',), master=None, start=True, **rules):
        there = sink(**rules)
        host = hosts(main=f'{USUAL}default_transport = smtp:[127.0.0.1]:{there.port}\n{main}', accounts=accounts, services=SMTP,
                     start=False)
        if master:
            with open(host.folder + '/master.cf', 'a') as f:
                f.write(master)
        return (host.start() if start else host), there
    return make


def test_aliases(out, folder):
    members = write(folder, 'members', 'one@far.test\n# two@far.test is away\nthree@far.test, bob\n')
    aliases = write(folder, 'aliases', f'''postmaster: root
root: ann@example.test
bob: robert@far.test, "|/bin/true", /dev/null
list: :include:{members}
owner-list: ann@example.test
self: self, copy@far.test
a: b
b: a
''')
    host, there = out(f'alias_maps = hash:{aliases}\nlocal_recipient_maps = $alias_maps\nmydestination = example.org, $myhostname\n'
                      'myorigin = example.org\nrecipient_delimiter = +\n')
    host.send('x@far.test', 'root@example.org', message('x@far.test', 'root@example.org', 'to root'))
    assert host.wait_message('ann@example.test', 'to root')
    assert ends(host, 'postmaster@example.org') == [('mailbox', 'ann@example.test', '')]
    assert ('delivered', 'robert@far.test', f'by smtp to [127.0.0.1]:{there.port}') in ends(host, 'bob+x@example.org')
    assert any('command /bin/true' in t for *_, t in ends(host, 'bob@example.org'))
    assert any('file /dev/null' in t for *_, t in ends(host, 'bob@example.org'))
    assert ends(host, 'a@example.org') == [('returned', 'a@example.org', '5.4.6 alias database loop')]
    assert ('delivered', 'copy@far.test') in [e[:2] for e in ends(host, 'self@example.org')]
    assert any(a == 'self@example.org' and 'by local' in t for _, a, t in ends(host, 'self@example.org'))
    host.send('x@far.test', 'list@example.org', message('x@far.test', 'list@example.org', 'to the list'))
    got = {to[0]: sender for sender, to, text in [(s, [t], x) for s, ts, x in taken(there, 1) for t in ts]}
    wait_until(lambda: sum(len(t) for _, t, _ in there.messages) >= 3, 20)
    got = {t: s for s, ts, _ in there.messages for t in ts}
    assert set(got) == {'one@far.test', 'three@far.test', 'robert@far.test'} and set(got.values()) == {'owner-list@example.org'}


def test_transport_tables(out, folder, sink):
    other = sink()
    table = write(folder, 'transport', f'''special@far.test smtp:[127.0.0.1]:{other.port}
gone.test error:5.1.2 that domain is no more
.sub.test discard:thrown away
late.test retry:4.2.1 not today
wait.test smtp:[127.0.0.1]:{free_port()}
''')
    host, there = out(f'transport_maps = texthash:{table}\nrelocated_maps = inline:{{moved@example.test=new@far.test}}\n')
    host.send('ann@example.test', ['special@far.test', 'x@far.test', 'x@a.sub.test', 'x@sub.test'], message('ann@example.test', 'x@far.test', 'apart'))
    assert taken(other)[0][1] == ['special@far.test']
    assert sorted(t for _, ts, _ in taken(there) for t in ts) == ['x@far.test', 'x@sub.test']
    host.wait_log(r'discard\[.*to=<x@a\.sub\.test>.*status=sent \(thrown away\)')
    assert ends(host, 'x@gone.test') == [('returned', 'x@gone.test', '5.1.2 that domain is no more')]
    with host.dialogue() as d:
        d.ehlo()
        d.say('MAIL FROM:<x@far.test>', 250)
        assert d.say('RCPT TO:<x@late.test>')[1].startswith('450 4.2.1 <x@late.test>: Recipient address rejected: not today')
    # a changed table counts at once, for mail that waits as well
    host.send('ann@example.test', 'x@wait.test', message('ann@example.test', 'x@wait.test', 'waits'))
    host.wait_log(r'to=<x@wait\.test>.*status=deferred')
    write(folder, 'transport', f'* smtp:[127.0.0.1]:{other.port}\n')
    wait_until(lambda: ends(host, 'x@gone.test')[0][2] == f'by smtp to [127.0.0.1]:{other.port}', 10)
    assert taken(other, 2)[1][1] == ['x@wait.test']


def test_door_forgets_at_a_reload(out):
    """The door remembers for two seconds that an address leads elsewhere, to the same sender: not over a reload, and not for strangers."""
    main = 'mynetworks = 127.0.0.1\n'
    host, there = out(main)

    def asked(sender, client='127.0.0.1'):
        with host.dialogue(source=client) as d:
            d.ehlo()
            d.say(f'MAIL FROM:<{sender}>', 250)
            return d.say('RCPT TO:<x@far.test>')[1][:9]
    assert [asked('ann@example.test') for _ in range(3)] == ['250 2.1.5'] * 3
    assert asked('ann@example.test', '127.0.0.9') == '554 5.7.1'
    host.configure(main=host.extra_main + 'transport_maps = inline:{{far.test=error:5.1.2 gone}}\n')
    assert asked('ann@example.test') == '250 2.1.5'
    host.hato('reload')
    assert asked('ann@example.test') == '550 5.1.2'


def test_many_at_once_leave_once_each(out):
    """What comes while there is room is handed on from memory, and results are recorded together: none is lost, doubled or left behind."""
    host, there = out('default_destination_concurrency_limit = 8\n')

    def submit(who):
        with host.smtp() as s:
            for n in range(12):
                s.sendmail('ann@example.test', [f'user{who}-{n}@far.test'], message('ann@example.test', 'x@far.test', f'mail {who} {n}'))
    threads = [threading.Thread(target=submit, args=(who,)) for who in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    want = sorted(f'user{who}-{n}@far.test' for who in range(10) for n in range(12))
    wait_until(lambda: '@' not in host.hato('queue', 'list').stdout, 60, 'an empty queue')
    assert sorted(t for _, ts, _ in there.messages for t in ts) == want
    for _, (to,), text in there.messages:
        who, n = re.match(r'user(\d+)-(\d+)', to).groups()
        assert f'Subject: mail {who} {n}\r\n'.encode() in text
    wait_until(lambda: host.log().count(': removed') == 120, 20, '120 lines of messages that left')
    assert sorted(re.findall(r'to=<(user\S+)>.*status=sent', host.log())) == want
    assert host.hato('why', 'user3-7@far.test').stdout.count('sent') >= 1


def test_sender_decides(out, sink):
    by_transport = sink()
    host, there = out('sender_dependent_default_transport_maps = inline:{{sales@example.test=smtp:[127.0.0.1]:%d}, {@quiet.test=DUNNO}}\n'
                      % by_transport.port)
    host.send('sales+x@example.test', 'x@far.test', message('sales@example.test', 'x@far.test', 'one'))
    host.send('ann@example.test', 'x@far.test', message('ann@example.test', 'x@far.test', 'two'))
    host.send('', 'x@far.test', message('ann@example.test', 'x@far.test', 'three'))
    assert len(taken(there, 3)) == 3
    assert not by_transport.messages  # no delimiter: sales+x is somebody else
    host.send('sales@example.test', 'x@far.test', message('sales@example.test', 'x@far.test', 'four'))
    assert taken(by_transport)[0][0] == 'sales@example.test'
    assert 'sender_dependent_default_transport_maps' in [s['what'] for s in steps(host, 'x@far.test', '--from', 'sales@example.test')['steps']]


def test_several_relayhosts_and_fallback(hosts, sink):
    good, last = sink(), sink()
    dead = free_port()
    host = hosts(main=f'{USUAL}relayhost = [127.0.0.1]:{dead}, [127.0.0.1]:{good.port}\n', services=SMTP)
    host.send('ann@example.test', 'x@far.test', message('ann@example.test', 'x@far.test', 'second'))
    assert taken(good)
    host = hosts(main=f'{USUAL}relayhost = [127.0.0.1]:{dead}\nsmtp_fallback_relay = [127.0.0.1]:{last.port}\n', services=SMTP)
    host.send('ann@example.test', 'x@far.test', message('ann@example.test', 'x@far.test', 'fallback'))
    assert taken(last)


def test_passwords_by_sender(hosts, sink, folder):
    there = sink(extensions=['AUTH PLAIN LOGIN', '8BITMIME'], replies={'AUTH': '235 2.7.0 ok'})
    hop = f'[127.0.0.1]:{there.port}'
    table = write(folder, 'passwords', f'ann@example.test ann:one\n@quiet.test quiet:two\n{hop} usual:three\n')
    host = hosts(main=f'{USUAL}relayhost = {hop}\nsmtp_sasl_auth_enable = yes\nsmtp_sender_dependent_authentication = yes\n'
                 f'smtp_sasl_password_maps = hash:{table}\nsmtp_sasl_security_options = noanonymous\n', services=SMTP)
    for n, (sender, login) in enumerate([('ann@example.test', 'ann\0one'), ('z@quiet.test', 'quiet\0two'), ('b@else.test', 'usual\0three')], 1):
        host.send(sender, 'x@far.test', message(sender, 'x@far.test', f'letter {n}'))
        taken(there, n)
        said = [c.split()[-1] for c in there.commands if c.startswith('AUTH PLAIN')]
        assert base64.b64decode(said[-1]).decode() == '\0' + login


@pytest.mark.parametrize('tables, login', [
    ('inline:{{HOP=u:first}}', 'first'), ('texthash:FILE', 'file'), ('proxy:texthash:FILE', 'file'), ('inline:{{x=y:z}}, hash:FILE', 'file'),
    ('texthash:EMPTY, texthash:FILE', 'file'), ('texthash:EMPTY, inline:{{HOP=u:second}}', 'second'), ('static:{u:any}', 'any'), ('pcre:{{/./ u:pcre}}', 'pcre')])
def test_passwords_of_all_tables(hosts, sink, folder, tables, login):
    there = sink(extensions=['AUTH PLAIN LOGIN', '8BITMIME'], replies={'AUTH': '235 2.7.0 ok'})
    hop = f'[127.0.0.1]:{there.port}'
    files = {'FILE': write(folder, 'passwords', f'# hop\n{hop} u:file'), 'EMPTY': write(folder, 'none', 'other u:wrong'), 'HOP': hop}
    host = hosts(main=f'{USUAL}relayhost = {hop}\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = {re.sub("FILE|EMPTY|HOP", lambda m: files[m[0]], tables)}\n'
                 'smtp_sasl_security_options = noanonymous\n', services=SMTP)
    assert 'this version' not in host.hato('check').stderr
    host.send('ann@example.test', 'x@far.test', message('ann@example.test', 'x@far.test', 'letter'))
    taken(there)
    said = [c.split()[-1] for c in there.commands if c.startswith('AUTH PLAIN')]
    assert base64.b64decode(said[-1]).decode() == '\0u\0' + login


def test_passwords_of_one_service(out, sink, folder):
    there = sink(extensions=['AUTH PLAIN LOGIN', '8BITMIME'], replies={'AUTH': '235 2.7.0 ok'})
    hop = f'[127.0.0.1]:{there.port}'
    host, _ = out(f'transport_maps = inline:{{{{own.test=own:{hop}}}, {{main.test=smtp:{hop}}}}}\nsmtp_sasl_auth_enable = yes\n'
                  f'smtp_sasl_password_maps = texthash:{write(folder, "passwords", f"{hop} u:main")}\nsmtp_sasl_security_options = noanonymous\n',
                  master='own unix - - n - - smtp -o smtp_sasl_password_maps=static:u:own\n')
    for n, which in enumerate(['own', 'main'], 1):
        host.send('ann@example.test', f'x@{which}.test', message('ann@example.test', f'x@{which}.test', which))
        taken(there, n)
        assert base64.b64decode([c.split()[-1] for c in there.commands if c.startswith('AUTH PLAIN')][-1]).decode() == '\0u\0' + which


def logins(there):
    return [base64.b64decode(c.split()[-1]).decode()[1:] for c in there.commands if c.startswith('AUTH PLAIN')]


def test_password_by_the_host_that_is_reached(hosts, sink, folder, dns):
    """Postfix looks for the MX host's name before the next hop's, and sees changes of the file by itself (here: without a reload)."""
    there = sink(extensions=['AUTH PLAIN LOGIN', '8BITMIME'], replies={'AUTH': '235 2.7.0 ok'})
    names = dns('far.test MX 10 mx.far.test.\nmx.far.test A 127.0.0.1\n')
    table = f'{folder}/passwords'
    host = hosts(main=f'{USUAL}relayhost = far.test:{there.port}\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_security_options = noanonymous\n'
                 f'smtp_sasl_password_maps = hash:{table}\n', services=SMTP, dns=names, start=False)
    said = host.hato('check', check=False)
    assert f'smtp_sasl_password_maps: hash:{table}: open {table}: No such file' in said.stderr
    host.start()  # as Postfix: mail waits until the file is there
    host.send('ann@example.test', 'x@far.test', message('ann@example.test', 'x@far.test', 'one'))
    host.wait_log(rf'smtp_sasl_password_maps lookup error: .*open {table}')
    host.wait_log(r'dsn=4\.3\.0, status=deferred \(local data error while talking to mx\.far\.test')
    assert there.messages == []
    write(folder, 'passwords', f'far.test:{there.port} u:hop\nmx.far.test u:host\n')
    taken(there)
    write(folder, 'passwords', f'far.test:{there.port} u:new\n')
    time.sleep(2.5)  # the kept connection ends
    host.send('ann@example.test', 'x@far.test', message('ann@example.test', 'x@far.test', 'two'))
    taken(there, 2)
    assert logins(there) == ['u\0host', 'u\0new']


@pytest.mark.root
def test_passwords_of_one_service_that_are_roots(out, sink, folder):
    there = sink(extensions=['AUTH PLAIN LOGIN', '8BITMIME'], replies={'AUTH': '235 2.7.0 ok'})
    table = write(folder, 'own', f'[127.0.0.1]:{there.port} u:own\n')
    os.chmod(table, 0o600)
    os.chown(table, 0, 0)
    host, _ = out(f'transport_maps = inline:{{{{own.test=own:[127.0.0.1]:{there.port}}}}}\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_security_options =\n',
                  master=f'own unix - - n - - smtp -o smtp_sasl_password_maps=hash:{table}\n')
    host.send('ann@example.test', 'x@own.test', message('ann@example.test', 'x@own.test', 'letter'))
    taken(there)
    assert logins(there) == ['u\0own']


def test_services_of_their_own(out, sink):
    other = sink()
    host, there = out(f'transport_maps = inline:{{{{slow.test=slow:[127.0.0.1]:{other.port}}}}}\nslow_destination_rate_delay = 2s\n',
                      master='slow unix - - n - - smtp -o smtp_helo_name=slow.example.test\n')
    begin = time.monotonic()
    for n in range(3):
        host.send('ann@example.test', 'x@slow.test', message('ann@example.test', 'x@slow.test', f'letter {n}'))
    taken(other, 3, 30)
    assert time.monotonic() - begin >= 3.5 and 'EHLO slow.example.test' in other.commands


def test_lmtp_over_a_local_socket(hosts, folder):
    """Two recipients, two answers."""
    path, got = f'{folder}/lmtp', []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o777)
    listener.listen()

    def serve():
        while True:
            peer, _ = listener.accept()
            file = peer.makefile('rwb', 0)
            file.write(b'220 lmtp.test LMTP\r\n')
            to = []
            while line := file.readline().decode().strip():
                got.append(line)
                if line.startswith('LHLO'):
                    file.write(b'250-lmtp.test\r\n250 PIPELINING\r\n')
                elif line.startswith('RCPT'):
                    to.append(line)
                    file.write(b'250 2.1.5 ok\r\n')
                elif line == 'DATA':
                    file.write(b'354 go\r\n')
                    while file.readline() != b'.\r\n':
                        pass
                    for t in to:
                        file.write(b'452 4.2.2 full\r\n' if 'full' in t else b'250 2.0.0 saved\r\n')
                    to = []
                elif line == 'QUIT':
                    peer.close()
                    break
                else:
                    file.write(b'250 ok\r\n')
    threading.Thread(target=serve, daemon=True).start()
    host = hosts(main=f'{USUAL}virtual_mailbox_domains = box.test\nvirtual_mailbox_maps = inline:{{ann@box.test=x, full@box.test=x}}\n'
                 f'virtual_transport = lmtp:unix:{path}\n', services=SMTP)
    host.send('x@far.test', ['ann@box.test', 'full@box.test'], message('x@far.test', 'ann@box.test', 'hello'))
    host.wait_log(r'lmtp\[.*to=<ann@box\.test>, relay=mail\.example\.test\[.*/lmtp\].*status=sent \(250 2\.0\.0 saved\)')
    host.wait_log(r'lmtp\[.*to=<full@box\.test>.*dsn=4\.2\.2, status=deferred')
    assert got[0] == 'LHLO mail.example.test'


def test_table_that_vanishes(out, folder):
    """Nothing is lost and nothing is refused for good: senders are asked to come again."""
    table = write(folder, 'virtual', 'info@example.org ann@example.test\n')
    host, there = out(f'virtual_alias_maps = hash:{table}, socketmap:unix:{folder}/nobody:map\nvirtual_alias_domains = example.org\n')
    with host.dialogue() as d:
        d.ehlo()
        d.say('MAIL FROM:<x@far.test>', 250)
        assert d.say('RCPT TO:<info@example.org>')[0] == 250
        assert d.say('RCPT TO:<other@example.org>')[0] == 451
    host.send('x@far.test', 'info@example.org', message('x@far.test', 'info@example.org', 'found'))
    assert host.wait_message('ann@example.test', 'found')


def test_always_bcc(out):
    host, there = out('always_bcc = archive@far.test\n')
    host.send('x@else.test', 'ann@example.test', message('x@else.test', 'ann@example.test', 'with a copy'))
    assert host.wait_message('ann@example.test', 'with a copy') and taken(there)[0][1] == ['archive@far.test']


def test_defer_transports(out):
    host, there = out('defer_transports = smtp\n')
    host.send('ann@example.test', 'x@far.test', message('ann@example.test', 'x@far.test', 'later'))
    host.wait_log(r'status=deferred \(deferred transport\)')
    time.sleep(3)
    assert not there.messages
    host.hato('queue', 'flush')
    assert taken(there)


def test_route_says_it_plainly(out):
    host, there = out('canonical_maps = inline:{old@example.org=new@example.org}\nmydestination = example.org\n'
                      'virtual_alias_maps = inline:{new@example.org=ann@example.test}\n')
    text = host.hato('route', 'old@example.org').stdout
    assert re.search(r'canonical_maps +old@example\.org -> new@example\.org +\(inline:', text), text
    assert re.search(r'virtual_alias_maps +new@example\.org -> ann@example\.test', text), text
    assert text.splitlines()[-1] == 'mailbox: ann@example.test', text
    host.stop()  # the same without a server
    assert host.hato('route', 'old@example.org').stdout == text


def test_route_tells_what_waits_and_what_the_door_refuses(out):
    host, there = out('relay_domains = relay.test\nrelay_recipient_maps = inline:{ok@relay.test=x}\nlocal_recipient_maps = inline:{ann=x}\n'
                      'mydestination = example.org\ntransport_maps = inline:{{later.test = retry:4.3.0 tomorrow}}\n')
    lines = lambda address: host.hato('route', address).stdout.splitlines()
    assert lines('x@later.test')[-1] == 'waits: x@later.test, 4.3.0 tomorrow'
    refused = [line for line in lines('no@relay.test') if line.split('  ')[1:2] == ['refused from others']]
    assert len(refused) == 1 and refused[0].endswith('no@relay.test -> 5.1.1 User unknown in relay recipient table'), refused
    assert any('5.1.1 User unknown in local recipient table' in line for line in lines('bob@example.org'))
    for address in ('ok@relay.test', 'ann@example.org', 'x@elsewhere.test'):
        assert not any('refused' in line for line in lines(address)), address


def test_route_tells_copies_and_what_the_next_server_sees(out, folder):
    """The way of each bcc copy, and smtp_generic_maps of the way out that is taken; and so it goes."""
    generic = write(folder, 'generic', 'me@inside.test outside@good.test\n@inside.test staff@good.test\n')
    host, there = out('mydestination = here.test\nalways_bcc = archive@copy.test\nsender_bcc_maps = inline:{me@inside.test=sent@copy.test}\n'
                      'recipient_bcc_maps = inline:{you@inside.test=got@here.test}\nvirtual_alias_maps = inline:{got@here.test=ann@example.test}\n'
                      'local_recipient_maps = inline:{got=x}\n', master=f'own unix - - n - - smtp -o smtp_generic_maps=texthash:{generic}\n', start=False)
    with open(host.folder + '/main.cf', 'a') as f:
        f.write(f'transport_maps = inline:{{{{inside.test = own:[127.0.0.1]:{there.port}}}}}\n')
    host.start()
    told = steps(host, 'you@inside.test', '--from', 'me@inside.test')
    found = [(s['what'], s['key'] or '', s['value']) for s in told['steps']]
    for step in (('always_bcc', '', 'archive@copy.test'), ('sender_bcc_maps', 'me@inside.test', 'sent@copy.test'),
                 ('recipient_bcc_maps', 'you@inside.test', 'got@here.test'), ('virtual_alias_maps', 'got@here.test', 'ann@example.test'),
                 ('smtp_generic_maps', 'me@inside.test', 'outside@good.test'), ('smtp_generic_maps', '@inside.test', 'staff@good.test')):
        assert step in found, (step, found)
    assert len([f for f in found if f[0] == 'smtp_generic_maps']) == 2, 'the other ways out have none'
    hop = f'[127.0.0.1]:{there.port}'
    assert [(e['kind'], e['address'], e['text'] or '') for e in told['ends']] == [
        ('delivered', 'you@inside.test', f'by own to {hop}'), ('delivered', 'archive@copy.test', f'by smtp to {hop}, a copy (always_bcc)'),
        ('delivered', 'sent@copy.test', f'by smtp to {hop}, a copy (sender_bcc_maps)'), ('mailbox', 'ann@example.test', 'a copy (recipient_bcc_maps)')]
    host.send('me@inside.test', 'you@inside.test', message('me@inside.test', 'you@inside.test', 'letter'))
    host.wait_message('ann@example.test', 'letter')
    got = sorted((sender, *sorted(to)) for sender, to, _ in taken(there, 2))
    assert got == [('me@inside.test', 'archive@copy.test', 'sent@copy.test'), ('outside@good.test', 'staff@good.test')], got


def test_postmaster_copies(out):
    """notify_classes: a copy of each bounce, and what cannot even be returned."""
    host, there = out('myorigin = example.test\nnotify_classes = bounce, 2bounce\nbounce_notice_recipient = ann@example.test\n'
                      '2bounce_notice_recipient = ann@example.test\n', replies={'RCPT TO:<gone@': '550 5.1.1 no such user'})
    host.send('x@far.test', 'ann@example.test', message('x@far.test', 'ann@example.test', 'first'))
    host.send('sender@far.test', 'gone@far.test', message('sender@far.test', 'gone@far.test', 'letter'))
    copy = host.wait_message('ann@example.test', 'Postmaster Copy: Undelivered Mail')
    assert copy['Auto-Submitted'] == 'auto-generated' and copy['Return-Path'] == '<double-bounce@mail.example.test>'
    assert taken(there)[0][0] == '' and 'Undelivered Mail Returned' in str(there.messages[0][2])
    host.send('', 'gone@far.test', message('x@far.test', 'gone@far.test', 'from nobody'))
    wait_until(lambda: len([s for s in host.subjects('ann@example.test') if 'Postmaster' in s]) == 2, 20)
    assert len(there.messages) == 1


def test_checks_and_generic_on_the_way_out(out, folder):
    checks = write(folder, 'checks', '/^X-Secret:/ IGNORE\n/^Subject: (.*)secret(.*)$/ REPLACE Subject: $1[removed]$2\n')
    body = write(folder, 'body', '/^internal/ REPLACE public\n')
    host, there = out(f'smtp_header_checks = regexp:{checks}\nsmtp_body_checks = regexp:{body}\n'
                      'smtp_generic_maps = inline:{{ann@example.test=ann@public.test}, {@inner.test=@outer.test}}\n')
    text = message('ann@example.test', 'x@inner.test', 'a secret word', 'internal matter\nrest\n').replace('\nTo:', '\nX-Secret: 42\nTo:', 1)
    host.send('ann@example.test', 'x@inner.test', text)
    sender, to, got = taken(there)[0]
    got = got.decode()
    assert sender == 'ann@public.test' and to == ['x@outer.test']
    assert 'X-Secret' not in got and 'Subject: a [removed] word\r\n' in got
    assert re.search(r'From: .*ann@public\.test', got) and re.search(r'To: .*x@outer\.test', got)
    assert got.endswith('\r\n\r\npublic\r\nrest\r\n'), got


def test_filters_of_replies_and_statuses(out):
    """smtp_reply_filter makes 550 of one server 450; smtp_delivery_status_filter says it in other words."""
    host, there = out('smtp_reply_filter = pcre:@replies\nsmtp_delivery_status_filter = pcre:@statuses\n', start=False,
                      replies={'RCPT TO:<a@': '550 5.7.1 go away', 'RCPT TO:<b@': '550 5.1.1 nobody'})
    write(host.folder, 'replies', '/^550 5\\.7\\.1/ 450 4.7.1 come again\n')
    write(host.folder, 'statuses', '/^5\\.1\\.1 (.*)nobody(.*)/ 4.1.1 $1perhaps somebody$2\n')
    host.configure(main=host.extra_main.replace('@', host.folder + '/'))
    host.start()
    host.send('ann@example.test', ['a@far.test', 'b@far.test'], message('ann@example.test', 'a@far.test', 'letter'))
    host.wait_log(r'to=<a@far\.test>.*dsn=4\.7\.1, status=deferred \(host .* said: 450 4\.7\.1 come again')
    host.wait_log(r'to=<b@far\.test>.*dsn=4\.1\.1, status=deferred \(host .* said: 550 5\.1\.1 perhaps somebody')


def test_hold_waits_and_goes_on(out):
    """HOLD keeps a message in the queue, whoever it is for; released, it goes where it would have gone."""
    host, there = out('smtpd_recipient_restrictions = check_recipient_access inline:{ann@example.test=HOLD}\n')
    host.send('x@else.test', 'ann@example.test', message('x@else.test', 'ann@example.test', 'held'))
    queue = wait_until(lambda: json.loads(host.hato('queue', 'list', '--json').stdout), 10, 'a message in the queue')
    assert 'held' in json.dumps(queue) and host.subjects('ann@example.test') == []
    host.hato('queue', 'release', 'ALL')
    got = host.wait_message('ann@example.test', 'held')
    assert got['Return-Path'] == '<x@else.test>'
    wait_until(lambda: '@' not in host.hato('queue', 'list').stdout, 10, 'an empty queue')


def test_redirect_and_filter(out, sink):
    filtered = sink()
    host, there = out('smtpd_recipient_restrictions = check_recipient_access inline:{{bob@example.test=REDIRECT other@far.test}, '
                      f'{{ann@example.test=FILTER smtp:[127.0.0.1]:{filtered.port}}}}}\n', accounts=['ann@example.test', 'bob@example.test'])
    host.send('x@else.test', 'bob@example.test', message('x@else.test', 'bob@example.test', 'redirected'))
    assert taken(there)[0][1] == ['other@far.test']
    host.send('x@else.test', 'ann@example.test', message('x@else.test', 'ann@example.test', 'filtered'))
    assert taken(filtered)[0][1] == ['ann@example.test']
    assert host.subjects('ann@example.test') == [] == host.subjects('bob@example.test')


def test_content_filter(hosts, sink, folder):
    filtered = sink()
    host = hosts(main=f'{USUAL}content_filter = smtp:[127.0.0.1]:{filtered.port}\n', accounts=['ann@example.test'],
                 services={'smtp': 'smtpd', 'back': 'smtpd -o content_filter= -o receive_override_options=no_address_mappings',
                           'imaps': 'imapd -o imapd_tls_wrappermode=yes'})
    host.send('x@else.test', 'ann@example.test', message('x@else.test', 'ann@example.test', 'through the filter'))
    sender, to, text = taken(filtered)[0]
    assert to == ['ann@example.test'] and host.subjects('ann@example.test') == []
    host.send(sender, to, text.decode(), 'back')
    assert host.wait_message('ann@example.test', 'through the filter')


def test_tls_policy(hosts, sink, folder):
    """A self-signed certificate: good for encrypt and its fingerprint, not for verify."""
    import hashlib, ssl
    there = sink(folder=folder, extensions=['STARTTLS', '8BITMIME'])
    with open(f'{folder}/sink.crt') as f:
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(f.read())).hexdigest()
    table = write(folder, 'policy', f'[127.0.0.1]:{there.port} fingerprint match={digest}\n')
    host = hosts(main=f'{HASTE}compatibility_level = 3.11\nrelayhost = [127.0.0.1]:{there.port}\nsmtp_tls_policy_maps = hash:{table}\n', services=SMTP)
    host.send('ann@example.test', 'x@far.test', message('ann@example.test', 'x@far.test', 'one'))
    taken(there)
    assert there.encrypted == 1
    for level in ['verify', 'secure match=sink.test', f'fingerprint match={"00" * 32}']:
        write(folder, 'policy', f'[127.0.0.1]:{there.port} {level}\n')
        time.sleep(1.2)
        host.send('ann@example.test', 'x@far.test', message('ann@example.test', 'x@far.test', level[:6]))
        seen = len(re.findall('status=deferred', host.log()))
        wait_until(lambda: len(re.findall('status=deferred', host.log())) > seen, 20, lambda: host.log()[-2000:])
    assert len(there.messages) == 1
    write(folder, 'policy', f'[127.0.0.1]:{there.port} encrypt\n')
    taken(there, 4)


def test_circles_and_endless_lines(hosts, folder):
    """Aliases that lead to themselves and lines of 10 MB cost a clear answer each, and the rest of the table goes on working."""
    for name, text in (('aliases', 'a: a\nb: c\nc: b\nd: d, ann@a.test\ne: :include:%s/inc\nbig: %s\nf: ann@a.test\n' % (folder, 'x' * 10_000_000)),
                       ('inc', ':include:%s/inc\nann@a.test\n' % folder),
                       ('virtual', 'v1@v.test v2@v.test\nv2@v.test v1@v.test\nv3@v.test v3@v.test, ann@a.test\n@w.test @w.test\n')):
        with open(f'{folder}/{name}', 'w') as f:
            f.write(text)
    server = hosts('mail.a.test', f'mydestination = $myhostname, local.test\nalias_maps = hash:{folder}/aliases\nvirtual_alias_maps = hash:{folder}/virtual\n'
                   'virtual_alias_domains = v.test, w.test\n', accounts=['ann@a.test'])
    server.wait_log('aliases, line 6: a line of 10000005 bytes; the longest that is read has')

    def send(to):
        with server.dialogue() as d:
            d.ehlo()
            d.envelope('x@far.test', to)
            d.say('DATA', 354)
            return d.say(message('x@far.test', to, f'to {to}') + '.')
    assert send('b@local.test') == (554, '554 5.4.6 alias database loop')
    for to in ('v1@v.test', 'any@w.test'):
        assert send(to) == (554, '554 5.1.1 User unknown in virtual alias table'), to
    for to in ('d@local.test', 'f@local.test', 'v3@v.test'):
        assert send(to)[0] == 250, to
    assert send('e@local.test')[0] in (250, 451, 554)
    assert sorted(server.subjects('ann@a.test'))[-3:] == ['to d@local.test', 'to f@local.test', 'to v3@v.test']
