# SPDX-License-Identifier: Apache-2.0
"""Roundcube as Debian ships it, in PHP's own web server, and a person with Chromium before it."""
import importlib.util, os, shutil, sqlite3, subprocess
import pytest
from around import *
from clients import certificate, flags_of

WANTED = ['php', 'chromedriver', 'chromium']
pytestmark = pytest.mark.skipif(not (all(map(shutil.which, WANTED)) and os.path.exists('/var/lib/roundcube/index.php') and importlib.util.find_spec('selenium')),
                                reason='Roundcube, PHP or Chromium is not installed (tools/install-deps --test)')
ANN, BOB = 'ann@example.test', 'bob@example.test'
LETTER = '''From: "Bob Müller" <bob@example.test>
To: ann@example.test
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_mit_Anhang?=
Message-ID: <with-html@example.test>
Date: Sat, 22 Nov 2025 04:31:39 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=utf-8

only plain
--inner
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<html><body><p id=3D"rich">rich <b>gr=C3=BC=C3=9Fe</b></p><script>document.title=3D"broken"</script></body></html>
--inner--
--outer
Content-Type: application/pdf; name="report.pdf"
Content-Disposition: attachment; filename="report.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQKaGVsbG8K
--outer--
'''.replace('\n', '\r\n').encode()

# LOGIN: the SCRAM of PHP's Auth_SASL takes Y, Z, + and / at the end of base64 for broken, so one log-in in eight fails on average.
CONFIG = '''<?php
$config['db_dsnw'] = 'sqlite:////{home}/roundcube.db?mode=0600';
$config['imap_host'] = 'ssl://localhost:{imaps}';
$config['smtp_host'] = 'tls://localhost:{submission}';
$config['imap_conn_options'] = $config['smtp_conn_options'] = ['ssl' => ['verify_peer' => true, 'cafile' => '{certificate}']];
$config['des_key'] = 'abcdefghijklmnopqrstuvwx';
$config['log_dir'] = '{home}/logs'; $config['temp_dir'] = '{home}/temp'; $config['enable_installer'] = false;
$config['imap_cache'] = 'db'; $config['messages_cache'] = 'db'; $config['imap_debug'] = true;
$config['plugins'] = []; $config['skin'] = 'elastic'; $config['language'] = 'en_US';
$config['smtp_auth_type'] = 'LOGIN'; $config['refresh_interval'] = 60; $config['mime_types'] = '/etc/roundcube/mimetypes.php'; $config['htmleditor'] = 0; $config['layout'] = 'widescreen';
'''


@pytest.fixture
def roundcube(hosts, tmp_path, daemons):
    """(server, address of Roundcube's first page)"""
    server = hosts(accounts=[ANN, BOB], main=certificate(tmp_path))
    home, port = str(tmp_path), free_port()
    for name in ('logs', 'temp', 'config'):
        os.mkdir(f'{home}/{name}')
    with open(f'{home}/config/config.inc.php', 'w') as f:
        f.write(CONFIG.replace('{home}', home).replace('{certificate}', f'{home}/localhost.crt').replace(
            '{imaps}', str(server.ports['imaps'])).replace('{submission}', str(server.ports['submission'])))
    for name in ('defaults.inc.php', 'mimetypes.php'):
        os.symlink(f'/etc/roundcube/{name}', f'{home}/config/{name}')
    with open('/usr/share/roundcube/SQL/sqlite.initial.sql') as f:
        sqlite3.connect(f'{home}/roundcube.db').executescript(f.read()).close()
    os.environ['ROUNDCUBE_CONFIG_DIR'], os.environ['PHP_CLI_SERVER_WORKERS'] = f'{home}/config', '3'
    try:
        daemons(lambda: not can_bind('127.0.0.1', port), 'php', '-S', f'127.0.0.1:{port}', '-t', '/var/lib/roundcube')
        yield server, f'http://127.0.0.1:{port}/index.php'
    finally:
        del os.environ['ROUNDCUBE_CONFIG_DIR'], os.environ['PHP_CLI_SERVER_WORKERS']


