# SPDX-License-Identifier: Apache-2.0
"""ARC: ValiMail's suite (tests/data/arc, written for a draft of RFC 8617) through the real DNS code, and dkimpy beside us."""
import os, re
import pytest, yaml
import trustprobe
from trustprobe import crlf

DATA = os.path.join(os.path.dirname(__file__), '..', 'data', 'arc')

# Where RFC 8617 wants something else than the draft did: {case: (our result, section and reason)}.
EXCEPTIONS = {
    # signed relaxed without saying so, as the draft had it; §4.1.2 takes everything from DKIM, where c= is simple/simple by default
    'ams_fields_c_na': ('fail', 'RFC 8617 §4.1.2, RFC 6376 §3.5'),
}


def scenarios(file):
    with open(os.path.join(DATA, file), encoding='utf-8') as f:
        return [s for s in yaml.safe_load_all(f) if s]


def cases(file):
    for scenario in scenarios(file):
        for name, case in scenario['tests'].items():
            yield pytest.param(scenario, case, id=name)


def servers(scenario):
    """The suite folds its records; a name server would hand them out in one piece."""
    return trustprobe.Keys({name: re.sub(r'\s*\n\s*', '', text.strip()) for name, text in (scenario.get('txt-records') or {}).items()})


@pytest.mark.suite('ARC, validation', 'otherwise than its draft, by RFC 8617: ' + ', '.join(f'{name} ({why})' for name, (_, why) in EXCEPTIONS.items()))
@pytest.mark.parametrize('scenario, case', cases('arc-draft-validation-tests.yml'))
def test_validation_suite(scenario, case, request):
    wanted = (case['cv'] or '').lower()
    name = request.node.callspec.id
    with servers(scenario) as keys:
        found = trustprobe.arc(crlf(case['message']), keys)
    if name in EXCEPTIONS:
        wanted = EXCEPTIONS[name][0]
    if not wanted:  # the suite judges nothing where a seal says cv=fail; RFC 8617 §5.2 step 2 does
        wanted = 'fail'
    assert found.result == wanted, found
    assert (found.reason == '') == (wanted in ('pass', 'none'))


def tags(text):
    """{tag: value}, b= without folds."""
    out = {}
    for part in text.strip().strip(';').split(';'):
        name, _, value = part.partition('=')
        out[name.strip()] = re.sub(r'\s+', '', value)
    return out


def words(text):
    return re.sub(r'\s+', ' ', text.strip())


def results_of(mail, server):
    """What our Authentication-Results say: the sealer is handed that."""
    found = []
    for field in re.split(r'\n(?![ \t])', mail.partition('\n\n')[0]):
        name, _, value = field.partition(':')
        host, _, rest = value.partition(';')
        if name.lower() == 'authentication-results' and host.strip() == server:
            found.append(rest.strip().replace('\n', '\r\n'))
    return f'{server}; ' + '; '.join(found)


def test_every_case_is_here():
    assert len(list(cases('arc-draft-validation-tests.yml'))) == 171
    assert len(list(cases('arc-draft-sign-tests.yml'))) == 17


@pytest.mark.suite('ARC, sealing')
@pytest.mark.parametrize('scenario, case', cases('arc-draft-sign-tests.yml'))
def test_signing_suite(scenario, case, folder):
    """RSA signatures have no chance in them: even b= must be the suite's."""
    path = f'{folder}/key.pem'
    with open(path, 'w') as f:
        f.write(scenario['privatekey'])
    mail = crlf(case['message'])
    with servers(scenario) as keys:
        chain = trustprobe.arc(mail, keys).result
        out = trustprobe.seal(mail, key=f'rsa:{scenario["domain"]}:{scenario["sel"]}:{path}', now=case['t'], headers=case['sig-headers'],
                              results=results_of(case['message'], case['srv-id']), chain=chain, unfolded=1)
        added = out[:len(out) - len(mail)].decode()
        if not case['AS'].strip():
            assert added == ''
            return
        fields = dict(f.split(':', 1) for f in re.split(r'\r\n(?![ \t])', added) if f)
        assert list(fields) == ['ARC-Seal', 'ARC-Message-Signature', 'ARC-Authentication-Results']
        assert words(fields['ARC-Authentication-Results']).rstrip(';') == words(case['AAR'])
        assert tags(fields['ARC-Message-Signature']) == tags(case['AMS'])
        assert tags(fields['ARC-Seal']) == tags(case['AS'])
        if chain != 'fail':
            assert trustprobe.arc(out, keys).result == 'pass'


