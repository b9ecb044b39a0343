"""Experts' edits of topics that a model proposed, applied to an earlier tree and to every new proposal.

Edits stand in the settings, not in the tree, so they hold however often the tree is grown again. Applying
them twice changes nothing, and their order does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from components.core.stage.settings import Settings
from components.label_tree.names import MAX_DESCRIPTION_CHARS, clean_name, clean_text, name_key

SEPARATOR = " > "
Key = tuple[str, ...]


class Edit(Settings):
    """An expert's change to a topic that the model proposed; holds in every later run."""

    path: str
    """Names from the first level down, joined by " > "; above the topic those before or after an edit."""
    name: str = ""
    """New name; empty keeps it. On the first level, `experts` must list it; everything below moves along."""
    description: str = ""
    """New description; empty keeps it. Of a removed topic: its content, to recognise near-duplicates by."""
    remove: bool = False
    """Take the topic and everything below it out, and let neither it nor a near-duplicate of it come back."""


def split_path(path: str) -> list[str]:
    """The names of a written path; a name itself never holds ">" (see `names.clean_name`)."""
    return [clean_name(name) for name in path.split(">")]


def path_key(path: str | Sequence[str]) -> Key:
    """The compared form of a path's names."""
    return tuple(map(name_key, split_path(path) if isinstance(path, str) else path))


@dataclass
class Edits:
    """Edits by the keys of the topics they change: parents by new names, the topic itself by its old one."""

    sources: dict[Key, Edit] = field(default_factory=dict)
    _names: dict[Key, str] = field(default_factory=dict)
    _descriptions: dict[Key, str] = field(default_factory=dict)

    @classmethod
    def of(cls, edits: Iterable[Edit]) -> Edits:
        """Check and index edits.

        Raises:
            ValueError: an edit changes nothing or two things at once, or its path has not one to three names.
                Or two edits change one topic, or the new name of one is the topic of another.
        """
        indexed = cls()
        targets: dict[Key, str] = {}
        for edit in sorted(edits, key=lambda edit: edit.path.count(">")):  # parents first
            _check(edit)
            names = split_path(edit.path)
            above = path_key(indexed.new_path(names[:-1]))
            key = (*above, name_key(names[-1]))
            if key in indexed.sources:
                raise ValueError(f"edits: '{edit.path}' is changed twice; write one edit")
            indexed.sources[key] = edit
            target = (*above, name_key(clean_name(edit.name or names[-1])))
            if edit.name:
                indexed._names[key] = clean_name(edit.name)
                targets[target] = edit.path
            if edit.description:
                indexed._descriptions[target] = clean_text(edit.description, MAX_DESCRIPTION_CHARS)
        for key in targets.keys() & indexed.sources.keys():
            new, old = targets[key], indexed.sources[key].path
            if new != old:
                raise ValueError(f"edits: '{new}' takes the name that '{old}' changes; use another name")
        return indexed

    def removes(self, key: Key) -> bool:
        """Whether a topic, or one above it, is removed; `key` as in `sources`."""
        above = (self.sources.get(key[:length]) for length in range(1, len(key) + 1))
        return any(edit is not None and edit.remove for edit in above)

    def new_path(self, path: Sequence[str]) -> tuple[str, ...]:
        """The path after the edits, removal aside, of a path from before or after them."""
        new: tuple[str, ...] = ()
        for name in path:
            new = (*new, self._names.get((*path_key(new), name_key(name)), name))
        return new

    def apply(self, path: Sequence[str], description: str) -> tuple[tuple[str, ...], str] | None:
        """Path and description of a topic after the edits; None if it, or a topic above it, is removed."""
        new = self.new_path(path)
        if self.removes((*path_key(new[:-1]), *path_key(path[-1:]))):
            return None
        return new, self._descriptions.get(path_key(new), description)

    def removed(self) -> list[tuple[Key, tuple[str, ...]]]:
        """Key in `sources`, and path under the parents' new names, of every topic that an edit removes."""
        edits = sorted(self.sources.items())
        return [(key, self.new_path(split_path(edit.path))) for key, edit in edits if edit.remove]


def _check(edit: Edit) -> None:
    key = path_key(edit.path)
    if not 1 <= len(key) <= 3 or not all(key):
        raise ValueError(f"edits: '{edit.path}' is no path; write one to three names joined by '{SEPARATOR}'")
    if edit.remove and edit.name:
        raise ValueError(f"edits: '{edit.path}' is both removed and renamed; do one")
    if not (edit.remove or edit.name or edit.description):
        raise ValueError(f"edits: '{edit.path}' changes nothing; give a name, a description or remove")
    if edit.name and not name_key(clean_name(edit.name)):
        raise ValueError(f"edits: '{edit.path}': a topic's name needs at least one letter or digit")
