"""A small HTTP server for fetch.sh (the test): folders, ranges, and accidents.

    fetch_server.py FOLDER LOG

Prints its port. The first part of a path says how to behave: plain (knows ranges),
norange (ignores them), cut (breaks off after 1000 bytes, knows ranges). Each request
is a line "STATUS RANGE PATH" in LOG.
"""
import http.server
import os
import sys

folder, log = sys.argv[1], sys.argv[2]


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body, cut=None, extra=()):
        with open(log, "a") as f:
            f.write(f"{status} {self.headers.get('Range', '-')} {self.path}\n")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for key, value in extra:
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = True

    def do_GET(self):
        mode, _, rest = self.path.lstrip("/").partition("/")
        path = os.path.join(folder, rest)
        if not os.path.isfile(path):
            return self.answer(404, b"Not Found")
        with open(path, "rb") as f:
            body = f.read()
        cut = 1000 if mode == "cut" else None
        asked = self.headers.get("Range")
        if not asked or mode == "norange":
            return self.answer(200, body, cut)
        first = int(asked.split("=")[1].split("-")[0])
        if first >= len(body):
            return self.answer(416, b"", extra=[("Content-Range", f"bytes */{len(body)}")])
        return self.answer(206, body[first:], cut, [("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")])

    def log_message(self, *args):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
