# SPDX-License-Identifier: Apache-2.0
"""Tables that go bad under a running server, and lines without an end: clear words in the log, 4xx where nobody can tell, nothing lost."""
import os, subprocess, time
import pytest
from around import *
from unixuser import UnixUser

SLOW_LOCAL = 'a' * 40 + 'b'  # what /^(a+)+$/ needs 2^40 steps for


@pytest.fixture
def server(hosts, folder):
    for name, text in {'access': 'bad@far.test REJECT not you\n', 'senders': '/^(a+)+@slow\\.test$/ REJECT\n', 'checks': '/^Subject: (a+)+$/ REJECT\n',
                       'virtual': 'round@example.test square@example.test\nsquare@example.test round@example.test\nself@example.test self@example.test, ann@example.test\n',
                       'aliases': 'wheel: circle\ncircle: wheel\nme: me\n'}.items():
        with open(f'{folder}/{name}', 'w') as f:
            f.write(text)
    h = hosts(main=f'''compatibility_level = 3.6
mydestination = local.test
local_recipient_maps = $alias_maps
alias_maps = texthash:{folder}/aliases
virtual_alias_maps = texthash:{folder}/virtual
header_checks = pcre:{folder}/checks
smtpd_sender_restrictions = check_sender_access texthash:{folder}/access, check_sender_access pcre:{folder}/senders
smtpd_recipient_restrictions = check_recipient_access inline:{{{{never@example.test = missing}}}}, permit
smtpd_restriction_classes = missing
missing = check_client_access texthash:{folder}/never-was
notify_classes =
''')
    h.account('ann@example.test')
    return h


def said(server, sender='x@far.test', to='ann@example.test', text=None):
    """The reply to RCPT, or to the message."""
    def line(reply):
        return reply[1]
    with server.dialogue('smtp') as d:
        d.ehlo()
        reply = line(d.say(f'MAIL FROM:<{sender}>'))
        reply = line(d.say(f'RCPT TO:<{to}>')) if reply.startswith('250') else reply
        if text is None or not reply.startswith('250'):
            return reply
        d.say('DATA')
        return line(d.say(text + '\r\n.'))


def test_a_table_that_vanishes(server, folder):
    assert said(server, 'bad@far.test').startswith('554 5.7.1')
    os.rename(f'{folder}/access', f'{folder}/away')
    for _ in range(3):
        assert said(server, 'bad@far.test').startswith('554 5.7.1')  # the old one is kept
        assert said(server).startswith('250')
        time.sleep(0.5)
    server.wait_log(f'{folder}/access')
    with open(f'{folder}/access', 'w') as f:
        f.write('good@far.test REJECT now you\n')
    wait_until(lambda: said(server, 'good@far.test').startswith('554'), 20, 'the new one')
    assert said(server, 'bad@far.test').startswith('250')


def test_a_line_of_ten_megabytes(server, folder):
    assert said(server, 'bad@far.test').startswith('554 5.7.1')
    with open(f'{folder}/access', 'w') as f:
        f.write('bad@far.test ' + 'x' * 10_000_000 + '\n')
    wait_until(lambda: said(server, 'bad@far.test') and 'access, line 1: a line of 100000' in server.log(), 20, 'the line to be named')
    assert said(server, 'bad@far.test')[:3] in ('554', '451')  # never let in


def test_a_table_that_never_was(server):
    assert said(server, to='never@example.test').startswith('451 4.3.')
    assert said(server).startswith('250')
    server.wait_log('never-was')


def test_a_pattern_that_explodes(server):
    began = time.monotonic()
    assert said(server, SLOW_LOCAL + '@slow.test.').startswith(('451', '501'))
    assert said(server, SLOW_LOCAL + 'x@slow.testy').startswith('451 4.3.')
    assert said(server, text='Subject: ' + SLOW_LOCAL + '\r\n\r\nx\r\n').startswith('451 4.3.')
    assert said(server, text='Subject: aaa\r\n\r\nx\r\n').startswith('550 5.7.1')
    assert said(server, text='Subject: kept\r\n\r\nx\r\n').startswith('250')
    assert time.monotonic() - began < 20 * SLOW
    server.wait_log('match limit exceeded')
    server.wait_message('ann@example.test', 'kept')


def test_repetitions_of_repetitions(folder):
    """regcomp(3) writes them out, in minutes and gigabytes; what is usual stays the C library's, whose groups are Postfix's."""
    with open(f'{folder}/bombs', 'w') as f:
        f.write('/(((((a{1,100}){1,100}){1,100}){1,100}){1,100})/ one\n/' + '(' * 20 + 'a' + '+)' * 20 + '$/ two\n'
                '/^([a-z]{1,63}\\.){1,10}(test|tests)/ host $2\n/./ last\n')
    def postmap(key):
        return subprocess.run([os.path.dirname(HATO) + '/postmap', '-q', key, f'regexp:{folder}/bombs'], capture_output=True, text=True, timeout=20 * SLOW)
    done = postmap('mail.tests')
    assert done.stdout == 'host tests\n' and 'line 1: error in regex at offset 46: regular expression is too large: skipping this rule' in done.stderr
    assert postmap('bbb').stdout == 'last\n' and postmap('aaa').stdout == 'two\n'


def test_circles(server):
    assert said(server, to='self@example.test', text='Subject: to self\r\n\r\nx\r\n').startswith('250')
    server.wait_message('ann@example.test', 'to self')
    text = 'Subject: round\r\n\r\nx\r\n'
    assert said(server, sender='ann@example.test', to='round@example.test', text=text).startswith('554 5.1.1')
    assert said(server, sender='ann@example.test', to='wheel@local.test', text=text).startswith('250')
    server.wait_log(r'to=<wheel@local\.test>.*status=bounced')
    assert said(server).startswith('250')


@pytest.mark.root
def test_lines_of_ten_megabytes_from_clients_and_users(hosts, folder):
    """A command, a field in one line or folded, a list of addresses, a line of text, a .forward: an answer at once, and nothing is lost."""
    server = hosts('mail.far.test', 'mydestination = $myhostname\nhome_mailbox = Maildir/\nalias_maps =\nmessage_size_limit = 30000000\n')
    user, most = UnixUser(folder), 10_000_000
    try:
        with server.dialogue() as d:
            d.ehlo()
            assert d.say('NOOP ' + 'x' * most) == (500, '500 5.5.2 mail.far.test Error: command too long')
            d.say('NOOP', 250)
        for text, code in (('Subject: ' + 'y' * most, 552), ('Subject: folded' + '\r\n yyyyyyyyyyyyyyyyyyyy' * (most // 20), 552),
                           ('To: ' + 'a@b.test, ' * (most // 10) + 'x@y.test', 552), ('Subject: text\r\n\r\n' + 'z' * most, 250)):
            with server.dialogue() as d:
                d.ehlo()
                d.envelope('x@far.test', f'{user.name}@mail.far.test')
                d.say('DATA', 354)
                assert d.say(f'{text}\r\n\r\nend\r\n.')[0] == code, text[:30]
        wait_until(lambda: len(user.maildir()) == 1, 20, server.log)
        assert 'z' * most in user.maildir()[0].replace('\n', '')
        user.write('.forward', 'q' * most + '\n')
        server.send('x@far.test', f'{user.name}@mail.far.test', 'Subject: waits\r\n\r\nx\r\n')
        server.wait_log(r'dsn=4\.2\.0, status=deferred \(error reading forwarding file: File too large\)')
        os.unlink(f'{user.home}/.forward')
        server.hato('queue', 'flush')
        wait_until(lambda: len(user.maildir()) == 2, 20, server.log)
    finally:
        user.gone()
