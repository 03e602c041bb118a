# SPDX-License-Identifier: Apache-2.0
"""The same main.cf, the same dialogues, to Debian's Postfix and to hato: replies, envelopes and headers must be the same. What
differs on purpose has a number in doc/postfix-differences.md, and the play names it: differs=N."""
import glob, os, re
import pytest
import postfix as postfix_
from around import *
from twins import Suite, Twins

pytestmark = pytest.mark.root
FILES = sorted(glob.glob(TOP + '/tests/data/twins/*.twin'))


def known_differences():
    with open(TOP + '/doc/postfix-differences.md') as f:
        return set(re.findall(r'^### (\d+)\.', f.read(), re.M))


def compare(what, ours, theirs):
    """Lines that tell what is different; empty: nothing."""
    lines = []
    for (said, a), (_, b) in zip(ours, theirs):
        if a != b and not said.startswith('~'):
            lines += [f'    {said}', f'      hato:    {a}', f'      Postfix: {b}']
    if not lines and len(ours) != len(theirs):
        lines = [f'      hato said {len(ours)} things, Postfix {len(theirs)}']
    return lines


@postfix_.to_the_letter
@pytest.mark.parametrize('path', FILES, ids=[os.path.basename(f)[:-5] for f in FILES])
def test_suite(path, tmp_path):
    suite, known = Suite(path), known_differences()
    twins = Twins(tmp_path, suite)
    try:
        twins.start()
        report, expected = [], 0
        for title, options, ours, theirs in twins.play_all():
            lines = compare(title, ours, theirs)
            expected += any(said == '(text)' and reply.startswith('250') for said, reply in theirs) and 'lost' not in options
            expected += int(options.get('count', 0))
            reason = options.get('differs')
            for n in [reason] * (reason is not None) + [m[1] for said, _ in theirs if (m := re.match(r'~(\d+) ', said))]:
                assert n in known, f'{title}: doc/postfix-differences.md has no number {n}'
            if lines and not reason:
                report += [f'  {title}', *lines]
        ours, theirs = twins.sent_on(expected)
        for key in sorted(set(ours) | set(theirs), key=str):
            title, options = (suite.plays[int(key)][:2]) if str(key).isdigit() else (key, {})
            if ours.get(key) != theirs.get(key) and not options.get('differs'):
                report += [f'  {title}: sent on', f'      hato:    {ours.get(key)}', f'      Postfix: {theirs.get(key)}']
    finally:
        problems = twins.stop()
    assert not report, f'{suite.name}: different:\n' + '\n'.join(report) + '\n' + twins.hato.log()[-1500:]
    assert not problems, '\n'.join(problems)
