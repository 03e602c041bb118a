# SPDX-License-Identifier: Apache-2.0
"""Tables in a running server: each of its processes asks the real servers, which go away and come back; the files that name them
hold passwords and are root's alone."""
import contextlib, os
import pytest
from around import *
import databases
from sink import Sink
from test_tables import LDIF, SocketMap, serve

pytestmark = pytest.mark.root
KINDS = databases.PostgreSQL, databases.MariaDB, databases.Slapd, databases.Memcached


@pytest.fixture
def servers(folder):
    made = []
    with contextlib.ExitStack() as stack:
        for kind in KINDS:
            if kind.missing():
                pytest.skip(kind.missing())
            made.append(kind(f'{folder}/{kind.__name__}', *([LDIF] if kind is databases.Slapd else [])))
            stack.callback(made[-1].finish)
        yield made


def secret(path, text, mode=0o600):
    with open(path, 'w') as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def test_every_process_asks_real_servers(servers, hosts, folder, serve):
    pg, my, ldap, cache = servers
    pg.sql("CREATE TABLE box (a text, b text); INSERT INTO box VALUES ('cat@box.test', 'x'), ('box.test', 'x');"
           "CREATE TABLE out (a text, b text); INSERT INTO out VALUES ('x@good.test', 'outer@good.test')")
    my.sql("CREATE DATABASE m; USE m; CREATE TABLE al (a varchar(99), b varchar(99)); INSERT INTO al VALUES "
           "('team@box.test', 'someone@far.test,cat@box.test'); CREATE USER mail@localhost IDENTIFIED BY 'pw'; GRANT ALL ON m.* TO mail@localhost")
    _, port = serve(SocketMap)
    SocketMap.answers |= {'relay ok@relay.test': 'OK yes', 'relay later@relay.test': 'TEMP busy'}
    at_pg = f'hosts = 127.0.0.1:{pg.port}\nuser = mail\npassword = x\ndbname = postgres\n'
    box = secret(folder + '/box.cf', at_pg + "query = SELECT b FROM box WHERE a = '%s'\n")
    out = secret(folder + '/out.cf', at_pg + "query = SELECT b FROM out WHERE a = '%s'\n")
    alias = secret(folder + '/alias.cf', f"hosts = unix:{my.socket}\nuser = mail\npassword = pw\ndbname = m\noption_group =\n"
                                         "query = SELECT b FROM al WHERE a = '%s'\n")
    people = secret(folder + '/people.cf', f'server_host = ldap://127.0.0.1:{ldap.port}\nsearch_base = dc=example,dc=test\nversion = 3\n'
                    'bind_dn = cn=admin,dc=example,dc=test\nbind_pw = secret\nquery_filter = (mail=%s)\nresult_attribute = uid\n'
                    'result_format = REJECT known as %s\n')
    secret(folder + '/backup', '127.0.0.66 REJECT in the backup\n', 0o644)  # named in a file of root's, not in main.cf
    clients = secret(folder + '/clients.cf', f'memcache = inet:127.0.0.1:{cache.port}\nbackup = texthash:{folder}/backup\nkey_format = c:%s\n')
    sink = Sink()
    server = hosts('mail.box.test', f'''mydestination =
virtual_mailbox_domains = proxy:pgsql:{box}
virtual_mailbox_maps = pgsql:{box}
virtual_transport = lmtp:inet:127.0.0.1:{sink.port}
virtual_alias_maps = mysql:{alias}
relay_domains = relay.test
relay_recipient_maps = socketmap:inet:127.0.0.1:{port}:relay
smtpd_sender_restrictions = check_sender_access ldap:{people}
smtpd_client_restrictions = check_client_access memcache:{clients}
smtpd_peername_lookup = no
smtp_generic_maps = pgsql:{out}
relayhost = [127.0.0.1]:{sink.port}
smtp_tls_security_level = none
notify_classes =
''', networks='127.0.0.2/32')

    def ask(to, sender='x@good.test', client='127.0.0.67'):
        with server.dialogue(source=client) as d:
            d.ehlo()
            said = d.say(f'MAIL FROM:<{sender}>')
            return d.say(f'RCPT TO:<{to}>') if said[0] == 250 else said
    assert ask('cat@box.test')[0] == 250, server.log()
    assert ask('team@box.test')[0] == 250
    assert ask('dog@box.test') == (550, '550 5.1.1 <dog@box.test>: Recipient address rejected: User unknown in virtual mailbox table')
    assert ask('ok@relay.test')[0] == 250
    assert ask('no@relay.test')[0] == 550 and ask('later@relay.test')[0] == 451
    assert ask('cat@box.test', 'ann@example.com') == (554, '554 5.7.1 <ann@example.com>: Sender address rejected: known as ann')
    assert 'in the backup' in ask('cat@box.test', client='127.0.0.66')[1]
    secret(folder + '/backup', 'none x\n', 0o644)
    assert 'in the backup' in ask('cat@box.test', client='127.0.0.66')[1]  # from memcached now
    with server.dialogue(source='127.0.0.2') as d:
        d.ehlo()
        d.envelope('x@good.test', 'team@box.test')
        d.say('DATA', 354)
        d.say(message('x@good.test', 'team@box.test', 'out') + '.', 250)
    wait_until(lambda: len(sink.messages) == 2, 20, lambda: server.log()[-3000:])
    assert sorted((to, sender) for sender, to, _ in sink.messages) == [(['cat@box.test'], 'x@good.test'), (['someone@far.test'], 'outer@good.test')]
    for away, to, sender in ((pg, 'cat@box.test', 'x@good.test'), (my, 'team@box.test', 'x@good.test'), (ldap, 'cat@box.test', 'bob@example.com')):
        before = wait_until(lambda: ask(to, sender), 10)
        away.finish()
        said = wait_until(lambda: (code := ask(to, sender))[0] == 451 and code, 30 * SLOW)
        assert said[1].startswith(('451 4.3.0 <', '451 4.3.5 <')), said
        away.start()
        wait_until(lambda: ask(to, sender) == before, 90, lambda: f'{ask(to, sender)} as {before}:\n{server.log()[-2500:]}', every=0.5)
