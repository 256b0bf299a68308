"""A site in one file, for trying out: GET /posts, POST /posts, and /posts/N as people see it. It forgets all when it ends."""

import http.server
import json
import sys

POSTS: list[dict] = [{"headline": "We have opened", "body": "Come in."}]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        folder, _, number = self.path.strip("/").partition("/")
        if folder == "posts" and not number:
            return self.send(200, [{"headline": post["headline"]} for post in POSTS])
        if folder == "posts" and number.isdecimal() and 0 < int(number) <= len(POSTS):
            return self.send(200, POSTS[int(number) - 1])
        self.send(404, {"error": "there is no such post"})

    def do_POST(self) -> None:
        try:
            post = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            POSTS.append({"headline": post["headline"], "body": post["body"]})
        except (KeyError, TypeError, ValueError):
            return self.send(422, {"error": "expected a headline and a body"})
        self.send(201, {"url": f"/posts/{len(POSTS)}"})

    def send(self, status: int, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8931
    http.server.ThreadingHTTPServer(("", port), Handler).serve_forever()
