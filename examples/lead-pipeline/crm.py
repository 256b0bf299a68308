"""A CRM in one file, for trying out: leads, and mails to them. It forgets all when it ends.

GET /leads?email=…   POST /leads   GET /leads/N   POST /leads/N/mails   POST /leads/N/status {"status": "answered"}
"""

import http.server
import json
import sys
from urllib.parse import parse_qs, urlsplit

LEADS: list[dict] = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/leads":
            email = parse_qs(url.query).get("email", [None])[0]
            return self.send(200, [lead for lead in LEADS if email in (None, lead["email"])])
        lead = self.lead(url.path)
        self.send(200 if lead else 404, lead or {"error": "there is no such lead"})

    def do_POST(self) -> None:
        try:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/leads":
                kept = {name: given[name] for name in ("name", "email", "message", "score", "segment")}
                LEADS.append({"id": len(LEADS) + 1, **kept, "status": "new", "mails": []})
                return self.send(201, LEADS[-1])
            lead = self.lead(self.path)
            if lead is None:
                return self.send(404, {"error": "there is no such lead"})
            if self.path.endswith("/mails"):
                lead["mails"].append({"subject": given["subject"], "body": given["body"]})
            else:
                lead["status"] = given["status"]
        except (KeyError, TypeError, ValueError) as error:
            return self.send(422, {"error": f"expected other fields: {error}"})
        self.send(201, lead)

    def lead(self, path: str) -> dict | None:
        number = path.split("/")[2]
        return LEADS[int(number) - 1] if number.isdecimal() and 0 < int(number) <= len(LEADS) else None

    def send(self, status: int, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8930
    http.server.ThreadingHTTPServer(("", port), Handler).serve_forever()
