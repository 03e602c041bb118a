# SPDX-License-Identifier: Apache-2.0
"""toru-shop@torus.test: an address for a shop, read at a large provider. There, a real Postfix asks policyd-spf and OpenDKIM
what they think of what hato forwards; its bounces come back; what is forged never leaves."""
import base64, os, re, subprocess
import dkim, pytest
import postfix as postfix_lib
from around import *

NEEDED = ('/usr/sbin/opendkim', '/usr/bin/policyd-spf', '/usr/sbin/postfix')
pytestmark = [pytest.mark.root, pytest.mark.skipif(not all(map(os.path.exists, NEEDED)), reason=', '.join(NEEDED))]
SENDERS = '127.0.0.9'  # where the shop's mail comes from
HASTE = 'minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\n'
POLICY = 'debugLevel = 1\nTestOnly = 1\nHELO_reject = False\nMail_From_reject = Fail\nPermError_reject = False\n' \
         'TempError_Defer = False\nskip_addresses = 192.0.2.255/32\n'


class Provider:
    """gmail.test: Postfix, policyd-spf and OpenDKIM, all with our DNS. Mail for full@ goes on to dead.test, which refuses it."""
    def __init__(self, folder, address, names, record):
        self.folder, self.port = folder, free_port()
        self.postfix = postfix_lib.Postfix(f'{folder}/provider', 'gmail.test', users=['toru'], address=address, dns=names, main=f'''
mynetworks = 192.0.2.255/32
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = check_policy_service unix:private/policyd-spf
virtual_alias_maps = inline:{{ full@gmail.test=full@dead.test }}
smtpd_milters = inet:127.0.0.1:{self.port}
milter_default_action = tempfail
''')
        os.chmod(folder, 0o755)
        with open(f'{folder}/policyd-spf.conf', 'w') as f:
            f.write(POLICY)
        with open(f'{self.postfix.folder}/etc/master.cf', 'a') as f:
            f.write(f'policyd-spf unix - n n - 0 spawn user=nobody argv=/usr/bin/policyd-spf {folder}/policyd-spf.conf\n')
        self.postfix.start()
        with open(f'{folder}/opendkim.conf', 'w') as f:
            f.write(f'Mode v\nSocket inet:{self.port}@127.0.0.1\nInternalHosts 192.0.2.255\nAlwaysAddARHeader yes\n'
                    f'AuthservID gmail.test\nTestDNSData file:{folder}/keys\nSyslog no\nBackground no\nPidFile {folder}/opendkim.pid\n')
        with open(f'{folder}/keys', 'w') as f:  # its libunbound does not ask resolvers on loopback addresses
            f.write(f's._domainkey.far.test {record}\n')
        self.opendkim = subprocess.Popen(['/usr/sbin/opendkim', '-f', '-x', f'{folder}/opendkim.conf'], stdin=subprocess.DEVNULL,
                                         stdout=open(f'{folder}/opendkim.out', 'ab'), stderr=subprocess.STDOUT)
        wait_port(self.port)

    def stop(self):
        self.postfix.stop()
        self.opendkim.kill()
        self.opendkim.wait(20)


class Shop:
    def __init__(self):
        self.key = subprocess.run(['openssl', 'genrsa', '-traditional', '1024'], capture_output=True, check=True).stdout
        der = subprocess.run(['openssl', 'rsa', '-pubout', '-outform', 'DER'], input=self.key, capture_output=True, check=True).stdout
        self.record = f'v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}'

    def mail(self, subject, author='shop@far.test', sign=True):
        text = message(author, 'toru-shop@torus.test', subject, 'Thank you.\n').encode()
        return ((dkim.sign(text, b's', b'far.test', self.key, canonicalize=(b'relaxed', b'relaxed')) if sign else b'') + text).decode()


