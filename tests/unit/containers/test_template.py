from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.containers.base_images import PythonPlan
from ci_envs.containers.dockerfile import read_dockerfile
from ci_envs.containers.firewall import BUNDLE, CA, CA_FILE, PIP, PIP_CONF, UV, UV_TOML
from ci_envs.containers.references import parse_reference
from ci_envs.containers.template import ImagePlan, import_check, literal, render
from ci_envs.errors import UsageError

BASE = parse_reference("docker.io/library/python:3.12-slim-bookworm@sha256:" + "a" * 64)
HAS_IT = PythonPlan(source="base", executable="python3.12")
FROM_APT = PythonPlan(source="apt", executable="python3.12", packages=("python3.12",), bootstrap=("python3.12-venv",))
FROM_UV = PythonPlan(source="uv", executable="python3", bootstrap=("ca-certificates", "python3-venv"))


def a_plan(**more: Any) -> ImagePlan:
    usual: dict[str, Any] = {
        "base": BASE,
        "python": "3.12",
        "interpreter": HAS_IT,
        "installer": "uv",
        "lock_format": "requirements",
        "locks": ("locks/uv-py312-linux-x86_64.txt",),
    }
    return ImagePlan(**{**usual, **more})


CONDA = {
    "installer": "conda",
    "lock_format": "conda",
    "locks": ("conda-image/install.py", "conda-image/packages.json", "conda-image/pip.txt"),
}
PLANS = {
    "uv": a_plan(),
    "uv.lock": a_plan(
        lock_format="uv.lock", locks=("uv.lock",), settings=("pyproject.toml",), groups=("test",), extras=("gpu",)
    ),
    "pylock": a_plan(lock_format="pylock", locks=("pylock.toml",)),
    "venv": a_plan(installer="venv", hashed=False),
    "conda": a_plan(**CONDA, activates=True),
    "conda elsewhere": a_plan(**CONDA, tools_base=BASE),
    "apt": a_plan(interpreter=FROM_APT, packages=("libgomp1",), build_packages=("gcc",)),
    "fetched": a_plan(interpreter=FROM_UV),
    "package": a_plan(installs_project=True, wheel_variables={"SETUPTOOLS_SCM_PRETEND_VERSION": "1.2"}),
    "venv package": a_plan(installer="venv", installs_project=True),
    "cuda": a_plan(cuda=True, labels={"org.example.a": "b"}, variables={"A": "b"}, health=("python", "check.py")),
}


def instructions(plan: ImagePlan) -> list[tuple[str, str]]:
    return [(one.name, one.line) for one in read_dockerfile(render(plan), file="Dockerfile").instructions]


def stage(plan: ImagePlan, name: str) -> str:
    """The text of one stage."""
    parts = re.split(r"^(?=FROM )", render(plan), flags=re.MULTILINE)
    return next(part for part in parts if re.match(rf"FROM \S+ AS {name}\n", part))


@pytest.mark.parametrize("name", PLANS)
def test_the_reader_of_dockerfiles_finds_known_instructions_only(name: str) -> None:
    names = {word for word, _ in instructions(PLANS[name])}
    known = {"FROM", "RUN", "ENV", "COPY", "WORKDIR", "USER", "STOPSIGNAL", "CMD", "LABEL", "HEALTHCHECK", "ENTRYPOINT"}
    assert names <= known


@pytest.mark.parametrize("name", PLANS)
def test_every_base_carries_its_digest_and_the_last_stage_is_the_image(name: str) -> None:
    froms = [line.split() for word, line in instructions(PLANS[name]) if word == "FROM"]
    stages: set[str] = set()
    for _, image, _, called in froms:
        assert image in stages or image == str(BASE)
        stages.add(called)
    assert froms[-1][-1] == "final"


@pytest.mark.parametrize("name", PLANS)
def test_no_line_ends_in_a_blank_and_no_instruction_is_empty(name: str) -> None:
    text = render(PLANS[name])
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    assert "\n\n\n" not in text
    assert text.endswith("]\n")
    assert not re.search(r"\\\n\s*\n", text), "a continued line has nothing behind it"
    assert not re.search(r"\\\n\s*(?:#|FROM |RUN |COPY )", text), "a continued line swallows what follows"


@pytest.mark.parametrize("name", PLANS)
def test_what_asks_an_index_is_given_the_users_settings_and_nothing_else_is(name: str) -> None:
    mounts = {f"--mount=type=secret,id={PIP},target={PIP_CONF}", f"--mount=type=secret,id={UV},target={UV_TOML}"}
    certificates = {f"--mount=type=secret,id={CA},target={target}" for target in (CA_FILE, BUNDLE)}
    for word, line in instructions(PLANS[name]):
        asks = re.search(
            r"pip install (?!.*--no-index)|pip sync|uv sync|uv build|pip .*wheel|uv python install|install --require",
            line,
        )
        if word == "RUN" and asks and "--no-index" not in line:
            assert {flag for flag in mounts | certificates if flag in line} == mounts | certificates, line


