# SPDX-License-Identifier: Apache-2.0
"""Other people's milters as Debian ships them: Rspamd's proxy over inet, ClamAV's over a unix socket."""
import os, subprocess
import pytest
from around import *

TEXT = 'From: ann@example.test\r\nTo: bob@example.test\r\nSubject: hello\r\nDate: Sun, 22 Nov 2026 04:31:39 +0000\r\n' \
       'Message-ID: <1@example.test>\r\n\r\n{}\r\n'
GTUBE = 'JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X'


def needs(*programs):
    return pytest.mark.skipif(not all(os.path.exists(p) for p in programs), reason=', '.join(programs))


def say(server, text):
    with server.dialogue() as d:
        d.ehlo()
        d.envelope('ann@example.test', 'bob@example.test')
        d.say('DATA', 354)
        return d.say(text + '.')


def listens(port):
    return lambda: not can_bind('127.0.0.1', port)


@pytest.mark.root
@needs('/usr/bin/rspamd')
def test_rspamd(hosts, folder, daemons):
    port = free_port()
    os.chmod(folder, 0o777)
    with open(f'{folder}/rspamd.conf', 'w') as f:
        f.write(f'''options {{ pidfile = "{folder}/rspamd.pid"; filters = ""; enable_test_patterns = true; gtube_patterns = "all"; control_socket = "{folder}/control mode=0600";
  dns {{ nameserver = ["127.0.0.1:{free_port()}:1"]; timeout = 0.1s; retransmits = 1; }} }}
logging {{ type = "console"; level = "info"; }}
actions {{ reject = 15; add_header = 6; greylist = 4; }}
worker "rspamd_proxy" {{ bind_socket = "127.0.0.1:{port}"; milter = yes; timeout = 10s; count = 1;
  upstream "local" {{ default = yes; self_scan = yes; }} }}
''')
    daemons(listens(port), '/usr/bin/rspamd', '-f', '-i', '-c', f'{folder}/rspamd.conf')
    server = hosts(accounts=['ann@example.test', 'bob@example.test'], main=f'''
smtpd_milters = inet:localhost:{port}
milter_default_action = tempfail
milter_protocol = 6
milter_mail_macros = i {{mail_addr}} {{client_addr}} {{client_name}} {{auth_authen}}''')
    assert say(server, TEXT.format('plain'))[0] == 250
    refused = say(server, TEXT.format('X' + GTUBE))
    assert refused == (554, '554 5.7.1 Gtube pattern'), refused
    server.wait_log(r'milter-reject: END-OF-MESSAGE from localhost\[127.0.0.1\]: 5.7.1 Gtube pattern; from=')
    assert say(server, TEXT.format('Y' + GTUBE))[0] == 250
    marked = server.wait_message('bob@example.test', lambda m: 'GTUBE' in m.as_string())
    assert marked["X-Spam"] == "Yes", marked.as_string() + open(f"{folder}/daemons").read()[-6000:]


@pytest.mark.root
@needs('/usr/sbin/clamd', '/usr/sbin/clamav-milter')
def test_clamav(hosts, folder, daemons):
    """With a database of one signature: the EICAR test file's text, which scanners agree to call a virus."""
    eicar = 'X5O!P%@AP[4\\PZX54(P^)7CC)7}$' + 'EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'  # in two pieces: this file is not to be found
    os.makedirs(f'{folder}/db')
    with open(f'{folder}/db/own.ndb', 'w') as f:
        f.write(f"Eicar.Test:0:*:{eicar.encode().hex()}\n")
    with open(f'{folder}/clamd.conf', 'w') as f:
        f.write(f'LocalSocket {folder}/clamd.sock\nDatabaseDirectory {folder}/db\nForeground yes\nUser root\n')
    with open(f'{folder}/milter.conf', 'w') as f:
        f.write(f'MilterSocket {folder}/clamav-milter.sock\nMilterSocketMode 666\nClamdSocket unix:{folder}/clamd.sock\nForeground yes\nUser root\n'
                'OnInfected Reject\nRejectMsg found %v\nAddHeader Replace\nLogInfected Basic\n')
    daemons(lambda: os.path.exists(f'{folder}/clamd.sock'), '/usr/sbin/clamd', '-c', f'{folder}/clamd.conf')
    daemons(lambda: os.path.exists(f'{folder}/clamav-milter.sock'), '/usr/sbin/clamav-milter', '-c', f'{folder}/milter.conf')
    server = hosts(accounts=['ann@example.test', 'bob@example.test'], main=f'''
smtpd_milters = {{ unix:{folder}/clamav-milter.sock, connect_timeout=10s, default_action=tempfail }}''')
    assert say(server, TEXT.format('plain'))[0] == 250
    clean = server.wait_message('bob@example.test', 'hello')
    assert clean['X-Virus-Scanned'] and clean['X-Virus-Status'] == 'Clean'
    assert say(server, TEXT.format(eicar)) == (550, '550 5.7.1 found Eicar.Test.UNOFFICIAL')
    server.wait_log(r'milter-reject: END-OF-MESSAGE from localhost\[127\.0\.0\.1\]: 5\.7\.1 found Eicar\.Test')
    assert server.subjects('bob@example.test') == ['hello']
