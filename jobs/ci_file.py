"""A project's CI file → its jobs, with the values that decide about their pods.

Intent: include, extends, !reference, default, variables, rules and matrix have GitLab's meaning ("CI/CD YAML
syntax reference"). A value that GitLab alone knows is unknown here, with the reason; it is never guessed.
Not here: the pod (pod.py). Scripts, stages, artifacts and so on, which do not change what a pod asks for.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

from jobs.ci_yaml import CiFileError, Place, Reference, Section, read_yaml, walk
from jobs.variables import Variable, expand, expand_all

GLOBAL_KEYS = frozenset(
    """spec image services before_script after_script variables cache default stages include pages
    workflow""".split()  # noqa: SIM905 - shorter
)
# GitLab's published schema of CI files, definition "job_template"; a test compares.
JOB_KEYS = frozenset(
    """image services before_script after_script hooks rules variables cache id_tokens identity
    dast_configuration inputs secrets script run stage only extends needs except tags allow_failure timeout
    when start_in manual_confirmation dependencies artifacts environment release coverage retry parallel
    interruptible resource_group trigger inherit publish pages""".split()  # noqa: SIM905 - shorter
)
# The same schema: the types of their values. `tags` has a message of its own, and GitLab accepts a map of
# `needs`, too.
JOB_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("after_script", "before_script", "extends", "script"), (str, list)),
    **dict.fromkeys(("environment", "image", "trigger"), (str, dict)),
    **dict.fromkeys(("cache", "except", "needs", "only"), (list, dict)),
    **dict.fromkeys(("dependencies", "rules", "run", "services"), (list,)),
    **dict.fromkeys(
        ("coverage", "identity", "manual_confirmation", "publish", "resource_group", "stage", "start_in"),
        (str,),
    ),
    **dict.fromkeys(("timeout", "when"), (str,)),
    **dict.fromkeys(("artifacts", "dast_configuration", "hooks", "id_tokens", "inherit"), (dict,)),
    **dict.fromkeys(("inputs", "release", "secrets", "variables"), (dict,)),
    **dict.fromkeys(("allow_failure", "pages"), (bool, dict)),
    **dict.fromkeys(("parallel", "retry"), (int, dict)),
    "interruptible": (bool,),
}
GLOBAL_TYPES: Mapping[str, tuple[type, ...]] = {
    **{key: JOB_TYPES[key] for key in ("after_script", "before_script", "cache", "image", "services")},
    **dict.fromkeys(("default", "variables", "workflow"), (dict,)),
    "stages": (list,),
}
_TYPE_NAMES = {str: "a string", list: "a list", dict: "a map", bool: "true or false", int: "a whole number"}
# The same schema: the keys of maps that decide about a pod.
DEFAULT_KEYS = frozenset(
    """after_script artifacts before_script cache hooks id_tokens identity image interruptible retry services
    tags timeout""".split()  # noqa: SIM905 - shorter
)
RULE_KEYS = frozenset(
    """if changes exists variables when start_in allow_failure needs interruptible auto_cancel""".split()  # noqa: SIM905
)
IMAGE_KEYS = frozenset(("name", "entrypoint", "docker", "kubernetes", "pull_policy"))
SERVICE_KEYS = IMAGE_KEYS | {"alias", "command", "variables"}
INHERIT_KEYS = frozenset(("default", "variables"))
# GitLab, "CI/CD YAML syntax reference": include, extends, !reference, parallel:matrix.
MAX_FILES, MAX_EXTENDS, MAX_REFERENCES, MAX_PARALLEL = 150, 11, 10, 200
MAX_CASES = 1000  # of one job: matrix × rules
MAX_WORK = 300_000  # values in all jobs, once extends and references are replaced


@dataclass(frozen=True)
class Service:
    """A service of a job, and the variables that it has of its own. An image or user of None is unknown."""

    image: str | None
    variables: Mapping[str, Variable] = field(default_factory=dict)
    user: str | None = ""


@dataclass(frozen=True)
class Job:
    """A job, in one of the cases that its matrix and the rules allow."""

    name: str
    place: Place
    case: str = ""
    count: int = 1
    tags: tuple[str, ...] = ()
    tags_place: Place | None = None
    image: str | None = ""
    user: str | None = ""  # image:kubernetes:user
    services: tuple[Service, ...] = ()
    services_place: Place | None = None
    variables: Mapping[str, Variable] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    unknown_tags: tuple[str, ...] = ()
    needs_runner: bool = True


@dataclass(frozen=True)
class Pipeline:
    """The jobs of a CI file. `unread` has the line and the text of each include that was not read."""

    jobs: tuple[Job, ...]
    notes: tuple[str, ...]
    unread: tuple[tuple[Place, str], ...] = ()


def read_pipeline(path: Path, *, root: Path | None = None, variables: Mapping[str, str]) -> Pipeline:
    """Read a CI file with the local files that it includes.

    Args:
        path: The CI file.
        root: Folder of the project, for `include: local`; by default the nearest one with `.git`, or else
            the file's.
        variables: CI/CD variables of the project, which win over those of the file.

    Raises:
        CiFileError: If GitLab would refuse the file.

    """
    files = _Files(root or find_root(path))
    document = files.read(path, ())
    pipeline = _Document(document, files.notes, is_whole=files.is_whole, given=variables).read()
    return replace(pipeline, unread=tuple(files.unread))


def find_root(path: Path) -> Path:
    """Return the folder of a CI file's project: the nearest one with `.git`, or else the file's."""
    folder = path.resolve().parent
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)


class _Files:
    """Reads a CI file and what it includes."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._count = 0
        self.notes: list[str] = []
        self.unread: list[tuple[Place, str]] = []
        self.is_whole = True

    def read(self, path: Path, parents: tuple[Path, ...], place: Place | None = None) -> Section:
        name = self._name(path) if parents else str(path)
        resolved = path.resolve()
        if place and resolved in parents:
            raise CiFileError([(place, f"include: {name} includes itself")])
        self._count += 1
        if place and self._count > MAX_FILES:
            raise CiFileError([(place, f"include: more than {MAX_FILES} files")])
        own = read_yaml(path, name)
        included = Section()
        if "include" in own:
            line = own.places["include"]
            entries = own.pop("include")
            for entry in entries if isinstance(entries, list) else [entries]:
                for part in self._include(entry, line, (*parents, resolved)):
                    included = included.merged_with(part)
        return included.merged_with(own)

    def _name(self, path: Path) -> str:
        resolved = path.resolve()
        return str(resolved.relative_to(self._root)) if resolved.is_relative_to(self._root) else str(path)

    def _include(self, entry: object, line: Place, parents: tuple[Path, ...]) -> Iterator[Section]:
        if isinstance(entry, str):
            entry = _section(
                {"remote" if entry.startswith(("http://", "https://")) else "local": entry}, line
            )
        if not isinstance(entry, Section):
            raise CiFileError([(line, "include: must be a path, a map, or a list of these")])
        line = next(iter(entry.places.values()), line)
        local = entry.get("local")
        if not isinstance(local, str) or "$" in local:
            kinds = ("local", "project", "remote", "template", "component", "artifact")
            kind = next((kind for kind in kinds if kind in entry), None)
            if kind is None:
                raise CiFileError([(line, f"include: must have one of {', '.join(kinds)}")])
            text = (
                f"include {kind}: {entry[kind]}: not read, so its jobs, defaults and variables are "
                "missing here"
            )
            self.notes.append(f"{line}: {text}")
            self.is_whole = False
            if not _is_can_run(kind, entry):
                self.unread.append((line, text))
            return
        if "rules" in entry:
            self.notes.append(f"{line}: include {local}: depends on rules; read as if it were included")
        for path in self._find(local, line):
            yield self.read(path, parents, line)

    def _find(self, local: str, line: Place) -> list[Path]:
        pattern = local.lstrip("/")
        if ".." in Path(pattern).parts:
            raise CiFileError([(line, f"include: {local}: must be a file of the project")])
        if not pattern.endswith((".yml", ".yaml")):
            raise CiFileError([(line, f"include: {local}: the name must end with .yml or .yaml")])
        if "*" in pattern:
            paths = sorted(self._root.glob(pattern))
        else:
            paths = [path for path in [self._root / pattern] if path.exists()]
        if not paths:
            raise CiFileError([(line, f"include: {local}: there is no such file in {self._root.name}/")])
        if not all(path.resolve().is_relative_to(self._root) for path in paths):
            raise CiFileError([(line, f"include: {local}: must be a file of the project")])
        return paths


