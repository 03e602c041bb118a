# SPDX-License-Identifier: Apache-2.0
"""TLS to other servers, with Debian's Postfix as the other server: certificates of our own, ciphers and versions, policies, DANE."""
import hashlib, os, re, smtplib, subprocess
import pytest
from around import *

pytestmark = pytest.mark.root
ANN, BOB = 'ann@a.test', 'bob@b.test'
HASTE = 'minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\nsmtp_connect_timeout = 5s\nsmtp_tls_loglevel = 1\n'


@pytest.fixture
def far(postfix, folder):
    """make(main='…'): a Postfix for b.test on an address of its own."""
    def make(main='', domain='b.test', **more):
        return postfix(domain, users=['bob'], address=own_address(), main=main, **more)
    return make


def near(hosts, main, **more):
    return hosts('mail.a.test', HASTE + main, accounts=[ANN], **more)


def send(a, subject='letter', to=BOB, **headers):
    a.send(ANN, to, message(ANN, to, subject, **headers), 'submission', ANN)


def again(a, main):
    """The same instance with other settings; a reload would be noticed by relay a moment later."""
    a.stop()
    a.configure(HASTE + main)
    a.start()


def arrived(b, subject='letter'):
    wait_until(lambda: subject in b.subjects('bob'), 20, lambda: f'{subject} in Postfix, whose log ends:\n{b.log()[-1500:]}')
    return next(m for m in b.messages('bob') if m['Subject'] == subject)


def certificate(folder, name, host, key=('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256')):
    crt, pem = f'{folder}/{name}.crt', f'{folder}/{name}.key'
    subprocess.run(['openssl', 'req', '-x509', *key, '-nodes', '-days', '9', '-out', crt, '-keyout', pem, '-subj', f'/CN={host}',
                    '-addext', f'subjectAltName=DNS:{host}'], check=True, capture_output=True)
    return crt, pem


def secret_numbers(pem):
    """The private number of a key, as it lies in memory: big or little endian."""
    text = subprocess.run(['openssl', 'pkey', '-in', pem, '-noout', '-text'], check=True, capture_output=True, text=True).stdout
    number = bytes.fromhex(re.sub(r'\s|:', '', re.search(r'priv:(.*?)pub:', text, re.S)[1]))[-32:]
    return number, number[::-1]


def memory_holds(pid, needles):
    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as mem:
        for line in maps:
            m = re.match(r'([0-9a-f]+)-([0-9a-f]+) rw', line)
            if not m or int(m[2], 16) - int(m[1], 16) > 1 << 30:  # a sanitizer's shadow
                continue
            try:
                mem.seek(int(m[1], 16))
                piece = mem.read(int(m[2], 16) - int(m[1], 16))
            except (OSError, ValueError, OverflowError):
                continue
            if any(n in piece for n in needles):
                return True
    return False


def test_own_certificate(hosts, far, folder):
    """The other side knows us by our certificate; its key is in vault and nowhere else that talks to strangers."""
    crt, key = certificate(folder, 'own', 'mail.a.test')
    b = far(f'smtpd_tls_security_level = encrypt\nsmtpd_tls_req_ccert = yes\nsmtpd_tls_CAfile = {crt}\nsmtpd_tls_received_header = yes\n')
    a = near(hosts, f'relayhost = [{b.address}]\nsmtp_tls_security_level = encrypt\nsmtp_tls_cert_file = {crt}\nsmtp_tls_key_file = {key}\n')
    send(a)
    received = ' '.join(arrived(b).get_all('Received')[0].split())
    assert 'Client CN "mail.a.test", Issuer "mail.a.test" (verified OK)' in received
    numbers = secret_numbers(key)
    assert memory_holds(a.pids('vault')[0], numbers)
    for role in ('relay', 'edge', 'core'):
        assert not any(memory_holds(p, numbers) for p in a.pids(role)), role


