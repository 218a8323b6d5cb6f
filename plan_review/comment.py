"""Post a report as one comment on a GitLab merge request, and update it at the next plan.

The comment begins with a hidden marker. Only a comment of the token's own user is updated, so that nobody
else's comment with the marker is taken for it.
Not here: writing the report.
"""

import http.client
import ipaddress
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

# GitLab, `MAX_TEXT_SIZE_LIMIT` (lib/gitlab/database.rb).
MAX_CHARACTERS = 1_000_000
_TIMEOUT_SECONDS = 30
_PER_PAGE = 100  # GitLab, "REST API", "Pagination": the maximum
_FOLDED = re.compile(r"^(?=<details>)", re.MULTILINE)
_VARIABLES = ("CI_API_V4_URL", "CI_PROJECT_ID", "CI_MERGE_REQUEST_IID", "GITLAB_TOKEN")
_MEANINGS = {
    400: "the request is refused",
    401: "the token is wrong or has expired",
    403: "the token lacks the scope api, or its user the role Reporter",
    404: "there is no such merge request, or the token can't see the project",
}


class CommentError(Exception):
    """The comment can't be written; the message says why, without the token."""


def post(report: str, name: str, variables: Mapping[str, str] = os.environ) -> str:
    """Write the comment of this name, or update it, and return what was done.

    Args:
        report: The report, in Markdown.
        name: A name that tells several comments of a merge request apart, such as the environment.
        variables: The variables of the GitLab job.

    Raises:
        CommentError: If a variable is missing, or if GitLab refuses.

    """
    missing = [key for key in _VARIABLES if not variables.get(key)]
    if missing:
        raise CommentError(
            f"{missing[0]}: not set. Accepted: a job of a merge request pipeline, with GITLAB_TOKEN of the "
            "scope api (CI_JOB_TOKEN can't write comments)"
        )
    api = _Api(variables)
    marker = f"<!-- plan_review: {re.sub(r'[^A-Za-z0-9_.-]', '_', name)} -->"
    body = _fit(f"{marker}\n{report.rstrip()}\n", variables.get("CI_JOB_URL", ""))
    me = _read_number(api.call("GET", "/user"), "id")
    for note in api.list_notes():
        author, number = _read_number(note, "author", "id"), _read_number(note, "id")
        if author == me and str(note.get("body")).startswith(marker):
            api.call("PUT", f"{api.notes}/{number}", {"body": body})
            return f"updated comment {number}"
    number = _read_number(api.call("POST", api.notes, {"body": body}), "id")
    return f"wrote comment {number}"


def _read_number(answer: Any, *keys: str) -> int:
    """Return a number of GitLab's answer, such as the author's id.

    Raises:
        CommentError: If the answer does not have it.

    """
    found = answer
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, int):
        raise CommentError(f"GitLab: the answer has no number {'.'.join(keys)}. Is CI_API_V4_URL right?")
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _fit(text: str, job: str) -> str:
    """Return a text that GitLab accepts: without the folded parts at the end that are too much."""
    origin = f"\nFrom [this job]({job}).\n" if re.fullmatch(r"https?://[\w./:@%+-]+", job) else ""
    head, *parts = _FOLDED.split(text)
    room = MAX_CHARACTERS - len(origin) - 200  # for the sentence below
    kept: list[str] = []
    for part in parts:
        if len(head) + sum(map(len, kept)) + len(part) > room:
            break
        kept.append(part)
    left = len(parts) - len(kept)
    note = f"\n{left} parts are left out: the comment would be too long. The job's artifact has them.\n"
    return head[:room] + "".join(kept) + (note if left else "") + origin


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the token would go along."""

    def redirect_request(self, *_: Any) -> None:
        """Return no request; urllib then raises the answer as an error."""


class _Api:
    """GitLab's REST API, for one merge request."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._url = variables["CI_API_V4_URL"].rstrip("/")
        self._token = variables["GITLAB_TOKEN"].strip()
        if not re.fullmatch(r"[!-~]+", self._token):
            raise CommentError("GITLAB_TOKEN: is no token. Accepted: printable ASCII without spaces")
        self._check_url()
        project, number = (
            urllib.parse.quote(variables[key], safe="") for key in ("CI_PROJECT_ID", "CI_MERGE_REQUEST_IID")
        )
        self.notes = f"/projects/{project}/merge_requests/{number}/notes"
        self._opener = urllib.request.build_opener(_NoRedirect)

    def _check_url(self) -> None:
        """Refuse an address that the token would go to in the clear."""
        try:
            url = urllib.parse.urlsplit(self._url)
            is_safe = url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.hostname or ""))
        except ValueError:
            is_safe = False
        if not is_safe:
            raise CommentError(
                f"CI_API_V4_URL: {self._url}: refused. Accepted: an address with https://, and http:// only "
                "to this machine"
            )

    def list_notes(self) -> Iterator[dict[str, Any]]:
        """Yield the comments of the merge request, the oldest first."""
        page = 1
        while True:
            query = {"sort": "asc", "order_by": "created_at", "per_page": _PER_PAGE, "page": page}
            notes = self.call("GET", f"{self.notes}?{urllib.parse.urlencode(query)}")
            if not isinstance(notes, list):
                raise CommentError("GitLab: the answer is no list of comments. Is CI_API_V4_URL right?")
            yield from notes
            if len(notes) < _PER_PAGE:
                return
            page += 1

    def call(self, method: str, path: str, content: Any = None) -> Any:
        """Return GitLab's answer to a request.

        Raises:
            CommentError: If there is no answer, or if GitLab refuses.

        """
        request = urllib.request.Request(  # noqa: S310 - checked to be http or https
            f"{self._url}{path}",
            None if content is None else json.dumps(content).encode(),
            {"Content-Type": "application/json", "PRIVATE-TOKEN": self._token},
            method=method,
        )
        where = f"GitLab: {method} {path.partition('?')[0]}"
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            meaning = f": {_MEANINGS[error.code]}" if error.code in _MEANINGS else ""
            raise CommentError(f"{where}: {error.code}{meaning}{self._read_message(error)}") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise CommentError(f"{where}: no answer from {self._url}: {reason}") from None
        except (ValueError, RecursionError):
            raise CommentError(f"{where}: the answer is not JSON. Is CI_API_V4_URL right?") from None

    def _read_message(self, error: urllib.error.HTTPError) -> str:
        """Return GitLab's own message in one line, if there is one."""
        try:
            answer = json.loads(error.read(10_000))
            message = answer.get("message") or answer.get("error")
        except (OSError, ValueError, AttributeError, RecursionError, http.client.HTTPException):
            return ""
        text = " ".join(str(message or "").split())
        # A part of the token is a secret, too: so the whole message is looked at, before it is cut.
        return f" ({text[:300]})" if text and self._token not in text else ""
