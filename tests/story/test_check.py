# SPDX-License-Identifier: Apache-2.0
"""hato check tells what is wrong with a whole configuration, before a server runs with it."""
import json, os, re, subprocess
import pytest
from around import *

MASTER = 'smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\nlocal unix - - n - - local\n'


def check(folder, main, master=MASTER, *options, files={}):
    for name, text in {'main.cf': 'compatibility_level = 3.11\nmyhostname = mail.example.test\n' + main, 'master.cf': master, **files}.items():
        with open(f'{folder}/{name}', 'w') as f:
            f.write(text)
    port = free_port()
    settings = open(folder + '/master.cf').read().replace('smtp inet', f'127.0.0.1:{port} inet').replace(':2525 inet', f':{port} inet')
    with open(folder + '/master.cf', 'w') as f:
        f.write(settings)
    with open(folder + '/main.cf', 'a') as f:
        f.write(f'data_directory = {folder}/data\n')
    return subprocess.run([HATO, '-c', folder, 'check', *options], capture_output=True, text=True, timeout=60)


def test_good(folder):
    done = check(folder, '')
    assert done.returncode == 0 and 'the configuration is good' in done.stdout and 'warning' not in done.stderr, done.stderr


ACCESS = 'check_helo_access texthash:{folder}/access'
RELAY = 'smtpd_relay_restrictions ='
OUTSIDE = MASTER.replace('smtp inet', '0.0.0.0:2525 inet')
OPEN = 'specify at least one working instance of: reject_unauth_destination'


