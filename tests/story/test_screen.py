# SPDX-License-Identifier: Apache-2.0
"""postscreen: what it says to clients and to the log is what Debian's Postfix says with the same main.cf."""
import re, socket, time
import pytest
from around import *
from hato import Dialogue
from nsd import Nsd
from postfix import Postfix

pytestmark = pytest.mark.root
HOST = 'mail.example.test'
MAIN = '''compatibility_level = 3.6
postscreen_greet_wait = 2s
postscreen_access_list =
smtpd_banner = $myhostname ESMTP
smtpd_peername_lookup = no
disable_vrfy_command = no
smtpd_client_connection_count_limit = 0
'''
LISTS = '''
5.0.0.127.black.test A 127.0.0.2
6.0.0.127.black.test A 127.0.0.9
7.0.0.127.black.test A 127.0.0.2
7.0.0.127.white.test A 127.0.0.3
8.0.0.127.white.test A 127.0.0.3
'''


class Client(Dialogue):
    def __init__(self, side, client, early=b''):
        self.socket = socket.create_connection((side.address, side.port), 20 * SLOW, source_address=(client, 0))
        self.file = self.socket.makefile('rb')
        if early:
            time.sleep(0.2)  # Postfix's postscreen has taken the connection
            self.socket.sendall(early)
        self.banner = self.reply()
        if early:  # Postfix may leave out the last line of its greeting then, and go on with the reply to what came early
            if self.banner[0] == 220:
                self.reply()
            self.banner = None


class Side:
    def __init__(self, name, server, port):
        self.name, self.server, self.address, self.port = name, server, server.address, port

    def lines(self, client):
        """What the log says of this client, without what differs from time to time."""
        text = ''
        for line in re.findall(r'postscreen\[\d+\]: (.*)', self.server.log()):
            if f'[{client}]' in line and 'cache' not in line:
                line = re.sub(r'\]:\d+', ']:PORT', re.sub(r'after [\d.e-]+ from', 'after T from', line))
                text += re.sub(r'to \[[\d.]+\]:PORT', 'to [HERE]:PORT', line) + '\n'
        return text

    def wait(self, client, count):
        wait_until(lambda: self.lines(client).count('\n') >= count, 5, lambda: f'{count} lines of {client} from {self.name}:\n{self.server.log()[-2000:]}')
        return self.lines(client)


@pytest.fixture
def sides(hosts, folder):
    """make(main): the same postscreen twice."""
    made = []

    def make(main=''):
        dns = Nsd(folder + '/dns', LISTS, address=own_address(), port=53).start()
        made.append(dns)
        h = hosts(host=HOST, main=MAIN + main, start=False, accounts=['ann@example.test'], networks='192.0.2.0/24', dns=dns,
                  services={'smtp': 'postscreen', 'imaps': 'imapd -o imapd_tls_wrappermode=yes'})
        h.configure(master=open(h.folder + '/master.cf').read() + 'smtpd pass - - n - - smtpd\ndnsblog unix - - n - 0 dnsblog\ntlsproxy unix - - n - 0 tlsproxy\n')
        h.start()
        p = Postfix(folder + '/postfix', 'example.test', users=['ann'], address=own_address(), port=free_port(), dns=dns,
                    main=f'myhostname = {HOST}\nmynetworks = 192.0.2.0/24\nsmtpd_relay_restrictions = reject_unauth_destination\n' + MAIN + main)
        path = p.folder + '/etc/master.cf'
        with open(path) as f:
            text = f.read()
        with open(path, 'w') as f:
            f.write(text.replace('- smtpd\n', '1 postscreen\n', 1) + 'smtpd pass - - n - - smtpd\ndnsblog unix - - n - 0 dnsblog\ntlsproxy unix - - n - 0 tlsproxy\n')
        made.append(p)
        p.start()
        return [Side('hato', h, h.ports['smtp']), Side('Postfix', p, p.port)]
    yield make
    for p in made:
        p.stop()