def test_chain_files_of_one_service(hosts, far, folder):
    """An RSA and an ECDSA identity in one file each, for one service of master.cf only."""
    pairs = [certificate(folder, 'rsa', 'rsa.a.test', ('-newkey', 'rsa:2048')), certificate(folder, 'ec', 'ec.a.test')]
    for crt, key in pairs:
        with open(crt[:-4] + '.pem', 'w') as f:
            f.write(open(key).read() + open(crt).read())
    b = far('smtpd_tls_ask_ccert = yes\nsmtpd_tls_received_header = yes\n')
    a = near(hosts, f'relayhost = [{b.address}]\nsmtp_tls_security_level = may\n')
    send(a, 'without')
    assert 'Client did not present a certificate' in str(arrived(b, 'without').get_all('Received')[0])
    with open(a.folder + '/master.cf', 'a') as f:
        f.write(f'smtp unix - - n - - smtp\n  -o smtp_tls_chain_files={folder}/rsa.pem,{folder}/ec.pem\n')
    a.stop()
    a.start()
    send(a, 'with')
    assert re.search(r'Client CN "(rsa|ec)\.a\.test"', str(arrived(b, 'with').get_all('Received')[0]))
    with open(a.folder + '/master.cf', 'a') as f:  # key and certificate in two files
        f.write(f'smtp unix - - n - - smtp\n  -o smtp_tls_chain_files={pairs[0][1]},{pairs[0][0]}\n')
    a.stop()
    a.start()
    send(a, 'apart')
    assert 'Client CN "rsa.a.test"' in str(arrived(b, 'apart').get_all('Received')[0])


@pytest.mark.parametrize('kind', ['', 'ec'])
def test_kinds_of_certificates(hosts, far, folder, kind):
    """smtp_tls_cert_file and smtp_tls_eccert_file, each with its key; from main.cf, and for one service alone."""
    crt, key = certificate(folder, 'own', f'own{kind}.a.test')
    other = certificate(folder, 'other', f'other{kind}.a.test')
    b = far('smtpd_tls_ask_ccert = yes\nsmtpd_tls_received_header = yes\n')
    a = near(hosts, f'relayhost = [{b.address}]\nsmtp_tls_security_level = may\nsmtp_tls_{kind}cert_file = {crt}\nsmtp_tls_{kind}key_file = {key}\n')
    send(a, 'main')
    assert f'Client CN "own{kind}.a.test"' in str(arrived(b, 'main').get_all('Received')[0])
    a.stop()
    with open(a.folder + '/master.cf', 'a') as f:
        f.write(f'smtp unix - - n - - smtp -o smtp_tls_{kind}cert_file={other[0]} -o smtp_tls_{kind}key_file={other[1]}\n')
    a.start()
    send(a, 'service')
    assert f'Client CN "other{kind}.a.test"' in str(arrived(b, 'service').get_all('Received')[0])


def test_missing_certificate_is_told(hosts):
    a = hosts('mail.a.test', 'smtp_tls_cert_file = /nowhere/own.crt\n', start=False)
    done = a.hato('start', check=False)
    assert done.returncode != 0 and '/nowhere/own.crt' in done.stderr and 'certificate' in done.stderr


def used(a, before=0):
    """Protocol and cipher of the last TLS connection."""
    return re.findall(r'TLS connection established to \S+ (\S+) with cipher (\S+)', a.log()[before:])[-1]


def test_ciphers_and_versions(hosts, far):
    b = far()
    a = near(hosts, f'relayhost = [{b.address}]\nsmtp_tls_security_level = encrypt\nsmtp_tls_mandatory_protocols = TLSv1.2\n'
                    'smtp_tls_mandatory_ciphers = high\nsmtp_tls_exclude_ciphers = aNULL, AES256, CHACHA20, CAMELLIA, ARIA, CCM\n')
    send(a, 'mandatory')
    arrived(b, 'mandatory')
    assert used(a) == ('TLSv1.2', 'ECDHE-ECDSA-AES128-GCM-SHA256')
    again(a, f'relayhost = [{b.address}]\nsmtp_tls_security_level = may\nsmtp_tls_protocols = <=TLSv1.2\n'
                        'smtp_tls_mandatory_exclude_ciphers = AES256\n')
    send(a, 'offered')
    arrived(b, 'offered')
    assert used(a) == ('TLSv1.2', 'ECDHE-ECDSA-AES256-GCM-SHA384')  # what is for mandatory TLS does not count
    again(a, f'relayhost = [{b.address}]\nsmtp_tls_security_level = may\n'
                        f'smtp_tls_policy_maps = inline:{{{{[{b.address}] = encrypt protocols=TLSv1.2 ciphers=medium exclude=AES256:AES128}}}}\n')
    send(a, 'policy')
    arrived(b, 'policy')
    assert used(a) == ('TLSv1.2', 'ECDHE-ECDSA-CHACHA20-POLY1305')
    again(a, f'relayhost = [{b.address}]\nsmtp_tls_security_level = may\n'
                        f'smtp_tls_policy_maps = inline:{{{{[{b.address}] = encrypt ciphers=strong}}}}\n')
    send(a, 'nonsense')
    a.wait_log(r'warning: smtp_tls_policy_maps: ciphers=strong')
    a.wait_log(r'status=deferred \(client TLS configuration problem\)')