@pytest.mark.parametrize('main, master, said, code', [
    # open doors are errors
    ('smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit_mynetworks\n', MASTER, OPEN, 78),
    ('', MASTER + 'smtp inet n - n - - smtpd -o smtpd_relay_restrictions=permit -o smtpd_recipient_restrictions=\n', OPEN, 78),
    ('mynetworks = 0.0.0.0/0\n', MASTER.replace('smtp inet', '0.0.0.0:2525 inet'), 'mynetworks holds every IPv4 address', 78),
    # doors that are open for everybody, though a list has a word that refuses
    ('mynetworks = 0.0.0.0/1, 128.0.0.0/1\n', OUTSIDE, 'line 3: mynetworks holds everybody', 78),
    ('mynetworks = static:all\n', OUTSIDE, 'mynetworks holds everybody', 78),
    ('mynetworks = cidr:{folder}/all\n', OUTSIDE, 'mynetworks holds everybody', 78),
    (f'{RELAY} check_client_access static:OK, reject_unauth_destination\n', OUTSIDE, 'line 3: smtpd_relay_restrictions: check_client_access static:OK says OK to everybody', 78),
    (f'{RELAY} check_client_access cidr:{{folder}}/all, reject_unauth_destination\n', OUTSIDE, 'says OK to everybody before', 78),
    (f'{RELAY} check_sender_access regexp:{{folder}}/every, reject_unauth_destination\n', OUTSIDE, 'says OK to everybody before', 78),
    (f'{RELAY} static:permit, reject_unauth_destination\n', OUTSIDE, 'static:permit says OK to everybody', 78),
    (f'smtpd_restriction_classes = mine\nmine = warn_if_reject reject, permit\n{RELAY} mine, reject_unauth_destination\n', OUTSIDE, 'mine says OK to everybody', 78),
    ('relay_domains = static:all\n', OUTSIDE, 'relay_domains: static:all holds every domain', 78),
    ('relay_domains = regexp:{folder}/every\n', OUTSIDE, 'holds every domain', 78),
    ('smtpd_authorized_xclient_hosts = 0.0.0.0/0\n', OUTSIDE, 'smtpd_authorized_xclient_hosts holds everybody', 78),
    ('', OUTSIDE.replace('smtpd\n', 'smtpd -o smtpd_relay_restrictions=check_helo_access,static:OK,reject\n', 1), 'master.cf, line 1: smtpd_relay_restrictions: check_helo_access static:OK', 78),
    # doubtful ones are warnings
    (f'{RELAY} permit_tls_all_clientcerts, reject_unauth_destination\n', OUTSIDE, 'has a certificate of any authority', 0),
    (f'{RELAY} permit_naked_ip_address, reject_unauth_destination\n', OUTSIDE, 'greets with a bare address', 0),
    ('smtpd_upstream_proxy_protocol = haproxy\n', OUTSIDE, 'says himself which address he comes from', 0),
    ('relay_domains = *.example.org\n', OUTSIDE, 'relay_domains: "*.example.org" matches nothing', 0),
    # an OK for what the client says of itself
    (f'smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = {ACCESS}, reject_unauth_destination\n', MASTER, 'says OK for "friend.example"', 0),
    # words nobody knows
    ('smtpd_recipient_restrictions = permit_mynetwork, reject_unauth_destination\n', MASTER, 'line 3: smtpd_recipient_restrictions: unknown smtpd restriction: "permit_mynetwork"', 0),
    ('smtpd_restriction_classes = mine\nmine = reject_foo\nsmtpd_client_restrictions = mine\n', MASTER, 'line 4: mine: unknown smtpd restriction: "reject_foo"', 0),
    ('smtpd_sender_restrictions = check_sender_access\n', MASTER, 'must be followed by a lookup table', 0),
    # tables
    ('virtual_alias_maps = hash:{folder}/none\n', MASTER, 'virtual_alias_maps: hash:{folder}/none: open {folder}/none: No such file', 0),
    ('transport_maps = foo:/x\n', MASTER, 'transport_maps: unsupported dictionary type: foo', 0),
    ('transport_maps = regexp:{folder}/bad\n', MASTER, '{folder}/bad, line 1: ', 0),
    ('smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = texthash:{folder}/access\n', MASTER, 'holds passwords and can be read by everybody', 0),
    ('relay_domains = foo:/x\n', MASTER, 'relay_domains: unsupported dictionary type: foo', 0),
    ('virtual_alias_maps = mysql:{folder}/none.cf\n', MASTER, 'virtual_alias_maps: mysql:{folder}/none.cf: open {folder}/none.cf: No such file', 0),
    ('smtp_tls_CAfile = /none/ca.pem\n', MASTER, 'main.cf, line 3: smtp_tls_CAfile: no certificate can be proved: open /none/ca.pem: No such file', 0),
    ('smtpd_tls_CAfile = {folder}/main.cf\n', MASTER, 'smtpd_tls_CAfile: no certificate can be proved: {folder}/main.cf: ', 0),
    ('lmtp_tls_CApath = /none\n', MASTER, 'lmtp_tls_CApath: no certificate can be proved: open /none: No such file', 0),
    ('', MASTER + 'way unix - - n - - smtp -o smtp_tls_CAfile=/none/own.pem\n', 'master.cf, line 4: smtp_tls_CAfile: no certificate can be proved: open /none/own.pem', 0),
    ('alias_maps = nis:mail.aliases\n', MASTER, 'info: {folder}/main.cf, line 3: alias_maps: nis:mail.aliases never has an entry', 0),
    # values
    ('smtpd_helo_required = yes # always\n', MASTER, 'line 3: smtpd_helo_required: "# always" is taken as part of the value', 78),
    ('mynetworks = 127.0.0.0/8 # us\n', MASTER, 'mynetworks: "# us" is taken as part of the value', 0),
    ('message_size_limit = 10M\n', MASTER, 'message_size_limit = 10M: read as 10485760 bytes', 0),
    ('smtp_bind_address = 192.0.2.300\n', MASTER, 'bad parameter value: smtp_bind_address = 192.0.2.300', 0),
    ('', MASTER + 'way unix - - n - - smtp -o smtp_bind_address=nobody\n', 'master.cf, line 4: bad parameter value: smtp_bind_address = nobody', 0),
    ('mydomain = a b\n', MASTER, 'bad parameter value: mydomain = a b (expected a host name', 78),
    ('myhostname = localhost\n', MASTER, 'myhostname = localhost: is no full name', 0),
    ('', MASTER + 'odd unix - n n - - pipe flags=Z user=nobody argv=/bin/x\n', 'master.cf, line 4: service odd: flags=Z: unknown flag: Z', 0),
    # names
    ('myhostnam = x\n', MASTER, 'unused parameter: myhostnam=x (did you mean myhostname?)', 0),
    ('smtpd_banner = $nobody\n', MASTER, 'undefined parameter: nobody', 0),
    ('', MASTER + 'x inet n - n - - smptd\n', 'unknown command "smptd" (did you mean "smtpd"?)', 78),
    ('default_transport = uucp:x\n', MASTER, 'master.cf has no transport "uucp"', 0),
    ('fallback_relay = [x.example]\n', MASTER, 'fallback_relay is an old setting: Use smtp_fallback_relay', 0),
    ('smtp_tls_per_site = texthash:{folder}/access\n', MASTER, 'smtp_tls_per_site is an old setting: Use smtp_tls_policy_maps', 0),
    ('disable_dns_lookups = no\n', MASTER, 'disable_dns_lookups is an old setting: Use smtp_dns_support_level = disabled', 0),
    # what has no effect
    ('biff = no\n', MASTER, 'info: {folder}/main.cf, line 3: biff has no effect', 0),
    ('', MASTER + 'old unix - n n - - oqmgr\nsmtp inet n - n - - smtpd\n', 'duplicate', 0),
    # what do not go together
    ('mydestination = a.example\nvirtual_alias_domains = a.example\n', MASTER, 'do not list domain a.example in BOTH mydestination and virtual_alias_domains', 0),
    ('smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = no\n', MASTER, 'passwords may cross the network for everybody to read', 0),
    ('relayhost = [x.example]:465\n', MASTER, 'port 465 needs smtp_tls_wrappermode = yes', 0),
])
def test_findings(folder, main, master, said, code):
    files = {'access': 'friend.example OK\n', 'bad': '/(/ x\n', 'all': '0.0.0.0/0 OK\n', 'every': '/./ OK\n'}
    done = check(folder, main.replace('{folder}', folder), master, files=files)
    assert said.replace('{folder}', folder) in done.stderr, done.stderr
    if 'x inet' not in master:
        assert done.returncode == code, done.stderr