@pytest.mark.parametrize("name", PLANS)
def test_a_package_manager_replaces_no_mounted_bundle(name: str) -> None:
    for word, line in instructions(PLANS[name]):
        if word == "RUN" and "apt-get" in line:
            assert f"target={BUNDLE}" not in line
            assert f"id={CA},target={CA_FILE}" in line


@pytest.mark.parametrize("name", PLANS)
def test_sources_come_after_all_that_is_installed_and_the_user_has_no_name(name: str) -> None:
    final = stage(PLANS[name], "final")
    assert final.index("COPY --from=deps") < final.index("COPY --chown=10001:10001 . /app")
    assert "\nUSER 10001:10001\n" in final
    assert "apt-get" not in final
    for tool in ("gcc", "build-packages"):
        assert tool not in final


def test_dependencies_are_installed_before_any_source_is_there() -> None:
    for name, plan in PLANS.items():
        assert "COPY ." not in stage(plan, "deps"), name


def test_compilers_are_in_the_stage_that_is_left_behind_alone() -> None:
    plan = PLANS["apt"]
    assert re.search(r"^        gcc; \\$", stage(plan, "deps"), re.MULTILINE)
    assert "gcc" not in stage(plan, "final") + stage(plan, "python") + stage(plan, "base")
    assert "libgomp1" in stage(plan, "base")
    assert "python3.12-venv" in stage(plan, "deps")
    assert "python3.12-venv" not in stage(plan, "python")


def test_uv_installs_each_kind_of_lock_as_a_host_does() -> None:
    assert "uv pip sync --python /opt/venv --require-hashes /opt/lock/requirements-0.txt" in stage(PLANS["uv"], "deps")
    synced = stage(PLANS["uv.lock"], "deps")
    assert "uv sync --frozen --no-install-project" in synced
    assert "--no-default-groups --group=test --extra=gpu\n" in synced
    assert 'COPY ["pyproject.toml", "/opt/lock/pyproject.toml"]' in synced
    assert "uv pip sync --python /opt/venv --require-hashes /opt/lock/pylock.toml" in stage(PLANS["pylock"], "deps")


def test_a_lock_without_hashes_is_installed_without_asking_for_any() -> None:
    assert "--require-hashes --requirement /opt/lock" not in stage(PLANS["venv"], "deps")
    assert "--requirement /opt/lock/requirements-0.txt" in stage(PLANS["venv"], "deps")


def test_several_locks_are_installed_together() -> None:
    plan = a_plan(locks=("requirements.txt", "requirements-dev.txt"))
    assert "/opt/lock/requirements-0.txt /opt/lock/requirements-1.txt\n" in stage(plan, "deps")
    plan = a_plan(locks=("requirements.txt", "requirements-dev.txt"), installer="venv")
    assert "--requirement /opt/lock/requirements-0.txt --requirement /opt/lock/requirements-1.txt" in stage(
        plan, "deps"
    )


def test_conda_brings_its_own_python_and_what_builds_it_is_left_behind() -> None:
    text = render(PLANS["conda"])
    assert "FROM base AS deps" in text
    assert "AS python" not in text
    assert "install.py packages.json /opt/conda" in text
    assert "COPY --from=deps /opt/conda /opt/conda" in text
    assert 'CONDA_PREFIX="/opt/conda"' in text
    assert "VIRTUAL_ENV" not in text
    assert f"FROM {BASE} AS deps" in render(PLANS["conda elsewhere"])


def test_a_lock_of_conda_without_a_pip_part_asks_no_index() -> None:
    plan = a_plan(**{**CONDA, "locks": CONDA["locks"][:2]})
    assert "uv pip" not in render(plan)


def test_activation_scripts_run_before_the_command() -> None:
    (entry,) = (line for word, line in instructions(PLANS["conda"]) if word == "ENTRYPOINT")
    words = json.loads(entry.partition(" ")[2])
    assert words[:2] == ["/bin/sh", "-c"]
    assert words[2].endswith('exec "$@"')
    assert "ENTRYPOINT" not in render(PLANS["uv"])


def test_the_wheel_is_built_apart_and_only_it_is_added() -> None:
    for name, plan in (("uv", PLANS["package"]), ("venv", PLANS["venv package"])):
        assert "COPY . /opt/project" in stage(plan, "wheel"), name
        assert "/opt/wheel/*.whl" in stage(plan, "final"), name
        assert "--no-deps" in stage(plan, "final"), name
    assert 'ENV SETUPTOOLS_SCM_PRETEND_VERSION="1.2"' in stage(PLANS["package"], "wheel")


def test_an_image_for_a_gpu_says_so_to_its_runtime() -> None:
    assert 'NVIDIA_VISIBLE_DEVICES="all"' in render(PLANS["cuda"])
    assert "NVIDIA" not in render(PLANS["uv"])