@pytest.fixture
def browser(tmp_path):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.remote.remote_connection import RemoteConnection
    options = webdriver.ChromeOptions()
    for word in ('--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server', '--disable-background-networking',
                 '--disable-component-update', '--window-size=1400,1000', f'--user-data-dir={tmp_path}/chromium'):
        options.add_argument(word)
    options.binary_location = shutil.which('chromium')
    RemoteConnection.set_timeout(120 * SLOW)  # of what is asked of it, the first being to start
    driver = webdriver.Chrome(service=Service(shutil.which('chromedriver'), log_path=f'{tmp_path}/chromedriver.log'), options=options)
    driver.set_page_load_timeout(60 * SLOW)
    driver.set_script_timeout(60 * SLOW)
    yield driver
    driver.quit()


class Page:
    """What a person does, by the names that Roundcube's own scripts use."""
    def __init__(self, browser):
        self.browser = browser

    def js(self, code, *args):
        return self.browser.execute_script(code, *args)

    def wait(self, code, *args, what=None):
        def seen():
            try:
                return self.js(f'return (v => typeof v == "object" ? !!v : v)({code})', *args)  # no objects of the page's cross over
            except Exception:  # a page between two pages
                return False
        return wait_until(seen, 30, lambda: f'{what or code} at {self.browser.current_url}: '
                          f'{self.js("return document.body.innerText")[:1500]}', every=0.1)

    def idle(self):
        self.wait('rcmail.busy === false && !rcmail.http_lock && document.readyState == "complete"')

    def subjects(self):
        return self.js('return Array.from(document.querySelectorAll("#messagelist tbody tr:not(.deleted) .subject a span, '
                       '#messagelist tbody tr .subject > a")).map(e => e.textContent.trim()).filter((t, i, all) => t && all.indexOf(t) == i)')

    def row(self, subject):
        """The uid of a message of the list."""
        return self.wait('(() => { for (const uid in rcmail.message_list.rows) { const r = document.getElementById(rcmail.message_list.rows[uid].id);'
                         ' if (r && r.innerText.includes(arguments[0])) return uid; } })()', subject, what=f'{subject!r} in the list')

    def select(self, subject):
        self.js('rcmail.message_list.select(arguments[0])', self.row(subject))
        self.idle()

    def gone(self, subject):
        self.wait('!document.querySelector("#messagelist").innerText.includes(arguments[0])', subject, what=f'{subject!r} to be gone from the list')

    def folder(self, name):
        self.js('rcmail.command("list", arguments[0])', name)
        self.wait('rcmail.env.mailbox == arguments[0]', name)
        self.idle()


