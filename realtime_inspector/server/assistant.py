"""Asks a language model for a policy, where the settings name one: any endpoint that speaks OpenAI's chat completions.

Off by default. What goes out is names and types of columns, policies, roles and the admin's words; never a row.
"""

import re
from typing import Final
from urllib.parse import urlsplit

import httpx
import orjson

from realtime_inspector.doctor.lint_facts import LintFacts
from realtime_inspector.errors import AssistantFailed, AssistantOff, InvalidInput
from realtime_inspector.server.answers import Proposal
from realtime_inspector.settings import Settings

WITHIN: Final = 60.0
LARGEST_ANSWER: Final = 200_000
LONGEST_PROMPT: Final = 4_000
TASK: Final = (
    "You write row-level security policies for Postgres. Answer with one block of SQL between ```sql and ```, made of CREATE "
    "POLICY, ALTER POLICY, DROP POLICY and ALTER TABLE … ENABLE ROW LEVEL SECURITY statements only, and after it at most five "
    "sentences that explain it. "
    "auth.uid() is the user's id and auth.jwt() the claims; write (select auth.uid()). Never trust user_metadata."
)
_BLOCK: Final = re.compile(r"```(?:sql)?\s*\n(.*?)```", re.DOTALL | re.IGNORECASE)


class Assistant:
    """The configured endpoint, or none."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.assistant_url.rstrip("/")
        self._key = settings.assistant_key
        self._model = settings.assistant_model
        self._roles = settings.allowed_roles
        if self._url and not _is_safe(self._url):
            raise InvalidInput("RTI_ASSISTANT_URL must use https", hint="Plain http is accepted for this machine only.")
        if self._url and not self._model:
            raise InvalidInput("RTI_ASSISTANT_MODEL is missing", hint="Name the model that the endpoint serves.")

    def require(self) -> None:
        """Raises AssistantOff unless one is configured."""
        if not self._url:
            raise AssistantOff

    async def propose(self, prompt: str, schema: str, table: str, facts: LintFacts) -> Proposal:
        """SQL and an explanation. Nobody runs it: the admin reads it and tries it. Raises AssistantOff or AssistantFailed."""
        self.require()
        if not prompt.strip() or len(prompt) > LONGEST_PROMPT:
            raise InvalidInput(f"The prompt must have 1 to {LONGEST_PROMPT} characters")
        described = orjson.dumps(self._described(facts, schema, table)).decode()
        messages = [
            {"role": "system", "content": TASK},
            {"role": "user", "content": f"The schema, as JSON:\n{described}\n\n{prompt.strip()}"},
        ]
        text = await self._ask({"model": self._model, "messages": messages, "temperature": 0, "stream": False})
        found = _BLOCK.search(text)
        if found is None:
            raise AssistantFailed("The assistant answered without SQL", hint="Ask in other words.")
        return {"sql": found[1].strip(), "explanation": (text[: found.start()] + text[found.end() :]).strip()}

    def _described(self, facts: LintFacts, schema: str, table: str) -> dict[str, object]:
        """Tables with their columns and policies, the one in question first."""
        tables = sorted(
            (each for each in facts.tables if each.is_table), key=lambda each: (each.schema, each.name) != (schema, table)
        )
        return {
            "table": f"{schema}.{table}" if table else None,
            "roles": list(self._roles),
            "tables": [
                {
                    "name": f"{each.schema}.{each.name}",
                    "columns": dict(zip(each.columns, each.types, strict=True)),
                    "row_level_security": each.rls,
                    "policies": [
                        {"name": p.name, "command": p.command, "roles": list(p.roles), "using": p.using, "check": p.check}
                        for p in facts.policies
                        if (p.schema, p.table) == (each.schema, each.name)
                    ],
                }
                for each in tables
            ],
        }

    async def _ask(self, body: dict[str, object]) -> str:
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            async with (
                httpx.AsyncClient(timeout=WITHIN, trust_env=self._url.startswith("https:")) as client,
                client.stream("POST", f"{self._url}/chat/completions", json=body, headers=headers) as response,
            ):
                response.raise_for_status()
                answer = bytearray()
                async for part in response.aiter_bytes():
                    answer += part
                    if len(answer) > LARGEST_ANSWER:
                        raise AssistantFailed("The assistant's answer is too long")
            content = orjson.loads(answer)["choices"][0]["message"]["content"]
        except httpx.HTTPStatusError as error:
            raise AssistantFailed(f"The assistant answered with status {error.response.status_code}") from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, IndexError, TypeError) as error:
            raise AssistantFailed(f"The assistant did not answer as expected ({type(error).__name__})") from error
        if not isinstance(content, str):
            raise AssistantFailed("The assistant answered without a text")
        return content


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"))