def issued(folder, host):
    """A CA, and what it certifies: (ca.crt, chain and key in one file)."""
    ca, ca_key = certificate(folder, 'ca', 'some CA')
    key, request, crt, whole = (f'{folder}/issued.{end}' for end in ('key', 'csr', 'crt', 'pem'))
    for command in (['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', request, '-subj', f'/CN={host}'],
                    ['x509', '-req', '-in', request, '-CA', ca, '-CAkey', ca_key, '-CAcreateserial', '-days', '9', '-out', crt]):
        subprocess.run(['openssl', *command], check=True, capture_output=True)
    with open(whole, 'w') as f:
        f.write(open(key).read() + open(crt).read())
    return ca, whole


def test_trust_anchors(hosts, far, folder):
    """tafile: one file's certificates (or keys) are trusted, nothing else, whatever the CAs say."""
    ca, whole = issued(folder, 'mx.b.test')
    with_ca = f'{folder}/with-ca.pem'
    with open(with_ca, 'w') as f:
        f.write(open(whole).read() + open(ca).read())
    b = far(f'smtpd_tls_chain_files = {with_ca}\n')
    other, _ = certificate(folder, 'other', 'some CA')
    public = f'{folder}/public.pem'
    with open(public, 'w') as f:
        f.write(subprocess.run(['openssl', 'x509', '-in', ca, '-pubkey', '-noout'], check=True, capture_output=True, text=True).stdout)

    def policy(file):
        return (f'relayhost = [{b.address}]\nsmtp_tls_security_level = may\nsmtp_tls_policy_maps = '
                f'inline:{{{{[{b.address}] = secure match=mx.b.test tafile={file}}}}}\n')
    a = near(hosts, policy(ca))
    send(a, 'by certificate')
    arrived(b, 'by certificate')
    a.wait_log('Verified TLS connection established to')
    for n, (file, good) in enumerate([(public, True), (other, False), ('/nowhere.pem', False)]):
        again(a, policy(file))
        at = len(a.log())
        send(a, f'letter {n}')
        if good:
            arrived(b, f'letter {n}')
        else:
            wait_until(lambda: 'status=deferred' in a.log()[at:], 10, 'a deferral')
            assert f'letter {n}' not in b.subjects('bob')
            a.hato('queue', 'delete', 'ALL', check=False)
    again(a, f'relayhost = [{b.address}]\nsmtp_tls_security_level = secure\nsmtp_tls_secure_cert_match = mx.b.test\n'
             f'smtp_tls_trust_anchor_file = {ca}\n')
    send(a, 'for all')
    arrived(b, 'for all')


def test_tls_required_no(hosts, far):
    """RFC 8689: who says that TLS is not required gets his letter through a broken certificate."""
    b = far()
    a = near(hosts, f'relayhost = [{b.address}]\nsmtp_tls_security_level = secure\n')
    send(a, 'kept')
    a.wait_log('status=deferred')
    send(a, 'let go', TLS_Required='No')
    arrived(b, 'let go')
    assert 'kept' not in b.subjects('bob')
    again(a, f'relayhost = [{b.address}]\nsmtp_tls_security_level = secure\ntls_required_enable = no\n')
    at = len(a.log())
    send(a, 'kept too', TLS_Required='No')
    wait_until(lambda: len(re.findall('status=deferred', a.log()[at:])) >= 1, 10, 'a deferral')
    assert 'kept too' not in b.subjects('bob')


def test_note_and_reuse(hosts, far):
    b = far()
    a = near(hosts, f'relayhost = [{b.address}]\nsmtp_tls_security_level = none\nsmtp_tls_note_starttls_offer = yes\n')
    send(a, 'clear')
    arrived(b, 'clear')
    a.wait_log(rf'Host offered STARTTLS: \[{re.escape(b.address)}\]')
    counts = []
    for word in ('', 'smtp_tls_connection_reuse = no\n'):
        again(a, f'relayhost = [{b.address}]\nsmtp_tls_security_level = encrypt\nsmtp_destination_concurrency_limit = 1\n'
                            f'smtp_connection_cache_time_limit = 10s\n{word}')
        at = len(b.log())
        for i in range(3):
            send(a, f'{len(counts)} {i}')
            arrived(b, f'{len(counts)} {i}')
        counts.append(len(re.findall(r'smtpd\[\d+\]: connect from', b.log()[at:])))
    assert counts[0] < 3 and counts[1] == 3, counts


