# SPDX-License-Identifier: Apache-2.0
"""The how-to of a Misskey operator (spec ids S26 to S73): Postfix, OpenDKIM and OpenDMARC on one machine, as their files are
printed there. Only what must differ in a test is mapped: paths, ports, the user ids of the daemons."""
import os, re, shutil, smtplib, subprocess
import pytest
from around import *
from unixuser import UnixUser
import hato

HOST, DOMAIN = 'subdomain.domain.tld', 'domain.tld'
pytestmark = [pytest.mark.root, pytest.mark.skipif(not os.path.exists('/usr/sbin/opendkim') or
                                                   not os.path.exists('/usr/sbin/opendmarc'), reason='opendkim, opendmarc')]
MAIN = '''
mydomain = domain.tld
myorigin = $myhostname
mydestination = $myhostname, localhost.$mydomain, localhost, $mydomain
home_mailbox = Maildir/
smtpd_banner = $myhostname ESMTP
message_size_limit = 10485760
mailbox_size_limit = 1073741824
syslog_facility = mail
disable_vrfy_command = yes
queue_directory = {top}/var/spool/postfix
smtpd_milters = local:opendkim/opendkim.sock,local:opendmarc/opendmarc.sock
non_smtpd_milters = $smtpd_milters
milter_default_action = accept
'''
OPENDKIM = '''
Canonicalization        relaxed/simple
Mode                    sv
SubDomains              no
OversignHeaders         From
#Domain                 example.com
Selector                default
KeyFile         /etc/dkimkeys/default.private
#Socket local:/run/opendkim/opendkim.sock
Socket local:/var/spool/postfix/opendkim/opendkim.sock
SoftwareHeader no
'''
OPENDMARC = '''
AuthservID OpenDMARC
RejectFailures false
Socket local:/var/spool/postfix/opendmarc/opendmarc.sock
TrustedAuthservIDs subdomain.domain.tld
UserID opendmarc
IgnoreHosts /etc/opendmarc/ignore.hosts
IgnoreAuthenticatedClients true
RequiredHeaders true
'''
IGNORE = 'localhost\n127.0.0.1\n::1\n172.16.0.0/12\nfe80::/64\n'
MESSAGE = f'From: noreply@{HOST}\r\nTo: ann@{HOST}\r\nSubject: hello\r\nDate: Sun, 22 Nov 2026 04:31:39 +0000\r\n' \
          f'Message-ID: <1@{HOST}>\r\n\r\ntext\r\n'


class House:
    """The machine of the how-to: its /etc and /var/spool/postfix, which the two daemons see in place of the real ones."""
    def __init__(self, top, dkim='', dmarc=''):
        self.top, self.running = top, []
        for sub in ('etc/dkimkeys', 'var/spool/postfix/opendkim', 'var/spool/postfix/opendmarc'):
            os.makedirs(f'{top}/{sub}', exist_ok=True)
        subprocess.run(['cp', '-a', '/etc/.', f'{top}/etc'], capture_output=True)  # locks come and go
        subprocess.run(['opendkim-genkey', '-d', HOST, '-b', '2048', '-D', f'{top}/etc/dkimkeys'], check=True)
        os.chmod(f'{top}/etc/dkimkeys/default.private', 0o600)
        shutil.chown(f'{top}/etc/dkimkeys/default.private', 'opendkim', 'opendkim')
        for user in ('opendkim', 'opendmarc'):
            shutil.chown(f'{top}/var/spool/postfix/{user}', user, user)
        os.makedirs(f'{top}/etc/opendmarc', exist_ok=True)
        self.write('etc/opendkim.conf', OPENDKIM + dkim)
        self.write('etc/opendmarc.conf', OPENDMARC + dmarc)
        self.write('etc/opendmarc/ignore.hosts', IGNORE)

    def write(self, path, text):
        if os.path.islink(f'{self.top}/{path}'):
            os.unlink(f'{self.top}/{path}')
        with open(f'{self.top}/{path}', 'w') as f:
            f.write(text)

    def start(self, resolver=None):
        if resolver:  # they ask whom resolv.conf names, on port 53
            self.write('etc/resolv.conf', f'nameserver {resolver}\n')
        for program, letter in (('opendkim', 'x'), ('opendmarc', 'c')):
            command = f'mount --bind {self.top}/var/spool/postfix /var/spool/postfix && mount --bind {self.top}/etc /etc && ' \
                      f'exec /usr/sbin/{program} -f -{letter} /etc/{program}.conf -u {program}'
            self.running.append(subprocess.Popen(['unshare', '-m', 'sh', '-c', command], stdin=subprocess.DEVNULL,
                                                 stdout=open(f'{self.top}/{program}.out', 'ab'), stderr=subprocess.STDOUT))
            socket_ = f'{self.top}/var/spool/postfix/{program}/{program}.sock'
            wait_until(lambda: os.path.exists(socket_), 20,
                       lambda: f'{program}: ' + open(f'{self.top}/{program}.out').read())
            os.chmod(socket_, 0o777)
        return self

    def stop(self):
        for p in self.running:
            p.kill()  # they take their time otherwise
        for p in self.running:
            p.wait(20)

    def key(self):
        with open(f'{self.top}/etc/dkimkeys/default.txt') as f:
            return ''.join(re.findall(r'"(.*?)"', f.read()))