@pytest.fixture
def town(folder, hosts, dns, sink):
    ours, theirs, names_at = own_address(), own_address(), own_address()
    far, dead = (sink(address=own_address(), port=25) for _ in 'ab')
    shop = Shop()
    names = dns(f'''gmail.test MX 10 mx.gmail.test.
mx.gmail.test A {theirs}
torus.test MX 10 mail.torus.test.
torus.test TXT "v=spf1 a:mail.torus.test -all"
mail.torus.test A {ours}
far.test MX 10 mx.far.test.
mx.far.test A {far.address}
far.test TXT "v=spf1 ip4:{SENDERS} -all"
s._domainkey.far.test TXT "{shop.record}"
_dmarc.far.test TXT "v=DMARC1; p=reject"
dead.test MX 10 mx.dead.test.
mx.dead.test A {dead.address}
''', address=names_at, port=53)
    provider = Provider(f'{folder}/gmail', theirs, names, shop.record) if os.makedirs(f'{folder}/gmail') is None else None
    server = hosts('mail.torus.test', f'recipient_delimiter = -\nmydestination =\nmyorigin = torus.test\nsmtp_bind_address = {ours}\nnotify_classes = 2bounce\n{HASTE}',
                   address=ours, ports={'smtp': 25}, dns=names, networks='127.0.0.2/32', accounts=['postmaster@torus.test'])
    server.hato('alias', 'add', 'toru@torus.test', 'toru@gmail.test')
    server.hato('alias', 'add', 'full@torus.test', 'full@gmail.test')
    wait_until(lambda: 'torus.test' in server.hato('dkim', 'list').stdout, 40, 'keys, which are made when there is time')
    server.town = (shop, provider, far, dead)
    yield server
    provider.stop()


def send(server, text, to, sender='orders@far.test', expect=250):
    with server.dialogue(source=SENDERS) as talk:
        talk.ehlo('mx.far.test')
        talk.envelope(sender, to)
        talk.say('DATA', 354)
        return talk.say(text + '.', expect)


def test_the_provider_thinks_well_of_us(town):
    shop, provider, _, _ = town.town
    send(town, shop.mail('order 1'), 'toru-shop@torus.test')
    wait_until(lambda: provider.postfix.messages('toru'), 30, lambda: town.log()[-3000:] + provider.postfix.log()[-3000:])
    m = provider.postfix.messages('toru')[0]
    assert re.fullmatch(r'<SRS0=.{4}=..=far\.test=orders@torus\.test>', m['Return-Path']), m['Return-Path']
    assert re.match(r'Pass \(mailfrom\)', m['Received-SPF']) and 'srs0=' in m['Received-SPF'].lower(), m['Received-SPF']
    results = ' '.join(v for v in m.get_all('Authentication-Results') if v.startswith('gmail.test'))
    assert re.search(r'dkim=pass .*header\.d=far\.test', results, re.S), m.as_string()
    assert m['From'] == 'shop@far.test' and m['Delivered-To'] is not None
    assert all(tag in m['ARC-Seal'] for tag in ('i=1;', 'cv=none', 'd=torus.test')), m.as_string()
    assert re.search(r'i=1;.*dkim=pass.*dmarc=pass', m['ARC-Authentication-Results'], re.S) and m['ARC-Message-Signature']


def test_a_bounce_comes_back_and_ends_with_the_postmaster(town):
    """The provider takes the mail and cannot deliver it; its report goes back to the shop; the shop does not want it either."""
    shop, provider, far, dead = town.town
    dead.rules['replies'] = {'RCPT': '550 5.1.1 no such user'}
    far.rules['replies'] = {'.': '550 5.7.1 we take no reports'}
    send(town, shop.mail('order 2'), 'full-shop@torus.test')
    notice = town.wait_message('postmaster@torus.test', lambda m: m.get_content_type() == 'multipart/report', 40)
    assert 'orders@far.test' in notice.as_string() and 'we take no reports' in notice.as_string()
    wait_until(lambda: 'is empty' in town.hato('queue', 'list').stdout, 30, lambda: town.log()[-3000:])
    assert len(town.messages('postmaster@torus.test')) == 1, 'no circle'
    assert re.search(r'to=<orders@far\.test>, orig_to=<SRS0=', town.log())


def test_forged_mail_is_refused_at_the_door(town):
    shop, provider, _, _ = town.town
    town.hato('alias', 'add', 'second@torus.test', 'toru@gmail.test')
    with town.dialogue(source='127.0.0.66') as talk:  # not the shop's address, and nothing is signed
        talk.ehlo('evil.test')
        talk.envelope('orders@far.test', 'toru-shop@torus.test')
        talk.say('DATA', 354)
        code, text = talk.say(shop.mail('win a prize', sign=False) + '.')
        assert code == 550 and '5.7.1' in text
        talk.envelope('orders@far.test', 'toru-shop@torus.test')  # signed by the shop and sent by somebody else: forwarded
        talk.say('DATA', 354)
        talk.say(shop.mail('a newsletter service') + '.', 250)
    wait_until(lambda: provider.postfix.messages('toru'), 30)
    assert provider.postfix.subjects('toru') == ['a newsletter service']