# ---- dkimpy ----

MAIL = crlf('''\
Received: from a.example by b.example; Sun, 22 Nov 2026 04:31:39 +0000
From: Joe <joe@signer.test>
To: ann@receiver.test
Subject: Is   dinner\tready?
Date: Sun, 22 Nov 2026 04:31:39 +0000
Message-ID: <1@signer.test>
MIME-Version: 1.0

Hello  there, \t
\ttabs  and   blanks
''')


@pytest.fixture(scope='module')
def sealer(tmp_path_factory):
    path, public = trustprobe.make_key(tmp_path_factory.mktemp('keys'), 'rsa')

    class Sealer:
        text = f'v=DKIM1; k=rsa; p={public}'
        key = f'rsa:sealer.test:rsa:{path}'
        private = open(path, 'rb').read()

        @staticmethod
        def txt(name, timeout=5):
            return Sealer.text.encode() if name.rstrip(b'.') == b'rsa._domainkey.sealer.test' else None
    with trustprobe.Keys({'rsa._domainkey.sealer.test': Sealer.text}) as Sealer.keys:
        yield Sealer


def our_seal(sealer, mail, chain):
    return trustprobe.seal(mail, key=sealer.key, results='mx.sealer.test; spf=pass smtp.mailfrom=joe@signer.test', chain=chain)


def their_seal(sealer, mail, chain='none'):
    """It reads in our Authentication-Results what the chain was."""
    dkim = pytest.importorskip('dkim')
    results = f'Authentication-Results: mx.sealer.test; arc={chain}; spf=pass smtp.mailfrom=joe@signer.test\r\n'.encode()
    return b''.join(dkim.arc_sign(results + mail, b'rsa', b'sealer.test', sealer.private, b'mx.sealer.test')) + mail


def they_say(sealer, mail):
    """dkimpy stumbles over some broken chains."""
    dkim = pytest.importorskip('dkim')
    try:
        return dkim.arc_verify(mail, dnsfunc=sealer.txt)[0]
    except IndexError:
        return b'fail'


def test_chains_of_both(sealer):
    """Each seals what the other one sealed, in all orders of four hops; both believe all of it."""
    for order in range(16):
        mail = MAIL
        for hop in range(4):
            ours = order >> hop & 1
            mail = (our_seal if ours else their_seal)(sealer, mail, 'pass' if hop else 'none')
            found = trustprobe.arc(mail, sealer.keys)
            assert (found.result, found.sets, found.reason) == ('pass', str(hop + 1), ''), (order, hop)
            assert they_say(sealer, mail) == b'pass', (order, hop)


def test_both_find_what_was_changed(sealer):
    for mail in (our_seal(sealer, MAIL, 'none'), their_seal(sealer, MAIL)):
        for was, now in ((b'ready', b'cold'), (b'there', b'here'), (b'spf=pass', b'spf=fail'), (b'cv=none', b'cv=pass')):
            changed = mail[:len(mail) - len(MAIL)].replace(was, now) + (MAIL.replace(was, now) if was in (b'ready', b'there') else MAIL)
            assert changed != mail
            assert trustprobe.arc(changed, sealer.keys).result == 'fail'
            assert they_say(sealer, changed) != b'pass'


def test_a_list_changes_the_body(sealer):
    first = our_seal(sealer, MAIL, 'none')
    changed = first + b'-- \r\nthe list\r\n'
    assert trustprobe.arc(changed, sealer.keys).result == 'fail'
    second = our_seal(sealer, changed, 'pass')
    assert trustprobe.arc(second, sealer.keys)[:3] == ('pass', '2', '2')


def test_a_broken_chain_is_sealed_once(sealer):
    broken = our_seal(sealer, MAIL, 'none').replace(b'spf=pass', b'spf=fail')
    sealed = our_seal(sealer, broken, 'fail')
    assert b'cv=fail' in sealed and trustprobe.arc(sealed, sealer.keys).result == 'fail'
    assert our_seal(sealer, sealed, 'fail') == sealed


def test_silent_name_server(sealer):
    import dnsd
    mail = our_seal(sealer, MAIL, 'none')
    with trustprobe.Keys({'rsa._domainkey.sealer.test': dnsd.TIMEOUT}) as keys:
        found = trustprobe.arc(mail, keys)
    assert found.result == 'fail' and 'cannot be looked up now' in found.reason