@pytest.fixture
def house(folder):
    made = []

    def make(**more):
        made.append(House(f'{folder}/house', **more))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def serve(hosts, house, **more):
    return hosts(host=HOST, main=MAIN.format(top=house.top), accounts=[f'ann@{HOST}'], **more)


# What the document changes in main.cf.proto, line by line: what stood there, what stands there then.
PROTOS = ('/usr/share/postfix/main.cf.dist', os.path.dirname(__file__) + '/../../packaging/main.cf.proto')  # Debian's, and our package's
CHANGES = [('#myhostname = host.domain.tld', 'myhostname = subdomain.domain.tld'), ('#mydomain = domain.tld', 'mydomain = domain.tld'),
           ('#myorigin = $myhostname', 'myorigin = $myhostname'), ('#inet_interfaces = all', 'inet_interfaces = all'),
           ('#mydestination = $myhostname, localhost.$mydomain, localhost, $mydomain',
            'mydestination = $myhostname, localhost.$mydomain, localhost, $mydomain'),
           ('mynetworks = 127.0.0.0/8', 'mynetworks = 127.0.0.0/8 [::1]/128 172.16.0.0/12 [fe80::]/64'),
           ('#home_mailbox = Maildir/', 'home_mailbox = Maildir/'),
           ('smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)', 'smtpd_banner = $myhostname ESMTP'),  # (Ubuntu) in the document
           *((f'{name} =', f'#{name} =') for name in ('sendmail_path', 'newaliases_path', 'mailq_path', 'setgid_group', 'html_directory',
                                                      'manpage_directory', 'sample_directory', 'readme_directory')),
           ('inet_protocols = ipv4', 'inet_protocols = all')]
MORE = 'message_size_limit = 10485760\nmailbox_size_limit = 1073741824\nsyslog_facility = mail\ndisable_vrfy_command = yes\n'


def here(server):
    """Only what a test must have elsewhere."""
    return f'\ndata_directory = {server.data}\nqueue_directory = {server.folder}/spool\nmaillog_file = {server.folder}/mail.log\n' \
           f'dns_resolvers = 127.0.0.1:{hato.silent_dns()}\n'


