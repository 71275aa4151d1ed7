"""The contact centre's configuration as one file: read with line numbers, checked, compared, imported, exported."""

from ari_app.store.configuration.advice import advise
from ari_app.store.configuration.faults import Fault
from ari_app.store.configuration.reading import Reading, read, read_node
from ari_app.store.configuration.references import check
from ari_app.store.configuration.source import Node
from ari_app.store.configuration.ways import check_loops


def examine(content: bytes) -> tuple[Reading | None, list[Fault]]:
    """Read and check a file: everything that is wrong with it, in the order of its lines; warnings only where
    nothing is wrong. No Reading where there is nothing to go on with.
    """
    return _examined(read(content))


def examine_node(root: Node) -> tuple[Reading | None, list[Fault]]:
    """The same for what is no file: the console's."""
    return _examined(read_node(root, []))


def _examined(found: Reading | list[Fault]) -> tuple[Reading | None, list[Fault]]:
    if isinstance(found, list):
        return None, sorted(set(found))
    check(found)
    check_loops(found)
    if not any(not fault.is_warning for fault in found.faults):
        advise(found)
    return found, sorted(set(found.faults))
