"""What of a reply can be compared: its keys, the kinds of its values, where its links lead."""

from __future__ import annotations

import json
import re
from typing import Any

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000")
# Maps whose keys are names of a site or of files; how a value looks is compared all the same.
OPEN_MAPS = {"externalConnections", "content", "resources", "batch"}
NOT_COMPARED = {"date", "connection", "server"}
JAVA_DATE = r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d UTC \d{4}"


def shape(value: Any, name: str = "") -> Any:
    """Mappings keep their keys, lists the different shapes in them; leaves become their kind."""
    if isinstance(value, dict):
        if name in OPEN_MAPS or "JobId" in value:
            return {"*": distinct(shape(item) for item in value.values())}
        return {key: shape(item, key) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return distinct(shape(item) for item in value)
    if isinstance(value, str):
        return kind_of_text(value)
    return type(value).__name__


def distinct(shapes: Any) -> list[Any]:
    return [json.loads(text) for text in sorted({json.dumps(item) for item in shapes})]


def kind_of_text(text: str) -> str:
    if text.startswith("https://"):
        return place(text)
    return "time" if ISO.fullmatch(text) else "text"


def place(url: str) -> str:
    """Where a link leads, without the host and the names of sites, jobs and storages."""
    path = re.sub(r"^https://[^/]+/[^/]+/rest", "", url)
    path = re.sub(r"/jobs/[^/?]+", "/jobs/ID", path)
    path = re.sub(r"/storages/[^/?]+-uspace", "/storages/ID-uspace", path)
    path = re.sub(r"/sites/[^/?]+", "/sites/ID", path)
    return re.sub(r"=\d+", "=N", path)


def headers(names: Any) -> list[str]:
    return sorted({str(name).lower() for name in names} - NOT_COMPARED)


def log(lines: list[str], identity: str) -> list[str]:
    """The log without times, names, folders and numbers."""
    return [log_line(line, identity) for line in lines]


def log_line(line: str, identity: str) -> str:
    line = re.sub(JAVA_DATE, "DATE", line)
    line = re.sub(rf"/\S*?/{identity}/", "FOLDER/", line)
    line = re.sub(r"(CN=Demo User, ?O=UNICORE, ?C=EU|UID=scientist@sandbox\.test)", "DN", line)
    line = line.replace("uniuser", "USER").replace("scientist", "USER")
    line = re.sub(r"(BSSID|PID)=\d+", r"\1=N", line)
    line = re.sub(r"\d+ sec\.", "N sec.", line)
    found = re.fullmatch(r"(.*Requesting resources: \[)(.*)\]", line)
    return f"{found[1]}{', '.join(sorted(found[2].split(', ')))}]" if found else line


def comparable(status: int, names: Any, document: Any) -> dict[str, Any]:
    """A reply as it is compared; `document` is its JSON, or its text."""
    found = {"status": status, "headers": headers(names), "shape": shape(document)}
    if isinstance(document, dict) and "batchSystemID" in document:
        identity = document["_links"]["self"]["href"].rpartition("/")[2]
        found["log"] = log(document["log"], identity)
        found["words"] = {
            key: re.sub(rf"/\S*?/{identity}/", "FOLDER/", document[key])
            for key in ("status", "statusMessage", "jobType", "queue", "name", "exitCode")
            if key in document
        }
    return found