@pytest.mark.parametrize('proto', PROTOS, ids=['debian', 'hato'])
def test_main_cf_as_printed(hosts, folder, proto):
    """S26 to S42: Debian's template loads as it is; with the lines of the document it does what each of them says."""
    if not os.path.exists(proto):
        pytest.skip('postfix')
    server = hosts(HOST, start=False)
    with open(proto) as f:
        text = re.sub(r'\((Ubuntu|@distribution@)\)', '(Debian/GNU)', f.read())
    if not os.path.exists('/etc/mailname'):  # Debian's installer and postfix's questions make it; a machine without them has none
        with open(f'{server.folder}/mailname', 'w') as f:
            f.write(HOST + '\n')
        text = text.replace('/etc/mailname', f'{server.folder}/mailname')
    if not os.path.exists('/etc/aliases'):
        with open(f'{server.folder}/aliases', 'w') as f:
            f.write('postmaster: root\n')
        text += f'alias_maps = hash:{server.folder}/aliases\nalias_database = $alias_maps\n'
    tool = lambda name, *args, **more: subprocess.run([os.path.join(os.path.dirname(hato.HATO), name), *args], capture_output=True, text=True,
                                                      timeout=60 * SLOW, stdin=subprocess.DEVNULL, **more)
    path = f'{server.folder}/main.cf'
    with open(path, 'w') as f:
        f.write(text + here(server))
    done = server.hato('check', check=False)
    assert 'error' not in done.stdout + done.stderr and 'fatal' not in done.stderr, done
    for old, new in CHANGES:
        text, found = re.subn(rf'^{re.escape(old)}$', lambda _: new, text, count=1, flags=re.M)
        if not found:  # a newer template has no such line: its reader adds it
            text += f'{new}\n'
    with open(path, 'w') as f:
        f.write(text + MORE + here(server))
    shown = dict(line.split(' =', 1) for line in tool('postconf', '-c', server.folder, '-n').stdout.splitlines())
    for line in [new for _, new in CHANGES if not new.startswith('#')] + MORE.splitlines():
        name, value = line.split(' =', 1)
        assert shown[name] == value, line
    assert tool('newaliases', '-C', server.folder).stderr == ''
    user = UnixUser(folder)
    try:
        server.start()
        assert tool('postfix', '-c', server.folder, 'reload').returncode == 0
        with server.dialogue() as d:
            assert d.banner == (220, f'220 {HOST} ESMTP')
            offered = d.ehlo()
            assert 'SIZE 10485760' in offered and 'VRFY' not in offered
            assert d.say('VRFY root') == (502, '502 5.5.1 VRFY command is disabled')
            assert d.say('MAIL FROM:<x@far.test> SIZE=10485761')[1].startswith('552 5.3.4 ')
            d.envelope('noreply', user.name, f'{user.name}@{DOMAIN}', f'{user.name}@localhost.{DOMAIN}')
            assert d.say('RCPT TO:<nobody-here@domain.tld>') == (550, '550 5.1.1 <nobody-here@domain.tld>: Recipient address rejected: '
                                                                      'User unknown in local recipient table')
            d.say('DATA', 354)
            d.say(MESSAGE + '.', 250)
        wait_until(lambda: len(user.maildir()) == 3, 20, lambda: server.log()[-2000:])
        got = user.maildir()[0]
        assert got.startswith(f'Return-Path: <noreply@{HOST}>\n') and f'Delivered-To: {user.name}@' in got and 'by subdomain.domain.tld' in got
        assert 'error' not in server.log() and 'fatal' not in server.log(), server.log()
    finally:
        user.gone()


def test_as_printed(hosts, house):
    """No Domain in opendkim.conf: real OpenDKIM signs nothing then; mail goes through both daemons."""
    at_home = house().start()
    server = serve(hosts, at_home)
    server.send(f'noreply@{HOST}', f'ann@{HOST}', MESSAGE)
    got = server.wait_message(f'ann@{HOST}', 'hello')
    assert got['DKIM-Signature'] is None
    assert 'warning' not in server.log(), server.log()