def test_mta_sts_policy(hosts, far, dns):
    """An answer of an MTA-STS plugin: only MX hosts of its patterns, by their names."""
    b = far()
    zone = dns(f'b.test MX 10 mx.b.test.\nmx.b.test A {b.address}\na.test MX 10 mail.a.test.\nmail.a.test A 127.0.0.1\n')

    def policy(pattern):
        return ('smtp_tls_policy_maps = inline:{{b.test = secure match=nobody.test servername=hostname policy_type=sts '
                f'policy_domain=b.test {{ policy_string = version: STSv1 }} mx_host_pattern={pattern}}}}}\nsmtp_tls_CAfile = {b.folder}/mx.crt\n')
    a = near(hosts, policy('*.b.test'), dns=zone)
    send(a, 'fits')
    arrived(b, 'fits')
    a.wait_log('Verified TLS connection established to mx.b.test')
    again(a, policy('*.mail.b.test'))
    send(a, 'does not fit')
    a.wait_log('status=deferred .*MX host mx.b.test does not match the MTA-STS policy of b.test')


# DANE

def tlsa(crt, selector=1):
    der = subprocess.run(f'openssl x509 -in {crt} -pubkey -noout | openssl pkey -pubin -outform DER', shell=True, check=True, capture_output=True).stdout
    return hashlib.sha256(der).hexdigest()


class Dane:
    """b.dane and its TLSA record in a signed root; unsigned.dane is a zone without signatures, with the same host as its MX."""
    def __init__(self, hosts, far, dns, digest=None, main='', b_main=''):
        self.b = far(b_main, 'b.dane')
        self.address = own_address()
        self.records = (f'a.dane MX 10 mail.a.dane.\nmail.a.dane A 127.0.0.1\nb.dane MX 10 mx.b.dane.\nmx.b.dane A {self.b.address}\n'
                        'unsigned.dane NS ns.test.\nplain.dane MX 10 mx.unsigned.dane.\n')
        self.digest = digest or tlsa(f'{self.b.folder}/mx.crt')
        self.zone = dns(self.records + self.record(), signed=True,
                        zones={'unsigned.dane': f'@ MX 10 mx.b.dane.\nmx A {self.b.address}\nns A 127.0.0.1\n_25._tcp.mx TLSA 3 1 1 {"00" * 32}\n'})
        self.a = near(hosts, f'dns_trust_anchor_file = {self.zone.anchor}\nsmtp_dns_support_level = dnssec\n{main}', dns=self.zone)

    def record(self, digest=None, usage='3 1 1'):
        return f'_25._tcp.mx.b.dane TLSA {usage} {digest or self.digest}\n'

    def main(self, text):
        again(self.a, f'dns_trust_anchor_file = {self.zone.anchor}\nsmtp_dns_support_level = dnssec\n{text}')

    def deferred(self, to='bob@b.dane', why=''):
        at = len(self.a.log())
        send(self.a, 'kept', to)
        wait_until(lambda: re.search(rf'to=<{to}>.*status=deferred.*{why}', self.a.log()[at:]), 15,
                   lambda: f'a deferral because of {why!r} in {self.a.log()[at:]}')
        self.a.hato('queue', 'delete', 'ALL', check=False)


@pytest.mark.parametrize('level', ['dane', 'dane-only'])
def test_dane_proved(hosts, far, dns, level):
    d = Dane(hosts, far, dns, main=f'smtp_tls_security_level = {level}\n')
    send(d.a, to='bob@b.dane')
    arrived(d.b)
    d.a.wait_log(r'Verified TLS connection established to mx\.b\.dane')


@pytest.mark.parametrize('level', ['dane', 'dane-only'])
def test_dane_impostor(hosts, far, dns, level):
    d = Dane(hosts, far, dns, digest='00' * 32, main=f'smtp_tls_security_level = {level}\n')
    d.deferred(why='4.7.5|TLS')
    assert not d.b.subjects('bob')


def test_dane_no_tls_offered(hosts, far, dns):
    """Who takes STARTTLS away gets nothing where there are TLSA records."""
    d = Dane(hosts, far, dns, main='smtp_tls_security_level = dane\n', b_main='smtpd_tls_security_level = none\n')
    d.deferred(why='TLS is required, but was not offered')