def both(sides, client, lines, talk, early=b''):
    """talk(dialogue) on both sides: what it returns, and the log, must be the same. Returns the log."""
    got, logs = [], []
    for side in sides:
        with Client(side, client, early) as d:
            got.append([d.banner, *talk(d)])
    for side in sides:
        logs.append(side.wait(client, lines))
    assert got[0] == got[1], f'hato: {got[0]}\nPostfix: {got[1]}'
    time.sleep(0.1)
    logs = [side.lines(client) for side in sides]
    assert logs[0] == logs[1], f'hato:\n{logs[0]}Postfix:\n{logs[1]}'
    return logs[0]


def visit(d, hello='HELO'):
    """One try to write to ann."""
    return [d.say(l) for l in (f'{hello} client.test', 'MAIL FROM:<x@else.test>', 'RCPT TO:<ann@example.test>', 'RSET', 'DATA')]


def short(d):
    return [d.say('QUIT')]


DNSBL = 'postscreen_dnsbl_sites = black.test=127.0.0.2*2 black.test=127.0.0.[8..10]*1 white.test*-3\npostscreen_dnsbl_threshold = 2\n'


@pytest.mark.parametrize('action', ['enforce', 'drop', 'ignore'])
def test_block_lists(sides, action):
    two = sides(f'{DNSBL}postscreen_dnsbl_action = {action}\n')
    log = both(two, '127.0.0.5', 3 if action != 'ignore' else 2, (lambda d: []) if action == 'drop' else visit if action == 'enforce' else short)
    assert 'DNSBL rank 2 for [127.0.0.5]' in log
    assert ('blocked using black.test; from=<x@else.test>, to=<ann@example.test>, proto=SMTP, helo=<client.test>' in log) == (action == 'enforce')
    assert 'PASS NEW' in both(two, '127.0.0.6', 2, short)  # listed, but with another answer
    assert 'PASS NEW' in both(two, '127.0.0.7', 2, short)  # good and bad
    assert 'PASS OLD' in both(two, '127.0.0.6', 4, short)


def test_the_name_told_to_clients(sides):
    two = sides(DNSBL + 'postscreen_dnsbl_action = enforce\npostscreen_dnsbl_reply_map = inline:{black.test=public.test}\n')
    assert 'blocked using public.test' in both(two, '127.0.0.5', 4, visit)


def test_good_clients_need_not_wait(sides):
    two = sides(DNSBL + 'postscreen_dnsbl_allowlist_threshold = -2\npostscreen_greet_wait = 6s\npostscreen_bare_newline_enable = yes\n')
    for side in two:
        before = time.monotonic()
        with Client(side, '127.0.0.8') as d:
            assert d.banner[0] == 220 and time.monotonic() - before < 4, side.name
        assert 'PASS NEW' in side.wait('127.0.0.8', 2)


DEEP = 'postscreen_pipelining_enable = yes\npostscreen_non_smtp_command_enable = yes\npostscreen_bare_newline_enable = yes\n'


def test_good_manners_behind_the_greeting(sides):
    two = sides(DEEP)
    log = both(two, '127.0.0.20', 4, visit)
    assert '450 4.3.2 Service currently unavailable' in log and 'PASS NEW' in log
    assert 'PASS OLD' in both(two, '127.0.0.20', 6, short)


TTL = int(10 * SLOW)


@pytest.mark.parametrize('main, deep', [(f'postscreen_greet_ttl = {TTL}s\n', False),
                                        (f'postscreen_pipelining_enable = yes\npostscreen_pipelining_ttl = {TTL}s\n', True),
                                        (f'postscreen_non_smtp_command_enable = yes\npostscreen_non_smtp_command_ttl = {TTL}s\n', True),
                                        (f'postscreen_bare_newline_enable = yes\npostscreen_bare_newline_ttl = {TTL}s\n', True)],
                         ids=['greet', 'pipelining', 'command', 'newline'])