def test_signed_and_verified(hosts, house, dns):
    """With Domain set, what leaves is signed, and the signature holds."""
    resolver_address = own_address()
    at_home = house(dkim=f'Domain {HOST}\nNameservers {resolver_address}\n')
    key = '" "'.join(re.findall('.{1,200}', at_home.key()))
    resolver = dns(f'''{HOST}. A 127.0.0.1
        default._domainkey.{HOST}. TXT "{key}"
        _dmarc.{HOST}. TXT "v=DMARC1; p=reject; adkim=s; aspf=s;"''', address=resolver_address, port=53)
    at_home.start(resolver.address)
    server = serve(hosts, at_home)
    server.send(f'noreply@{HOST}', f'ann@{HOST}', MESSAGE)
    got = server.wait_message(f'ann@{HOST}', 'hello')
    assert f'd={HOST}' in got['DKIM-Signature'] and 's=default' in got['DKIM-Signature']
    names = got.keys()
    assert names.index('Return-Path') < names.index('DKIM-Signature') < names.index('From')
    # and back, from a client that is not internal: OpenDKIM verifies, OpenDMARC believes it
    raw = server.imap(f'ann@{HOST}', select='INBOX').fetch('1', '(BODY.PEEK[])')[1][0][1]
    text = raw[raw.index(b'DKIM-Signature'):]
    with smtplib.SMTP(server.address, server.ports['smtp'], source_address=(own_address(), 0)) as s:
        s.sendmail(f'noreply@{HOST}', [f'ann@{HOST}'], text)
    second = wait_until(lambda: (server.messages(f'ann@{HOST}') + [None])[1], 20, server.log)
    results = ' '.join(second.get_all('Authentication-Results', []))
    assert 'dkim=pass' in results, second.as_string()


def test_daemons_gone(hosts, house):
    """S54: nobody need listen at their sockets, since their work is done here; the log says it."""
    server = serve(hosts, house())
    server.send(f'noreply@{HOST}', f'ann@{HOST}', MESSAGE)
    server.wait_message(f'ann@{HOST}', 'hello')
    server.wait_log(r'milter local:opendkim/opendkim.sock cannot be reached \(No such file or directory\): its checks are built in')
    assert 'warning' not in server.log()


def test_opendmarc_conf_without_opendmarc(hosts, house, dns):
    """S61 to S71: the file as printed, and no daemon: hato does what it says. S69: ignore.hosts lies in /etc at first."""
    at_home = house()
    top = at_home.top
    for path in (f'{top}/etc/opendmarc.conf',):
        at_home.write('etc/opendmarc.conf', open(path).read().replace('/etc/', f'{top}/etc/').replace('/var/spool', f'{top}/var/spool'))
    os.rename(f'{top}/etc/opendmarc/ignore.hosts', f'{top}/etc/ignore.hosts')
    resolver = dns('example.org. TXT "v=spf1 ip4:192.0.2.1 -all"\n_dmarc.example.org. TXT "v=DMARC1; p=reject; adkim=s; aspf=s;"')
    server = serve(hosts, at_home, dns=resolver, networks='127.0.0.2/32', start=False)
    server.account(f'abuse@{HOST}')
    server.configure(main=server.extra_main + f'opendmarc_config = {top}/etc/opendmarc.conf\nsmtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_peername_lookup = no\n')
    trap = f'{top}/etc/opendmarc/ignore.hosts: no such file (but there is {top}/etc/ignore.hosts:'
    assert trap in server.hato('check', check=False).stderr
    os.rename(f'{top}/etc/ignore.hosts', f'{top}/etc/opendmarc/ignore.hosts')
    assert trap not in server.hato('check', check=False).stderr
    server.start()

    def offer(ip, more='', date='Date: Sun, 22 Nov 2026 04:31:39 +0000\r\n'):
        with server.dialogue() as talk:
            talk.ehlo()
            talk.say(f'XCLIENT ADDR={ip} NAME=[UNAVAILABLE]', 220)
            talk.ehlo('x.example.org')
            talk.envelope('eve@example.org', f'ann@{HOST}')
            talk.say('DATA', 354)
            talk.raw(f'{more}From: eve@example.org\r\nTo: ann@{HOST}\r\nSubject: from {ip}\r\n{date}\r\ntext\r\n')
            return talk.say('.')

    def field(ip):
        found = server.wait_message(f'ann@{HOST}', f'from {ip}')
        fields = [' '.join(f.split()) for f in found.get_all('Authentication-Results')]
        assert len(fields) == 1 and fields[0].startswith('OpenDMARC;'), fields
        return fields[0]
    forged = 'Authentication-Results: OpenDMARC; dmarc=pass header.from=example.org\r\nAuthentication-Results: subdomain.domain.tld; spf=pass\r\n'
    assert offer('192.0.2.66', forged)[0] == 250  # RejectFailures false
    assert re.search(r'dmarc=fail \(p=reject dis=none override=local_policy\) header\.from=example\.org', field('192.0.2.66'))
    assert offer('192.0.2.1')[0] == 250 and 'dmarc=pass' in field('192.0.2.1')
    assert offer('172.16.5.5')[0] == 250 and 'dmarc=fail' in field('172.16.5.5')
    r = offer('192.0.2.1', date='')
    assert r[0] == 550 and '5.7.1' in r[1], r  # RequiredHeaders
    os.mkdir(f'{top}/run')
    os.chmod(f'{top}/run', 0o777)
    with open(f'{top}/etc/opendmarc.conf', 'a') as f:
        f.write(f'RejectFailures true\nRejectString not today, %s\nCopyFailuresTo abuse@{HOST}\nHistoryFile {top}/run/opendmarc.dat\n')
    server.hato('reload')
    wait_until(lambda: offer('192.0.2.77')[0] == 550, 10, 'the settings to change')
    assert offer('192.0.2.66') == (550, '550 5.7.1 not today, example.org')
    assert offer('172.16.5.6')[0] == 250  # IgnoreHosts
    assert 'override=local_policy' in field('172.16.5.6')
    server.wait_message(f'abuse@{HOST}', 'from 172.16.5.6')
    with open(f'{top}/run/opendmarc.dat') as f:
        history = f.read()
    assert 'pdomain example.org\npolicy 16\n' in history and 'ipaddr 192.0.2.66' in history
    assert 'Milter service' not in server.log()


