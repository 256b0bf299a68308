"""Objects as people write them in YAML: what has several lines stands in a block."""

import re
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from citadel.api.yamlchecks import resolve, twist

#: Texts that YAML gives back as they are, wherever they stand: no ends of lines but the one, and printable.
_PRINTED = re.compile(
    "[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*"
)


class _Blocks(SafeRepresenter):
    """Represents texts of several lines as blocks."""

    def text(self, data: str) -> ScalarNode:
        """A text."""
        style = "|" if "\n" in data else None
        if not _PRINTED.fullmatch(data) or (style is None and not _is_text(data)):
            style = '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _is_text(data: str) -> bool:
    """Whether kubectl takes it for a text where it stands without quotes."""
    try:
        return twist(data) is None and resolve(data) == data
    except ValueError:
        return False


_Blocks.add_representer(str, _Blocks.text)


def text_of_objects(objects: Iterable[Mapping[str, Any]]) -> str:
    """All of them, each a document of its own."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Blocks
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 100_000
    yaml.explicit_start = True
    text = StringIO()
    for item in objects:
        yaml.dump(item, text)
    return text.getvalue()
