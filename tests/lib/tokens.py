# SPDX-License-Identifier: Apache-2.0
"""A server that gives out OAuth 2 tokens and tells about them: introspection (RFC 7662) and userinfo (OpenID Connect), over TLS with
a CA of its own."""
import base64, json, os, ssl, subprocess, threading, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def openssl(*words):
    subprocess.run(['openssl', *map(str, words)], check=True, capture_output=True, timeout=60)


def make_ca(folder, name='ca'):
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', f'/CN={name}', '-days', '30',
            '-keyout', f'{folder}/{name}.key', '-out', f'{folder}/{name}.pem')
    return f'{folder}/{name}.pem'


def certify(folder, ca, name, subject, extension):
    """A key and a certificate of that CA: name.key and name.pem."""
    openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', subject, '-keyout', f'{folder}/{name}.key', '-out', f'{folder}/{name}.csr')
    with open(f'{folder}/{name}.ext', 'w') as f:
        f.write(extension + '\n')
    openssl('x509', '-req', '-in', f'{folder}/{name}.csr', '-CA', f'{folder}/{ca}.pem', '-CAkey', f'{folder}/{ca}.key', '-CAcreateserial', '-days', '30',
            '-extfile', f'{folder}/{name}.ext', '-out', f'{folder}/{name}.pem')
    return f'{folder}/{name}.pem', f'{folder}/{name}.key'


class TokenServer:
    """tokens: token -> what is said of it. asked: every request as (way, token, authorization)."""
    def __init__(self, folder, client='hato', secret='s3cret: with %'):
        self.tokens, self.asked, self.broken = {}, [], None
        self.client, self.secret = client, secret
        self.ca = make_ca(folder, 'token-ca')
        chain, key = certify(folder, 'token-ca', 'token-server', '/CN=localhost', 'subjectAltName=DNS:localhost,IP:127.0.0.1')
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def log_message(self, *_):
                pass

            def reply(self, status, answer):
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers['Content-Length'])).decode())
                outer.answer(self, 'post', form.get('token', [''])[0])

            def do_GET(self):
                path = urllib.parse.urlsplit(self.path)
                auth = self.headers.get('Authorization', '')
                if path.path == '/userinfo':
                    outer.answer(self, 'auth', auth.removeprefix('Bearer '))
                else:
                    outer.answer(self, 'get', urllib.parse.parse_qs(path.query).get('token', [''])[0])
        self.http = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.http.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.http.server_address[1]
        self.url = f'https://localhost:{self.port}'
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, handler, way, token):
        self.asked.append((way, token, handler.headers.get('Authorization', '')))
        if self.broken is not None:
            return handler.reply(*self.broken)
        basic = 'Basic ' + base64.b64encode(f'{self.client}:{self.secret}'.encode()).decode()
        if way == 'post' and handler.headers.get('Authorization') != basic:
            return handler.reply(401, {'error': 'invalid_client'})
        known = self.tokens.get(token)
        if way == 'auth':
            return handler.reply(200, known) if known else handler.reply(401, {'error': 'invalid_token'})
        handler.reply(200, {'active': True, **known} if known else {'active': False})

    def close(self):
        self.http.shutdown()
        self.http.server_close()