@pytest.mark.parametrize('main, master', [
    # one list that refuses is enough, and so is a door that nobody outside can reach
    (f'{RELAY} check_client_access static:OK, reject\nsmtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination\n', OUTSIDE),
    (f'{RELAY} check_client_access static:OK, reject_unauth_destination\nsmtpd_client_restrictions = permit_mynetworks, reject\n', OUTSIDE),
    (f'{RELAY} check_client_access static:OK, reject_unauth_destination\n', MASTER.replace('smtp inet', '127.0.0.1:2525 inet')),
    # somebody is asked before who may refuse
    (f'{RELAY} check_policy_service inet:127.0.0.1:9, check_client_access static:OK, reject_unauth_destination\n', OUTSIDE),
    # what takes mail for every domain and keeps it
    ('mydestination = regexp:{folder}/every\n', OUTSIDE), ('virtual_mailbox_domains = static:all\n', OUTSIDE),
    # what looks at other things than who comes
    (f'{RELAY} check_ccert_access static:OK, reject_unauth_destination\n', OUTSIDE),
    (f'{RELAY} permit_mynetworks, check_client_access cidr:{{folder}}/some, reject_unauth_destination\n', OUTSIDE),
    (f'smtpd_recipient_restrictions = check_recipient_access static:OK, reject\n', OUTSIDE),
])
def test_no_open_door(folder, main, master):
    done = check(folder, main.replace('{folder}', folder), master, files={'every': '/./ OK\n', 'some': '192.0.2.0/24 OK\n'})
    assert done.returncode == 0 and 'open relay' not in done.stderr, done.stderr


def test_order_and_once(folder):
    """Findings about lines stand in the order of the lines; a certificate that is not there is told of once."""
    done = check(folder, 'smtpd_tls_cert_file = /none/x.pem\nsmtpd_tls_key_file = /none/x.key\nsmtp_use_tls = yes\nnobody_knows = x\nbiff = no\nvirtual_maps =\n')
    lines = [int(n) for n in re.findall(r'main\.cf, line (\d+): (?:smtp_use_tls|unused|biff|virtual_maps)', done.stderr)]
    assert lines == [5, 6, 7, 8], done.stderr
    assert done.stderr.count('/none/x.pem') == 1 and all(l.startswith('hato check: ') for l in done.stderr.splitlines()), done.stderr