def _is_can_run(kind: str, entry: Section) -> bool:
    """Return whether an include is the component templates/can-run.yml: its one job runs this command."""
    if kind == "project":
        return entry.get("file") in ("templates/can-run.yml", "/templates/can-run.yml")
    return kind == "component" and "/can-run@" in str(entry[kind])


def _refuse_unknown_keys(section: Section, accepted: frozenset[str], where: str) -> None:
    problems: list[tuple[Place | str, str]] = []
    for key in section:
        if key not in accepted:
            close = get_close_matches(key, sorted(accepted), n=1)
            hint = f". Did you mean {close[0]}?" if close else "."
            words = 'Accepted: a keyword of GitLab\'s "CI/CD YAML syntax reference"'
            problems.append((section.places[key], f"{where}.{key}: unknown key{hint} {words}"))
    if problems:
        raise CiFileError(problems)


def _refuse_wrong_type(
    value: object, types: Mapping[str, tuple[type, ...]], key: str, where: str, place: Place
) -> None:
    """Refuse a value of another type than GitLab's schema has; an empty value or an input is accepted."""
    accepted = types.get(key)
    if accepted is None or value is None or (isinstance(value, str) and "$[[" in value):
        return
    if not (isinstance(value, accepted) and (bool in accepted or not isinstance(value, bool))):
        words = " or ".join(_TYPE_NAMES[kind] for kind in accepted)
        raise CiFileError([(place, f"{where}: must be {words}")])


