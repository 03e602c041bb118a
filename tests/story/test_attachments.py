# SPDX-License-Identifier: Apache-2.0
"""search_text_program: what stands in PDF and office files is found, with the index and without; a program that hangs, floods or dies
harms nobody."""
import io, os, pathlib, shutil, tempfile, zipfile
from email.message import EmailMessage
import pytest
from around import *
from hato import running
from test_search_index import ask, is_indexed

ANN = 'ann@example.test'
PROGRAM = """#!/bin/sh
# what a person would write for it: office files are zip archives of XML
case $2 in hang*) sleep 600 & sleep 600;; flood*) exec yes overflow;; crash*) kill -SEGV $$;; eat*) exec tail -c 4000000000 /dev/zero;; esac
file=$(mktemp) && trap 'rm -f "$file"' EXIT && cat > "$file" || exit 75
case $1 in
application/pdf) pdftotext -enc UTF-8 "$file" - ;;
application/vnd.oasis.opendocument.text) unzip -p "$file" content.xml | sed 's/<[^>]*>/ /g' ;;
application/vnd.openxmlformats-officedocument.*) unzip -p "$file" word/document.xml | sed 's/<[^>]*>/ /g' ;;
application/x-who) echo "runs as $(id -un)" ;;
*) exit 65 ;;
esac
"""


def pdf(text):
    stream = f'BT /F1 12 Tf 72 720 Td ({text}) Tj ET'
    objects = ['<< /Type /Catalog /Pages 2 0 R >>', '<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
               '<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>',
               f'<< /Length {len(stream)} >>\nstream\n{stream}\nendstream', '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>']
    out, places = '%PDF-1.4\n', []
    for n, o in enumerate(objects, 1):
        places.append(len(out))
        out += f'{n} 0 obj\n{o}\nendobj\n'
    table = ''.join(f'{p:010d} 00000 n \n' for p in places)
    return f'{out}xref\n0 6\n0000000000 65535 f \n{table}trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n'.encode()


def office(path, xml):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:
        z.writestr(path, xml)
    return out.getvalue()


FILES = [('report.pdf', 'application/pdf', pdf('Zugzwang in the report')),
         ('brief.odt', 'application/vnd.oasis.opendocument.text', office('content.xml', '<text:p>Straße und 見積書</text:p>')),
         ('deed.docx', 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
          office('word/document.xml', '<w:t>quitclaim deed</w:t>')),
         ('hang.pdf', 'application/pdf', b'x'), ('flood.pdf', 'application/pdf', b'x'), ('crash.pdf', 'application/pdf', b'x'),
         ('eat.pdf', 'application/pdf', b'x'), ('bad.pdf', 'application/pdf', b'no pdf'), ('zip.zip', 'application/zip', b'overflow'),
         ('who', 'application/x-who', b'x')]


def letter(name, kind, data):
    m = EmailMessage()
    m['From'], m['To'], m['Subject'] = 'else@other.test', ANN, 'a file'
    m.set_content('see the file\n')
    main, sub = kind.split('/')
    m.add_attachment(data, maintype=main, subtype=sub, filename=name)
    return m.as_bytes().replace(b'\n', b'\r\n')


def found(m):
    return [sorted(ask(m, key, needle=word)) for key, word in (
        ('TEXT', 'zugzwang'), ('BODY', 'STRAßE'), ('BODY', '見積'), ('TEXT', 'quitclaim deed'), ('BODY', 'overflow'), ('TEXT', 'zugzwangs'))]


@pytest.fixture
def open_folder():
    """A folder that the program's user can look into."""
    with tempfile.TemporaryDirectory(dir='/tmp', prefix='hato-text-') as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


def test_text_of_attachments(open_folder):
    tmp_path = open_folder
    for tool in ('pdftotext', 'unzip'):
        assert shutil.which(tool), f'{tool} is missing: tools/install-deps'
    program = tmp_path / 'text'
    program.write_text(PROGRAM)
    program.chmod(0o755)
    settings = {'search_text_program': f'{program}', 'search_text_time_limit': '2s', 'search_text_memory_limit': '200000000',
                'search_text_types': 'application/pdf, application/vnd.*, application/x-who', 'search_text_size_limit': '20000'}
    with running(tmp_path / 'host', ANN, main=''.join(f'{k} = {v}\n' for k, v in settings.items())) as server:
        m = server.imap(ANN, select='INBOX')
        for file in FILES:
            m.append('INBOX', None, None, letter(*file))
        m.noop()
        wait_until(lambda: is_indexed(server), 60, 'the index')
        got = found(m)
        assert got == [[1], [2], [2], [3], [5], []], got
        assert sorted(ask(m, 'BODY', needle='runs as ' + ('nobody' if os.getuid() == 0 else ''))) == [10]
        assert m.noop()[0] == 'OK'
        for word in ('hang.pdf": took longer', 'crash.pdf": ended by signal', 'bad.pdf": exit status'):
            assert word in server.log(), word
        # the same without the index: the scan reads what was made
        server.configure(main=''.join(f'{k} = {v}\n' for k, v in settings.items()) + 'search_index = no\n')
        server.hato('reload')
        m.logout()
        m = server.imap(ANN, select='INBOX')
        assert found(m) == got
        # goes with its message
        m.store('1', '+FLAGS', '\\Deleted')
        m.expunge()
        assert found(m)[0] == []
        m.logout()
