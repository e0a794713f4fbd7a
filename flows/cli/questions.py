"""The named questions of `flows/questions.sql`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pose2id.errors import ParamsError

QUESTIONS_FILE = Path(__file__).with_name("questions.sql")
_HEADER = re.compile(r"^-- ([a-z0-9-]+): (.+)$", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Question:
    """A question that users have, and the SQL that answers it."""

    name: str
    text: str
    sql: str


def read_questions() -> list[Question]:
    """The named questions of `flows/questions.sql`, in order."""
    text = QUESTIONS_FILE.read_text(encoding="utf-8")
    headers = list(_HEADER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [len(text)]
    return [
        Question(header[1], header[2], text[header.end() : end].strip())
        for header, end in zip(headers, ends, strict=True)
    ]


def find_sql(question: str) -> str:
    """The SQL of a named question, or the text itself where it is SQL.

    Raises:
        ParamsError: A single word that names no question.
    """
    known = {item.name: item.sql for item in read_questions()}
    if question in known:
        return known[question]
    if _WORD.fullmatch(question):
        raise ParamsError(
            f"there is no question {question!r}; the questions are {', '.join(known)}. SQL goes "
            'in quotes: pose2id query "SELECT ..."'
        )
    return question
