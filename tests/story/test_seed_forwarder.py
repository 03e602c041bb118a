# SPDX-License-Identifier: Apache-2.0
"""The forwarder: a domain of one's own, mail read at Gmail and iCloud, and an address for every shop. The tables are those
that the document "Postfix as a forwarder" prints (S2–S17), with domains of the tests."""
import os, re, time
import pytest
from around import *

pytestmark = pytest.mark.root
CANONICAL = '/./ envelope-sender@torus.test\n'
VIRTUAL = '''envelope-sender@torus.test xxxxx@me.test
postmaster@torus.test xxxxx@me.test
toru@torus.test xxxxx@gmail.test
'''
HASTE = 'minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\n'


class Forwarder:
    def __init__(self, folder, hosts, dns, sink, main=''):
        self.gmail, self.me = (sink(address=own_address(), port=25) for _ in 'ab')
        names = dns(f'gmail.test MX 10 mx.gmail.test.\nmx.gmail.test A {self.gmail.address}\n'
                    f'me.test MX 10 mx.me.test.\nmx.me.test A {self.me.address}\n')
        for name, text in (('postfix-canonical', CANONICAL), ('postfix-virtual.cf', VIRTUAL)):
            with open(f'{folder}/{name}', 'w') as f:
                f.write(text)
        self.server = hosts('mail.torus.test', f'''canonical_maps = regexp:{folder}/postfix-canonical
canonical_classes = envelope_sender
virtual_alias_domains = torus.test
virtual_alias_maps = texthash:{folder}/postfix-virtual.cf
recipient_delimiter = +-
mydestination =
{HASTE}{main}''', dns=names, networks='127.0.0.2/32')

    def send(self, sender, to, subject='letter', body='hello\n'):
        with self.server.dialogue() as talk:
            talk.ehlo()
            talk.envelope(sender, to)
            talk.say('DATA', 354)
            return talk.say(message(sender or 'mailer-daemon@far.test', to, subject, body) + '.', 250)


@pytest.fixture
def forwarder(folder, hosts, dns, sink):
    return lambda main='': Forwarder(folder, hosts, dns, sink, main)


def taken(sink):
    return [(sender, to) for sender, to, _ in sink.messages]


def test_mail_goes_on_with_our_sender_and_the_header_stays(forwarder):
    f = forwarder()
    f.send('shop@far.test', 'toru@torus.test')
    wait_until(lambda: f.gmail.messages, 20)
    sender, to, text = f.gmail.messages[0]
    assert (sender, to) == ('envelope-sender@torus.test', ['xxxxx@gmail.test'])
    assert re.search(r'^From: shop@far.test', text if isinstance(text, str) else text.decode(), re.M)


@pytest.mark.parametrize('address', ['toru-amazon@torus.test', 'toru+amazon@torus.test', 'TORU-a-b@torus.test'])
def test_both_delimiters_split(forwarder, address):
    f = forwarder()
    f.send('shop@far.test', address)
    wait_until(lambda: f.gmail.messages, 20)
    assert taken(f.gmail)[0][1][0].startswith('xxxxx')


def test_an_unknown_name_is_refused_at_the_door(forwarder):
    f = forwarder()
    with f.server.dialogue() as talk:
        talk.ehlo()
        talk.say('MAIL FROM:<shop@far.test>', 250)
        code, text = talk.say('RCPT TO:<nobody@torus.test>')
        assert code == 550 and 'User unknown in virtual alias table' in text


def test_a_refused_message_comes_back_once_and_does_not_circle(forwarder):
    f = forwarder()
    f.gmail.rules['replies'] = {'.': '550-5.7.1 [203.0.113.1 12] Our system has detected that this message is\r\n'
                                     '550-5.7.1 likely unsolicited mail.\r\n550 5.7.1 https://support.gmail.test/UnsolicitedMessageError'}
    f.send('shop@far.test', 'toru@torus.test')
    wait_until(lambda: f.me.messages, 20, lambda: f.server.log())
    assert taken(f.me) == [('', ['xxxxx@me.test'])], 'the report goes to who sends: envelope-sender, and by its alias to iCloud'
    f.server.wait_log(r'status=bounced .*550-5\.7\.1 .*UnsolicitedMessageError')
    f.me.rules['replies'] = {'.': '550 5.7.1 no'}
    f.send('', 'envelope-sender@torus.test', 'a report that nobody takes')
    wait_until(lambda: len(re.findall('status=bounced', f.server.log())) >= 2, 20)
    wait_until(lambda: 'is empty' in f.server.hato('queue', 'list').stdout, 20)
    assert len(f.me.messages) == 1


def test_check_asks_for_the_alias_of_everybodys_sender(forwarder, folder):
    f = forwarder()
    assert 'canonical_maps makes' not in f.server.hato('check').stderr
    with open(f'{folder}/postfix-virtual.cf', 'w') as table:
        table.write(VIRTUAL.partition('\n')[2])
    time.sleep(1.1)
    said = f.server.hato('check').stderr
    assert 'canonical_maps makes envelope-sender@torus.test the sender of everybody\'s mail' in said and 'User unknown' in said, said


def test_one_provider_does_not_slow_the_other(forwarder):
    f = forwarder()
    f.gmail.rules['replies'] = {'RCPT': '421 4.7.28 rate limited'}
    for n in range(5):
        f.send('shop@far.test', 'toru@torus.test', f'gmail {n}')
    f.send('shop@far.test', 'postmaster@torus.test', 'admin')
    wait_until(lambda: f.me.messages, 10)
    f.gmail.rules['replies'] = {}
    wait_until(lambda: len(f.gmail.messages) == 5, 30)


def test_the_table_is_changed_while_the_server_runs(forwarder, folder):
    f = forwarder()
    with open(f'{folder}/postfix-virtual.cf', 'a') as table:
        table.write('new@torus.test xxxxx@me.test\n')
    time.sleep(1.1)
    f.send('shop@far.test', 'new@torus.test')
    wait_until(lambda: f.me.messages, 20)
    with open(f'{folder}/postfix-canonical', 'w') as table:
        table.write('/(unclosed/ broken@torus.test\n')
    time.sleep(1.1)
    f.send('shop@far.test', 'postmaster@torus.test')
    wait_until(lambda: len(f.me.messages) == 2, 20)
    assert taken(f.me)[1][0] == 'envelope-sender@torus.test', 'a broken edit keeps the old table'
    f.server.wait_log('postfix-canonical.*line 1')