def test_dane_without_records(hosts, far, dns):
    """No TLSA: dane is may, dane-only is no way. A record in a zone that nobody signed is none."""
    d = Dane(hosts, far, dns, main='smtp_tls_security_level = dane\n', b_main='virtual_mailbox_domains = b.dane plain.dane unsigned.dane\n'
             'virtual_mailbox_maps = regexp:{{/^bob@/ bob/}}\n')
    send(d.a, 'plain', 'bob@plain.dane')   # MX signed, host in an unsigned zone with a wrong TLSA
    arrived(d.b, 'plain')
    assert 'Untrusted TLS connection established to mx.unsigned.dane' in d.a.log()
    d.main('smtp_tls_security_level = dane-only\n')
    d.deferred('bob@plain.dane', 'no TLSA records found')
    d.deferred('bob@unsigned.dane', 'non DNSSEC destination')


def test_dane_insecure_mx(hosts, far, dns):
    """unsigned.dane's MX record is not proved, the TLSA record of its host is: what that is worth is a setting."""
    more = 'virtual_mailbox_domains = b.dane unsigned.dane\nvirtual_mailbox_maps = regexp:{{/^bob@/ bob/}}\n'
    d = Dane(hosts, far, dns, main='smtp_tls_security_level = dane\n', b_main=more)
    send(d.a, 'trusted', 'bob@unsigned.dane')
    arrived(d.b, 'trusted')
    d.a.wait_log('Trusted TLS connection established to mx.b.dane')
    for policy, log in (('encrypt', 'Untrusted TLS connection'), ('may', 'Untrusted TLS connection')):
        d.main(f'smtp_tls_security_level = dane\nsmtp_tls_dane_insecure_mx_policy = {policy}\n')
        at = len(d.a.log())
        send(d.a, policy, 'bob@unsigned.dane')
        arrived(d.b, policy)
        assert f'{log} established to mx.b.dane' in d.a.log()[at:]


def wants_tls(a, subject, to=BOB):
    """A letter handed in with REQUIRETLS."""
    with smtplib.SMTP_SSL(a.address, a.ports['smtps'], context=NO_NAME, timeout=60 * SLOW) as s:
        s.ehlo()
        assert s.has_extn('requiretls')
        s.login(ANN, 'secret')
        s.sendmail(ANN, [to], message(ANN, to, subject), mail_options=['REQUIRETLS'])


def test_require_tls(hosts, folder):
    """RFC 8689: REQUIRETLS goes from server to server where each can keep it; else the letter comes back without its text."""
    crt, key = certificate(folder, 'b', 'mail.b.test')
    b = hosts('mail.b.test', f'smtpd_tls_cert_file = {crt}\nsmtpd_tls_key_file = {key}\nsmtpd_tls_security_level = may\n', accounts=[BOB])
    with b.dialogue('smtp') as d:
        assert 'REQUIRETLS' not in d.ehlo()  # in clear text it means nothing
    relay = f'relayhost = [{b.address}]:{b.ports["smtp"]}\nsmtp_log_tls_feature_status = yes\n'
    secure = f'{relay}smtp_tls_security_level = verify\nsmtp_tls_CAfile = {crt}\nsmtp_tls_verify_cert_match = mail.b.test\n'
    a = near(hosts, secure + 'smtp_requiretls_policy = enforce\n')
    wants_tls(a, 'kept')
    text = b.wait_message(BOB, 'kept')
    assert 'Require-TLS-ESMTP: yes' in str(text)
    a.wait_log('tls=verify/requiretls, dsn=2')
    again(a, relay + 'smtp_tls_security_level = may\nsmtp_requiretls_policy = enforce\n')
    wants_tls(a, 'no proof')
    a.wait_log(r'tls=may\?/!requiretls:nocertmatch, dsn=5\.7\.10, status=bounced \(Sender requested REQUIRETLS')
    back = str(a.wait_message(ANN, 'Undelivered'))
    assert 'Subject: no proof' in back and 'text/rfc822-headers' in back
    again(a, relay + 'smtp_tls_security_level = may\n')  # the default knows numbers and our own domain as places of our own
    wants_tls(a, 'by address')
    b.wait_message(BOB, 'by address')
    a.wait_log('tls=may/requiretls:nocertmatch, dsn=2')
    b.stop()
    b.configure('smtpd_tls_security_level = none\n')
    b.start()
    again(a, relay + 'smtp_tls_security_level = may\nsmtp_requiretls_policy = opportunistic+starttls\n')
    wants_tls(a, 'no tls')
    a.wait_log(r'!requiretls:nostarttls, dsn=5\.7\.30, status=bounced')
    again(a, relay + f'smtp_tls_security_level = may\nsmtp_requiretls_policy = inline:{{{b.address}=opportunistic}}\n')
    wants_tls(a, 'whatever')
    b.wait_message(BOB, 'whatever')
    a.wait_log('tls=may:none/requiretls:none, dsn=2')