def test_tables_in_braces(folder):
    """What stands in a table that is written into main.cf is no table; what stands in a union is one."""
    done = check(folder, 'header_checks = regexp:{{/^X-A:/ IGNORE}, {/^X-B: (.*)/ REPLACE Y: $$1}}\n'
                         'virtual_alias_maps = unionmap:{inline:{a@b.example=c:/d}, texthash:/nowhere}\n', MASTER)
    said = [l for l in done.stderr.split('\n') if 'header_checks' in l or 'virtual_alias_maps' in l]
    assert len(said) == 1 and 'texthash:/nowhere' in said[0], done.stderr


def test_guarded_elsewhere(folder):
    """The same table does no harm when another list refuses."""
    done = check(folder, f'smtpd_recipient_restrictions = {ACCESS}, reject_unauth_destination\n'.replace('{folder}', folder), files={'access': 'friend.example OK\n'})
    assert 'says OK' not in done.stderr


def test_json(folder):
    done = check(folder, 'biff = no\nmyhostnam = x\nsmtpd_helo_required = maybe\n', MASTER, '--json')
    found = json.loads(done.stdout)
    assert done.returncode == 78 and found['good'] is False and found['errors'] == 1 and found['warnings'] >= 1
    assert {'level': 'error', 'file': folder + '/main.cf', 'line': 5,
            'text': 'bad boolean configuration: smtpd_helo_required = maybe (expected yes or no)'} in found['problems']
    assert done.stderr == ''
    assert json.loads(check(folder, '', MASTER, '--json').stdout)['good'] is True


def test_a_refused_configuration_does_not_start(folder):
    check(folder, 'mynetworks = 0.0.0.0/0\n', MASTER.replace('smtp inet', f'0.0.0.0:{free_port()} inet'))
    done = subprocess.run([HATO, '-c', folder, 'start'], capture_output=True, text=True, timeout=60)
    assert done.returncode == 78 and 'open relay' in done.stderr
    assert not os.path.exists(folder + '/data/run')


@pytest.mark.root
def test_ports(hosts, dns, sink):
    """Who listens, and does mail get out (S96, S124, S125)."""
    far, closed = sink(address=own_address(), port=25), own_address()
    names = dns(f'far.test MX 10 mx.far.test.\nmx.far.test A {far.address}\nshut.test MX 10 mx.shut.test.\nmx.shut.test A {closed}\nnull.test MX 0 .\n')
    server = hosts('mail.own.test', dns=names)
    rows = lambda *words: json.loads(server.hato('check', 'ports', '--json', *words).stdout)
    found = rows('far.test')
    ours = {r['port']: r for r in found if r['way'] == 'in'}
    assert set(ours) == set(server.ports.values()) and all(r['answer'].startswith('yes') for r in ours.values())
    assert ours[server.ports['smtp']]['answer'].startswith('yes: 220 mail.own.test')
    out = [r for r in found if r['way'] == 'out']
    assert len(out) == 1 and out[0]['address'] == f'mx.far.test[{far.address}]' and out[0]['answer'].startswith('yes')
    said = server.hato('check', 'ports', 'shut.test', check=False)
    assert said.returncode == 69 and 'OP25B' in said.stderr and 'Connection refused' in said.stdout
    assert server.hato('check', 'ports', 'shut.test', 'far.test').stderr == ''
    assert server.hato('check', 'ports', 'null.test', check=False).returncode == 75
    server.configure(f'relayhost = [{far.address}]:25\n')
    assert [r['service'] for r in rows() if r['way'] == 'out'] == ['relayhost']
    server.stop()
    said = server.hato('check', 'ports', 'far.test', check=False)
    assert said.returncode == 69 and f'{len(server.ports)} of the ports of master.cf do not answer' in said.stderr