def _section(values: Mapping[str, object], place: Place) -> Section:
    section = Section()
    for key, value in values.items():
        section.put(key, value, place)
    return section


class _TooLargeError(CiFileError):
    """The whole file is refused, and not one job after the other."""


class _UnresolvableError(Exception):
    """A value that an include which was not read may hold."""


class _Document:
    """The merged files."""

    def __init__(
        self, content: Section, notes: list[str], *, is_whole: bool, given: Mapping[str, str]
    ) -> None:
        self._content = content
        self._notes = notes
        self._is_whole = is_whole
        self._given = {name: Variable(text) for name, text in given.items()}
        self._extended: dict[str, Section] = {}
        self._problems: list[tuple[Place | str, str]] = []
        self._work = 0
        self._place: Place | str = "include"

    def read(self) -> Pipeline:
        self._check_global_keys()
        names = [name for name in self._content if name not in GLOBAL_KEYS or name == "pages"]
        jobs: list[Job] = []
        for name in names:
            if name.startswith("."):
                continue
            try:
                jobs += self._read_job(name)
            except _TooLargeError:
                raise
            except CiFileError as error:
                self._problems += error.problems
        if self._problems:
            raise CiFileError(self._problems)
        if not jobs:
            self._notes.append("the file has no job")
        return Pipeline(tuple(jobs), tuple(self._notes))

    def _check_global_keys(self) -> None:
        default = self._content.get("default")
        sections = [(self._content, GLOBAL_TYPES, "")]
        if isinstance(default, Section):
            _refuse_unknown_keys(default, DEFAULT_KEYS, "default")
            sections.append((default, JOB_TYPES, "default."))
        for section, types, where in sections:
            for key in types.keys() & section.keys():
                with suppress(_UnresolvableError):
                    value = self._resolve(section[key])
                    _refuse_wrong_type(value, types, key, f"{where}{key}", section.places[key])

    def _refuse(self, place: Place, text: str) -> NoReturn:
        """Refuse a value that is missing, unless an include that was not read may hold it."""
        if self._is_whole:
            raise CiFileError([(place, text)])
        raise _UnresolvableError(f"{place}: {text} in the files that were read")

    def _spend(self, values: int, place: Place | None) -> None:
        """Refuse a file whose jobs multiply each other."""
        self._work += values
        self._place = place or self._place
        if self._work > MAX_WORK:
            text = f"extends, !reference and variables expand to more than {MAX_WORK} values"
            raise _TooLargeError([(self._place, text)])

    # --- extends and !reference

    def _extend(self, name: str, users: tuple[str, ...] = (), place: Place | None = None) -> Section:
        """Return a job with everything that it extends."""
        if name in self._extended:
            return self._extended[name]
        value = self._content.get(name)
        if place and (name not in self._content or name in GLOBAL_KEYS - {"pages"}):
            close = get_close_matches(name, list(self._content), n=1)
            hint = f". Did you mean {close[0]}?" if close else ""
            self._refuse(place, f"extends: {name}: there is no such job{hint}")
        here = place or self._content.places[name]
        if not isinstance(value, Section):
            close = get_close_matches(name, sorted(GLOBAL_KEYS), n=1)
            hint = f". Did you mean {close[0]}?" if close else ""
            raise CiFileError([(here, f"{name}: must be a map with the keys of a job{hint}")])
        if name in users:
            raise CiFileError([(here, f"extends: {' → '.join([*users, name])}: a circle")])
        if len(users) >= MAX_EXTENDS:
            raise CiFileError([(here, f"extends: more than {MAX_EXTENDS} levels")])
        parents = value.get("extends")
        if parents is None:
            return value
        line = value.places["extends"]
        merged = Section()
        for parent in parents if isinstance(parents, list) else [parents]:
            if not isinstance(parent, str):
                raise CiFileError([(line, "extends: must be the name of a job, or a list of names")])
            merged = merged.merged_with(self._extend(parent, (*users, name), line))
            self._spend(sum(1 for _ in walk(merged)), line)
        merged = merged.merged_with(value)
        self._extended[name] = merged
        return merged

    def _resolve(self, value: Any, users: tuple[tuple[str, ...], ...] = ()) -> Any:
        """Return a value with every !reference in it replaced."""
        self._spend(1, value.place if isinstance(value, Reference) else None)
        if isinstance(value, Reference):
            if value.path in users or len(users) >= MAX_REFERENCES:
                problem = "a circle" if value.path in users else f"more than {MAX_REFERENCES} levels"
                raise CiFileError([(value.place, f"!reference [{', '.join(value.path)}]: {problem}")])
            return self._resolve(self._look_up(value), (*users, value.path))
        if isinstance(value, Section):
            resolved = Section()
            for key, part in value.items():
                resolved.put(key, self._resolve(part, users), value.places[key])
            return resolved
        if isinstance(value, list):
            items: list[Any] = []
            for item in value:
                part = self._resolve(item, users)
                items += part if isinstance(item, Reference) and isinstance(part, list) else [part]
            return items
        return value

    def _look_up(self, reference: Reference) -> Any:
        name, *keys = reference.path
        found: Any = self._content.get(name)
        if isinstance(found, Section) and name not in GLOBAL_KEYS - {"pages"}:
            found = self._extend(name)
        for key in keys:
            found = found.get(key) if isinstance(found, Section) else None
        if found is None:
            text = f"!reference [{', '.join(reference.path)}]: there is no such value"
            self._refuse(reference.place, text)
        return found

    # --- one job

    def _read_job(self, name: str) -> list[Job]:
        place = self._content.places[name]
        try:
            job = self._extend(name)
            self._refuse_unknown_keys(name, job)
            for key, value in job.items():  # a circle anywhere in the job is a mistake
                with suppress(_UnresolvableError):
                    resolved = self._resolve(value)
                    _refuse_wrong_type(resolved, JOB_TYPES, key, f"{name}.{key}", job.places[key])
            if not {"script", "run", "trigger"} & set(job):
                self._refuse(place, f"{name}: there is no script, run or trigger")
            if "trigger" in job:  # GitLab starts another pipeline; no runner takes it
                return [Job(name, place, needs_runner=False)]
            return self._read_cases(name, place, job)
        except _UnresolvableError as error:
            return [Job(name, place, unknown=(str(error),))]

    def _refuse_unknown_keys(self, name: str, job: Section) -> None:
        close = get_close_matches(name, sorted(GLOBAL_KEYS), n=1)
        if close and not JOB_KEYS & set(job):
            raise CiFileError([(self._content.places[name], f"{name}: no job. Did you mean {close[0]}?")])
        _refuse_unknown_keys(job, JOB_KEYS, name)

    def _read_cases(self, name: str, place: Place, job: Section) -> list[Job]:
        tags, tags_place = self._inherited(job, "tags")
        image, image_place = self._inherited(job, "image")
        services, services_place = self._inherited(job, "services")
        inherits = self._find_inherited_variables(job)
        shared = {key: value for key, value in self._global_variables().items() if inherits(key)}
        own = self._variables(self._part(job, "variables"), f"{name}.variables", place)
        workflow = self._part(self._content, "workflow")
        workflow_rules = self._part(workflow, "rules") if isinstance(workflow, Section) else None
        matrix, count = self._read_parallel(name, job)
        cases: dict[tuple[Any, ...], Job] = {}
        variants = [
            *product(
                self._read_rules(workflow_rules, "workflow:rules", place),
                matrix,
                self._read_rules(self._part(job, "rules"), "rules", place),
            )
        ]
        if len(variants) > MAX_CASES:
            raise CiFileError([(place, f"{name}: more than {MAX_CASES} cases of matrix and rules")])
        for (flow_case, of_flow), (words, instance), (rule_case, rule) in variants:
            self._spend(len(shared) + len(own), place)
            # Those of workflow:rules are global variables, too (GitLab, Ci::Pipeline::Chain::Seed).
            flow = {key: value for key, value in of_flow.items() if inherits(key)}
            known = expand_all({**shared, **flow, **own, **instance, **rule, **self._given})
            found = Job(
                name=f"{name}: [{words}]" if words else name,
                place=place,
                count=count,
                variables=known,
                services_place=services_place,
                tags_place=tags_place,
                case=", ".join(filter(None, [flow_case, rule_case])),
            )
            found = self._with_tags(found, tags, tags_place or place)
            found = replace(
                found,
                image=self._read_image(image, image_place or place, known),
                user=_read_user(image, image_place or place, known),
            )
            found = replace(found, services=self._read_services(services, services_place or place, known))
            cases.setdefault(_what_decides(found), found)
        by_name: dict[str, list[Job]] = {}
        for found in cases.values():
            by_name.setdefault(found.name, []).append(found)
        return [
            replace(found, case=found.case if len(group) > 1 else "")
            for group in by_name.values()
            for found in group
        ]

    def _part(self, section: Section, key: str) -> Any:
        return self._resolve(section.get(key))

    def _inherited(self, job: Section, key: str) -> tuple[Any, Place | None]:
        """Return a keyword's value and line: the job's, or that of `default`, or the global one."""
        default = self._part(self._content, "default")
        inherit = self._part(job, "inherit")
        if isinstance(inherit, Section):
            _refuse_unknown_keys(inherit, INHERIT_KEYS, "inherit")
        wanted = inherit.get("default", True) if isinstance(inherit, Section) else True
        sections: list[Section] = [job]
        if wanted is True or (isinstance(wanted, list) and key in wanted):
            sections += [part for part in (default, self._content) if isinstance(part, Section)]
        for section in sections:
            if key in section and key != ("tags" if section is self._content else ""):
                return self._part(section, key), section.places[key]
        return None, None

    def _global_variables(self) -> dict[str, Variable]:
        return self._variables(
            self._part(self._content, "variables"), "variables", self._content.places.get("variables")
        )

    def _find_inherited_variables(self, job: Section) -> Callable[[str], bool]:
        """Return whether a job inherits a global variable, by its name."""
        inherit = self._part(job, "inherit")
        wanted = inherit.get("variables", True) if isinstance(inherit, Section) else True
        return lambda name: name in wanted if isinstance(wanted, list) else wanted is not False

    def _variables(self, value: Any, where: str, place: Place | None) -> dict[str, Variable]:
        if value is None:
            return {}
        if not isinstance(value, Section):
            raise CiFileError([(place or "", f"{where}: must be a map of variables")])
        found = {}
        for name, entry in value.items():
            line = value.places[name]
            is_map = isinstance(entry, Section)
            text = entry.get("value", "") if is_map else entry
            if isinstance(text, Section | list):
                raise CiFileError([(line, f"{where}.{name}: must be a string or a number")])
            raw = is_map and entry.get("expand") is False
            found[name] = Variable(write_scalar(text), line, raw=raw)
        return found

    def _read_rules(self, rules: Any, where: str, place: Place) -> list[tuple[str, dict[str, Variable]]]:
        """Return a case for each rule with variables, and one for all others together."""
        if rules is None:
            return [("", {})]
        if not isinstance(rules, list):
            raise CiFileError([(place, f"{where}: must be a list")])
        cases: list[tuple[str, dict[str, Variable]]] = []
        for rule in rules:
            if not isinstance(rule, Section):
                raise CiFileError([(place, f"{where}: each rule must be a map")])
            _refuse_unknown_keys(rule, RULE_KEYS, where)
            if rule.get("when") == "never":
                continue
            line = rule.places.get("variables")
            variables = self._variables(rule.get("variables"), f"{where}.variables", line or place)
            if line and variables:
                cases.append((f"{where}, line {line.line}", variables))
            elif not any(variables == {} for _, variables in cases):
                cases.append((f"other {where}", {}))
        # No rule that adds the job: GitLab makes no job, and no pipeline for rules of the workflow.
        return cases if rules else [("", {})]

    def _read_parallel(self, name: str, job: Section) -> tuple[list[tuple[str, dict[str, Variable]]], int]:
        """Return a case for each entry of the matrix, and the number of equal jobs."""
        parallel = self._part(job, "parallel")
        line = job.places.get("parallel", self._content.places[name])
        if parallel is None:
            return [("", {})], 1
        if isinstance(parallel, int) and not isinstance(parallel, bool) and 1 <= parallel <= MAX_PARALLEL:
            return [("", {})], parallel
        matrix = parallel.get("matrix") if isinstance(parallel, Section) else None
        if not isinstance(matrix, list) or not all(isinstance(entry, Section) for entry in matrix):
            accepted = f"must be a number of 1 to {MAX_PARALLEL}, or a map with matrix, a list of maps"
            raise CiFileError([(line, f"{name}.parallel: {accepted}")])
        cases = []
        total = 0
        for entry in matrix:
            columns = [values if isinstance(values, list) else [values] for values in entry.values()]
            size = 1
            for column in columns:
                size *= len(column)
            total += size
            if total > MAX_PARALLEL:
                raise CiFileError([(line, f"{name}.parallel: the matrix has more than {MAX_PARALLEL} jobs")])
            for values in product(*columns):
                texts = [write_scalar(value) for value in values]
                variables = {
                    key: Variable(text, entry.places[key]) for key, text in zip(entry, texts, strict=True)
                }
                cases.append((", ".join(texts), variables))
        return cases or [("", {})], 1

    def _with_tags(self, job: Job, tags: Any, place: Place) -> Job:
        if tags is None:
            return job
        if isinstance(tags, str):
            tags = [tags]
        if not isinstance(tags, list) or not all(isinstance(tag, str | int | float) for tag in tags):
            raise CiFileError([(place, f"{job.name}.tags: must be a list of strings")])
        values = [expand(Variable(write_scalar(tag), place), job.variables) for tag in tags]
        reasons = tuple(f"{place}: tags: {value.unknown}" for value in values if value.text is None)
        return replace(
            job, tags=tuple(value.text for value in values if value.text is not None), unknown_tags=reasons
        )

    def _read_image(self, image: Any, place: Place, variables: Mapping[str, Variable]) -> str | None:
        """Return the image's name; an empty one is the fleet's."""
        if isinstance(image, Section):
            _refuse_unknown_keys(image, IMAGE_KEYS, "image")
            image = image.get("name")
        if image is None:
            return ""
        if not isinstance(image, str):
            raise CiFileError([(place, "image: must be a name, or a map with name")])
        return expand(Variable(image, place), variables).text

    def _read_services(
        self, services: Any, place: Place, variables: Mapping[str, Variable]
    ) -> tuple[Service, ...]:
        if services is None:
            return ()
        if not isinstance(services, list):
            raise CiFileError([(place, "services: must be a list")])
        found = []
        for service in services:
            if isinstance(service, Section) and isinstance(service.get("name"), str):
                _refuse_unknown_keys(service, SERVICE_KEYS, "services")
                own = self._variables(service.get("variables"), "services.variables", place)
                finished = expand_all({**variables, **own})
                found.append(
                    Service(
                        expand(Variable(service["name"], place), variables).text,
                        {name: finished[name] for name in own},
                        _read_user(service, place, variables),
                    )
                )
            elif isinstance(service, str):
                found.append(Service(expand(Variable(service, place), variables).text))
            else:
                raise CiFileError([(place, "services: each must be an image, or a map with name")])
        return tuple(found)


def _read_user(image: object, place: Place, variables: Mapping[str, Variable]) -> str | None:
    """Return `kubernetes:user` of an image or a service; an empty one is that of the fleet or the image."""
    options = image.get("kubernetes") if isinstance(image, Section) else None
    user = options.get("user") if isinstance(options, Section) else None
    return expand(Variable(write_scalar(user), place), variables).text


def _what_decides(job: Job) -> tuple[Any, ...]:
    """Return the values of a job that decide about its pod: equal ones are one case."""
    own = {name: variable for name, variable in job.variables.items() if name.startswith("KUBERNETES_")}
    services = [
        (
            service.image,
            service.user,
            sorted((name, variable.text) for name, variable in service.variables.items()),
        )
        for service in job.services
    ]
    texts = sorted((name, str(variable.text), variable.unknown) for name, variable in own.items())
    return (job.name, job.tags, job.image, job.user, str(services), tuple(texts), job.unknown_tags)


def write_scalar(value: object) -> str:
    """Return a scalar as GitLab writes it into a variable."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