def test_how_long_who_passed_is_known(sides, main, deep):
    """Whoever passed is known for the test's time, and tested again behind it."""
    two = sides(main)
    waited = {}

    def come(word):
        for side in two:
            before = time.monotonic()
            with Client(side, '127.0.0.31') as d:
                waited[side.name, word] = time.monotonic() - before
                (visit if deep else short)(d)
    come('first')
    known = time.monotonic()
    come('again')
    quick = time.monotonic() - known < TTL - 2
    time.sleep(TTL + 2)
    come('later')
    for side in two:
        log = side.wait('127.0.0.31', 6)
        if deep:  # the door closes once more behind the test
            wait_until(lambda: side.lines('127.0.0.31').count('450 4.3.2') == 2, 5, lambda: side.lines('127.0.0.31'))
        else:  # who is known need not wait
            assert waited[side.name, 'later'] > 1.5 and (not quick or waited[side.name, 'again'] < waited[side.name, 'later'] - 0.5), (side.name, waited)


@pytest.mark.parametrize('action', ['enforce', 'drop', 'ignore'])
def test_bad_manners_behind_the_greeting(sides, action):
    two = sides(DEEP + ''.join(f'postscreen_{t}_action = {action}\n' for t in ('pipelining', 'non_smtp_command', 'bare_newline')))

    def pipelining(d):
        d.raw('HELO client.test\r\nMAIL FROM:<x@else.test>\r\n')
        got = [d.reply()]
        if action == 'drop':
            return got
        return [*got, d.reply(), d.say('RCPT TO:<ann@example.test>'), d.say('QUIT')]

    def foreign(d):
        got = [d.say('Subject: buy')]
        return got if action == 'drop' else [*got, *visit(d)]

    def bare(d):
        d.raw('HELO client.test\n')
        got = [d.reply()]
        return got if action == 'drop' else [*got, *visit(d)]

    assert 'COMMAND PIPELINING from [127.0.0.21]:PORT after HELO: MAIL' in both(two, '127.0.0.21', 3, pipelining)
    assert 'NON-SMTP COMMAND from [127.0.0.22]:PORT after CONNECT: Subject: buy' in both(two, '127.0.0.22', 3, foreign)
    assert 'BARE NEWLINE from [127.0.0.23]:PORT after HELO client.test' in both(two, '127.0.0.23', 3, bare)


def test_the_rest_of_the_conversation(sides):
    two = sides(DEEP + 'postscreen_command_count_limit = 17\nsmtpd_helo_required = yes\nsmtpd_tls_security_level = may\n')

    def talk(d):
        got = [d.say(l) for l in ('MAIL FROM:<x@else.test>', 'EHLO', 'EHLO client.test', 'RCPT TO:<ann@example.test>', 'MAIL x', 'RCPT x',
                                  'MAIL FROM:<x@else.test> SIZE=100', 'MAIL FROM:<y@else.test>', 'RCPT TO:<ann@example.test>', 'NOOP',
                                  'VRFY ann', 'ETRN x', 'AUTH PLAIN', 'FOO', 'RSET', 'EHLO again', 'NOOP', 'NOOP')]
        return got
    both(two, '127.0.0.24', 4, talk)


def test_settings_of_its_own(sides):
    """What is postscreen's where smtpd has another; the test of the greeting has a first line of its own."""
    two = sides(DEEP + 'postscreen_greet_banner = wait here\npostscreen_helo_required = yes\nsmtpd_helo_required = no\npostscreen_disable_vrfy_command = yes\n'
                'postscreen_forbidden_commands = FOO, BAR\npostscreen_discard_ehlo_keywords = dsn, etrn, vrfy\npostscreen_non_smtp_command_action = enforce\n'
                'postscreen_pipelining_action = ignore\npostscreen_bare_newline_action = enforce\npostscreen_dnsbl_timeout = 3s\n'
                'postscreen_tls_security_level = none\npostscreen_client_connection_count_limit = 2\n')
    log = both(two, '127.0.0.32', 4, lambda d: [d.say(l) for l in ('MAIL FROM:<x@else.test>', 'EHLO client.test', 'VRFY ann', 'BAR x', 'CONNECT x', 'MAIL FROM:<x@else.test>',
                                                                  'RCPT TO:<ann@example.test>')])
    assert 'NON-SMTP COMMAND' in log
    for side in two:
        with Client(side, '127.0.0.33') as a, Client(side, '127.0.0.33') as b, Client(side, '127.0.0.33') as c:
            assert [d.banner[0] for d in (a, b, c)] == [220, 220, 421], side.name
            assert 'wait here' in a.banner[1], (side.name, a.banner)


