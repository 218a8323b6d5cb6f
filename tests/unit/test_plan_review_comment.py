"""The comment on a merge request, against a stand-in of GitLab's REST API that refuses what it refuses."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from plan_review import comment
from plan_review.comment import MAX_CHARACTERS, CommentError, post

TOKEN, NOTES = "glpat-secret", "/api/v4/projects/7/merge_requests/3/notes"
ME, SOMEBODY = 1, 2


@dataclass
class GitLab:
    """The comments of one merge request, and the requests that came."""

    url: str = ""
    notes: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    answer: tuple[int, bytes] | None = None

    def add(self, body: str, author: int) -> dict[str, Any]:
        """Add a comment, and return it."""
        self.notes.append({"id": len(self.notes) + 1, "body": body, "author": {"id": author}})
        return self.notes[-1]

    def variables(self, **changed: str) -> dict[str, str]:
        """Return the variables of a job of the merge request."""
        return {
            "CI_API_V4_URL": f"{self.url}/api/v4",
            "CI_PROJECT_ID": "7",
            "CI_MERGE_REQUEST_IID": "3",
            "GITLAB_TOKEN": TOKEN,
            "CI_JOB_URL": "https://gitlab.example/group/project/-/jobs/5",
        } | changed

    def respond(self, method: str, target: str, token: str | None, content: Any) -> tuple[int, Any]:
        """Return the status and the answer to a request (GitLab, "Notes API", "REST API")."""
        url = urlsplit(target)
        self.requests.append(f"{method} {url.path}")
        if token != TOKEN:
            return 401, {"message": "401 Unauthorized"}
        if (method, url.path) == ("GET", "/api/v4/user"):
            return 200, {"id": ME}
        if not url.path.startswith(NOTES):
            return 404, {"message": "404 Project Not Found"}
        if method == "GET":
            return 200, self.list_page({key: values[0] for key, values in parse_qs(url.query).items()})
        return self.write(method, url.path, content)

    def list_page(self, query: dict[str, str]) -> list[dict[str, Any]]:
        """Return one page of the comments, by default 20 and the newest first."""
        size = min(int(query.get("per_page", 20)), 100)
        start = (int(query.get("page", 1)) - 1) * size
        notes = self.notes if query.get("sort", "desc") == "asc" else self.notes[::-1]
        return notes[start : start + size]

    def write(self, method: str, path: str, content: Any) -> tuple[int, Any]:
        """Add or change a comment."""
        if len(content["body"]) > 1_000_000:
            return 400, {"message": {"note": ["is too long (maximum is 1000000 characters)"]}}
        if method == "POST":
            return 201, self.add(content["body"], ME)
        note = self.notes[int(path.rpartition("/")[2]) - 1]
        if note["author"]["id"] != ME:
            return 403, {"message": "403 Forbidden"}
        note["body"] = content["body"]
        return 200, note


@pytest.fixture
def gitlab() -> Iterator[GitLab]:
    """A merge request with a comment of somebody else, who has copied the marker."""
    state = GitLab()
    state.add("<!-- plan_review: prod -->\nnot the report", SOMEBODY)

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            content = json.loads(self.rfile.read(length)) if length else None
            found = state.respond(self.command, self.path, self.headers["PRIVATE-TOKEN"], content)
            status, answer = state.answer or (found[0], json.dumps(found[1]).encode())
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"{state.url}/elsewhere")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def test_one_comment_is_updated(gitlab: GitLab) -> None:
    """The second plan changes the comment of the first one, even behind many others; nobody else's."""
    for _ in range(150):
        gitlab.add("talk", SOMEBODY)
    assert post("# Plan 1\n", "prod", gitlab.variables()) == "wrote comment 152"
    assert post("# Plan 2\n", "prod", gitlab.variables()) == "updated comment 152"
    assert post("# Plan\n", "staging", gitlab.variables()) == "wrote comment 153"
    origin = "From [this job](https://gitlab.example/group/project/-/jobs/5).\n"
    assert [note["body"] for note in gitlab.notes if note["body"] != "talk"] == [
        "<!-- plan_review: prod -->\nnot the report",
        f"<!-- plan_review: prod -->\n# Plan 2\n\n{origin}",
        f"<!-- plan_review: staging -->\n# Plan\n\n{origin}",
    ]