def test_nothing_that_differs_from_build_to_build_is_in_the_file() -> None:
    for plan in PLANS.values():
        text = render(plan)
        assert "ARG " not in text
        assert render(plan) == text


def test_a_plan_without_sources_copies_none() -> None:
    assert "COPY --chown" not in render(a_plan(sources=False))


def test_the_health_check_is_a_list_of_words() -> None:
    text = render(a_plan(health=("sh", "-c", 'echo "$HOME" \\ \n next'), health_seconds=7))
    assert "--timeout=7s" in text
    assert json.dumps(["sh", "-c", 'echo "$HOME" \\ \n next']) in text
    assert "HEALTHCHECK" not in render(a_plan())


def test_modules_are_imported_in_one_process() -> None:
    assert import_check(["pandas", "numpy", "numpy"]) == ("python", "-c", "import numpy, pandas")
    assert import_check([]) == ()
    for bad in ("os; import sys", "a b", "", "1a", "a..b", "a\nb"):
        with pytest.raises(UsageError):
            import_check([bad])


# --- what must not get in

BAD = ["a\nRUN id", "a\\", 'a"b', "a'b", "a$b", "a b; id", "a`id`", "$(id)", "a\rb", "<<EOF", ""]


@pytest.mark.parametrize("bad", BAD)
def test_no_word_of_a_project_begins_an_instruction_or_a_command(bad: str) -> None:
    places: list[dict[str, Any]] = [
        {"packages": (bad,)},
        {"build_packages": (bad,)},
        {"groups": (bad,), "lock_format": "uv.lock", "locks": ("uv.lock",)},
        {"extras": (bad,)},
        {"python": bad},
        {"user": bad},
        {"labels": {bad: "x"}},
        {"variables": {bad: "x"}},
        {"wheel_variables": {bad: "x"}},
        {"interpreter": PythonPlan(source="base", executable=bad)},
        {"interpreter": PythonPlan(source="apt", executable="python3.12", packages=(bad,))},
        {"interpreter": PythonPlan(source="apt", executable="python3.12", bootstrap=(bad,))},
    ]
    for place in places:
        with pytest.raises(UsageError):
            render(a_plan(**place))


@pytest.mark.parametrize(
    "bad",
    [
        "a\nb",
        "a$b",
        "a*b",
        "a?b",
        "[a]",
        "a\\b",
        'a"b',
        "a'b",
        "a`b",
        "../a",
        "a/../b",
        "/a",
        "-a",
        "<<EOF",
        "a\x00b",
        "",
    ],
)
def test_a_lock_that_copy_would_read_otherwise_is_refused_by_its_name(bad: str) -> None:
    with pytest.raises(UsageError) as caught:
        render(a_plan(locks=(bad,)))
    assert caught.value.file == bad
    with pytest.raises(UsageError):
        render(a_plan(settings=(bad,)))


@pytest.mark.parametrize("good", ["a b.txt", "locks/é.txt", "a#b.txt", "a;b.txt", "a&b.txt", "x/-a.txt"])
def test_a_lock_with_an_odd_name_is_copied_to_a_plain_one(good: str) -> None:
    assert f"COPY {json.dumps([good, '/opt/lock/requirements-0.txt'])}\n" in render(a_plan(locks=(good,)))


@pytest.mark.parametrize(
    "good", ["gcc", "g++", "libstdc++6", "libc6:amd64", "curl=7.88.1-10+deb12u5", "vim/bookworm-backports"]
)
def test_the_words_that_apt_knows_are_let_through(good: str) -> None:
    assert f"        {good}; \\\n" in render(a_plan(packages=(good,)))


@pytest.mark.parametrize("bad", ["a\nRUN id", "a\x00b", "a\rb", "\ud800"])
def test_a_value_with_a_line_end_is_refused(bad: str) -> None:
    for place in ("labels", "variables", "wheel_variables"):
        with pytest.raises(UsageError, match="line end"):
            render(a_plan(**{place: {"name": bad}}))


def test_a_command_with_half_a_character_or_a_nul_is_refused() -> None:
    for place in ("health", "entry"):
        for bad in ("\ud800", "\x00"):
            with pytest.raises(UsageError):
                render(a_plan(**{place: ("python", bad)}))


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))))
def test_a_literal_is_one_quoted_word(text: str) -> None:
    quoted = literal(text)
    assert quoted[0] == quoted[-1] == '"'
    inner, plain, at = quoted[1:-1], [], 0
    while at < len(inner):
        if inner[at] == "\\":
            at += 1  # whatever follows means itself
        else:
            assert inner[at] not in '"$'
        plain.append(inner[at])
        at += 1
    assert "".join(plain) == text


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1), min_size=1, max_size=4))
def test_a_command_stays_on_its_line_whatever_it_says(words: list[str]) -> None:
    lines = render(a_plan(entry=tuple(words))).splitlines()
    assert lines[-1].startswith("CMD [")
    assert json.loads(lines[-1].removeprefix("CMD ")) == words
