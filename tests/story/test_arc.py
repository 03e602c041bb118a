# SPDX-License-Identifier: Apache-2.0
"""ARC: ValiMail's suite (tests/data/arc, written for a draft of RFC 8617) through the real DNS code, and dkimpy beside us."""
import os, re
import pytest, yaml
import trustprobe
from trustprobe import crlf

DATA = os.path.join(os.path.dirname(__file__), '..', 'data', 'arc')

# Where RFC 8617 wants something else than the draft did: {case: (our result, section and reason)}.
EXCEPTIONS = {}


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
