# SPDX-License-Identifier: Apache-2.0
"""Certificates of single listeners, certificates that cannot be read, and the limit of accounts that have none of their own."""
import imaplib, json, os, smtplib, socket, ssl, subprocess
import pytest
from around import *
from hato import AUTH, Instance, SERVICES, running
from tokens import certify, make_ca

ANN, BOB = 'ann@example.test', 'bob@example.test'


def shown(server, service, name=None):
    """The certificate that a port with TLS at once shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((server.address, server.ports[service]), 20 * SLOW) as s, context.wrap_socket(s, server_hostname=name) as t:
        return ssl.DER_cert_to_PEM_cert(t.getpeercert(binary_form=True)).strip()


def pem(path):
    with open(path) as f:
        text = f.read()
    return text[text.index('-----BEGIN CERT'):].split('-----END CERTIFICATE-----')[0] + '-----END CERTIFICATE-----'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('certificates')
    make_ca(folder)
    for name in ('main', 'smtps', 'imaps', 'other'):
        certify(folder, 'ca', name, f'/CN={name}', f'subjectAltName=DNS:{name}.example.test')
    with open(folder / 'imaps.both', 'w') as f:
        f.write((folder / 'imaps.key').read_text() + (folder / 'imaps.pem').read_text())
    return folder


@pytest.mark.core
def test_each_listener_its_own(tmp_path, folder):
    own = {'smtp': 'smtpd', 'smtps': f'smtpd -o smtpd_tls_wrappermode=yes -o smtpd_tls_cert_file={folder}/smtps.pem -o smtpd_tls_key_file={folder}/smtps.key',
           'second': f'smtpd -o smtpd_tls_wrappermode=yes -o smtpd_tls_cert_file={folder}/smtps.pem -o smtpd_tls_key_file={folder}/smtps.key',
           'imaps': f'imapd -o imapd_tls_wrappermode=yes -o smtpd_tls_chain_files={folder}/imaps.both', 'pop3s': 'pop3d -o pop3d_tls_wrappermode=yes'}
    main = f'smtpd_tls_cert_file = {folder}/main.pem\nsmtpd_tls_key_file = {folder}/main.key\ntls_server_sni_maps = inline:{{ {{ other.example.test = {folder}/other.key, {folder}/other.pem }} }}\n'
    with running(tmp_path, ANN, main=main, services=own) as server:
        for service, name in (('smtps', 'smtps'), ('second', 'smtps'), ('imaps', 'imaps'), ('pop3s', 'main')):
            assert shown(server, service) == pem(folder / f'{name}.pem'), service
            assert shown(server, service, 'main.example.test') == pem(folder / f'{name}.pem'), service  # no other listener's
            assert shown(server, service, 'other.example.test') == pem(folder / 'other.pem'), service
        assert '-o smtpd_tls_cert_file' not in server.hato('check', check=False).stderr
        server.imap(ANN).logout()


@pytest.mark.core
@pytest.mark.parametrize('form', ['two files', 'four files', 'one file', 'listener'])
def test_chain_files_as_postfix_reads_them(tmp_path, folder, form):
    """The files are one text: a key, its certificates, the next key. Key and certificate in two files is what every how-to has."""
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '9', '-out', tmp_path / 'rsa.pem', '-keyout', tmp_path / 'rsa.key',
                    '-subj', '/CN=main.example.test', '-addext', 'subjectAltName=DNS:main.example.test'], check=True, capture_output=True)
    files = [folder / 'main.key', folder / 'main.pem', tmp_path / 'rsa.key', tmp_path / 'rsa.pem']
    with open(tmp_path / 'all.pem', 'w') as f:
        f.write(''.join(file.read_text() for file in files))
    value = {'two files': f'{files[0]}, {files[1]}', 'four files': '\n\t'.join(map(str, files)), 'one file': f'{tmp_path}/all.pem',
             'listener': f'{files[0]},{files[1]}'}[form]
    main, option = (f'smtpd_tls_chain_files = {value}\n', '') if form != 'listener' else ('', f' -o smtpd_tls_chain_files={value}')
    with running(tmp_path / 'h', ANN, main=main, services={'smtps': 'smtpd -o smtpd_tls_wrappermode=yes' + option, 'imaps': SERVICES['imaps']}) as server:
        assert shown(server, 'smtps') in (pem(folder / 'main.pem'), pem(tmp_path / 'rsa.pem'))
        seen = {kind: subprocess.run(['openssl', 's_client', '-connect', f'{server.address}:{server.ports["smtps"]}', '-tls1_2', '-cipher', f'ECDHE+{kind}'],
                                     input='', capture_output=True, text=True).stdout for kind in ('ECDSA', 'aRSA')}
        assert pem(folder / 'main.pem') in seen['ECDSA'].replace('\r', '')
        if form in ('four files', 'one file'):
            assert pem(tmp_path / 'rsa.pem') in seen['aRSA'].replace('\r', '')


def test_a_file_that_changes(tmp_path, folder):
    for name in ('x.pem', 'x.key'):
        (tmp_path / name).write_bytes((folder / name.replace('x', 'smtps')).read_bytes())
    services = {'smtps': f'smtpd -o smtpd_tls_wrappermode=yes -o smtpd_tls_cert_file={tmp_path}/x.pem -o smtpd_tls_key_file={tmp_path}/x.key', 'imaps': SERVICES['imaps']}
    with running(tmp_path / 'h', ANN, services=services) as server:
        assert shown(server, 'smtps') == pem(folder / 'smtps.pem')
        for name in ('x.key', 'x.pem'):
            (tmp_path / name).write_bytes((folder / name.replace('x', 'other')).read_bytes())
        server.hato('reload')
        wait_until(lambda: shown(server, 'smtps') == pem(folder / 'other.pem'), 20, 'the new certificate')


@pytest.mark.core
def test_without_its_file(tmp_path):
    """Who only offers TLS goes on without it, and says so; who needs it does not start."""
    main = f'smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {tmp_path}/none.pem\nsmtpd_tls_key_file = {tmp_path}/none.key\n'
    instance = Instance(tmp_path / 'h', main=main, services={'smtp': 'smtpd'})
    done = instance.hato('check', check=False)
    assert 'none.pem' in done.stderr and 'without it' in done.stderr and 'error' not in done.stderr
    try:
        instance.start()
        with instance.dialogue('smtp') as d:
            assert 'STARTTLS' not in d.ehlo()
        instance.wait_log('warning: certificate: .*none.pem.*go on without')
        make_ca(tmp_path)
        certify(tmp_path, 'ca', 'none', '/CN=late', 'subjectAltName=DNS:late.example.test')  # it comes later
        instance.hato('reload')

        def offered():
            with instance.dialogue('smtp') as d:
                return 'STARTTLS' in d.ehlo()
        wait_until(offered, 20, 'STARTTLS')
        os.unlink(tmp_path / 'none.pem')  # what was there stays
        instance.hato('reload', check=False)
        instance.wait_log('reload: certificate: .*none.pem.*stays as it was')
        assert offered()
    finally:
        assert instance.finish() == []
    for master in ({'imap': 'imapd'}, {'smtps': 'smtpd -o smtpd_tls_wrappermode=yes'}, {'submission': f'smtpd {AUTH} -o smtpd_tls_security_level=encrypt'},
                   {'smtp': f'smtpd {AUTH} -o smtpd_tls_auth_only=yes'}):
        instance = Instance(tmp_path / next(iter(master)), main=main.replace('none', 'nowhere'), services=master)
        done = instance.hato('start', check=False)
        assert done.returncode != 0 and 'nowhere.pem' in done.stderr and 'needs TLS' in done.stderr
        done = instance.hato('check', check=False)
        assert done.returncode != 0 and 'nowhere.pem' in done.stderr
    own = {'smtp': 'smtpd', 'smtps': f'smtpd -o smtpd_tls_wrappermode=yes -o smtpd_tls_cert_file={tmp_path}/nowhere.pem'}
    done = Instance(tmp_path / 'own', services=own).hato('start', check=False)
    assert done.returncode != 0 and 'nowhere.pem' in done.stderr and 'needs TLS' in done.stderr


def quota(m):
    return m.getquotaroot('INBOX')[1]


@pytest.mark.core
def test_the_default_limit(tmp_path):
    with running(tmp_path, ANN, BOB, main='quota_default_size = 20k\nquota_default_messages = 50\n') as server:
        m = server.imap(ANN)
        assert b'STORAGE 0 20' in str(quota(m)).encode() and b'MESSAGE 0 50' in str(quota(m)).encode()
        assert json.loads(server.hato('account', 'show', ANN, '--json').stdout)['quota_bytes'] == 20480
        assert m.append('INBOX', None, None, b'Subject: x\r\n\r\n' + b'x' * 30000)[0] == 'NO'
        assert m.append('INBOX', None, None, b'Subject: x\r\n\r\n' + b'x' * 19000)[0] == 'OK'
        with server.smtp() as s:
            with pytest.raises(smtplib.SMTPResponseException) as e:
                s.sendmail('x@else.test', [ANN], 'Subject: big\r\n\r\n' + 'x' * 70 + '\r\n' * 3000)
            assert e.value.smtp_code in (452, 552)
        server.hato('account', 'quota', BOB, 'unlimited')  # one that nothing limits
        assert b'STORAGE' not in str(quota(server.imap(BOB))).encode()
        server.hato('account', 'quota', BOB, '1M')
        assert b'STORAGE 0 1024' in str(quota(server.imap(BOB))).encode()
        server.configure(main='quota_default_size = 40k\n')
        server.hato('reload')
        wait_until(lambda: b' 40' in str(quota(server.imap(ANN))).encode(), 20, 'the new limit')
        assert b'STORAGE' in str(quota(m)).encode() and b' 40' in str(quota(m)).encode()  # for those who are there as well
        assert m.append('INBOX', None, None, b'Subject: x\r\n\r\n' + b'x' * 15000)[0] == 'OK'
        server.hato('account', 'quota', BOB, 'none')
        assert b' 40' in str(quota(server.imap(BOB))).encode()
        server.stop()
        assert json.loads(server.hato('account', 'show', ANN, '--json').stdout)['quota_bytes'] == 40960
        server.start()