def test_secondary_addresses_earn_no_trust(sides):
    two = sides('postscreen_allowlist_interfaces = 192.0.2.99\n')
    assert 'ALLOWLIST VETO [127.0.0.25]' in both(two, '127.0.0.25', 4, visit)
    assert 'PASS' not in both(two, '127.0.0.25', 8, visit)


def test_denied(sides):
    two = sides('postscreen_denylist_action = enforce\npostscreen_access_list = cidr:{{127.0.0.26/32 reject}, {127.0.0.27/32 permit}}\n')
    assert '550 5.3.2 Service currently unavailable' in both(two, '127.0.0.26', 4, visit)
    both(two, '127.0.0.27', 2, short)


def test_soft_bounce(sides):
    """Nothing is for good, in the deep tests and in the refusal."""
    two = sides('soft_bounce = yes\npostscreen_denylist_action = enforce\npostscreen_access_list = cidr:{{127.0.0.26/32 reject}}\n')
    both(two, '127.0.0.26', 4, lambda d: [*visit(d), d.say('FOO'), d.say('VRFY')])


def test_hasty_and_gone(sides):
    two = sides('postscreen_greet_action = enforce\n')
    log = both(two, '127.0.0.28', 4, lambda d: visit(d, 'EHLO'), early=b'EHLO spam.test\r\n')
    assert 'PREGREET 16 after T from' in log
    for side in two:
        with socket.create_connection((side.address, side.port), 5, source_address=('127.0.0.29', 0)):
            pass
    logs = [side.wait('127.0.0.29', 3) for side in two]
    assert logs[0] == logs[1] and 'HANGUP' in logs[0]


def test_footer_filter_and_keywords(hosts, folder):
    """postscreen_reject_footer, _expansion_filter, _command_filter, _discard_ehlo_keyword_address_maps: in the conversation that takes no mail."""
    host = hosts(main='postscreen_greet_wait = 1s\npostscreen_access_list =\npostscreen_bare_newline_enable = yes\n'
                      'postscreen_reject_footer = \\c. Ask help.test, say ${client_address}\\nand come again to $server_name\n'
                      'postscreen_reject_footer_maps = regexp:{{/^503/ For you}}\n'
                      'postscreen_expansion_filter = 0123456789abcdefghijklmnopqrstuvwxyz\n'
                      'postscreen_command_filter = regexp:{{/^XNOOP/ NOOP}}\n'
                      'postscreen_discard_ehlo_keyword_address_maps = inline:{{127.0.0.1=chunking, dsn}}\n',
                 services={'smtp': 'postscreen'})
    with host.dialogue() as d:
        said = d.say('EHLO client.test', 250)[1]
        assert 'CHUNKING' not in said and 'DSN' not in said and '8BITMIME' in said, said
        d.say('XNOOP', 250)
        assert d.say('RCPT TO:<x@example.test>', 503)[1].splitlines()[-1] == '503 5.5.1 For you'
        d.say('MAIL FROM:<a@far.test>', 250)
        lines = d.say('RCPT TO:<x@example.test>', 450)[1].splitlines()
        assert lines == ['450-4.3.2 Service currently unavailable. Ask help.test, say 127_0_0_1', '450 4.3.2 and come again to mail_example_test'], lines


def test_who_passed_is_known_after_a_restart(hosts):
    host = hosts(main='postscreen_greet_wait = 1s\npostscreen_access_list =\n', services={'smtp': 'postscreen'})
    with host.dialogue() as d:
        d.say('QUIT', 221)
    host.wait_log(r'PASS NEW \[127\.0\.0\.1\]')
    host.stop()
    host.start()
    with host.dialogue() as d:
        d.say('QUIT', 221)
    host.wait_log(r'PASS OLD \[127\.0\.0\.1\]')
    assert host.log().count('PASS NEW') == 1