def test_opendkim_conf_as_printed_without_opendkim(hosts, house, dns, sink):
    """S44 to S58: Domain is commented out and nobody listens: hato signs, also mail of sendmail(1), with the key that is in DNS, and says for whom."""
    at_home, far = house(), sink(address=own_address(), port=25)
    top = at_home.top
    at_home.write('etc/opendkim.conf', OPENDKIM.replace('/etc/', f'{top}/etc/'))
    key = '" "'.join(re.findall('.{1,200}', at_home.key()))
    server = serve(hosts, at_home, start=False, dns=dns(f'far.test MX 10 mx.far.test.\nmx.far.test A {far.address}\ndefault._domainkey.{HOST}. TXT "{key}"\n'))
    server.configure(main=server.extra_main + f'opendkim_config = {top}/etc/opendkim.conf\n')
    assert 'KeyFile without Domain: OpenDKIM signs nothing so; hato signs for $mydomain and $myhostname' in server.hato('check').stderr
    server.start()
    server.send(f'noreply@{HOST}', 'joe@far.test', MESSAGE.replace(f'ann@{HOST}', 'joe@far.test'))
    subprocess.run([os.path.join(os.path.dirname(hato.HATO), 'sendmail'), '-C', server.folder, '-f', f'noreply@{HOST}', 'joe@far.test'], input='Subject: by hand\n\nx\n',
                   text=True, check=True)
    wait_until(lambda: len(far.messages) == 2, 30, server.log)
    dkim = pytest.importorskip('dkim')
    for _, _, text in far.messages:
        signature = ' '.join(re.search(rb'DKIM-Signature: (.*?)\r\n\S', text, re.S)[1].decode().split())
        assert f'd={HOST};' in signature and 's=default;' in signature and 'c=relaxed/simple;' in signature
        assert b'DKIM-Filter' not in text and dkim.verify(text, dnsfunc=lambda name, timeout=5: at_home.key().encode())
