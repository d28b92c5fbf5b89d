"""What `docs/shared-cache.md` shows is run as it stands there."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

from formal_cluster import Cluster, cache

PAGE = (Path(__file__).parent.parent / "docs" / "shared-cache.md").read_text()


def block(language: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return text


async def test_the_settings_and_the_calls_of_the_page_do_what_it_says() -> None:
    settings: dict[str, Any] = {"store": {"driver": "memory"}, **tomllib.loads(block("toml"))}
    async with Cluster.from_settings(settings) as cluster:
        names = {"cluster": cluster, **{name: getattr(cache, name) for name in cache.__all__}}
        answers = []
        for statement in ast.parse(block("python")).body:
            if isinstance(statement, ast.Expr):
                code: Any = ast.Expression(statement.value)
                mode = "eval"
            else:
                code, mode = ast.Module([statement], []), "exec"
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            answer = eval(compile(code, "shared-cache.md", mode, flags), names)
            answers.append(await answer if inspect.isawaitable(answer) else answer)
    assert [None, None, "alice", "alice", "alice", True] == answers


def test_every_setting_of_a_namespace_is_on_the_page() -> None:
    from formal_cluster.settings import CacheSettings

    missing = [name for name in CacheSettings.model_fields if f"{name}" not in PAGE]
    assert [] == missing