def test_folded_parts_that_are_too_much_are_left_out(gitlab: GitLab) -> None:
    """GitLab takes a million characters; the comment ends with whole parts and says what is missing."""
    part = "<details><summary>x</summary>\n\n" + "y" * (MAX_CHARACTERS // 2) + "\n\n</details>\n\n"
    assert post(f"# Plan\n\n{part * 3}", "prod", gitlab.variables()) == "wrote comment 2"
    body = gitlab.notes[1]["body"]
    assert body.count("<details>") == body.count("</details>") == 1
    assert "2 parts are left out" in body
    post("x" * 2 * MAX_CHARACTERS, "prod", gitlab.variables())
    assert len(gitlab.notes[1]["body"]) <= MAX_CHARACTERS


@pytest.mark.parametrize(
    ("changed", "answer", "message"),
    [
        ({"GITLAB_TOKEN": ""}, None, "GITLAB_TOKEN: not set. Accepted: "),
        ({"CI_MERGE_REQUEST_IID": ""}, None, "CI_MERGE_REQUEST_IID: not set. Accepted: "),
        ({"GITLAB_TOKEN": f"{TOKEN}\nx"}, None, "GITLAB_TOKEN: is no token"),
        ({"GITLAB_TOKEN": f"{TOKEN}-old"}, None, "GET /user: 401: the token is wrong or has expired"),
        ({"CI_PROJECT_ID": "8"}, None, "404: there is no such merge request, or the token can't see"),
        ({"CI_PROJECT_ID": "../../x"}, None, "404: there is no such merge request"),
        ({"CI_API_V4_URL": "file:///etc"}, None, "CI_API_V4_URL: file:///etc: refused"),
        ({"CI_API_V4_URL": "http://gitlab.example/api/v4"}, None, "refused. Accepted: .* https://, and http"),
        ({"CI_API_V4_URL": "https://[x/api"}, None, r"CI_API_V4_URL: https://\[x/api: refused"),
        ({"CI_API_V4_URL": "http://127.0.0.1:1"}, None, "no answer from http://127.0.0.1:1: "),
        ({}, (302, b""), "GET /user: 302"),
        ({}, (200, b"<html>"), "the answer is not JSON"),
        ({}, (200, b"null"), "the answer has no number id. Is CI_API_V4_URL right?"),
        ({}, (200, b"[1]"), "the answer has no number id"),
        ({}, (200, b'{"id": "../x"}'), "the answer has no number id"),
        ({}, (200, b'{"id": 1}'), "the answer is no list of comments"),
        ({}, (200, b"[" * 100_000), "the answer is not JSON"),
        ({}, (403, b'{"error": "insufficient_scope"}'), "403: the token lacks .* \\(insufficient_scope\\)"),
        ({}, (500, TOKEN.encode()), "GET /user: 500$"),
        ({}, (500, b"[" * 9_000), "GET /user: 500$"),
        ({}, (400, json.dumps({"message": f"bad {TOKEN}"}).encode()), "400: the request is refused$"),
        ({}, (400, json.dumps({"message": f"{'x' * 290}{TOKEN}"}).encode()), "400: the request is refused$"),
    ],
)
def test_a_refusal_is_one_line_without_the_token(
    gitlab: GitLab, changed: dict[str, str], answer: tuple[int, bytes] | None, message: str
) -> None:
    """It says what GitLab answered, or which variable is wrong; a redirect is not followed."""
    gitlab.answer = answer
    with pytest.raises(CommentError, match=message) as refused:
        post("# Plan", "prod", gitlab.variables(**changed))
    assert TOKEN not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(gitlab.notes) == 1
    assert not any("elsewhere" in request or "/../" in request for request in gitlab.requests)


@pytest.mark.parametrize("note", [{"id": 1}, {"id": 1, "author": None}, {"author": {"id": ME}}, None])
def test_a_list_of_something_else_is_one_line(gitlab: GitLab, note: Any) -> None:
    """A list whose entries are not GitLab's comments ends in a message, too."""
    gitlab.notes[0] = note
    with pytest.raises(CommentError, match=r"the answer has no number (author\.)?id"):
        post("# Plan", "prod", gitlab.variables())


def test_a_comment_that_gitlab_finds_too_long_is_an_error(
    gitlab: GitLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GitLab with a lower limit says so, and its words are in the message."""
    monkeypatch.setattr(comment, "MAX_CHARACTERS", 2 * MAX_CHARACTERS)
    with pytest.raises(CommentError, match=r"400: the request is refused .*is too long"):
        post("x" * 2 * MAX_CHARACTERS, "prod", gitlab.variables())
