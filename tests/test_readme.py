"""The documents keep their word: their Python runs, and the commands of the README are those of the CI."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document, language):
    text = (ROOT / document).read_text(encoding="utf-8")
    return [code for tag, code in BLOCK.findall(text) if tag == language]


@pytest.mark.parametrize("number", range(len(blocks("README.md", "python"))))
def test_each_block_of_the_readme_runs_alone(number):
    exec(compile(blocks("README.md", "python")[number], f"README.md, Python block {number}", "exec"), {})


def test_user_guide_runs_from_top_to_bottom():
    namespace = {}
    for number, code in enumerate(blocks("docs/user_guide.md", "python")):
        exec(compile(code, f"user_guide.md, Python block {number}", "exec"), namespace)


def test_readme_has_blocks_to_run():
    assert len(blocks("README.md", "python")) >= 3, "the pattern no longer finds the blocks"


def test_ci_runs_the_commands_of_the_readme():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for block in blocks("README.md", "bash") for line in block.splitlines()]
    assert len(commands) == 2, "the README promises two commands"
    for command in commands:
        assert command in ci, f"not a line of .ci/run: {command}"