def test_roundcube(roundcube, browser, tmp_path):
    server, address = roundcube
    m = server.imap(ANN)
    for n in range(1, 6):
        m.append('INBOX', None, None, message('Else <else@other.test>', ANN, f'letter {n}', f'Body of letter {n}\n').encode())
    m.append('INBOX', None, None, LETTER)
    m.logout()
    page = Page(browser)
    browser.get(address)
    page.js('document.getElementById("rcmloginuser").value = arguments[0]; document.getElementById("rcmloginpwd").value = "secret";'
            'document.getElementById("rcmloginsubmit").click()', ANN)
    page.wait('window.rcmail && rcmail.env.task == "mail" && rcmail.message_list', what='the list after log-in')
    page.idle()
    for n in range(1, 6):
        page.row(f'letter {n}')
    folders = page.js('return Array.from(document.querySelectorAll("#mailboxlist li")).map(e => e.innerText.trim())')
    assert {'Drafts', 'Sent', 'Junk', 'Trash', 'Archive'} <= {f.split('\n')[0] for f in folders}, folders
    # a message with HTML and an attachment
    uid = page.row('Grüße mit Anhang')
    browser.get(f'{address}?_task=mail&_mbox=INBOX&_uid={uid}&_action=show')
    page.wait('document.querySelector("#messagebody") && document.querySelector("#messagebody").innerText.includes("rich grüße")')
    assert 'only plain' not in page.js('return document.body.innerText') and 'report.pdf' in page.js('return document.querySelector("#attachment-list").innerText')
    got = browser.execute_async_script('const done = arguments[0]; fetch(document.querySelector("#attachment-list a[href*=_part]").href + "&_download=1")'
                                       '.then(r => r.text()).then(done, e => done("" + e))')
    assert got == '%PDF-1.4\nhello\n'
    wait_until(lambda: '\\Seen' in flags_of(server, ANN)['=?utf-8?q?Gr=C3=BC=C3=9Fe_mit_Anhang?='], 10, 'the opened message to be seen')
    browser.get(f'{address}?_task=mail&_mbox=INBOX')
    page.wait('window.rcmail && rcmail.message_list')
    page.idle()
    # search, in the subject and in the text
    for words, where, found in (('grüße', '{"subject":1}', 'Grüße mit Anhang'), ('letter 3', '{"text":1}', 'letter 3')):
        page.js('rcmail.env.search_mods = {"*": JSON.parse(arguments[1])}; document.getElementById("mailsearchform").value = arguments[0];'
                'rcmail.env.search_request = null; rcmail.qsearch(arguments[0])', words, where)
        page.wait('rcmail.env.search_request && Object.keys(rcmail.message_list.rows).length == 1', what=f'one message for {words!r}')
        page.row(found)
        page.js('rcmail.command("reset-search")')
        page.wait('Object.keys(rcmail.message_list.rows).length == 6')
    # marks, a move, a deletion
    page.select('letter 2')
    page.js('rcmail.command("mark", "read")')
    wait_until(lambda: '\\Seen' in flags_of(server, ANN)['letter 2'], 10, 'letter 2 to be seen')
    page.idle()
    page.js('rcmail.command("mark", "flagged")')
    wait_until(lambda: '\\Flagged' in flags_of(server, ANN)['letter 2'], 10, lambda: f'letter 2 to be flagged: {flags_of(server, ANN)}')
    page.select('letter 3')
    page.js('rcmail.command("move", "Archive")')
    page.gone('letter 3')
    page.select('letter 4')
    page.js('rcmail.command("delete")')
    page.gone('letter 4')
    # Roundcube takes a row out of its list before the server has answered
    wait_until(lambda: (server.subjects(ANN, 'Archive'), server.subjects(ANN, 'Trash')) == (['letter 3'], ['letter 4']), 10, 'both to be where they belong')
    assert len(server.subjects(ANN)) == 4
    page.folder('Archive')
    page.row('letter 3')
    # new mail comes in while the page is open
    page.folder('INBOX')
    server.send('else@other.test', ANN, message('else@other.test', ANN, 'came later'))
    server.wait_message(ANN, 'came later')
    page.js('rcmail.command("checkmail", "")')
    page.row('came later')
    # writing
    browser.get(f'{address}?_task=mail&_action=compose')
    page.wait('window.rcmail && document.getElementById("composebody") && rcmail.env.compose_id')
    page.idle()
    page.js('document.getElementById("_to").value = arguments[0]; document.getElementById("compose-subject").value = "Von Roundcube: ü";'
            'document.getElementById("composebody").value = "Hallo Böb\\n.\\n..\\n"', BOB)
    page.js('rcmail.command("savedraft")')
    wait_until(lambda: server.subjects(ANN, 'Drafts'), 20, 'the draft')
    page.idle()
    page.js('rcmail.command("send", {})')
    stored = server.wait_message(BOB, lambda m: 'Roundcube' in str(m['Subject']))
    assert stored['From'] == ANN and stored.get_payload(decode=True).decode().splitlines()[:3] == ['Hallo Böb', '.', '..']
    wait_until(lambda: server.subjects(ANN, 'Sent') and not server.subjects(ANN, 'Drafts'), 20, 'the copy in Sent, and the draft gone')
    with open(f'{tmp_path}/logs/errors.log') if os.path.exists(f'{tmp_path}/logs/errors.log') else open(os.devnull) as f:
        assert not f.read()
    refused = subprocess.run(['grep', '-hE', r' S: \w+ (BAD|NO) ', '-r', f'{tmp_path}/logs'], capture_output=True, text=True).stdout
    assert not refused, refused
